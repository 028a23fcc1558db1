package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starling/gossip"
	"starling/mixing/topology"
	"starling/node"
	"starling/sim/adversary"
	"starling/sim/churn"
	"starling/sim/mesh"
	"starling/sim/network"
)

var (
	seeds = flag.Int("seeds", 40, "worlds to search in TestInvariantsHoldInRandomWorlds")
	seed  = flag.Uint64("seed", 0, "search only the world of this seed, and print its end")
)

func config(nodes int, mix string) Config {
	return Config{
		Seed: 1, Nodes: nodes, Task: newQuadratic(nodes, 12),
		Node: node.Config{
			Method:  "average",
			Average: node.AverageConfig{Mix: mix, Steps: 5, Degree: 4, SaveEvery: 1, EvaluateEvery: 1},
		},
		Network: Network{Latency: must(network.ParseLatency("constant:20ms", nodes, 1)), Jitter: must(network.ParseJitter("uniform:0ms-30ms"))},
		Times:   Times{Step: node.Second / 50, Other: node.Second / 1000},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func loss(share float64) *network.Loss { return must(network.ParseLoss(fmt.Sprint(share))) }

// start builds a world that is closed, and must be empty then, when the test is over.
func start(t *testing.T, cfg Config) *World {
	t.Helper()
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.keepSaves = true
	t.Cleanup(func() {
		if err := w.Audit(); err != nil {
			t.Error(err)
		}
		w.Close()
		if n := w.Pool().Live(); n.Vectors != 0 {
			t.Errorf("%d vectors are alive after the end", n.Vectors)
		}
	})
	return w
}

func TestNodesAgreeNearTheCommonOptimum(t *testing.T) {
	for _, mix := range []string{"mean", "age", "metropolis", node.PushSum} {
		t.Run(mix, func(t *testing.T) {
			cfg := config(8, mix)
			w := start(t, cfg)
			w.Run(60*node.Second, nil)
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
			cfg.Seed, cfg.Network.Loss = seed, loss(0.2)
			w := start(t, cfg)
			w.Crash(2, 3*node.Second)
			w.Restart(2, 6*node.Second)
			w.Run(20*node.Second, nil)
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

func randomConfig(seed uint64, r *rand.Rand) Config {
	mixes := []string{"mean", "age", "metropolis", "variance-corrected", node.PushSum}
	cfg := config(2+r.IntN(8), mixes[r.IntN(len(mixes))])
	cfg.Seed = seed
	cfg.Network.Loss = loss(r.Float64() * 0.5)
	cfg.Node.Average.Degree = 1 + r.IntN(6)
	cfg.Inline = uint64(r.IntN(2)) * 100
	cfg.Speeds = must(churn.ParseSpeeds("lognormal:sigma=0.8", cfg.Nodes, seed))
	if r.IntN(2) == 0 {
		m := mesh.Default()
		cfg.Mesh = &m
		if r.IntN(2) == 0 {
			cfg.CellSize, cfg.CellEpoch = 2+r.IntN(4), 7*node.Second
		}
	} else if cfg.Nodes > 4 && r.IntN(2) == 0 {
		g, _ := must(topology.Parse([]string{"ring", "line", "star"}[r.IntN(3)], cfg.Nodes, seed)).Graph()
		cfg.Graph = &g
	}
	if r.IntN(2) == 0 {
		cfg.Network.Bandwidth = must(network.ParseBandwidth("constant:up=20kbit,down=80kbit", cfg.Nodes, seed))
	}
	if r.IntN(3) == 0 {
		cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: 5 * node.Second, Until: 15 * node.Second, Groups: "halves"}},
			cfg.Nodes, seed, cfg.Network.Latency))
	}
	if r.IntN(3) == 0 {
		cfg.Sessions = must(churn.ParseSessions("exponential:online=10s,offline=2s,crash=0.5,start=online", cfg.Nodes, seed))
	}
	if cfg.Node.Average.Mix != node.PushSum {
		if cfg.Nodes > 3 && r.IntN(3) == 0 {
			kinds := adversary.NamesFor(false)
			kind, _, _ := strings.Cut(kinds[r.IntN(len(kinds))], ":")
			cfg.Adversaries = must(adversary.Parse([]string{kind + ":count=1"}, cfg.Nodes, seed))
		}
		if cfg.Mesh == nil && r.IntN(3) == 0 {
			cfg.Node.Average.Exchange = node.Push
			cfg.Node.Average.Push = node.PushConfig{Every: node.Second / 2, Deviation: node.Second / 20}
		}
	}
	return cfg
}

func randomWorld(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 77))
	cfg := randomConfig(seed, r)
	w, err := New(cfg)
	if err != nil {
		return err
	}
	w.keepSaves = true
	defer w.Close()
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
	w.Observe = func(n int, now node.Instant, _ node.Event, b *node.Batch) {
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
				if s := w.hosts[n].saved; s != nil {
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
	w.Run(end, nil)
	if broken != nil {
		return broken
	}
	if err := w.Audit(); err != nil {
		return err
	}
	for i := range cfg.Nodes {
		st, ok := w.Status(i)
		if !ok {
			continue
		}
		if n, most := w.Vectors(i), 3*cfg.Node.Average.Degree+cfg.Nodes+12; n > most {
			return fmt.Errorf("node %d holds %d vectors: more than %d is a leak", i, n, most)
		}
		if st.Round == 0 && cfg.Sessions == nil {
			return fmt.Errorf("node %d has not finished a round in %v s", i, end.Seconds())
		}
	}
	// Everybody leaves: that must come to an end, and with a goodbye. Who sleeps learns of it when it comes back.
	for i := range cfg.Nodes {
		w.Command(i, w.Now(), node.Leave)
	}
	w.Run(w.Now()+10*node.Second, nil)
	for i := range cfg.Nodes {
		if _, ok := w.Status(i); ok && cfg.Sessions == nil {
			return fmt.Errorf("node %d has not left", i)
		}
	}
	w.Close()
	if n := w.Pool().Live(); n.Vectors != 0 {
		return fmt.Errorf("%d vectors are alive after the end", n.Vectors)
	}
	return nil
}

func TestACrashLosesAtMostOneRound(t *testing.T) {
	cfg := config(3, "mean")
	w := start(t, cfg)
	for k := range 40 {
		down := w.Now() + node.Second + node.Instant(k)*node.Second/400
		w.Run(down, nil)
		before, _ := w.Status(1)
		w.Crash(1, down)
		w.Restart(1, down+node.Second/10)
		w.Run(down+node.Second/10, nil)
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
	w := start(t, cfg)
	w.Crash(5, 0)
	w.Run(30*node.Second, nil)
	w.hosts[5].saved, w.hosts[5].seq = nil, 0 // it never was there
	w.Restart(5, w.Now())
	w.Run(w.Now()+node.Second, nil)
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
	rounds := func(slow string) uint64 {
		cfg := config(5, "mean")
		file := filepath.Join(t.TempDir(), "speeds.csv")
		if err := os.WriteFile(file, []byte("node,factor\n0,1\n1,1\n2,1\n3,1\n4,"+slow+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Speeds = must(churn.ParseSpeeds("trace:"+file, 5, 1))
		w := start(t, cfg)
		w.Run(30*node.Second, nil)
		s, _ := w.Status(0)
		return s.Round
	}
	even, uneven := rounds("1"), rounds("50")
	if uneven*100 < even*98 {
		t.Errorf("with one node 50 times slower node 0 did %d rounds instead of %d", uneven, even)
	}
}

// TestHelpersAndObserversChangeNothing compares whole runs, in which a model is large enough for helpers to take part.
func TestHelpersAndObserversChangeNothing(t *testing.T) {
	trace := func(workers int, observed bool) string {
		cfg := config(6, "mean")
		cfg.Task = newQuadratic(6, 5000)
		cfg.Workers = workers
		cfg.Sessions = must(churn.ParseSessions("exponential:online=5s,offline=1s,crash=0.5,start=online", 6, 1))
		w := start(t, cfg)
		if observed {
			w.Observe = func(int, node.Instant, node.Event, *node.Batch) {}
			for at := node.Second / 3; at < 20*node.Second; at += node.Second / 3 {
				w.At(at, func() {
					for i := range w.Nodes() {
						cfg.Task.Worker().Evaluate(w.Params(i))
					}
				})
			}
		}
		w.Run(20*node.Second, nil)
		return w.TraceHash()
	}
	want := trace(1, false)
	for _, workers := range []int{2, 4} {
		if got := trace(workers, false); got != want {
			t.Errorf("%d workers: trace %s, alone %s", workers, got, want)
		}
	}
	if got := trace(2, true); got != want {
		t.Errorf("observed: trace %s, unobserved %s", got, want)
	}
}

// checkTraces wants traces that depend on the seed, and on nothing else.
func checkTraces(t *testing.T, trace func(seed uint64, workers int) string) {
	t.Helper()
	if a, b := trace(1, 1), trace(1, 3); a != b {
		t.Errorf("traces %s and %s of one seed differ", a, b)
	}
	if a, b := trace(1, 1), trace(2, 1); a == b {
		t.Errorf("different seeds give the same trace %s: chance has no effect", a)
	}
}
