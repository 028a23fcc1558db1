package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"starling/gossip/codec"
	"starling/mixing/topology"
	"starling/mixing/track"
	"starling/node"
	"starling/sim/adversary"
	"starling/sim/churn"
	"starling/sim/network"
)

// copiesConfig is a world of public copies, in which beta above 0 tracks gradients.
func copiesConfig(nodes int, name string, beta float64) Config {
	c := must(codec.Parse(name))
	class := codec.ClassOf(c)
	cfg := config(nodes, "metropolis")
	cfg.Task.(*quadratic).codec = c
	cfg.Inline = 1000
	cfg.Node.Average.Exchange = node.Copies
	cfg.Node.Average.Copies = node.CopiesConfig{
		Gamma: min(0.5, track.DefaultGamma(class.Quantizer, class.Kept)), Damp: class.Contraction(), Beta: beta, Common: true,
	}
	return cfg
}

// farthest is how far from the common optimum a node is at most.
func farthest(cfg *Config, w *World) float64 {
	worst := 0.0
	for i := range cfg.Nodes {
		if p := w.Params(i); p != nil {
			_, loss := cfg.Task.Worker().Evaluate(p)
			worst = max(worst, loss)
		}
	}
	return worst
}

// Disturb has the nodes but the last go away one after the other, for one and a half seconds each, until half a minute is over.
func disturb(w *World, away func(n int, at node.Instant)) {
	for i := range 14 {
		at := node.Instant(2+2*i) * node.Second
		away(i%(w.Nodes()-1), at)
		w.Restart(i%(w.Nodes()-1), at+3*node.Second/2)
	}
}

var disturbances = map[string]func(cfg *Config) func(w *World){
	"none": func(*Config) func(*World) { return func(*World) {} },
	"loss": func(cfg *Config) func(*World) {
		cfg.Network.Loss = loss(0.2)
		return func(*World) {}
	},
	"sleep": func(*Config) func(*World) { return func(w *World) { disturb(w, w.Sleep) } },
	"crash": func(*Config) func(*World) { return func(w *World) { disturb(w, w.Crash) } },
	"late": func(cfg *Config) func(*World) {
		cfg.Network.Jitter = must(network.ParseJitter("exponential:mean=200ms"))
		return func(*World) {}
	},
	"slow": func(cfg *Config) func(*World) {
		cfg.Speeds = must(churn.ParseSpeeds("uniform:low=1,high=6", cfg.Nodes, 1))
		return func(*World) {}
	},
}

// With five local steps a round, each towards another point, copies alone end beside the optimum, and tracked gradients end in it: whatever
// is lost, late, slow, asleep or crashed.
func TestTrackedGradientsFindTheOptimumThroughCoarseCodecs(t *testing.T) {
	for kind, arrange := range disturbances {
		for _, name := range []string{"topk:0.25,fp32", "randk:0.5,int8,unbiased", "sign"} {
			if kind != "none" && name != "topk:0.25,fp32" {
				continue
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				cfg := copiesConfig(6, name, 0.3)
				act := arrange(&cfg)
				w := start(t, cfg)
				act(w)
				w.Run(110*node.Second, nil)
				if d := farthest(&cfg, w); !(d < 0.01) {
					t.Errorf("a node is %g from the optimum", d)
				}
			})
		}
	}
	cfg := copiesConfig(6, "topk:0.25,fp32", 0)
	w := start(t, cfg)
	w.Run(110*node.Second, nil)
	if d := farthest(&cfg, w); !(d > 0.1) {
		t.Errorf("without correction the nodes are only %g from the optimum: the test proves nothing", d)
	}
}

// apart is the quadratic task without training, from a point of each node's own.
type apart struct{ *quadratic }

func (q apart) Common() bool { return false }

func (q apart) Worker() Worker { return q }

func (q apart) Init(n int, params, opt []float32) {
	copy(params, q.points[n])
	clear(opt)
}

// Nodes that only talk agree on the mean of what they began with: every step on a link is taken by both ends, once. Vectors are long
// enough for differences to be cheaper than whole copies, and short enough for those to be sent as well.
func TestCopiesKeepTheMean(t *testing.T) {
	for kind, overlay := range map[string]string{
		"none": "complete", "loss": "complete", "sleep": "ring", "crash": "complete", "late": "ring", "slow": "ring",
	} {
		t.Run(kind+" "+overlay, func(t *testing.T) {
			cfg := copiesConfig(6, "topk:0.05,fp32", 0)
			cfg.Node.Average.Copies.Common, cfg.Node.Average.Copies.Gamma = false, 0.08
			q := newQuadratic(6, 300)
			q.rate, q.codec = 0, cfg.Task.(*quadratic).codec
			cfg.Task, cfg.Inline = apart{q}, 10_000
			g, ok := must(topology.Parse(overlay, cfg.Nodes, 1)).Graph()
			if !ok {
				t.Fatal(overlay)
			}
			cfg.Graph = &g
			act := disturbances[kind](&cfg)
			w := start(t, cfg)
			act(w)
			w.Run(110*node.Second, nil)
			mean := make([]float32, q.Len())
			for i := range cfg.Nodes {
				for j, x := range w.Params(i) {
					mean[j] += x / float32(cfg.Nodes)
				}
			}
			if d := q.distance(mean); !(d < 0.01) {
				t.Errorf("the mean is %g from that of what all began with, and a node %g", d, farthest(&cfg, w))
			}
		})
	}
}

