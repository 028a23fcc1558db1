package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mr-tron/base58"
)

// The protocols of streams.
const (
	ProtocolDirect   = "/starling/direct/1"
	ProtocolBlob     = "/starling/blob/1"
	ProtocolPeers    = "/starling/peers/1"
	ProtocolHello    = "/starling/hello/1"
	ProtocolManifest = "/starling/manifest/1"
)

// Topic names the gossipsub topic of one cell of a run.
func Topic(run RunID, cell uint32) string { return fmt.Sprintf("/starling/%x/%d", run[:16], cell) }

// MaxCells is how many cells a run may be divided into.
const MaxCells = 1 << 16

// IsTopic reports whether [Topic] gives a name to some cell of the run.
func IsTopic(run RunID, topic string) bool {
	number, ok := strings.CutPrefix(topic, fmt.Sprintf("/starling/%x/", run[:16]))
	cell, err := strconv.ParseUint(number, 10, 32)
	return ok && err == nil && cell < MaxCells && Topic(run, uint32(cell)) == topic
}

// Cell returns which of a run's cells a peer belongs to in an epoch: every node computes the same one, and all cells
// reshuffle with the epoch.
func Cell(peer PeerID, epoch uint64, cells uint32) uint32 {
	if cells <= 1 {
		return 0
	}
	h := sha256.New()
	h.Write([]byte("starling cell 1\x00"))
	h.Write(peer[:])
	h.Write(binary.BigEndian.AppendUint64(nil, epoch))
	word := binary.BigEndian.Uint32(h.Sum(nil))
	return uint32(uint64(word) * uint64(cells) >> 32)
}

// MessageID names the content of a broadcast message for gossipsub: equal bytes on one topic are one message.
func MessageID(topic string, data []byte) [20]byte {
	h := sha256.New()
	h.Write([]byte(topic))
	h.Write([]byte{0})
	h.Write(data)
	return [20]byte(h.Sum(nil)[:20])
}

// String returns the ID in hexadecimal.
func (r RunID) String() string { return hex.EncodeToString(r[:]) }

// String returns the ID in hexadecimal.
func (b BlobID) String() string { return hex.EncodeToString(b[:]) }

// ParsePeerID reads the text form of an Ed25519 peer ID, "12D3KooW…".
func ParsePeerID(text string) (p PeerID, err error) {
	if len(text) > 64 {
		return p, errors.New("not a peer ID: too long")
	}
	b, err := base58.Decode(text)
	if err != nil {
		return p, fmt.Errorf("not a peer ID: %w", err)
	}
	key, ok := strings.CutPrefix(string(b), peerIDPrefix)
	if !ok || len(key) != len(p) {
		return p, errors.New("not a peer ID of an Ed25519 key: those begin with 12D3KooW")
	}
	copy(p[:], key)
	return p, nil
}
