package scalar

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"starling/mixing/philox"
)

// talk has two sets reconcile, and returns the bytes of messages, without records, their number and the records that were given.
func talk(t testing.TB, a, b *Set) (size, messages int, given uint64) {
	t.Helper()
	m := a.Begin()
	for from, to := a, b; len(m) > 0; from, to = to, from {
		form, _ := m.AppendBinary(nil)
		if size, messages = size+len(form), messages+1; messages > MaxMessages {
			t.Fatal("no end")
		}
		m = nil
		parsed, err := ParseMessage(form)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := to.Reconcile(parsed)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range reply.Give {
			given += g.Len()
			for _, r := range to.Runs(g) {
				if res := from.Insert(r); res.Err != nil {
					t.Fatal(res.Err)
				}
			}
		}
		if len(reply.Differing) > 0 {
			t.Fatalf("differing: %v", reply.Differing)
		}
		m = reply.Message
	}
	return size, messages, given
}

// subsets are two sets that have a random part of each log.
func subsets(rng *rand.Rand, cfg Config, peers, most int, part func() float64) (a, b *Set, union Vector, different uint64) {
	a, b = NewSet(cfg), NewSet(cfg)
	for _, log := range drawLogs(rng, cfg, peers, most) {
		for _, s := range []*Set{a, b} {
			left := int(part() * float64(most))
			for _, r := range log {
				r.Bytes = r.Bytes[:min(left, len(r.Bytes))]
				left -= len(r.Bytes)
				if len(r.Bytes) > 0 {
					s.Insert(r)
				}
			}
		}
	}
	va, vb := a.Vector(), b.Vector()
	for _, r := range append(va.Missing(vb), vb.Missing(va)...) {
		different += r.Len()
	}
	return a, b, join(va, vb), different
}

func TestReplicasConvergeWithFewBytes(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64,peers=4096")
	for seed := range uint64(30) {
		rng := rand.New(philox.NewStream(seed, philox.Data, 7))
		few := rng.Float64() / 10
		part := func() float64 { return rng.Float64() }
		if seed%2 == 0 { // nearly equal sets
			part = func() float64 {
				if rng.Float64() < few {
					return rng.Float64()
				}
				return 1
			}
		}
		a, b, union, different := subsets(rng, cfg, 1+rng.IntN(100), 400, part)
		size, messages, given := talk(t, a, b)
		if got, other := a.Vector(), b.Vector(); !slices.Equal(got, union) || !slices.Equal(other, union) || given != different {
			t.Errorf("seed %d: sets of %d and %d records after %d were given, want %d after %d", seed, got.Count(), other.Count(), given, union.Count(), different)
		}
		n, sum := a.Fingerprint()
		if m, other := b.Fingerprint(); n != m || sum != other {
			t.Errorf("seed %d: fingerprints differ", seed)
		}
		depth := math.Ceil(math.Log(float64(union.Count()+2)) / math.Log(16))
		if bound := 64*float64(different)*depth + 2048; float64(size) > bound {
			t.Errorf("seed %d: %d bytes for %d of %d records, want at most %.0f", seed, size, different, union.Count(), bound)
		}
		if float64(messages) > 2*depth+4 {
			t.Errorf("seed %d: %d messages", seed, messages)
		}
		t.Logf("seed %d: %d of %d records, %d logs: %d bytes in %d messages", seed, different, union.Count(), len(union), size, messages)
	}
}

func TestEqualSetsTakeOneMessage(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	a, b, _, _ := subsets(rand.New(philox.NewStream(1, philox.Data, 7)), cfg, 20, 300, func() float64 { return 1 })
	if size, messages, _ := talk(t, a, b); messages != 1 || size > 24 {
		t.Errorf("%d messages with %d bytes", messages, size)
	}
	if size, messages, _ := talk(t, NewSet(cfg), NewSet(cfg)); messages != 1 || size > 24 {
		t.Errorf("empty sets: %d messages with %d bytes", messages, size)
	}
	empty := NewSet(cfg)
	if size, _, given := talk(t, empty, a); given != a.Vector().Count() || size > 2000 {
		t.Errorf("a newcomer gets %d records for %d bytes, want %d", given, size, a.Vector().Count())
	}
}

func TestVeryDifferentSetsConvergeOverSomeTalks(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64,records=1000,peers=100000")
	rng := rand.New(philox.NewStream(5, philox.Data, 8))
	a, b, union, _ := subsets(rng, cfg, 20000, 6, rng.Float64)
	talks := 0
	for ; talks < 10 && !slices.Equal(a.Vector(), b.Vector()); talks++ {
		talk(t, a, b)
	}
	if !slices.Equal(a.Vector(), union) || talks == 1 {
		t.Errorf("after %d talks there are %d of %d records", talks, a.Vector().Count(), union.Count())
	}
}

// differing is what two sets with equal vectors find to differ.
func differing(t *testing.T, a, b *Set) (found []Range) {
	t.Helper()
	m := a.Begin()
	for range 20 {
		reply, err := b.Reconcile(m)
		if err != nil || len(reply.Give) > 0 {
			t.Fatal(reply, err)
		}
		found = append(found, reply.Differing...)
		if m, a, b = reply.Message, b, a; len(m) == 0 {
			return found
		}
	}
	t.Fatal("no end")
	return nil
}

func TestHiddenHistoriesAreNoticed(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	rng := rand.New(philox.NewStream(6, philox.Data, 8))
	a, b, _, _ := subsets(rng, cfg, 20, 300, func() float64 { return 1 })
	liar := a.Vector()[7]
	b.logs[7].bytes[liar.Next/2] ^= 1
	found := differing(t, a, b)
	if !slices.ContainsFunc(found, func(r Range) bool {
		return r.Peer == liar.Peer && r.First <= liar.Next/2 && r.End > liar.Next/2 && r.Len() <= leafSize
	}) {
		t.Errorf("record %d of peer %x differs, found are %v", liar.Next/2, liar.Peer, found)
	}
}

