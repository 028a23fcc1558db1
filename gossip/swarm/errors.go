package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/sec"
	lswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// Errors that callers branch on.
var (
	ErrTooLarge     = errors.New("message too large")        // never helps to retry
	ErrNotJoined    = errors.New("topic not joined")         // call Join first
	ErrNotConnected = errors.New("peer not connected")       // retry after PeerEvent says it is up
	ErrRefused      = errors.New("peer refused the message") // it has no use for it, or is busy: retry later
	ErrNoManifest   = errors.New("peer has no manifest")     // ask another peer
	ErrClosed       = errors.New("swarm closed")             // never helps to retry
)

// plain says in a few words what went wrong with a connection, for a person.
func plain(err error) string {
	var mismatch sec.ErrPeerIDMismatch
	var dns *net.DNSError
	text := err.Error()
	switch {
	case errors.As(err, &mismatch):
		return fmt.Sprintf("peer ID mismatch: the address belongs to %s", mismatch.Actual)
	case strings.Contains(text, "remote key matches "): // the QUIC handshake keeps only the text
		_, id, _ := strings.Cut(text, "remote key matches ")
		id, _, _ = strings.Cut(id, "\n")
		return "peer ID mismatch: the address belongs to " + strings.Trim(id, " )]")
	case errors.As(err, &dns):
		return fmt.Sprintf("name %q not found", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to that address"
	case errors.Is(err, lswarm.ErrGaterDisallowedConnection):
		return "this node does not admit that peer"
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return "this node has reached its limit of connections"
	case errors.Is(err, lswarm.ErrNoTransport), errors.Is(err, lswarm.ErrNoGoodAddresses):
		return "no address of the peer can be dialled from here"
	case errors.Is(err, lswarm.ErrDialToSelf):
		return "the address is this node's own"
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err), strings.Contains(text, "timed out"),
		strings.Contains(text, "timeout"), strings.Contains(text, "deadline"), strings.Contains(text, "no recent network activity"):
		return "timed out"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, network.ErrReset),
		errors.Is(err, syscall.ECONNRESET), strings.Contains(text, "reset"):
		return "the peer closed the connection"
	}
	first, _, _ := strings.Cut(text, "\n")
	if len(first) > 160 {
		first = first[:160] + "…"
	}
	return first
}
