package gossip

import "encoding/binary"

// A Standing says how far its sender is with closing epochs. Who is farther answers with what is missing: [Certificate]s of epochs, or ballots
// in a [Repair]; and, unless Reply is set, with its own standing if it misses some itself.
type Standing struct {
	Epoch  uint32 // that is open
	Reply  bool
	Leaves []uint64 // tags of those whose wish to leave in this epoch is known, ascending
	Rounds []Polled // the last rounds of which the sender has ballots, ascending, at most 4
}

// Polled is what is known of a round: the proposal, and the tags of those whose votes are there, ascending.
type Polled struct {
	Round      uint32
	Proposal   bool
	Prevotes   []uint64
	Precommits []uint64
}

// maxPolled is how many rounds a [Standing] tells of.
const maxPolled = 4

func (*Standing) kind() Kind { return KindStanding }

type (
	wireStanding struct {
		_      struct{} `cbor:",toarray"`
		Epoch  uint32
		Reply  bool
		Leaves []byte
		Rounds []wirePolled
	}
	wirePolled struct {
		_          struct{} `cbor:",toarray"`
		Round      uint32
		Proposal   bool
		Prevotes   []byte // 8 each, little-endian
		Precommits []byte
	}
)

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
	w := &wireStanding{Epoch: s.Epoch, Reply: s.Reply, Leaves: packTags(s.Leaves), Rounds: []wirePolled{}}
	for _, r := range s.Rounds {
		w.Rounds = append(w.Rounds, wirePolled{Round: r.Round, Proposal: r.Proposal, Prevotes: packTags(r.Prevotes), Precommits: packTags(r.Precommits)})
	}
	return w
}

func standingFromWire(raw []byte) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireStanding
	if !decodeBody(raw, &w) || len(w.Rounds) > maxPolled {
		return nil, malformed
	}
	s := &Standing{Epoch: w.Epoch, Reply: w.Reply}
	var ok bool
	if s.Leaves, ok = unpackTags(w.Leaves); !ok {
		return nil, malformed
	}
	for i, r := range w.Rounds {
		prevotes, ok := unpackTags(r.Prevotes)
		precommits, also := unpackTags(r.Precommits)
		if !ok || !also || i > 0 && w.Rounds[i-1].Round >= r.Round {
			return nil, malformed
		}
		s.Rounds = append(s.Rounds, Polled{Round: r.Round, Proposal: r.Proposal, Prevotes: prevotes, Precommits: precommits})
	}
	return s, Verdict{}
}

func standingSize(s *Standing) int {
	n := 1 + number(uint64(s.Epoch)) + 1 + head(8*len(s.Leaves)) + 8*len(s.Leaves) + head(len(s.Rounds))
	for _, r := range s.Rounds {
		a, b := 8*len(r.Prevotes), 8*len(r.Precommits)
		n += 1 + number(uint64(r.Round)) + 1 + head(a) + a + head(b) + b
	}
	return n
}
