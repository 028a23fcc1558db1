package swarm

import (
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gate decides who may be a peer before anything is spent on it.
type gate struct{ s *Swarm }

func (g gate) admit(p peer.ID) bool {
	id, ok := fromPeer(p)
	if !ok {
		return false // large foreign keys cost CPU (CVE-2023-39533); starling's are Ed25519
	}
	g.s.mu.Lock()
	until, banned := g.s.banned[p]
	g.s.mu.Unlock()
	if banned && time.Now().Before(until) {
		return false
	}
	return g.s.cfg.Admit == nil || g.s.cfg.Admit(id)
}

func (g gate) InterceptPeerDial(p peer.ID) bool                                { return g.admit(p) }
func (g gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool                    { return true }
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (g gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// InterceptSecured also bounds the connections of peers that come by themselves. There is room for some guests above
// MaxPeers: who finds the house full is sent on to other peers in the handshake, rather than left at the door.
func (g gate) InterceptSecured(dir network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	if !g.admit(p) {
		return false
	}
	if dir == network.DirOutbound {
		return true
	}
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	count := 0
	for _, m := range g.s.peers {
		if m.live() {
			count++
		}
	}
	return g.s.peers[p].live() || count < g.s.cfg.MaxPeers+guests(g.s.cfg.MaxPeers) || g.s.bootIDs[p]
}
