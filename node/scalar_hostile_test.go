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
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			hostile(t, rand.New(rand.NewPCG(seed, 77)), fmt.Sprint(" check=", float64(seed%2)/2))
		})
		t.Run(fmt.Sprint(seed, " closed"), func(t *testing.T) { hostile(t, rand.New(rand.NewPCG(seed, 78)), ",mode=closed,combine=median") })
	}
}

// hostile takes what is added to the settings.
func hostile(t *testing.T, r *rand.Rand, more string) {
	s := newScript(t)
	s.command("node scalar=structured:pool=8,epoch=16,records=1024,peers=8" + more)
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
	if least := map[bool]int{true: 16, false: 50}[m.cfg.Closed]; probes < least {
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

// hostileBallot votes for anything.
func hostileBallot(r *rand.Rand, m *scalarMethod) *gossip.Ballot {
	k := m.closer
	b := &gossip.Ballot{
		Step: gossip.BallotStep(1 + r.IntN(4)), Epoch: m.replica.Closed() + uint32(r.IntN(8)/7), Round: k.machine.Round + uint32(r.IntN(3)),
	}
	if r.IntN(9) == 0 {
		b.Round, b.Own = r.Uint32(), uint64(r.IntN(1024))
	}
	if r.IntN(2) == 0 {
		b.Value[0] = byte(1 + r.IntN(3))
	}
	if b.Step == gossip.StepLeave {
		b.Round, b.Value = 0, [32]byte{}
	}
	if b.Step == gossip.StepPropose {
		b.Closing = &gossip.Closing{Epoch: b.Epoch, Clip: byte(r.IntN(128))}
		for _, e := range m.here() {
			if r.IntN(5) > 0 {
				b.Closing.Members = append(b.Closing.Members, gossip.Member{Tag: e.Peer, Next: e.Next + uint64(r.IntN(9)/8), Until: uint32(r.IntN(9)), Votes: r.IntN(3) > 0})
			}
		}
		if own, _, ok := m.closingOf(m.here(), func(uint64) bool { return false }); ok && len(own.Members) > 0 && r.IntN(3) == 0 {
			b.Closing = own
			b.Epoch = own.Epoch
		}
		if len(b.Closing.Members) == 0 {
			b.Closing.Members = []gossip.Member{{Tag: 1, Next: 1}}
		}
		b.Value = b.Closing.Digest()
		b.Lock = uint32(r.IntN(int(min(b.Round, 1000)) + 1))
	}
	return b
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
	kinds := []int{0, 1, 2, 3, 4, 5, 6, 7}
	if m.checks.on {
		kinds = append(kinds, 8, 9, 10)
	}
	if m.closer != nil {
		kinds = append(kinds, 11, 12, 13, 14)
	}
	switch kinds[r.IntN(len(kinds))] {
	case 11, 12:
		return hostileBallot(r, m)
	case 13:
		k := m.closer
		b := hostileBallot(r, m)
		cert := &gossip.Certificate{Closing: b.Closing}
		if cert.Closing == nil {
			cert.Closing = &gossip.Closing{Epoch: m.replica.Closed(), Members: []gossip.Member{{Tag: tag(), Next: 1, Votes: true}}}
		}
		for name := 'B'; name < 'B'+rune(r.IntN(9)); name++ {
			cert.Ballots = append(cert.Ballots, &gossip.Message{Run: gossip.RunID{1}, Author: peer(string(name)), Seq: 1, Body: &gossip.Ballot{
				Step: gossip.StepPrecommit, Epoch: cert.Closing.Epoch, Own: k.own(tag()), Value: cert.Closing.Digest(),
			}})
		}
		return cert
	case 14:
		st := &gossip.Standing{Epoch: uint32(number()), Reply: r.IntN(2) == 0, Leaves: []uint64{tag()}}
		if r.IntN(2) == 0 {
			st.Epoch = m.replica.Closed()
		}
		for i := range r.IntN(3) {
			st.Polled = append(st.Polled, gossip.Polled{Round: uint32(i), Prevotes: []uint64{tag()}, Proposal: true})
		}
		return st
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
