package node

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/gossip"
	"starling/mixing/scalar"
)

// TestHostileMessagesDoNotStopAScalarNode has members send whatever passes Check, and looks whether the node goes on and its memory is
// bounded.
func TestHostileMessagesDoNotStopAScalarNode(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { hostile(t, rand.New(rand.NewPCG(seed, 77)), float64(seed%2)/2) })
	}
}

func hostile(t *testing.T, r *rand.Rand, check float64) {
	s := newScript(t)
	s.command(fmt.Sprintf("node scalar=structured:pool=8,epoch=16,records=1024,peers=8 check=%v", check))
	s.step(Tick{})
	for _, p := range []string{"B", "C", "D"} {
		s.step(PeerUp{peer(p)})
	}
	probes, at := 0, uint64(1)
	for range 3000 {
		s.now += Instant(r.Int64N(int64(Second / 10)))
		if r.IntN(8) == 0 {
			before := s.core.method.(*scalarMethod).replica.Set().Next(gossip.Tag(gossip.RunID{1}, peer("A")))
			s.command(fmt.Sprintf("probed slope=%g", r.NormFloat64()))
			if s.core.method.(*scalarMethod).replica.Set().Next(gossip.Tag(gossip.RunID{1}, peer("A"))) > before {
				probes++
			}
		}
		if r.IntN(4) == 0 && s.jobs["check"] != 0 {
			s.command(fmt.Sprintf("checked slope=%g", r.NormFloat64()))
		}
		from := string(rune('A' + r.IntN(20)))
		at++
		msg := &gossip.Message{Run: gossip.RunID{1}, Author: peer(from), Seq: at, Body: hostileBody(r, s)}
		if from == "A" { // the node's own key is not theirs
			continue
		}
		if s.core.Check(msg).Decision == gossip.Accept {
			s.step(Received{From: peer(from), Msg: msg})
		}
	}
	m := s.core.method.(*scalarMethod)
	if probes < 50 {
		t.Errorf("%d records in %v s: phase %s, join %+v, own %+v", probes, s.now.Seconds(), scalarPhases[m.phase], m.join, m.own)
	}
	if len(m.kept.logs) > 8 || m.kept.total > 8*maxKeptOfAuthor {
		t.Errorf("%d logs and %d batches are kept", len(m.kept.logs), m.kept.total)
	}
	if k := &m.checks; len(k.asked)+len(k.waiting) > maxAsked || len(k.conducts) > 8 || len(k.trail.entries) > maxTrailRecords {
		t.Errorf("%d questions, %d suspects and %d conducts", len(k.asked), len(k.waiting), len(k.conducts))
	}
	if v := s.command("scalar-status"); v == "" {
		t.Error("no status")
	}
	from := m.state()
	if _, err := New(s.core.cfg, from); err != nil {
		t.Errorf("the state cannot be gone on from: %v", err)
	}
}

func hostileBody(r *rand.Rand, s *script) gossip.Body {
	tag := func() uint64 { return gossip.Tag(gossip.RunID{1}, peer(string(rune('A'+r.IntN(20))))) }
	number := func() uint64 {
		return [...]uint64{0, 1, uint64(r.IntN(40)), uint64(r.IntN(1024)), 1024, math.MaxUint64 - 1, math.MaxUint64}[r.IntN(7)]
	}
	places := func() []gossip.Place {
		out := []gossip.Place{{Tag: tag(), Seq: number()}, {Tag: tag(), Seq: number()}}
		slices.SortFunc(out, func(a, b gossip.Place) int { return cmp.Compare(a.Tag, b.Tag) })
		return slices.CompactFunc(out, func(a, b gossip.Place) bool { return a.Tag == b.Tag })
	}
	m := s.core.method.(*scalarMethod)
	records := func() *gossip.Records {
		b := &gossip.Records{First: uint64(r.IntN(40)), Bytes: make([]byte, 1+r.IntN(5))}
		b.Epoch = uint32(b.First / 16)
		for i := range b.Bytes {
			b.Bytes[i] = byte(r.IntN(3))
		}
		if b.First > 0 {
			b.Previous[0] = byte(1 + r.IntN(2))
		}
		if m.checks.on {
			s.scalar.commit(string(rune('A'+r.IntN(20))), b, "")
		}
		return b
	}
	kinds := 8
	if m.checks.on {
		kinds = 11
	}
	switch r.IntN(kinds) {
	case 0:
		return &gossip.Known{Form: gossip.FormDigest, Count: number()}
	case 1:
		return &gossip.Known{Form: gossip.FormVector + gossip.KnownForm(2*r.IntN(2)), Places: places(), Reply: r.IntN(2) == 0}
	case 2:
		form, _ := scalar.Message{{To: scalar.Key{Peer: tag(), Seq: number()}, Kind: scalar.Deep, Count: number()}}.AppendBinary(nil)
		return &gossip.Known{Form: gossip.FormRanges, Ranges: form}
	case 3:
		f := &gossip.Fetch{Want: gossip.FetchWant(1 + r.IntN(3))}
		for _, p := range places() {
			f.Ranges = append(f.Ranges, gossip.Range{Tag: p.Tag, First: p.Seq / 2, End: p.Seq})
		}
		return f
	case 4:
		if snap, err := m.replica.Snapshot(); err == nil {
			w := m.toWire(snap)
			w.Bans = places()
			for i := range w.Tails {
				w.Tails[i].Next, w.Tails[i].InEpoch = number(), 1
			}
			if r.IntN(2) == 0 {
				w.Digest = scalar.NewAccumulators(8).Digest()
				w.Sums = nil
			}
			return w
		}
		fallthrough
	case 5:
		return m.digest(scalar.Vector{{Peer: tag(), Next: number()}}, [32]byte{byte(r.IntN(3))})
	case 8:
		return &gossip.Challenge{Tag: tag(), Seq: min(number(), math.MaxUint64-1)}
	case 9, 10:
		if len(s.scalar.bases) == 0 {
			break
		}
		names := slices.Sorted(maps.Keys(s.scalar.bases))
		b := s.scalar.bases[names[r.IntN(len(names))]]
		if b.Accuses = r.IntN(2) == 0; r.IntN(3) == 0 {
			b.Tag = tag()
		}
		if len(m.checks.asked) > 0 && r.IntN(2) == 0 {
			q := m.checks.asked[r.IntN(len(m.checks.asked))]
			b.Tag = q.tag
			if b.Seq == q.seq || r.IntN(3) == 0 {
				b = gossip.Basis{Tag: q.tag, Seq: q.seq}
			}
		}
		return &b
	case 6:
		author := peer(string(rune('B' + r.IntN(19))))
		return &gossip.Proof{
			A: &gossip.Message{Run: gossip.RunID{1}, Author: author, Seq: 1, Body: records()},
			B: &gossip.Message{Run: gossip.RunID{1}, Author: author, Seq: 1, Body: records()},
		}
	}
	return records()
}
