package swarm

import (
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// idPrefix stands before an Ed25519 public key in a libp2p peer ID: an identity multihash of the key's protobuf.
const idPrefix = "\x00\x24\x08\x01\x12\x20"

// ToPeer returns the libp2p peer ID of a node.
func ToPeer(p gossip.PeerID) peer.ID { return peer.ID(idPrefix + string(p[:])) }

// FromPeer returns the node of a libp2p peer ID; ok is false when its key is not Ed25519.
func FromPeer(id peer.ID) (p gossip.PeerID, ok bool) { return fromPeer(id) }

func fromPeer(id peer.ID) (p gossip.PeerID, ok bool) {
	key, ok := strings.CutPrefix(string(id), idPrefix)
	if !ok || len(key) != len(p) {
		return gossip.PeerID{}, false
	}
	copy(p[:], key)
	return p, true
}

// short is how logs name a peer.
func short(id peer.ID) string {
	s := id.String()
	return s[max(0, len(s)-8):]
}
