package scalar

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/philox"
)

func TestFingerprintsFollowBans(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	rng := rand.New(philox.NewStream(91, philox.Data, 0))
	for range 20 {
		log := drawLog(rng, cfg, 5, 400)
		from := uint64(rng.IntN(400))
		s, never := NewSet(cfg), NewSet(cfg)
		for _, r := range log {
			s.Insert(r)
			if r.First < from {
				r.Bytes = r.Bytes[:min(uint64(len(r.Bytes)), from-r.First)]
				never.Insert(r)
			}
		}
		if n, _ := s.Fingerprint(); n != 400 {
			t.Fatalf("%d records", n)
		}
		void, err := s.Ban(5, from)
		if err != nil {
			t.Fatal(err)
		}
		n, sum := s.Fingerprint()
		if m, want := never.Fingerprint(); n != m || sum != want || n != from {
			t.Errorf("after a ban from %d there are %d records with sum %x, want %x", from, n, sum, want)
		}
		lost := uint64(0)
		for _, r := range void {
			lost += uint64(len(r.Bytes))
		}
		if lost != 400-from {
			t.Errorf("%d records are void, want %d", lost, 400-from)
		}
	}
}

func TestABanEmptiesTheSideBuffer(t *testing.T) {
	s := NewSet(parse(t, "structured:pool=8,epoch=64"))
	s.Insert(Run{1, 3, 0, make([]byte, 4)})
	s.Insert(Run{1, 20, 0, make([]byte, 5)})
	if _, err := s.Ban(1, 10); err != nil {
		t.Fatal(err)
	}
	if l := s.logs[0]; len(l.parked) != 1 || l.parkedBytes != 4 {
		t.Errorf("%d runs with %d bytes wait, want one with 4", len(l.parked), l.parkedBytes)
	}
}

// A joiner judges as those do who have the records before its own.
func TestAJoinerKeepsTheRulesOfEpochs(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=10,clock=run")
	whole := NewReplica(cfg, runSeed)
	insert(t, whole, Run{1, 0, 3, make([]byte, 7)}, Run{1, 7, 5, make([]byte, 6)})
	if err := whole.Ban(2, 3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		run  Run
		want Verdict
	}{
		{Run{1, 13, 4, []byte{1}}, Invalid},
		{Run{1, 13, 5, make([]byte, 5)}, Invalid},
		{Run{1, 13, 5, make([]byte, 4)}, Added},
		{Run{1, 13, 6, make([]byte, 7)}, Added},
		{Run{2, 0, 6, make([]byte, 7)}, Added},
		{Run{2, 3, 6, make([]byte, 7)}, Banned},
	} {
		joiner := restored(t, whole)
		res, err := joiner.Insert(c.run)
		if err != nil || res.Verdict != c.want {
			t.Errorf("%v is %v, %v, %v; want %v", c.run, res.Verdict, res.Err, err, c.want)
		}
		if err := joiner.Ban(1, 13); err != nil {
			t.Fatal(err)
		}
		again := restored(t, joiner)
		if !slices.Equal(again.Set().Bans(), Vector{{1, 13}, {2, 3}}) || again.Set().epoch(1) != 5 {
			t.Errorf("the bans are %v, the epoch is %d", again.Set().Bans(), again.Set().epoch(1))
		}
	}
}

func TestCombinationsRoundDown(t *testing.T) {
	for _, c := range []struct {
		by     Combine
		values []int64
		want   int64
	}{
		{Combine{Kind: Median}, []int64{2, 1}, 1},
		{Combine{Kind: Median}, []int64{7, -3, 5, -8}, -3},
		{Combine{Kind: Trimmed, Trim: 2000}, []int64{-1, -2}, -2},
		{Combine{Kind: Trimmed, Trim: 2000}, []int64{-1, -2, 0, 100, -1000}, -1},
		{Combine{Kind: Trimmed, Trim: 2900}, append(slices.Repeat([]int64{100}, 29), slices.Repeat([]int64{3}, 71)...), 3}, // 0.29·100 is less than 29 as a float
		{Combine{Kind: MedianOfMeans, Groups: 5}, []int64{-3, 5}, -3},
		{Combine{Kind: MedianOfMeans, Groups: 5}, []int64{4}, 4},
	} {
		if got := c.by.Of(slices.Clone(c.values), func(i int) int { return 3 - i%2 }); got != c.want {
			t.Errorf("%s of %v is %d, want %d", c.by, c.values, got, c.want)
		}
	}
}

