package swarm

import (
	"net"

	"github.com/libp2p/go-libp2p/core/network"
)

// tapped shows what goes over a connection before it is encrypted, and after it is decrypted.
type tapped struct {
	network.Multiplexer
	tap func(net.Conn) net.Conn
}

func (t tapped) NewConn(c net.Conn, server bool, scope network.PeerScope) (network.MuxedConn, error) {
	return t.Multiplexer.NewConn(t.tap(c), server, scope)
}