func TestASnapshotIsReconciledToo(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=64")
	for seed := range uint64(10) {
		rng := rand.New(philox.NewStream(seed, philox.Data, 10))
		logs := drawLogs(rng, cfg, 60, 300)
		whole, half := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
		for _, log := range logs {
			insert(t, whole, log...)
			insert(t, half, log[:rng.IntN(len(log)+1)]...)
		}
		joiner := restored(t, half)
		if n, sum := joiner.Set().Fingerprint(); true {
			if m, other := half.Set().Fingerprint(); n != m || sum != other {
				t.Fatalf("seed %d: the fingerprints of a snapshot and its source differ", seed)
			}
		}
		size, _, _ := talk(t, joiner.Set(), whole.Set())
		if got, want := joiner.Set().Vector(), whole.Set().Vector(); !slices.Equal(got, want) || size > 4096 {
			t.Errorf("seed %d: after %d bytes the joiner has %d of %d records", seed, size, got.Count(), want.Count())
		}
		n, sum := joiner.Set().Fingerprint()
		if m, other := whole.Set().Fingerprint(); n != m || sum != other {
			t.Errorf("seed %d: the fingerprints differ", seed)
		}
	}
}

func TestFalseSumsOfASnapshotAreReported(t *testing.T) {
	cfg := parse(t, "structured:pool=8,epoch=10")
	whole := NewReplica(cfg, runSeed)
	for _, log := range drawLogs(rand.New(philox.NewStream(4, philox.Data, 11)), cfg, 50, 300) {
		insert(t, whole, log...)
	}
	s, err := whole.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	s.Tails[20].Hashes[0]++
	joiner, err := Restore(cfg, runSeed, s)
	if err != nil {
		t.Fatal(err)
	}
	found := differing(t, joiner.Set(), whole.Set())
	if !slices.ContainsFunc(found, func(r Range) bool { return r.Peer == s.Tails[20].Peer }) {
		t.Errorf("of peer %x a false sum is told, found are %v", s.Tails[20].Peer, found)
	}
	if err := joiner.Ban(s.Tails[20].Peer, 0); !errors.Is(err, ErrForgotten) {
		t.Errorf("a ban: %v", err)
	}
}

func TestMessagesThatNobodySendsAreRefused(t *testing.T) {
	s := NewSet(parse(t, "structured:pool=8,epoch=10"))
	for i, m := range []Message{
		make(Message, maxParts+1),
		{{From: Key{1, 1}, To: Key{1, 1}}},
		{{From: Key{1, 1}, To: Key{1, 0}}},
		{{From: Key{1, 1}, To: Key{2, 1}}, {From: Key{2, 0}, To: Key{3, 0}}},
		{{To: lastKey, Kind: Deep + 1}},
		{{To: lastKey, Kind: Ends, Ends: Vector{{1, 0}}}},
		{{To: lastKey, Kind: Ends, Ends: Vector{{2, 1}, {1, 1}}}},
		{{To: lastKey, Kind: Ends, Ends: make(Vector, leafLogs+1)}},
		{{From: Key{2, 5}, To: Key{2, 9}, Kind: Ends, Ends: Vector{{2, 5}}}},
		{{From: Key{2, 5}, To: Key{2, 9}, Kind: Ask, Ends: Vector{{2, 10}}}},
		{{From: Key{2, 5}, To: Key{2, 9}, Kind: Ask, Ends: Vector{{3, 10}}}},
	} {
		if _, err := s.Reconcile(m); err == nil {
			t.Errorf("message %d is answered: %v", i, m)
		}
	}
}

// Whatever a message says, the answer is small, and is itself a message.
func FuzzMessages(f *testing.F) {
	cfg, err := Parse("structured:pool=8,epoch=64")
	if err != nil {
		f.Fatal(err)
	}
	rng := rand.New(philox.NewStream(3, philox.Data, 9))
	a, b, _, _ := subsets(rng, cfg, 60, 100, rng.Float64)
	m, from, to := a.Begin(), a, b
	for range 20 {
		form, _ := m.AppendBinary(nil)
		f.Add(form)
		reply, err := to.Reconcile(m)
		if err != nil {
			f.Fatal(err)
		}
		m, from, to = reply.Message, to, from
	}
	c, err := Restore(cfg, runSeed, &Snapshot{Tails: []Tail{{a.logs[3].peer, 70, 1, 6, Sum{1, 2}}, {a.logs[4].peer, 70, 1, 6, Sum{3, 4}}}})
	if err != nil {
		f.Fatal(err)
	}
	c.Set().Insert(Run{a.logs[3].peer, 70, 1, make([]byte, 58)})
	f.Fuzz(func(t *testing.T, form []byte) {
		m, err := ParseMessage(form)
		if err != nil {
			return
		}
		again, _ := m.AppendBinary(nil)
		if back, err := ParseMessage(again); err != nil || !reflect.DeepEqual(back, m) || len(again) > len(form) {
			t.Fatalf("%v is written as %x and read as %v, %v", m, again, back, err)
		}
		if _, err := c.Set().Reconcile(m); err != nil {
			t.Fatal(err)
		}
		reply, err := a.Reconcile(m)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := reply.Message.AppendBinary(nil)
		if _, err := ParseMessage(out); err != nil || len(reply.Message) > maxParts {
			t.Fatalf("the answer to %v is %v: %v", m, reply.Message, err)
		}
	})
}
