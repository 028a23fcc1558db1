package scalar

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"starling/mixing"
	"starling/mixing/philox"
)

const runSeed = 0xc0ffee12345678

func parse(t testing.TB, format string, args ...any) Config {
	t.Helper()
	c, err := Parse(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawByte is a valid byte.
func drawByte(rng *rand.Rand) byte {
	if b := byte(rng.Uint32()); Canonical(b) {
		return b
	}
	return 0
}

// drawLog is the log of a peer with about n records, as one run for each epoch.
func drawLog(rng *rand.Rand, cfg Config, peer uint64, n int) []Run {
	var out []Run
	seq, epoch := uint64(0), uint32(0)
	for n > 0 {
		size := min(n, int(cfg.PerEpoch))
		if cfg.RunClock {
			size = min(n, 1+rng.IntN(int(cfg.PerEpoch)))
		}
		run := Run{Peer: peer, First: seq, Epoch: epoch}
		for range size {
			run.Bytes = append(run.Bytes, drawByte(rng))
		}
		out = append(out, run)
		seq, n, epoch = run.End(), n-size, epoch+1
		if cfg.RunClock {
			epoch += rng.Uint32N(2)
		}
	}
	return out
}

func drawLogs(rng *rand.Rand, cfg Config, peers, most int) [][]Run {
	out := make([][]Run, peers)
	for i := range out {
		out[i] = drawLog(rng, cfg, rng.Uint64(), rng.IntN(most))
	}
	return out
}

// deliveries are the runs in pieces, some twice, shuffled a little or much.
func deliveries(rng *rand.Rand, logs [][]Run, far int) []Run {
	type at struct {
		run  Run
		when int
	}
	var all []at
	for _, log := range logs {
		for _, r := range log {
			for len(r.Bytes) > 0 {
				n := 1 + rng.IntN(len(r.Bytes))
				piece := Run{r.Peer, r.First, r.Epoch, r.Bytes[:n]}
				for range 1 + rng.IntN(2) {
					all = append(all, at{piece, int(r.First) + rng.IntN(far)})
				}
				r = r.after(r.First + uint64(max(1, n-rng.IntN(3)))) // pieces overlap
			}
		}
	}
	slices.SortStableFunc(all, func(a, b at) int { return a.when - b.when })
	out := make([]Run, len(all))
	for i, a := range all {
		out[i] = a.run
	}
	return out
}

func insert(t testing.TB, r *Replica, runs ...Run) {
	t.Helper()
	for _, run := range runs {
		res, err := r.Insert(run)
		if err != nil || res.Err != nil {
			t.Fatalf("run %v: %v, %v, %v", run, res.Verdict, res.Err, err)
		}
	}
}

func layoutOf(t testing.TB, sizes ...int) *mixing.Layout {
	t.Helper()
	var tensors []mixing.Tensor
	for i, n := range sizes {
		tensors = append(tensors, mixing.Tensor{Name: fmt.Sprint("tensor", i), Shape: []int{n}})
	}
	l, err := mixing.NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newModel(t testing.TB, cfg Config) *Model {
	t.Helper()
	l := layoutOf(t, 70, 1, 133)
	base := make([]float32, l.Len())
	rng := rand.New(philox.NewStream(1, philox.Init, 0))
	for i := range base {
		base[i] = 4*rng.Float32() - 2
	}
	m, err := NewModel(l, cfg, runSeed, base)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// state is everything that equal sets must have in common.
func state(t testing.TB, r *Replica) string {
	t.Helper()
	m := newModel(t, r.Config())
	m.Rebuild(r.Sums().Generations())
	return fmt.Sprintf("%v %x %x %x", r.Set().Vector(), r.Sums().Digest(), m.ThetaDigest(), m.Digest())
}

func configs(t testing.TB) []Config {
	return []Config{
		parse(t, "structured:pool=16,epoch=10,rotate=2,m=8..1/5"),
		parse(t, "rademacher:pool=10,epoch=7,m=3"),
		parse(t, "binom8:pool=12,epoch=10,rotate=1,clock=run"),
		parse(t, "binom32:pool=9,epoch=10"),
	}
}

func TestOrderRepetitionAndBatchingDoNotMatter(t *testing.T) {
	for c, cfg := range configs(t) {
		for seed := range uint64(8) {
			rng := rand.New(philox.NewStream(seed, philox.Data, uint32(c)))
			logs := drawLogs(rng, cfg, 6, 60)
			plain := NewReplica(cfg, runSeed)
			for _, log := range logs {
				insert(t, plain, log...)
			}
			mixed, m := NewReplica(cfg, runSeed), newModel(t, cfg)
			if seed%2 == 1 {
				m.theta = nil // a light one
			}
			for _, run := range deliveries(rng, logs, 40) {
				insert(t, mixed, run)
				if rng.IntN(5) == 0 {
					m.Queue(mixed.Take())
				}
				if rng.IntN(10) == 0 {
					m.Apply()
				}
			}
			m.Queue(mixed.Take())
			m.Apply()
			want, got := state(t, plain), state(t, mixed)
			if got != want {
				t.Fatalf("%s, seed %d: the state is\n%s, in order\n%s", cfg, seed, got, want)
			}
			if one := fmt.Sprintf("%v %x %x %x", mixed.Set().Vector(), mixed.Sums().Digest(), m.ThetaDigest(), m.Digest()); one != want {
				t.Fatalf("%s, seed %d: bit by bit the state is\n%s, rebuilt\n%s", cfg, seed, one, want)
			}
			if m.Pending() || len(mixed.Take()) > 0 {
				t.Error("something is left to apply")
			}
		}
	}
}

func TestASnapshotAndTheRestAreAllRecords(t *testing.T) {
	for c, cfg := range configs(t) {
		rng := rand.New(philox.NewStream(31, philox.Data, uint32(c)))
		logs := drawLogs(rng, cfg, 6, 60)
		all := deliveries(rng, logs, 20)
		whole, half := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
		insert(t, whole, all...)
		insert(t, half, all[:len(all)/2]...)
		snapshot, err := half.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		joiner, err := Restore(cfg, runSeed, snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := state(t, joiner), state(t, half); got != want {
			t.Fatalf("%s: the joiner has\n%s, want\n%s", cfg, got, want)
		}
		for _, missing := range joiner.Set().Vector().Missing(whole.Set().Vector()) {
			insert(t, joiner, whole.Set().Runs(missing)...)
		}
		if got, want := state(t, joiner), state(t, whole); got != want {
			t.Errorf("%s: with the rest the joiner has\n%s, want\n%s", cfg, got, want)
		}
		again, err := joiner.Snapshot()
		if direct, _ := whole.Snapshot(); err != nil || !reflect.DeepEqual(again, direct) {
			t.Errorf("%s: the joiner's snapshot is %v, %v, want %v", cfg, again, err, direct)
		}
	}
}

func TestSnapshotsThatMakeNoSenseAreRefused(t *testing.T) {
	cfg := parse(t, "structured:pool=4,epoch=10")
	good := func() *Snapshot {
		return &Snapshot{Tails: []Tail{{1, 25, 2, 5, Sum{}}, {2, 10, 0, 10, Sum{}}}, Bans: Vector{{2, 10}, {3, 0}}, Sums: []Sums{{0, []int64{1, 2, 3, 4}}}}
	}
	if _, err := Restore(cfg, runSeed, good()); err != nil {
		t.Fatal(err)
	}
	for i, spoil := range []func(*Snapshot){
		func(s *Snapshot) { s.Tails[0].Peer = 2 },
		func(s *Snapshot) { s.Tails[0].Next = 0 },
		func(s *Snapshot) { s.Tails[0].Next = 1 << 21 },
		func(s *Snapshot) { s.Tails[0].Epoch = 1 },
		func(s *Snapshot) { s.Tails[0].InEpoch = 0 },
		func(s *Snapshot) { s.Tails[0].InEpoch = 11 },
		func(s *Snapshot) { s.Bans[0].Next = 9 },
		func(s *Snapshot) { s.Bans[0].Peer = 4 },
		func(s *Snapshot) { s.Closed = 1 },
		func(s *Snapshot) { s.Sums[0].A = s.Sums[0].A[:3] },
		func(s *Snapshot) { s.Sums = append(s.Sums, s.Sums[0]) },
	} {
		s := good()
		spoil(s)
		if _, err := Restore(cfg, runSeed, s); err == nil {
			t.Errorf("spoilt snapshot %d is taken: %v", i, s)
		}
	}
}

func TestBannedRecordsNeverExisted(t *testing.T) {
	for c, cfg := range configs(t) {
		for seed := range uint64(8) {
			rng := rand.New(philox.NewStream(seed, philox.Adversary, uint32(c)))
			logs := drawLogs(rng, cfg, 5, 60)
			bad, from := logs[0], uint64(rng.IntN(70))
			if len(bad) == 0 {
				continue
			}
			never := NewReplica(cfg, runSeed)
			for i, log := range logs {
				for _, run := range log {
					if i == 0 && run.End() > from {
						run.Bytes = run.Bytes[:max(from, run.First)-run.First]
					}
					if len(run.Bytes) > 0 {
						insert(t, never, run)
					}
				}
			}
			r := NewReplica(cfg, runSeed)
			all := deliveries(rng, logs, 40)
			for i, run := range all {
				if i == len(all)/3 { // a weaker proof first, as if it were of somebody else
					if err := r.Ban(bad[0].Peer, from+5); err != nil {
						t.Fatal(err)
					}
				}
				if i == len(all)/2 {
					if err := r.Ban(bad[0].Peer, from); err != nil {
						t.Fatal(err)
					}
				}
				insert(t, r, run)
			}
			if got, want := state(t, r), state(t, never); got != want {
				t.Fatalf("%s, seed %d, ban from %d:\n%s, want\n%s", cfg, seed, from, got, want)
			}
			if bans := r.Set().Bans(); !slices.Equal(bans, Vector{{bad[0].Peer, from}}) {
				t.Errorf("the bans are %v", bans)
			}
		}
	}
}

func TestFoldedGenerationsComeBack(t *testing.T) {
	cfg := parse(t, "structured:pool=16,epoch=10,rotate=2")
	rng := rand.New(philox.NewStream(33, philox.Data, 0))
	logs := drawLogs(rng, cfg, 4, 100)
	r, plain := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
	late := Run{Peer: 1, Bytes: []byte{77}}
	for _, log := range logs {
		insert(t, r, log...)
		insert(t, plain, log...)
	}
	insert(t, plain, late)
	before := r.Sums().Digest()
	a, err := r.Sums().Fold(0)
	if err != nil || r.Sums().Digest() != before {
		t.Fatalf("folding changes the digest, or %v", err)
	}
	if _, err := r.Insert(late); !errors.Is(err, ErrFolded) || r.Set().Next(1) != 0 {
		t.Errorf("a late record: %v", err)
	}
	if err := r.Ban(logs[0][0].Peer, 0); !errors.Is(err, ErrFolded) {
		t.Errorf("a ban: %v", err)
	}
	if _, err := r.Snapshot(); !errors.Is(err, ErrFolded) {
		t.Errorf("a snapshot: %v", err)
	}
	wrong := slices.Clone(a)
	wrong[3]++
	if r.Sums().Unfold(0, wrong) == nil || r.Sums().Unfold(1, a) == nil {
		t.Error("wrong sums are taken back")
	}
	if err := r.Sums().Unfold(0, a); err != nil {
		t.Fatal(err)
	}
	insert(t, r, late)
	if got, want := state(t, r), state(t, plain); got != want {
		t.Errorf("the state is %s, want %s", got, want)
	}
}

func TestOverflowIsNoticedAndHasNoOrder(t *testing.T) {
	a, b := NewAccumulators(2), NewAccumulators(2)
	for i := range 3 {
		_ = a.Add(0, 1, []int64{1 << 62, 1 << 62, -5}[i])
		_ = b.Add(0, 1, []int64{-5, 1 << 62, 1 << 62}[i])
	}
	if !a.Overflowed() || a.Digest() != b.Digest() {
		t.Errorf("overflow noticed: %v; digests %x and %x", a.Overflowed(), a.Digest(), b.Digest())
	}
	if c := NewAccumulators(2); c.Add(0, 0, 1<<62) != nil || c.Subtract(0, 0, 1<<62) != nil || c.Overflowed() {
		t.Error("overflow is noticed where none is")
	}
}

func TestTheDigestOfAPartIsThatOfAReplicaThatHasNoMore(t *testing.T) {
	for seed := range uint64(20) {
		cfg := parse(t, "structured:pool=8,epoch=10,rotate=1")
		rng := rand.New(philox.NewStream(seed, philox.Data, 77))
		whole, part := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
		for _, log := range drawLogs(rng, cfg, 6, 40) {
			insert(t, whole, log...)
			insert(t, part, log[:rng.IntN(len(log)+1)]...)
		}
		v := part.Set().Vector()
		if got, ok := whole.DigestAt(v); !ok || got != part.Sums().Digest() {
			t.Fatalf("seed %d: at %v the digest is %x, %v; want %x", seed, v, got, ok, part.Sums().Digest())
		}
		if _, ok := part.DigestAt(whole.Set().Vector()); ok != slices.Equal(v, whole.Set().Vector()) {
			t.Fatalf("seed %d: the digest of records that are not there: %v", seed, ok)
		}
		if late := restored(t, whole); len(v) > 0 && !slices.Equal(v, whole.Set().Vector()) {
			if _, ok := late.DigestAt(v); ok {
				t.Fatalf("seed %d: a digest of what is known by its sum alone", seed)
			}
		}
	}
}
