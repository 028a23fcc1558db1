package sim

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/gossip"
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
		task.Train(n, node.TrainJob{Steps: 12}, zero, []float32{0}, out, []float32{0})
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

// TestOuterSurvivesWhatHappensToNetworks searches worlds with loss, slow nodes, crashes, sleep and pauses. Afterwards all is well for
// a while, and the nodes must have come together again, near the optimum.
func TestOuterSurvivesWhatHappensToNetworks(t *testing.T) {
	list := []uint64{3, 4, 10, 17, 29, 74, 100, 1997} // which have found something
	switch {
	case *seed != 0:
		list = []uint64{*seed}
	case flag.Lookup("seeds").DefValue != fmt.Sprint(*seeds):
		list = nil
		for s := range uint64(*seeds) {
			list = append(list, s+1)
		}
	}
	for _, s := range list {
		if err := outerWorld(t, s); err != nil {
			t.Errorf("%v\nrepeat with: go test ./sim -run TestOuterSurvives -seed %d", err, s)
		}
	}
}

func outerWorld(t *testing.T, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 3))
	spec := outerSpecs[r.IntN(len(outerSpecs))]
	cfg := outerConfig(3+r.IntN(6), spec)
	cfg.Seed = seed
	cfg.Task.(*quadratic).feedback = seed%2 == 0
	cfg.Inline = uint64(r.IntN(2)) * 100
	if r.IntN(2) == 0 {
		cfg.Speeds = must(churn.ParseSpeeds("lognormal:sigma=0.5", cfg.Nodes, seed))
	}
	trouble := loss(r.Float64() * 0.3)
	cfg.Network.Loss = trouble
	w := start(t, cfg)
	vectors := watchVectors(w)
	for range r.IntN(8) {
		n := 1 + r.IntN(cfg.Nodes-1)
		down := node.Instant(r.Int64N(int64(40 * node.Second)))
		up := down + node.Instant(r.Int64N(int64(20*node.Second)))
		switch r.IntN(3) {
		case 0:
			w.Crash(n, down)
			w.Restart(n, up)
		case 1:
			w.Sleep(n, down)
			w.Restart(n, up)
		default:
			w.Command(n, down, node.Pause)
			w.Command(n, up, node.Resume)
		}
	}
	w.Run(60*node.Second, nil)
	w.cfg.Network.Loss = nil
	for i := range cfg.Nodes {
		w.Command(i, w.Now(), node.Resume) // who slept has not heard it
	}
	w.Run(w.Now()+60*node.Second, nil)
	bases := watchBases(w)
	w.Run(w.Now()+30*node.Second, nil)
	if !settle(w) {
		return fmt.Errorf("%s: the nodes do not come to rest", spec)
	}
	if vectors.err != nil {
		return fmt.Errorf("%s: %d nodes: %w", spec, cfg.Nodes, vectors.err)
	}
	if cfg.Node.Outer.Variant == outer.DiLoCo {
		if err := bases.agree(w); err != nil {
			return fmt.Errorf("%s: %d nodes: %w", spec, cfg.Nodes, err)
		}
	}
	task := cfg.Task.(*quadratic)
	alone := task.distance(task.points[0])
	switch v := cfg.Node.Outer.Variant; {
	case v == outer.DiLoCo:
		for i := range cfg.Nodes {
			// The last turn is of those alone that were in it when the rest began.
			if d := task.distance(w.Params(i)); !(d < alone/3) {
				return fmt.Errorf("%s: node %d of %d is %.3f from the common optimum; alone it would be %.3f", spec, i, cfg.Nodes, d, alone)
			}
		}
	case v == outer.NoLoCoGroups:
		if err := noLoCoIsAtItsFloor(w, task, cfg.Node.Outer); err != nil {
			return fmt.Errorf("%s: %d nodes: %w", spec, cfg.Nodes, err)
		}
	default:
		if err := pushersAgree(w, task, bases); err != nil {
			return fmt.Errorf("%s: %d nodes: %w", spec, cfg.Nodes, err)
		}
	}
	for i := range cfg.Nodes {
		if n := w.Vectors(i); n > 8*cfg.Nodes+16*cfg.Node.Outer.Shards {
			return fmt.Errorf("%s: node %d holds %d vectors", spec, i, n)
		}
	}
	for i := range cfg.Nodes {
		w.Command(i, w.Now(), node.Leave)
	}
	w.Run(w.Now()+10*node.Second, nil)
	for i := range cfg.Nodes {
		if _, ok := w.Status(i); ok {
			return fmt.Errorf("%s: node %d has not left", spec, i)
		}
	}
	return nil
}

