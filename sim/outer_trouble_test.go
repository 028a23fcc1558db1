package sim

import (
	"cmp"
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

// TestOuterSurvivesWhatHappensToNetworks searches worlds with loss, slow nodes, crashes, sleep and pauses. Afterwards all is well for
// a while, and the nodes must have come together again, near the optimum.
func TestOuterSurvivesWhatHappensToNetworks(t *testing.T) {
	list := []uint64{1, 3, 4, 10, 17, 29, 36, 74, 100, 914, 1072, 1997} // which have found something
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
	cfg.Network.Loss = loss(r.Float64() * 0.3)
	w := start(t, cfg)
	vectors := watchVectors(w)
	trouble(w, r)
	w.Run(60*node.Second, nil)
	w.cfg.Network.Loss = nil
	for i := range cfg.Nodes {
		w.Command(i, w.Now(), node.Resume) // who slept has not heard it
	}
	w.Run(w.Now()+90*node.Second, nil)
	bases := watchBases(w)
	w.Run(w.Now()+20*node.Second, nil)
	if !settle(w) {
		return fmt.Errorf("%s: the nodes do not come to rest", spec)
	}
	if err := cmp.Or(vectors.err, endsWell(w, bases)); err != nil {
		return fmt.Errorf("%s: %d nodes: %w", spec, cfg.Nodes, err)
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

// trouble has nodes other than the first crash, sleep and pause in the first minute.
func trouble(w *World, r *rand.Rand) {
	for range r.IntN(8) {
		n := 1 + r.IntN(w.Nodes()-1)
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
}

// endsWell checks what a variant gives when all is quiet.
func endsWell(w *World, b *bases) error {
	task, cfg := w.cfg.Task.(*quadratic), w.cfg.Node.Outer
	for i := range w.Nodes() {
		if n := w.Vectors(i); n > 8*w.Nodes()+16*cfg.Shards {
			return fmt.Errorf("node %d holds %d vectors", i, n)
		}
	}
	switch cfg.Variant {
	case outer.DiLoCo:
		alone := task.distance(task.points[0])
		for i := range w.Nodes() {
			// The last turn is of those alone that were in it when the rest began.
			if d := task.distance(w.Params(i)); !(d < alone/3) {
				return fmt.Errorf("node %d is %.3f from the common optimum; alone it would be %.3f", i, d, alone)
			}
		}
		return b.agree(w)
	case outer.NoLoCoGroups:
		return noLoCoIsAtItsFloor(w, task, cfg)
	}
	return pushersAgree(w, task, b)
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
	limit := alone / 2 // nodes that agree seldom drift in between
	if w.cfg.Node.Outer.Every < 10 {
		limit = alone / 4
	}
	if apart > limit {
		return fmt.Errorf("nodes are up to %.3f from their mean; alone a node would be %.3f from the common optimum", apart, alone)
	}
	if d := distance(mean, want); d > alone/3 {
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
	if d := task.distance(mean); d > 0.6*alone { // who is faster counts for more
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

// announcements are the broadcasts of a node in a batch of it, to all or to one after the other, that are newer than the newest so far.
func announcements(batch *node.Batch, of node.PeerID, newest *uint64) (fresh []*gossip.Message) {
	take := func(m *gossip.Message) {
		if m.Author == of && m.Seq > *newest {
			*newest, fresh = m.Seq, append(fresh, m)
		}
	}
	for _, m := range batch.Publish {
		take(m)
	}
	for _, e := range batch.Send {
		for _, m := range e.Forward {
			take(m)
		}
	}
	return fresh
}

// watchBases notes what DiLoCo announces from now on.
func watchBases(w *World) *bases {
	b := &bases{of: make(map[uint64]uint64), by: make([]int, w.Nodes()), pull: make([]float64, w.Nodes()), mixed: w.Nodes()}
	seen := w.Observe
	newest := make([]uint64, w.Nodes())
	w.Observe = func(n int, now node.Instant, ev node.Event, batch *node.Batch) {
		if seen != nil {
			seen(n, now, ev, batch)
		}
		for _, m := range announcements(batch, w.ID(n), &newest[n]) {
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
