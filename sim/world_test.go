package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"starling/gossip"
	"starling/node"
)

var (
	seeds = flag.Int("seeds", 40, "worlds to search in TestInvariantsHoldInRandomWorlds")
	seed  = flag.Uint64("seed", 0, "search only the world of this seed, and print its end")
)

func config(nodes int, mix string) Config {
	return Config{
		Seed: 1, Nodes: nodes, Task: newQuadratic(nodes, 12),
		Node: node.Config{
			Method: "average", Codec: "fp32",
			Average: node.AverageConfig{Mix: mix, Steps: 5, Degree: 4, SaveEvery: 1, EvaluateEvery: 1},
		},
		Latency: 20 * node.Second / 1000, Jitter: 30 * node.Second / 1000, Step: node.Second / 50, Other: node.Second / 1000,
	}
}

func TestNodesAgreeNearTheCommonOptimum(t *testing.T) {
	for _, mix := range []string{"mean", "age", "metropolis", node.PushSum} {
		t.Run(mix, func(t *testing.T) {
			cfg := config(8, mix)
			w, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			w.Run(60 * node.Second)
			alone := cfg.Task.(*quadratic).distance(cfg.Task.(*quadratic).points[0])
			for i := range cfg.Nodes {
				if d := cfg.Task.(*quadratic).distance(w.Saved(i)); !(d < alone/2) {
					t.Errorf("node %d is %.3f from the common optimum; a node alone ends %.3f from it", i, d, alone)
				}
				if s, _ := w.Status(i); s.Counted == 0 {
					t.Errorf("node %d: none of its %d rounds counted", i, s.Published)
				}
			}
		})
	}
}

func TestSameSeedGivesTheSameTrace(t *testing.T) {
	for _, mix := range []string{"mean", node.PushSum} {
		trace := func(seed uint64) string {
			cfg := config(6, mix)
			cfg.Seed, cfg.Loss = seed, 0.2
			w, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			w.Crash(2, 3*node.Second)
			w.Restart(2, 6*node.Second)
			w.Run(20 * node.Second)
			return w.TraceHash()
		}
		if a, b := trace(1), trace(1); a != b {
			t.Errorf("%s: traces %s and %s of one seed differ", mix, a, b)
		}
		if a, b := trace(1), trace(2); a == b {
			t.Errorf("%s: different seeds give the same trace %s: chance has no effect", mix, a)
		}
	}
}

// TestInvariantsHoldInRandomWorlds searches worlds with loss, crashes, restarts, pauses and departures.
func TestInvariantsHoldInRandomWorlds(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		if err := randomWorld(s); err != nil {
			t.Fatalf("%v\nrepeat with: go test ./sim -run TestInvariantsHoldInRandomWorlds -seed %d", err, s)
		}
	}
}

