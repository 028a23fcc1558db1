package gossip

import (
	"bytes"
	"encoding/binary"
)

// A Standing says how far its sender is with closing epochs. Who is farther answers with what is missing: [Certificate]s of epochs, or ballots
// in a [Repair]; and, unless Reply is set, with its own standing if it misses some itself.
type Standing struct {
	Epoch  uint32 // that is open
	Reply  bool
	Leaves []uint64 // tags of those whose wish to leave in this epoch is known, ascending
	Polled []Polled // what the sender has ballots for, ascending by round and value, at most [MaxPolled]
}

// Polled is what is known of the votes for a value in a round: whether there is a proposal of it, and the tags of those whose votes are
// there, ascending.
type Polled struct {
	Round      uint32
	Value      [32]byte
	Proposal   bool
	Prevotes   []uint64
	Precommits []uint64
}

// MaxPolled is how many values of rounds a [Standing] tells of.
const MaxPolled = 12

func (*Standing) kind() Kind { return KindStanding }

type (
	wireStanding struct {
		_      struct{} `cbor:",toarray"`
		Epoch  uint32
		Reply  bool
		Leaves []byte
		Polled []wirePolled
	}
	wirePolled struct {
		_          struct{} `cbor:",toarray"`
		Round      uint32
		Value      [32]byte
		Proposal   bool
		Prevotes   []byte // 8 each, little-endian
		Precommits []byte
	}
)

func (p *wirePolled) before(o *wirePolled) bool {
	return p.Round < o.Round || p.Round == o.Round && bytes.Compare(p.Value[:], o.Value[:]) < 0
}

func packTags(tags []uint64) []byte {
	b := make([]byte, 0, 8*len(tags))
	for _, t := range tags {
		b = binary.LittleEndian.AppendUint64(b, t)
	}
	return b
}

func unpackTags(b []byte) (tags []uint64, ok bool) {
	if len(b)%8 != 0 || len(b)/8 > MaxMembers {
		return nil, false
	}
	for i := 0; i < len(b); i += 8 {
		t := binary.LittleEndian.Uint64(b[i:])
		if i > 0 && tags[len(tags)-1] >= t {
			return nil, false
		}
		tags = append(tags, t)
	}
	return tags, true
}

func standingToWire(s *Standing) *wireStanding {
	w := &wireStanding{Epoch: s.Epoch, Reply: s.Reply, Leaves: packTags(s.Leaves), Polled: []wirePolled{}}
	for _, r := range s.Polled {
		w.Polled = append(w.Polled, wirePolled{Round: r.Round, Value: r.Value, Proposal: r.Proposal, Prevotes: packTags(r.Prevotes), Precommits: packTags(r.Precommits)})
	}
	return w
}

func standingFromWire(raw []byte) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireStanding
	if !decodeBody(raw, &w) || len(w.Polled) > MaxPolled {
		return nil, malformed
	}
	s := &Standing{Epoch: w.Epoch, Reply: w.Reply}
	var ok bool
	if s.Leaves, ok = unpackTags(w.Leaves); !ok {
		return nil, malformed
	}
	for i, r := range w.Polled {
		prevotes, ok := unpackTags(r.Prevotes)
		precommits, also := unpackTags(r.Precommits)
		if !ok || !also || i > 0 && !w.Polled[i-1].before(&r) {
			return nil, malformed
		}
		s.Polled = append(s.Polled, Polled{Round: r.Round, Value: r.Value, Proposal: r.Proposal, Prevotes: prevotes, Precommits: precommits})
	}
	return s, Verdict{}
}

func standingSize(s *Standing) int {
	n := 1 + number(uint64(s.Epoch)) + 1 + head(8*len(s.Leaves)) + 8*len(s.Leaves) + head(len(s.Polled))
	for _, r := range s.Polled {
		a, b := 8*len(r.Prevotes), 8*len(r.Precommits)
		n += 1 + number(uint64(r.Round)) + bytes32 + 1 + head(a) + a + head(b) + b
	}
	return n
}
