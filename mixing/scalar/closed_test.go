package scalar

import (
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/philox"
)

func closedConfigs(t testing.TB) []Config {
	return []Config{
		parse(t, "structured:pool=16,epoch=10,mode=closed,combine=median,clock=run,peers=16"),
		parse(t, "rademacher:pool=4,epoch=10,mode=closed,combine=trimmed:0.2,rotate=2,seeds=peer,clock=seq,peers=16"),
		parse(t, "structured:pool=8,epoch=10,mode=closed,combine=mom:3,clock=run,seeds=peer,peers=16"),
		parse(t, "binom8:pool=8,epoch=10,mode=closed,combine=none,peers=16,clock=seq"),
	}
}

// agreed are the vectors that the peers of a test agree on for each epoch: some records come too late.
func agreed(rng *rand.Rand, logs [][]Run, epochs uint32) []Vector {
	out := make([]Vector, epochs)
	for e := range out {
		for _, log := range logs {
			next := uint64(0)
			for _, run := range log {
				if run.Epoch <= uint32(e) {
					next = run.End()
					if run.Epoch == uint32(e) {
						next -= min(next, uint64(rng.IntN(3)))
					}
				}
			}
			if next > 0 {
				out[e] = append(out[e], Entry{log[0].Peer, next})
			}
		}
		slices.SortFunc(out[e], func(a, b Entry) int {
			if a.Peer < b.Peer {
				return -1
			}
			return 1
		})
	}
	return out
}

func TestClosedEpochsHaveNoOrderEither(t *testing.T) {
	for c, cfg := range closedConfigs(t) {
		for seed := range uint64(8) {
			rng := rand.New(philox.NewStream(seed, philox.Data, uint32(100+c)))
			logs := drawLogs(rng, cfg, 9, 60)
			vectors := agreed(rng, logs, 7)
			plain, mixed := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
			for _, log := range logs {
				insert(t, plain, log...)
			}
			closeAll(t, plain, vectors)
			bad, from := uint64(0), uint64(rng.IntN(20))
			if len(logs[0]) > 0 {
				bad = logs[0][0].Peer
			}
			var joiner *Replica
			for _, run := range deliveries(rng, logs, 40) { // closes epochs as soon as it can
				insert(t, mixed, run)
				for int(mixed.Closed()) < len(vectors) {
					missing, err := mixed.Close(vectors[mixed.Closed()])
					if err != nil {
						t.Fatal(err)
					}
					if len(missing) > 0 {
						break
					}
				}
				if mixed.Closed() == 3 && joiner == nil {
					joiner = restored(t, mixed)
				}
			}
			if got, want := state(t, mixed), state(t, plain); got != want || mixed.Closed() != 7 {
				t.Fatalf("%s, seed %d: after %d epochs\n%s, want\n%s", cfg, seed, mixed.Closed(), got, want)
			}
			if joiner != nil {
				for _, missing := range joiner.Set().Vector().Missing(plain.Set().Vector()) {
					insert(t, joiner, plain.Set().Runs(missing)...)
				}
				closeAll(t, joiner, vectors[3:])
				if got, want := state(t, joiner), state(t, plain); got != want {
					t.Fatalf("%s, seed %d: the joiner has\n%s, want\n%s", cfg, seed, got, want)
				}
			}
			neverClosed(t, cfg, logs, vectors, bad, from, mixed)
		}
	}
}

// closeAll closes epochs one after the other; nothing is missing for that.
func closeAll(t *testing.T, r *Replica, vectors []Vector) {
	t.Helper()
	for _, v := range vectors {
		if missing, err := r.Close(v); err != nil || len(missing) > 0 {
			t.Fatalf("closing epoch %d: %v, %v", r.Closed(), missing, err)
		}
	}
}