func randomWorld(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 77))
	mixes := []string{"mean", "age", "metropolis", "variance-corrected", node.PushSum}
	cfg := config(2+r.IntN(8), mixes[r.IntN(len(mixes))])
	cfg.Seed, cfg.Loss = seed, r.Float64()*0.5
	cfg.Node.Average.Degree = 1 + r.IntN(6)
	slow := make([]float64, cfg.Nodes)
	for i := range slow {
		slow[i] = 1 + 9*r.Float64()*r.Float64()
	}
	cfg.Slow = func(n int) float64 { return slow[n] }
	w, err := New(cfg)
	if err != nil {
		return err
	}
	const end = 30 * node.Second
	at := func() node.Instant { return node.Instant(r.Int64N(int64(end))) }
	for i := range cfg.Nodes {
		if r.IntN(3) == 0 {
			down := at()
			w.Crash(i, down)
			w.Restart(i, min(end, down+node.Instant(r.Int64N(int64(5*node.Second)))))
		}
		if r.IntN(4) == 0 {
			w.Command(i, at(), node.Pause)
			w.Command(i, at(), node.Resume)
		}
	}
	seqs := make([]uint64, cfg.Nodes)
	announced := make([]uint64, cfg.Nodes)
	var broken error
	w.Observe = func(n int, now node.Instant, b *node.Batch) {
		fail := func(format string, args ...any) {
			if broken == nil {
				broken = fmt.Errorf("node %d at %.3f s: %s", n, now.Seconds(), fmt.Sprintf(format, args...))
			}
		}
		if len(b.Publish) > 0 && len(b.Persist) == 0 {
			fail("publishes what is not durable")
		}
		for _, m := range b.Publish {
			if m.Seq <= seqs[n] {
				fail("sequence number %d after %d", m.Seq, seqs[n])
			}
			seqs[n] = m.Seq
			if u, ok := m.Body.(*gossip.Update); ok {
				saved := uint64(0)
				if s := w.nodes[n].saved; s != nil {
					saved = s.state.Round
				}
				if u.Round > saved+1 {
					fail("announces round %d with round %d saved", u.Round, saved)
				}
				announced[n] = u.Round
			}
		}
		if len(b.Fetch) > cfg.Node.Average.Degree {
			fail("fetches %d vectors at once, degree is %d", len(b.Fetch), cfg.Node.Average.Degree)
		}
	}
	w.Run(end)
	if broken != nil {
		return broken
	}
	s := w.Stats()
	if s.Sent != s.Delivered+s.Lost+s.Dropped+s.InFlight {
		return fmt.Errorf("messages are not conserved: %+v", s)
	}
	for i := range cfg.Nodes {
		st, ok := w.Status(i)
		if !ok {
			continue
		}
		if n, most := w.Vectors(i), 3*cfg.Node.Average.Degree+cfg.Nodes+12; n > most {
			return fmt.Errorf("node %d holds %d vectors: more than %d is a leak", i, n, most)
		}
		if st.Round == 0 {
			return fmt.Errorf("node %d has not finished a round in %v s", i, end.Seconds())
		}
	}
	// Everybody leaves: that must come to an end, and with a goodbye.
	for i := range cfg.Nodes {
		w.Command(i, w.Now(), node.Leave)
	}
	w.Run(w.Now() + 10*node.Second)
	for i := range cfg.Nodes {
		if _, ok := w.Status(i); ok {
			return fmt.Errorf("node %d has not left", i)
		}
	}
	return nil
}

func TestACrashLosesAtMostOneRound(t *testing.T) {
	cfg := config(3, "mean")
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 40 {
		down := w.Now() + node.Second + node.Instant(k)*node.Second/400
		w.Run(down)
		before, _ := w.Status(1)
		w.Crash(1, down)
		w.Restart(1, down+node.Second/10)
		w.Run(down + node.Second/10)
		after, ok := w.Status(1)
		if !ok {
			t.Fatalf("kill %d: node 1 did not come back", k)
		}
		if after.Round+1 < before.Announced {
			t.Fatalf("kill %d: had announced round %d, came back at round %d", k, before.Announced, after.Round)
		}
	}
}

func TestALateJoinerTakesOverAModelAndCatchesUp(t *testing.T) {
	cfg := config(6, "mean")
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Crash(5, 0)
	w.Run(30 * node.Second)
	w.nodes[5].saved, w.nodes[5].seq = nil, 0 // it never was there
	w.Restart(5, w.Now())
	w.Run(w.Now() + node.Second)
	old, _ := w.Status(0)
	young, ok := w.Status(5)
	if !ok || young.Age < old.Age/2 {
		t.Errorf("the newcomer's model has seen %d steps, that of the others %d", young.Age, old.Age)
	}
	if d := cfg.Task.(*quadratic).distance(w.Saved(5)); d > cfg.Task.(*quadratic).distance(make([]float32, 12)) {
		t.Errorf("the newcomer is %.3f from the optimum, further than a fresh model", d)
	}
}

func TestSlowNodesDoNotHoldUpOthers(t *testing.T) {
	rounds := func(slow float64) uint64 {
		cfg := config(5, "mean")
		cfg.Slow = func(n int) float64 {
			if n == 4 {
				return slow
			}
			return 1
		}
		w, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.Run(30 * node.Second)
		s, _ := w.Status(0)
		return s.Round
	}
	even, uneven := rounds(1), rounds(50)
	if uneven*100 < even*98 {
		t.Errorf("with one node 50 times slower node 0 did %d rounds instead of %d", uneven, even)
	}
}