// A node that leaves takes its pull along: the others go on to the mean of their own points.
func TestTheOptimumIsThatOfThoseWhoAreLeft(t *testing.T) {
	cfg := copiesConfig(6, "topk:0.25,fp32", 0.3)
	w := start(t, cfg)
	w.Command(5, 20*node.Second, node.Leave)
	w.Run(110*node.Second, nil)
	rest := *cfg.Task.(*quadratic)
	rest.points = rest.points[:5]
	for i := range 5 {
		if d := rest.distance(w.Params(i)); !(d < 0.01) {
			t.Errorf("node %d is %g from the optimum of those who are left", i, d)
		}
	}
}

// Whoever lies may keep the others from the optimum; the simulation goes on.
func TestCopiesBearEveryKindOfLiar(t *testing.T) {
	for _, name := range adversary.NamesFor(false) {
		kind, _, _ := strings.Cut(name, ":")
		cfg := copiesConfig(5, "topk:0.25,fp32", 0.3)
		cfg.Adversaries = must(adversary.Parse([]string{kind + ":count=1"}, cfg.Nodes, 1))
		w := start(t, cfg)
		w.Run(4*node.Second, nil)
		if r := w.Round(); r < 20 {
			t.Errorf("%s: half of the nodes have finished only %d rounds", kind, r)
		}
	}
}

// Links are few however many peers are connected, and both ends have them.
func TestNeighboursAreFewAndMutual(t *testing.T) {
	cfg := copiesConfig(12, "topk:0.25,fp32", 0.3)
	cfg.Node.Average.Degree = 3
	w := start(t, cfg)
	w.Run(200*node.Second, nil)
	links := 0
	for i := range cfg.Nodes {
		s, _ := w.Status(i)
		mixing := 0
		for _, m := range s.Members {
			if m.Mixed > 50 {
				mixing++
			}
		}
		links += mixing
		if mixing > 6 || mixing < 3 {
			t.Errorf("node %d has mixed with %d others, and looks for 3 neighbours", i, mixing)
		}
	}
	if links > 5*cfg.Nodes {
		t.Errorf("%d ends of links, want some 50", links)
	}
	if d := farthest(&cfg, w); !(d < 0.01) {
		t.Errorf("a node is %g from the optimum", d)
	}
}

func TestCopiesGiveTheSameTraceWithAnyNumberOfWorkers(t *testing.T) {
	trace := func(workers int, seed uint64) string {
		cfg := copiesConfig(3, "topk:0.25,int4", 0.3)
		q := newQuadratic(3, small)
		q.codec = cfg.Task.(*quadratic).codec
		cfg.Task, cfg.Workers, cfg.Seed, cfg.Inline = q, workers, seed, 100
		cfg.Network.Loss = loss(0.1)
		w := start(t, cfg)
		w.Crash(1, 2*node.Second)
		w.Restart(1, 3*node.Second)
		w.Run(4*node.Second, nil)
		return w.TraceHash()
	}
	if a, b := trace(1, 1), trace(3, 1); a != b {
		t.Errorf("traces %s and %s with 1 and 3 workers", a, b)
	}
	if a, b := trace(1, 1), trace(1, 2); a == b {
		t.Error("different seeds give the same trace")
	}
}

// TestCopiesHoldInRandomWorlds searches worlds with loss, sleep, crashes, partitions and departures: when they have been quiet for
// a while, all nodes are at the optimum, and no vector is forgotten.
func TestCopiesHoldInRandomWorlds(t *testing.T) {
	first, last := uint64(1), uint64(*seeds/8)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		if err := randomCopies(t, s); err != nil {
			t.Fatalf("%v\nrepeat with: go test ./sim -run TestCopiesHoldInRandomWorlds -seed %d", err, s)
		}
	}
}

func randomCopies(t *testing.T, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 78))
	names := []string{"topk:0.25,fp32", "topk:0.5,int8", "randk:0.5,int8,unbiased", "int8", "fp32"}
	cfg := copiesConfig(3+r.IntN(5), names[r.IntN(len(names))], 0.2+r.Float64()/2)
	cfg.Seed = seed
	cfg.Inline = uint64(r.IntN(2)) * 1000
	cfg.Node.Average.Copies.Common = r.IntN(2) == 0
	cfg.Node.Average.Degree = 3 + r.IntN(4)
	if cfg.Nodes > 3 && r.IntN(2) == 0 {
		g, _ := must(topology.Parse([]string{"ring", "star"}[r.IntN(2)], cfg.Nodes, seed)).Graph()
		cfg.Graph, cfg.Node.Average.Degree = &g, 8
	}
	cfg.Speeds = must(churn.ParseSpeeds("lognormal:sigma=0.3", cfg.Nodes, seed))
	cfg.Network.Loss = loss(r.Float64() * 0.2)
	if r.IntN(3) == 0 {
		cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: 5 * node.Second, Until: 15 * node.Second, Groups: "halves"}},
			cfg.Nodes, seed, cfg.Network.Latency))
	}
	w := start(t, cfg)
	const noise = 40 * node.Second
	for i := range cfg.Nodes {
		for range r.IntN(3) {
			at := node.Instant(r.Int64N(int64(noise)))
			if r.IntN(2) == 0 {
				w.Crash(i, at)
			} else {
				w.Sleep(i, at)
			}
			w.Restart(i, at+node.Instant(r.Int64N(int64(12*node.Second))))
		}
	}
	d := math.Inf(1)
	for i := 0; i < 6 && !(d < 0.05); i++ { // it nears the optimum by a factor in a time, which is long on some graphs
		w.Run(w.Now()+150*node.Second, nil)
		d = farthest(&cfg, w)
	}
	if !(d < 0.05) {
		return fmt.Errorf("%d nodes, %s, degree %d: a node is %g from the optimum", cfg.Nodes, cfg.Task.Codec(), cfg.Node.Average.Degree, d)
	}
	return nil
}
