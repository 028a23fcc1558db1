package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/scalar"
	"starling/node"
	"starling/sim/churn"
	"starling/sim/network"
)

var (
	scalarSeeds = flag.Int("scalar.seeds", 6, "worlds to search in TestScalarNodesEndWithEqualModels")
	scalarSeed  = flag.Uint64("scalar.seed", 0, "search only the world of this seed")
)

// scalarConfig is a world of nodes that send a byte for each slope, each of which pulls towards its own point.
func scalarConfig(nodes int, spec string) Config {
	cfg := config(nodes, "mean")
	cfg.Node.Method = "scalar"
	cfg.Node.RepairEvery = node.Second
	cfg.Node.Scalar = node.ScalarConfig{Config: must(scalar.Parse(spec)), RunSeed: 7, Batch: 16, SaveEvery: 4}
	return cfg
}

const slopes = "structured:pool=64,epoch=64,rotate=2,lr=0.002,records=65536"

// level has all nodes rest and exchange what they have until all have the same, and returns whether they got there.
func level(w *World) bool {
	w.Rest()
	w.Run(w.Now()+300*node.Second, func() bool { return w.AtRest() && w.Replicas().Different == 1 })
	return w.AtRest() && w.Replicas().Different == 1
}

// equal says which nodes that are online differ in what they know, or in a bit of their models.
func equal(w *World) error {
	first := -1
	for n := range w.Nodes() {
		s, ok := w.Status(n)
		if !ok || !w.Up(n) {
			continue
		}
		if first < 0 {
			first = n
			continue
		}
		one, _ := w.Status(first)
		if *one.Scalar != *s.Scalar && (one.Scalar.Digest != s.Scalar.Digest || one.Scalar.Records != s.Scalar.Records) {
			return fmt.Errorf("nodes %d and %d end with %+v and %+v", first, n, *one.Scalar, *s.Scalar)
		}
		if !slices.Equal(w.Params(n), w.Params(first)) {
			return fmt.Errorf("nodes %d and %d have equal sums, and different models", first, n)
		}
	}
	return nil
}

func TestSlopesFindTheCommonOptimum(t *testing.T) {
	cfg := scalarConfig(6, slopes)
	w := start(t, cfg)
	w.Run(30*node.Second, nil)
	if !level(w) {
		t.Fatal("the nodes do not come to the same")
	}
	if err := equal(w); err != nil {
		t.Error(err)
	}
	task := cfg.Task.(*quadratic)
	alone := task.distance(task.points[0])
	if d := task.distance(w.Params(0)); !(d < alone/5) {
		t.Errorf("the model is %.4f from the common optimum; a node alone ends %.3f from it", d, alone)
	}
	s := w.Stats().Flows
	if s[RecordTraffic].Messages.Sent == 0 || s[UpdateTraffic].Messages.Sent != 0 || s[BlobTraffic].Messages.Sent != 0 {
		t.Errorf("%+v is not a traffic of records alone", s)
	}
	if w.Samples() == 0 || w.Rounds() == 0 {
		t.Errorf("%d samples in %.1f rounds", w.Samples(), w.Rounds())
	}
}

func TestScalarTracesDependOnTheSeedAlone(t *testing.T) {
	trace := func(seed uint64, workers int) string {
		cfg := scalarConfig(5, slopes)
		cfg.Seed, cfg.Workers, cfg.Network.Loss = seed, workers, loss(0.3)
		w := start(t, cfg)
		w.Crash(2, 3*node.Second)
		w.Restart(2, 6*node.Second)
		w.Run(12*node.Second, nil)
		return w.TraceHash()
	}
	checkTraces(t, trace)
}

// A crash between two checkpoints must lose no record of the node's own: a node that numbered one anew would be banned.
func TestScalarNodesThatCrashGoOnWithTheirLog(t *testing.T) {
	cfg := scalarConfig(4, slopes)
	w := start(t, cfg)
	for i := range 12 {
		at := node.Instant(i+1) * 2 * node.Second
		w.Crash(i%4, at)
		w.Restart(i%4, at+node.Second)
	}
	w.Run(30*node.Second, nil)
	if !level(w) {
		t.Fatalf("the nodes do not come to the same: %+v", w.Replicas())
	}
	for n := range w.Nodes() {
		if s, _ := w.Status(n); s.Scalar.Banned != 0 || s.Scalar.Next == 0 || s.Scalar.Logs != 4 {
			t.Errorf("node %d: %+v", n, *s.Scalar)
		}
	}
	if err := equal(w); err != nil {
		t.Error(err)
	}
}

func TestANodeThatCrashesWhileItIsAddedToKeepsItsLog(t *testing.T) {
	w := start(t, scalarConfig(3, slopes))
	deleted := 0
	w.Observe = func(_ int, _ node.Instant, _ node.Event, b *node.Batch) {
		for _, r := range b.Persist {
			if len(r.Value) == 0 {
				deleted++
			}
		}
	}
	w.Run(5*node.Second, nil)
	h := &w.hosts[1]
	s, _ := w.Status(1)
	w.Crash(1, w.Now())
	w.Run(w.Now()+node.Second/10, nil)
	if len(h.log) == 0 {
		t.Fatal("nothing is kept of a node that has crashed")
	}
	w.Restart(1, w.Now())
	w.Run(w.Now()+node.Second/100, nil)
	if again, _ := w.Status(1); again.Scalar.Next < s.Scalar.Next {
		t.Errorf("record %d would have been next, and now it is %d (%d deletions)", s.Scalar.Next, again.Scalar.Next, deleted)
	}
}