func TestRebuildingStartsFromNothing(t *testing.T) {
	cfg := parse(t, "rademacher:pool=8")
	want := newModel(t, cfg)
	sums := []Sums{{0, []int64{1, 2, 3, 4, 5, 6, 7, 8}}}
	want.Rebuild(sums)
	for _, light := range []bool{false, true} {
		m := newModel(t, cfg)
		if light {
			m.theta = nil
		}
		m.Queue([]Change{{0, 1, 99}, {4, 1, 99}})
		m.Apply()
		if m.ThetaDigest() == want.ThetaDigest() {
			t.Error("nothing is applied")
		}
		m.Queue([]Change{{0, 1, 99}})
		m.Rebuild(sums)
		m.Apply()
		if m.ThetaDigest() != want.ThetaDigest() {
			t.Errorf("light %v: something is left of what was before", light)
		}
	}
}

func TestFoldingNothingChangesNoDigest(t *testing.T) {
	a := NewAccumulators(4)
	want := a.Digest()
	if sums, err := a.Fold(3); err != nil || !zero(sums) || len(sums) != 4 || a.Digest() != want {
		t.Errorf("the digest of nothing changes, or %v", err)
	}
	if _, err := a.Fold(3); !errors.Is(err, ErrFolded) {
		t.Errorf("folding twice: %v", err)
	}
}

// What waits may be of another generation than what it waits for.
func TestNothingIsAddedToAFoldedGenerationByWhatWaited(t *testing.T) {
	r := NewReplica(parse(t, "structured:pool=8,epoch=4,rotate=1"), runSeed)
	insert(t, r, Run{1, 4, 1, make([]byte, 4)})
	if _, err := r.Sums().Fold(1); err != nil {
		t.Fatal(err)
	}
	first := Run{1, 0, 0, []byte{9, 9, 9, 9}}
	if _, err := r.Insert(first); !errors.Is(err, ErrFolded) || r.Set().Next(1) != 0 {
		t.Fatalf("%v, and %d records", err, r.Set().Next(1))
	}
	if err := r.Sums().Unfold(1, make([]int64, 8)); err != nil {
		t.Fatal(err)
	}
	insert(t, r, first)
	if r.Set().Next(1) != 8 {
		t.Errorf("%d records, want 8", r.Set().Next(1))
	}
}

func TestAnswersKeepToTheirPart(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	s := NewSet(cfg)
	s.Insert(Run{2, 0, 0, make([]byte, 60)})
	reply, err := s.Reconcile(Message{
		{From: Key{2, 5}, To: Key{2, 9}, Kind: Ask, Ends: Vector{{2, 6}}},
		{From: Key{2, 20}, To: Key{2, 29}, Kind: Ends},
		{From: Key{2, 30}, To: Key{2, 39}, Kind: Ends, Ends: Vector{{2, 33}}},
		{From: Key{2, 40}, To: Key{2, 49}, Kind: Ask, Ends: Vector{{2, 49}}},
	})
	if want := []Range{{2, 6, 9}, {2, 20, 29}, {2, 33, 39}}; err != nil || !slices.Equal(reply.Give, want) || len(reply.Message) > 0 {
		t.Errorf("given are %v, %v, want %v", reply, err, want)
	}
	r, err := Restore(cfg, runSeed, &Snapshot{Tails: []Tail{{2, 60, 0, 60, Sum{1, 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Part{
		{From: Key{2, 5}, To: lastKey}, {To: Key{2, 5}}, {From: Key{2, 5}, To: Key{2, 9}, Kind: Deep}, {From: Key{2, 5}, To: Key{2, 9}, Kind: Ends, Ends: Vector{{2, 9}}},
	} {
		reply, err := r.Set().Reconcile(Message{p})
		if err != nil || len(reply.Give)+len(reply.Message) > 0 || len(reply.Differing) != 1 {
			t.Errorf("the answer to %v is %v, %v; want a range that may differ", p, reply, err)
		}
	}
}

func TestCommonDirectionsAreRecorded(t *testing.T) {
	p := Pool{K: 4096, Seed: runSeed}
	for i, want := range []uint32{2054, 1715, 2336} {
		if got := p.AssignCommon(uint32(i), uint32(2*i)); got != want {
			t.Errorf("step %d of epoch %d takes direction %d, want %d", 2*i, i, got, want)
		}
	}
}
