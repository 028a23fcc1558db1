package adversary

import (
	"math"

	"starling/gossip"
	"starling/mixing/philox"
)

// What nodes of the method scalar do, who send records of slopes (spec 04, 4.11): the kinds slope-max, slope-flip and slope-replay lie about
// slopes, so that their records are well-formed; record-fork shows different records to different nodes.

// slopeMax says of each slope that it is as steep as can be said, the other way.
type slopeMax struct{ *member }

func (a *slopeMax) Slope(slope float64) float64 {
	if math.IsNaN(slope) {
		return slope
	}
	return -math.Copysign(math.MaxFloat64, slope)
}

// slopeFlip says the opposite.
type slopeFlip struct {
	*member
	factor float64
}

func (a *slopeFlip) Slope(slope float64) float64 { return -a.factor * slope }

// slopeReplay says again what it measured some records ago, of other directions and an older model.
type slopeReplay struct {
	*member
	delay int
	kept  []float64 // a ring
	next  int
}

func (a *slopeReplay) Slope(slope float64) float64 {
	if len(a.kept) < a.delay {
		a.kept = append(a.kept, slope)
		return slope
	}
	old := a.kept[a.next]
	a.kept[a.next] = slope
	a.next = (a.next + 1) % a.delay
	return old
}

// recordFork shows half of the receivers a log of its own from some batch on, with the sign of each record changed. Either log is a chain
// without a break: only who sees both notices.
type recordFork struct {
	*member
	after int // batches that all see alike

	made  map[uint64]*gossip.Message // the other version, by the first record
	ends  map[uint64][32]byte        // digests of it, by the record after the last one
	alike int
}

func (a *recordFork) Send(to int, m *gossip.Message) *gossip.Message {
	r, ok := m.Body.(*gossip.Records)
	if !ok {
		return m
	}
	other := a.other(m, r)
	if philox.Below(word(a.seed, forVersion, a.node, to), 2) == 0 {
		return m
	}
	return other
}

// other is the other version of a batch, which is the same at first. It is asked for batches in order, and again in any order.
func (a *recordFork) other(m *gossip.Message, r *gossip.Records) *gossip.Message {
	if out := a.made[r.First]; out != nil {
		return out
	}
	if a.made == nil {
		a.made, a.ends = make(map[uint64]*gossip.Message), make(map[uint64][32]byte)
	}
	out := m
	if a.alike++; a.alike > a.after {
		body := *r
		if before, parted := a.ends[r.First]; parted {
			body.Previous = before
		}
		body.Bytes = make([]byte, len(r.Bytes))
		for i, b := range r.Bytes {
			if body.Bytes[i] = b; b != 0 {
				body.Bytes[i] ^= 0x80
			}
		}
		a.ends[r.End()] = body.Digest(m.Author)
		out = &gossip.Message{Run: m.Run, Author: m.Author, Seq: m.Seq, Body: &body}
	}
	a.made[r.First] = out
	return out
}
