package sim

import (
	"slices"
	"testing"

	"starling/mixing/outer"
	"starling/node"
	"starling/sim/churn"
)

// outerConfig is a world of nodes with an outer optimizer, each of which pulls towards its own point.
func outerConfig(nodes int, spec string) Config {
	cfg := config(nodes, "mean")
	n := cfg.Task.Len()
	cfg.Node.Method = "outer"
	cfg.Node.Outer = node.OuterConfig{
		Settings: must(outer.Parse(spec)), Steps: 12, Degree: 8, SaveEvery: 1,
	}
	for i := range cfg.Node.Outer.Settings.Fragments {
		p := cfg.Node.Outer.Settings.Fragments
		if p > 1 {
			cfg.Node.Outer.Fragments = append(cfg.Node.Outer.Fragments, outer.Range{From: n * i / p, To: n * (i + 1) / p})
		}
	}
	return cfg
}

var outerSpecs = []string{
	"diloco:shards=3", "diloco:heavy-ball,momentum=0.3,shards=8", "diloco:shards=2,fragments=3,overlap=2,keep=0.5",
	"delayed-nesterov:momentum=0.5", "delayed-nesterov:momentum=0.5,every=2,staleness=polynomial,dylu,min=2", "noloco:group=2", "noloco:group=3",
}

// settle has all nodes end their rounds and waits for it.
func settle(w *World) bool {
	w.Rest()
	w.Run(w.Now()+120*node.Second, w.AtRest)
	return w.AtRest()
}

func TestOuterOptimizersFindTheCommonOptimum(t *testing.T) {
	for _, spec := range outerSpecs {
		t.Run(spec, func(t *testing.T) {
			cfg := outerConfig(6, spec)
			w := start(t, cfg)
			w.Run(60*node.Second, nil)
			if !settle(w) {
				t.Fatal("the nodes do not come to rest")
			}
			task := cfg.Task.(*quadratic)
			alone := task.distance(task.points[0])
			close := alone / 6 // pushes that are weighed by their staleness go by the data of some more than of others
			if cfg.Node.Outer.Variant == outer.DiLoCo {
				close = alone / 20
			}
			if cfg.Node.Outer.Variant == outer.NoLoCoGroups {
				close = alone / 1.5 // a step goes by the data of one group, which is other than that of all
				mean := make([]float32, task.Len())
				for i := range cfg.Nodes {
					for j, x := range w.Params(i) {
						mean[j] += x / float32(cfg.Nodes)
					}
				}
				if d := task.distance(mean); !(d < alone/4) {
					t.Errorf("the mean of the nodes is %.4f from the common optimum; a node alone ends %.3f from it", d, alone)
				}
			}
			for i := range cfg.Nodes {
				if d := task.distance(w.Params(i)); !(d < close) {
					t.Errorf("node %d is %.4f from the common optimum; a node alone ends %.3f from it", i, d, alone)
				}
				if s, _ := w.Status(i); s.Counted == 0 || s.Round < 20 {
					t.Errorf("node %d: %d of its %d rounds counted", i, s.Counted, s.Round)
				}
			}
		})
	}
}

// TestDiLoCoNodesHoldTheSameBits looks at nodes that have ended the same turn.
func TestDiLoCoNodesHoldTheSameBits(t *testing.T) {
	for _, spec := range []string{"diloco:shards=3", "diloco:shards=2,fragments=3,overlap=2,keep=0.5"} {
		cfg := outerConfig(6, spec)
		w := start(t, cfg)
		w.Run(30*node.Second, nil)
		if !settle(w) {
			t.Fatal("the nodes do not come to rest")
		}
		for i := 1; i < cfg.Nodes; i++ {
			if !slices.Equal(w.Params(i), w.Params(0)) {
				t.Errorf("%s: node %d holds %v, node 0 %v", spec, i, w.Params(i), w.Params(0))
			}
		}
	}
}

// TestDiLoCoOfPlainStepsIsTheMean compares one round with lr 1 and no momentum with the mean of what the nodes trained.
func TestDiLoCoOfPlainStepsIsTheMean(t *testing.T) {
	cfg := outerConfig(4, "diloco:lr=1,momentum=0,shards=5")
	w := start(t, cfg)
	w.Run(node.Second/3, nil) // a round has 12 steps of 20 ms
	if !settle(w) {
		t.Fatal("the nodes do not come to rest")
	}
	task := cfg.Task.(*quadratic)
	want := make([]float64, task.Len())
	zero := make([]float32, task.Len())
	for n := range cfg.Nodes {
		out := make([]float32, task.Len())
		task.Train(n, node.TrainJob{Steps: 12}, zero, []float32{0}, nil, out, []float32{0})
		for j, x := range out {
			want[j] += float64(x) / 4
		}
	}
	for j, x := range w.Params(0) {
		if d := float64(x) - want[j]; d > 1e-6 || d < -1e-6 {
			t.Errorf("parameter %d is %v, the mean is %v", j, x, want[j])
		}
	}
}

