package scalar

import (
	"math/rand/v2"
	"testing"
)

// TestWhatIsForgottenStaysInTheSums compacts replicas in between, and compares them, and those made again of what Compact returned and of
// the records that were left, with one that keeps everything.
func TestWhatIsForgottenStaysInTheSums(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9))
		cfg := configs(t)[seed%uint64(len(configs(t)))]
		logs := drawLogs(rng, cfg, 4, 300)
		whole, small := NewReplica(cfg, runSeed), NewReplica(cfg, runSeed)
		if _, ok := small.Compact(nil); ok == cfg.Closed {
			t.Fatalf("compacting is ok: %v, and the run is closed: %v", ok, cfg.Closed)
		}
		if cfg.Closed {
			continue
		}
		const keep = 20
		all := deliveries(rng, logs, 50)
		for i, run := range all {
			insert(t, whole, run)
			insert(t, small, run)
			if i%40 != 39 && i != len(all)-1 {
				continue
			}
			if rng.IntN(4) == 0 { // not further back than records are kept
				log := logs[rng.IntN(len(logs))]
				if len(log) > 0 {
					peer := log[0].Peer
					from := whole.Set().Next(peer) - min(whole.Set().Next(peer), 5)
					for _, r := range []*Replica{whole, small} {
						if err := r.Ban(peer, from); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			var cut Vector
			for _, e := range small.Set().Vector() {
				if e.Next > keep {
					cut = append(cut, Entry{e.Peer, e.Next - keep})
				}
			}
			if _, ok := small.Compact(Vector{{Peer: 1, Next: 1}}); ok {
				t.Fatal("a record is forgotten that was never known")
			}
			snap, ok := small.Compact(cut)
			if !ok {
				t.Fatal("not compacted")
			}
			again, err := Restore(cfg, runSeed, snap)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range small.Set().Vector() {
				for _, run := range small.Set().Runs(Range{e.Peer, 0, e.Next}) {
					if res, err := again.Insert(run); err != nil || res.Verdict != Added {
						t.Fatal(res, err)
					}
				}
			}
			if kept := small.Set().Kept(); kept > keep*4 || kept != again.Set().Kept() {
				t.Fatalf("seed %d: %d records are kept one by one, %d by what was made again; want at most %d", seed, kept, again.Set().Kept(), keep*4)
			}
			want := state(t, whole)
			for name, r := range map[string]*Replica{"compacted": small, "made again": again} {
				if have := state(t, r); have != want {
					t.Fatalf("seed %d, after %d runs, %s: %s, want %s", seed, i, name, have, want)
				}
			}
			if s, err := whole.Snapshot(); err == nil {
				if digest, ok := small.DigestAt(s.Vector()); !ok || digest != whole.Sums().Digest() {
					t.Fatalf("seed %d: the sum of all is another one", seed)
				}
			}
		}
	}
}