// A node that stands still for a minute, by its operator's command or because its machine does, is not waited for: the others add
// 98 records at the least for each 100 that they add when it goes on.
func TestANodeThatStandsStillCostsTheOthersNothing(t *testing.T) {
	const nodes, still = 8, 3
	const from, until, end = 20 * node.Second, 80 * node.Second, 100 * node.Second
	records := func(stop func(w *World)) (others uint64) {
		cfg := scalarConfig(nodes, slopes)
		cfg.Times.Step, cfg.Network.Loss = node.Second/4, loss(0.1)
		cfg.Network.Bandwidth = must(network.ParseBandwidth("constant:1Mbit", nodes, 1))
		w := start(t, cfg)
		stop(w)
		w.Run(end, nil)
		for n := range w.Nodes() {
			if s, _ := w.Status(n); n != still {
				others += s.Scalar.Next
			}
		}
		if !level(w) {
			t.Errorf("the nodes do not come to the same: %+v", w.Replicas())
		}
		return others
	}
	all := records(func(*World) {})
	for name, stop := range map[string]func(w *World){
		"paused": func(w *World) { w.Command(still, from, node.Pause); w.Command(still, until, node.Resume) },
		"asleep": func(w *World) { w.Sleep(still, from); w.Restart(still, until) },
		"dead":   func(w *World) { w.Crash(still, from); w.Restart(still, until) },
	} {
		got := records(stop)
		t.Logf("%s: the others add %d records, and %d if nobody stands still: %+.2f %%", name, got, all, 100*(float64(got)/float64(all)-1))
		if float64(got) < 0.98*float64(all) {
			t.Errorf("%s: the others add %d records, and %d if nobody stands still", name, got, all)
		}
	}
}

// TestScalarNodesEndWithEqualModels is the acceptance of the method: loss, delay, two partitions that heal, crashes and late joiners, and
// all end with equal sets, sums and models.
func TestScalarNodesEndWithEqualModels(t *testing.T) {
	first, last := uint64(1), uint64(*scalarSeeds)
	if *scalarSeed != 0 {
		first, last = *scalarSeed, *scalarSeed
	}
	for seed := first; seed <= last; seed++ {
		if err := scalarWorld(t, seed, slopesOfWorld); err != nil {
			t.Fatalf("%v; repeat with go test ./sim -run TestScalarNodesEndWithEqualModels -scalar.seed %d", err, seed)
		}
	}
}

// TestScalarNodesCloseEpochsAlike is the same with epochs that are closed.
func TestScalarNodesCloseEpochsAlike(t *testing.T) {
	first, last := uint64(1), uint64(max(1, *scalarSeeds/3))
	if *scalarSeed != 0 {
		first, last = *scalarSeed, *scalarSeed
	}
	for seed := first; seed <= last; seed++ {
		if err := scalarWorld(t, seed, slopesOfWorld+",peers=20,mode=closed,combine=median"); err != nil {
			t.Fatalf("%v; repeat with go test ./sim -run TestScalarNodesCloseEpochsAlike -scalar.seed %d", err, seed)
		}
	}
}

const slopesOfWorld = "structured:pool=64,epoch=32,rotate=4,lr=0.0005,records=4096"

func scalarWorld(t *testing.T, seed uint64, spec string) error {
	const nodes = 20
	r := rand.New(rand.NewPCG(seed, 20))
	cfg := scalarConfig(nodes, spec)
	cfg.Seed, cfg.Network.Loss = seed, loss(0.3)
	cfg.Network.Jitter = must(network.ParseJitter("exponential:mean=200ms"))
	cfg.Times.Step = node.Second / 10
	cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{
		{From: 5 * node.Second, Until: 12 * node.Second, Groups: "halves"}, {From: 18 * node.Second, Until: 26 * node.Second, Groups: "shares:0.3,0.7"},
	}, nodes, seed, nil))
	cfg.Sessions = must(churn.ParseSessions("arrive:from=0s,until=20s", nodes, seed))
	w := start(t, cfg)
	for range 10 {
		n, at := r.IntN(nodes), node.Instant(r.Int64N(int64(30*node.Second)))
		w.Crash(n, at)
		w.Restart(n, at+node.Instant(r.Int64N(int64(8*node.Second))))
	}
	w.Run(40*node.Second, nil)
	if cfg.Node.Scalar.Closed { // only now are there enough to close anything
		w.Run(70*node.Second, nil)
		w.Rest()
		w.Run(130*node.Second, nil) // sums are equal as long as the last epoch is open
	}
	if !level(w) {
		return fmt.Errorf("the nodes do not come to the same: %+v", w.Replicas())
	}
	if s, _ := w.Status(0); s.Scalar.Banned > 0 || s.Scalar.Records < 1000 || s.Scalar.Voters > 0 && s.Scalar.Closed < 2 {
		return fmt.Errorf("the set is of %d records and %d bans, and %d epochs are closed", s.Scalar.Records, s.Scalar.Banned, s.Scalar.Closed)
	}
	return equal(w)
}