// meanOf is the mean of what all nodes hold, and apart is the largest distance of a node from it and rms the root of the mean square.
func meanOf(w *World) (mean []float32, apart, rms float64) {
	mean = make([]float32, len(w.Params(0)))
	for i := range w.Nodes() {
		for j, x := range w.Params(i) {
			mean[j] += x / float32(w.Nodes())
		}
	}
	for i := range w.Nodes() {
		d := distance(w.Params(i), mean)
		apart = max(apart, d)
		rms += d * d / float64(w.Nodes())
	}
	return mean, apart, math.Sqrt(rms)
}

func distance(a, b []float32) float64 {
	sum := 0.0
	for j, x := range a {
		sum += float64(x-b[j]) * float64(x-b[j])
	}
	return math.Sqrt(sum)
}

// pushersAgree checks what asynchronous pushes give: nodes hold about the same, and that is about the mean of what each pulls towards,
// weighted by how often, how far and how freshly it has pushed. Who is faster counts for more: that is the price of waiting for nobody.
func pushersAgree(w *World, task *quadratic, b *bases) error {
	alone := task.distance(task.points[0])
	mean, apart, _ := meanOf(w)
	// Of one node no more than two pushes count in a window of as many as there are nodes.
	windows := 0.0
	for range 100 {
		counted := 0.0
		for _, n := range b.by {
			if windows == 0 {
				counted += float64(n)
			} else {
				counted += min(float64(n), 2*windows)
			}
		}
		windows = counted / float64(len(b.by))
	}
	pull, all := slices.Clone(b.pull), 0.0
	for i, n := range b.by {
		pull[i] *= min(1, 2*windows/float64(n))
		all += pull[i]
	}
	want := make([]float32, task.Len())
	for i, x := range pull {
		for j, y := range task.points[i] {
			want[j] += float32(float64(y) * x / all)
		}
	}
	if apart > alone/4 {
		return fmt.Errorf("nodes are up to %.3f from their mean; alone a node would be %.3f from the common optimum", apart, alone)
	}
	if d := distance(mean, want); d > alone/4 {
		return fmt.Errorf("the nodes' mean is %.3f from that of their points, weighted by their pushes %v; alone a node would be %.3f from the common optimum", d, b.by, alone)
	}
	return nil
}

// noLoCoIsAtItsFloor compares how far nodes are apart with what the recursion of spec 03, 3.7, gives when nothing goes wrong: groups
// go by their own data in every round, so that nodes never agree, but stay within a distance of each other.
func noLoCoIsAtItsFloor(w *World, task *quadratic, cfg node.OuterConfig) error {
	mean, _, rms := meanOf(w)
	alone := task.distance(task.points[0])
	floor := 0.0
	for ; cfg.Group >= 2; cfg.Group-- { // groups whose slower nodes do not come are smaller
		floor = max(floor, noLoCoFloor(task, cfg))
	}
	if rms > 1.1*floor {
		return fmt.Errorf("nodes are %.3f from their mean, root mean square; %.3f is what groups give", rms, floor)
	}
	if d := task.distance(mean); d > alone/2 {
		return fmt.Errorf("the mean of the nodes is %.3f from the common optimum; alone a node would be %.3f from it", d, alone)
	}
	return nil
}