// TestIdleNodesTakeFewSteps counts the steps of cores: alarms must not go off without end.
func TestIdleNodesTakeFewSteps(t *testing.T) {
	for _, spec := range outerSpecs {
		cfg := outerConfig(5, spec)
		w := start(t, cfg)
		w.Run(20*node.Second, nil)
		w.Crash(1, w.Now())
		if !settle(w) {
			t.Fatalf("%s: the nodes do not come to rest", spec)
		}
		w.Run(w.Now()+10*node.Second, nil)
		before := w.counts.steps
		w.Run(w.Now()+100*node.Second, nil)
		// What is left are exchanges of digests, every 10 s, with what they find.
		if n := w.counts.steps - before; n > 4*10*12 {
			t.Errorf("%s: %d steps in 100 s of 4 nodes that rest", spec, n)
		}
	}
}

// TestAlarmsAreFew counts the steps that nothing but an alarm is the reason of, in a world of slow training and much trouble.
func TestAlarmsAreFew(t *testing.T) {
	for _, spec := range outerSpecs {
		cfg := outerConfig(5, spec)
		cfg.Times.Step, cfg.Network.Loss = 2*node.Second, loss(0.3)
		w := start(t, cfg)
		ticks := 0
		w.Observe = func(_ int, _ node.Instant, ev node.Event, _ *node.Batch) {
			if _, ok := ev.(node.Tick); ok {
				ticks++
			}
		}
		w.Sleep(1, 100*node.Second)
		w.Run(1000*node.Second, nil)
		if ticks > 5*1000 {
			t.Errorf("%s: %d alarms of 5 nodes in 1,000 s", spec, ticks)
		}
	}
}

func TestALateJoinerTakesOverTheStateOfOthers(t *testing.T) {
	for _, spec := range outerSpecs {
		cfg := outerConfig(5, spec)
		w := start(t, cfg)
		w.Crash(4, 0)
		w.Run(30*node.Second, nil)
		w.hosts[4].saved.drop()
		w.hosts[4].saved, w.hosts[4].seq = nil, 0 // it never was there
		w.Restart(4, w.Now())
		w.Run(w.Now()+5*node.Second, nil)
		old, _ := w.Status(0)
		young, ok := w.Status(4)
		if !ok || young.Age < old.Age/2 {
			t.Errorf("%s: the newcomer's model has seen %d steps, that of the others %d", spec, young.Age, old.Age)
		}
		task := cfg.Task.(*quadratic)
		if d, from := task.distance(w.Params(4)), task.distance(w.Params(0)); cfg.Node.Outer.Variant != outer.NoLoCoGroups && !(d < max(2*from, task.distance(task.points[4])/10)) {
			t.Errorf("%s: the newcomer is %.3f from the optimum", spec, d)
		}
	}
}

// TestASlowNodeHoldsUpNobody but in DiLoCo, where all who have taken part in a turn are waited for in the next.
func TestASlowNodeHoldsUpNobody(t *testing.T) {
	for _, spec := range []string{"delayed-nesterov:momentum=0.5", "noloco"} {
		rounds := func(factor string) uint64 {
			cfg := outerConfig(5, spec)
			cfg.Speeds = must(churn.ParseSpeeds("constant:1,1,1,1,"+factor, 5, 1))
			w := start(t, cfg)
			w.Run(60*node.Second, nil)
			s, _ := w.Status(0)
			return s.Round
		}
		if even, uneven := rounds("1"), rounds("10"); uneven*100 < even*90 {
			t.Errorf("%s: with one node 10 times slower node 0 did %d rounds instead of %d", spec, uneven, even)
		}
	}
}

func TestOuterTracesDependOnTheSeedAlone(t *testing.T) {
	for _, spec := range outerSpecs {
		trace := func(seed uint64, workers int) string {
			cfg := outerConfig(5, spec)
			cfg.Seed, cfg.Workers, cfg.Network.Loss = seed, workers, loss(0.1)
			cfg.Task = newQuadratic(5, 5000)
			cfg.Node.Outer.Fragments = nil
			if p := cfg.Node.Outer.Settings.Fragments; p > 1 {
				for i := range p {
					cfg.Node.Outer.Fragments = append(cfg.Node.Outer.Fragments, outer.Range{From: 5000 * i / p, To: 5000 * (i + 1) / p})
				}
			}
			w := start(t, cfg)
			w.Crash(2, 3*node.Second)
			w.Restart(2, 6*node.Second)
			w.Run(15*node.Second, nil)
			return w.TraceHash()
		}
		want := trace(1, 1)
		if got := trace(1, 3); got != want {
			t.Errorf("%s: trace %s with three workers, %s with one", spec, got, want)
		}
		if trace(2, 1) == want {
			t.Errorf("%s: another seed gives the same trace", spec)
		}
	}
}