func restored(t *testing.T, r *Replica) *Replica {
	t.Helper()
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	out, err := Restore(r.Config(), runSeed, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// neverClosed checks that a ban after closings leaves what closings without the banned records make.
func neverClosed(t *testing.T, cfg Config, logs [][]Run, vectors []Vector, bad, from uint64, banned *Replica) {
	t.Helper()
	if err := banned.Ban(bad, from); err != nil {
		t.Fatal(err)
	}
	never := NewReplica(cfg, runSeed)
	if err := never.Ban(bad, from); err != nil { // known from the start
		t.Fatal(err)
	}
	for _, log := range logs {
		insert(t, never, log...)
	}
	closeAll(t, never, vectors)
	if got, want := state(t, banned), state(t, never); got != want {
		t.Fatalf("%s, ban of %x from %d:\n%s, want\n%s", cfg, bad, from, got, want)
	}
}

func TestPlainClosingIsTheSumOfWhatIsInTime(t *testing.T) {
	cfg, open := parse(t, "structured:pool=8,epoch=10,mode=closed"), parse(t, "structured:pool=8,epoch=10")
	rng := rand.New(philox.NewStream(41, philox.Data, 0))
	logs := drawLogs(rng, cfg, 5, 40)
	vectors := agreed(rng, logs, 5)
	closed, sum := NewReplica(cfg, runSeed), NewReplica(open, runSeed)
	for _, log := range logs {
		insert(t, closed, log...)
	}
	closeAll(t, closed, vectors)
	for _, log := range logs {
		for _, run := range log {
			for i := range run.Bytes {
				if r := run.At(i); int(r.Epoch) < len(vectors) && r.Seq < vectors[r.Epoch].Next(r.Peer) {
					k := open.Direction(sum.Pool(), r.Peer, r.Seq, r.Epoch)
					_ = sum.Sums().Add(0, k, open.Coefficient(r.Epoch, r.Byte))
				}
			}
		}
	}
	if closed.Sums().Digest() != sum.Sums().Digest() {
		t.Error("the sums differ")
	}
}

func TestCommonDirectionsBearLiars(t *testing.T) {
	honest, liars := 9, 3
	for _, combine := range []string{"median", "trimmed:0.25", "mom:7"} {
		cfg := parse(t, "structured:pool=64,epoch=50,mode=closed,combine=%s,peers=12,m=1", combine)
		r := NewReplica(cfg, runSeed)
		want := make([]int64, cfg.K)
		var v Vector
		for p := range honest + liars {
			run := Run{Peer: uint64(p + 1)}
			for s := range 50 {
				b := byte(60 + s%7)
				if p >= honest {
					b = 0xff
				}
				run.Bytes = append(run.Bytes, b)
				if p == 0 {
					want[cfg.Direction(r.Pool(), 1, uint64(s), 0)] += int64(honest+liars) * Value(b)
				}
			}
			insert(t, r, run)
			v = append(v, Entry{run.Peer, 50})
		}
		if missing, err := r.Close(v); err != nil || len(missing) > 0 {
			t.Fatal(missing, err)
		}
		got, _ := r.Sums().Of(0)
		worst := 0.0
		for k := range want {
			if want[k] != 0 {
				worst = max(worst, max(float64(got[k])/float64(want[k]), float64(want[k])/float64(got[k])))
			}
		}
		if worst > 1.3 || worst < 1 {
			t.Errorf("%s: a sum is %g times what the honest say", combine, worst)
		}
	}
}

func TestClosingIsForClosedModeAndInOrder(t *testing.T) {
	open := NewReplica(parse(t, "structured:pool=8"), runSeed)
	if _, err := open.Close(nil); err == nil {
		t.Error("an epoch closes in open mode")
	}
	r := NewReplica(parse(t, "structured:pool=8,mode=closed"), runSeed)
	if _, err := r.Close(Vector{{2, 1}, {1, 1}}); err == nil {
		t.Error("a vector out of order closes an epoch")
	}
	if missing, err := r.Close(Vector{{2, 5}}); err != nil || !slices.Equal(missing, []Range{{2, 0, 5}}) || r.Closed() != 0 {
		t.Errorf("missing are %v, %v", missing, err)
	}
}

func TestClosingSaysWhatCloseMakes(t *testing.T) {
	for c, cfg := range closedConfigs(t) {
		rng := rand.New(philox.NewStream(uint64(c), philox.Data, 300))
		logs := drawLogs(rng, cfg, 9, 60)
		vectors := agreed(rng, logs, 5)
		r := NewReplica(cfg, runSeed)
		for _, log := range logs {
			insert(t, r, log...)
		}
		for _, v := range vectors {
			before := state(t, r)
			closing, missing, err := r.Closing(v)
			if err != nil || len(missing) > 0 || state(t, r) != before {
				t.Fatalf("%s: %v, %v, or something has changed", cfg, missing, err)
			}
			closeAll(t, r, []Vector{v})
			if r.Sums().Digest() != closing.Digest || closing.Clip < leastClip || closing.Clip > MaxCode {
				t.Fatalf("%s: epoch %d is closed to other sums than was said, or with code %d", cfg, r.Closed()-1, closing.Clip)
			}
			r.SetClip(closing.Clip)
			if again := restored(t, r); again.Clip() != r.Clip() || again.Sums().Digest() != closing.Digest {
				t.Fatalf("%s: a snapshot has clip %d, want %d, or other sums", cfg, again.Clip(), r.Clip())
			}
		}
		if missing := []Range{{1, 0, 9}}; len(logs[0]) > 0 {
			if _, got, err := r.Closing(Vector{{1, 9}}); err != nil || !slices.Equal(got, missing) {
				t.Errorf("missing are %v, %v", got, err)
			}
		}
	}
}

func TestTheClipFollowsTheHonestAndHoldsLiarsBack(t *testing.T) {
	cfg := parse(t, "structured:pool=64,epoch=20,mode=closed,combine=median,peers=10,clip=120,m=1")
	r := NewReplica(cfg, runSeed)
	next := make([]uint64, 10)
	for e, want := range []byte{43, 47, 51, 116, 116} {
		var v Vector
		for p := range uint64(10) {
			run := Run{Peer: p + 1, First: next[p], Epoch: uint32(e)}
			for i := range 20 {
				b := byte(20 + i%31)
				if e > 0 {
					b = byte(min(r.Clip(), 112)) // slopes have grown
				}
				if p >= 7 {
					b = 120 // a liar's
				}
				run.Bytes = append(run.Bytes, b)
			}
			next[p] = run.End()
			insert(t, r, run)
			v = append(v, Entry{run.Peer, run.End()})
		}
		closing, _, err := r.Closing(v)
		if err != nil {
			t.Fatal(err)
		}
		closeAll(t, r, []Vector{v})
		if e == 3 {
			closing.Clip = 116 // as if it had gone on like that for a while
		}
		if closing.Clip != want {
			t.Errorf("after epoch %d codes up to %d count, want %d", e, closing.Clip, want)
		}
		r.SetClip(closing.Clip)
	}
	if r.SetClip(127); r.Clip() != 120 {
		t.Errorf("codes up to %d count, more than the configuration has", r.Clip())
	}
	// What is above the clip counts as the clip.
	plain := NewReplica(parse(t, "structured:pool=64,epoch=20,mode=closed,peers=10"), runSeed)
	clipped := NewReplica(plain.Config(), runSeed)
	clipped.SetClip(30)
	insert(t, plain, Run{Peer: 1, Bytes: []byte{30, 0x80 | 30, 5}})
	insert(t, clipped, Run{Peer: 1, Bytes: []byte{99, 0x80 | 31, 5}})
	for _, r := range []*Replica{plain, clipped} {
		closeAll(t, r, []Vector{{{1, 3}}})
	}
	if plain.Sums().Digest() != clipped.Sums().Digest() {
		t.Error("a clipped record does not count as the clip")
	}
	if err := clipped.Ban(1, 2); err != nil {
		t.Fatal(err)
	}
	clipped.SetClip(127)
	if err := plain.Ban(1, 2); err != nil || plain.Sums().Digest() != clipped.Sums().Digest() {
		t.Error("after a ban an epoch is combined again with another clip than it was closed with")
	}
}