// noLoCoFloor is the largest root mean square distance of nodes from their mean in the last of many rounds.
func noLoCoFloor(task *quadratic, cfg node.OuterConfig) float64 {
	n, d := len(task.points), task.Len()
	phi, m := make([][]float64, n), make([][]float64, n)
	for i := range n {
		phi[i], m[i] = make([]float64, d), make([]float64, d)
	}
	share := 1 - math.Pow(1-float64(task.rate), float64(cfg.Steps)) // of the way to its point that a node goes in a round
	floor := 0.0
	for round := range uint64(200) {
		old := make([][]float64, n)
		for i := range n {
			old[i] = slices.Clone(phi[i])
		}
		rms := 0.0
		for i := range n {
			group := outer.Group(1, round, n, cfg.Group, i)
			if group == nil {
				group = []int{i}
			}
			momentum, _ := cfg.NoLoCo().Step(len(group))
			for j := range d {
				meanPhi, meanDelta := 0.0, 0.0
				for _, k := range group {
					meanPhi += old[k][j] / float64(len(group))
					meanDelta += share * (float64(task.points[k][j]) - old[k][j]) / float64(len(group))
				}
				m[i][j] = momentum.Phi*old[i][j] + momentum.Momentum*m[i][j] + momentum.MeanPhi*meanPhi + momentum.MeanDelta*meanDelta
				phi[i][j] = old[i][j] + m[i][j]
			}
		}
		for j := range d {
			mean := 0.0
			for i := range n {
				mean += phi[i][j] / float64(n)
			}
			for i := range n {
				rms += (phi[i][j] - mean) * (phi[i][j] - mean) / float64(n)
			}
		}
		if round >= 50 {
			floor = max(floor, math.Sqrt(rms))
		}
	}
	return floor
}

// bases are the states that pseudo-gradients of DiLoCo start from.
type bases struct {
	of    map[uint64]uint64 // by turn
	by    []int             // pseudo-gradients by node
	pull  []float64         // by node, of the way to its point that it goes: all pseudo-gradients together, as pushes weigh them
	mixed int               // the fewest in a mean
	split error
}

// watchBases notes what DiLoCo announces from now on.
func watchBases(w *World) *bases {
	b := &bases{of: make(map[uint64]uint64), by: make([]int, w.Nodes()), pull: make([]float64, w.Nodes()), mixed: w.Nodes()}
	seen := w.Observe
	w.Observe = func(n int, now node.Instant, ev node.Event, batch *node.Batch) {
		if seen != nil {
			seen(n, now, ev, batch)
		}
		for _, m := range batch.Publish {
			d, ok := m.Body.(*gossip.Delta)
			switch {
			case !ok:
			case d.Part == gossip.PartMean && w.resting: // of some
			case d.Part == gossip.PartMean:
				b.mixed = min(b.mixed, len(d.Mixed))
			case d.Part == gossip.PartGradient:
				if was, ok := b.of[d.Round]; ok && was != d.Base {
					b.split = fmt.Errorf("at %.3f s node %d begins turn %d from another state than others", now.Seconds(), n, d.Round)
				}
				b.of[d.Round] = d.Base
				b.by[n]++
				weight := 1.0
				if w.cfg.Node.Outer.Polynomial {
					weight, _ = outer.Staleness{Polynomial: true, Most: math.MaxUint64}.Weight(d.Version - d.Base)
				}
				b.pull[n] += weight * (1 - math.Pow(1-float64(w.cfg.Task.(*quadratic).rate), float64(d.Steps)))
			}
		}
	}
	return b
}

// agree checks that all nodes have gone the same way, and end it at the same state or one turn apart: those that were in a turn when the
// rest began have ended it, and others have not begun it.
func (b *bases) agree(w *World) error {
	if b.split != nil {
		return b.split
	}
	if b.mixed < w.Nodes() {
		return fmt.Errorf("a mean is of %d nodes", b.mixed)
	}
	for i := range w.Nodes() {
		was, is := w.hosts[0].core.State().Numbers, w.hosts[i].core.State().Numbers
		switch {
		case b.by[i] == 0:
			return fmt.Errorf("node %d has announced nothing", i)
		case is[0] == was[0] && (is[1] != was[1] || !slices.Equal(w.Params(i), w.Params(0))):
			return fmt.Errorf("nodes %d and 0 hold other bits after turn %d", i, is[0])
		case is[0] == was[0]+1 && is[2] != was[1], is[0]+1 == was[0] && is[1] != was[2], is[0] > was[0]+1, is[0]+1 < was[0]:
			return fmt.Errorf("nodes %d and 0 are at turns %d and %d of different lineages", i, is[0], was[0])
		}
	}
	return nil
}

// TestANodeWithNothingToDoDoesNothing counts the steps of cores: alarms must not go off without end.
func TestANodeWithNothingToDoDoesNothing(t *testing.T) {
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
