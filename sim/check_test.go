package sim

import (
	"flag"
	"slices"
	"testing"

	"starling/gossip"
	"starling/mixing/philox"
	"starling/mixing/scalar"
	"starling/node"
	"starling/sim/adversary"
	"starling/sim/network"
)

var checkSeeds = flag.Int("check.seeds", 1, "worlds for each lie in TestALiarIsFoundByAll, and so many times two in TestHonestNodesAreNeverAccused")

// shared is a quadratic whose points all nodes have: the examples of a record are three of them, drawn by its place. Some nodes lie about the
// slopes of their own records.
type shared struct {
	*quadratic
	tags []uint64 // of the nodes; filled in once the world has given them names
	lies map[int]func(slope float64) float64
	ulps func(n int, slope float64) float64 // how the arithmetic of a node's build is off; nil: not at all
}

func (q *shared) Worker() Worker { return q }

func (q *shared) Probe(n int, job node.ProbeJob, plus, minus []float32) node.Probed {
	if !job.Drawn {
		panic("the examples are not drawn")
	}
	loss := func(x []float32) (sum float64) {
		for i := range uint32(3) {
			w := philox.Block(job.Tag, [4]uint32{i, uint32(job.Place.Seq), 0, philox.Data})
			p := q.points[philox.Below(w[0], uint32(len(q.points)))]
			for j, x := range x {
				d := float64(x) - float64(p[j])
				sum += float64(d*d) / 6
			}
		}
		return sum
	}
	above, below := loss(plus), loss(minus)
	slope := scalar.Slope(above, below, job.Eps)
	if q.ulps != nil {
		slope = q.ulps(n, slope)
	}
	if lie := q.lies[n]; lie != nil && job.Tag == q.tags[n] {
		slope = lie(slope)
	}
	return node.Probed{Job: job.Job, Slope: slope, Loss: (above + below) / 2, Samples: 3}
}

// checkedWorld is one whose nodes measure a share of each other's records again.
func checkedWorld(t *testing.T, nodes int, share float64, edit func(*Config, *shared)) (*World, *shared) {
	cfg := scalarConfig(nodes, "structured:pool=64,epoch=64,rotate=2,lr=0.0005,records=65536")
	q := &shared{quadratic: newQuadratic(nodes, 8), lies: make(map[int]func(float64) float64)}
	cfg.Task, cfg.Node.Scalar.CheckShare = q, share
	cfg.Times.Step = node.Second / 50
	if edit != nil {
		edit(&cfg, q)
	}
	w := start(t, cfg)
	for n := range nodes {
		q.tags = append(q.tags, gossip.Tag(cfg.Node.Run, w.ID(n)))
	}
	return w, q
}

// logOf is what a node knows of another's records.
func logOf(w *World, n, of int) (l node.LogStatus) {
	for _, l := range w.hosts[n].core.Logs() {
		if l.Peer == w.ID(of) {
			return l
		}
	}
	return l
}

func scoreOf(w *World, n, of int) float64 {
	s, _ := w.Status(n)
	i := slices.IndexFunc(s.Members, func(m node.MemberStatus) bool { return m.Peer == w.ID(of) })
	return s.Members[i].Score
}

// TestALiarIsFoundByAll has one of eight nodes turn its slopes around. Every other node finds out before the liar has made so many records.
func TestALiarIsFoundByAll(t *testing.T) {
	const nodes, liar, records, share = 8, 3, 400, 0.1
	for name, lie := range map[string]func(float64) float64{
		"flips the sign": func(g float64) float64 { return -g }, "exaggerates": func(g float64) float64 { return 50 * g }, "makes them up": func(float64) float64 { return 1 },
	} {
		for seed := range uint64(*checkSeeds) {
			w, _ := checkedWorld(t, nodes, share, func(cfg *Config, q *shared) {
				cfg.Seed, cfg.Network.Loss = 20+seed, loss(0.1)
				cfg.Network.Jitter = must(network.ParseJitter("exponential:mean=50ms"))
				q.lies[liar] = lie
			})
			honest := func(ok func(n int) bool) bool {
				for n := range nodes {
					if n != liar && !ok(n) {
						return false
					}
				}
				return true
			}
			found := func(n int) bool { return logOf(w, n, liar).Wrong > 0 && scoreOf(w, n, liar) < -100 }
			made := func() uint64 { return logOf(w, liar, liar).Known }
			w.Run(node.Second, nil)
			for made() < records && !honest(found) {
				w.Run(w.Now()+node.Second/5, nil)
			}
			if !honest(found) {
				t.Fatalf("who %s, seed %d: not found by all after %d records", name, 20+seed, made())
			}
			t.Logf("who %s is found by all after %d records", name, made())
			w.Run(w.Now()+8*node.Second, nil)
			for n := range nodes {
				for of := range nodes {
					l := logOf(w, n, of)
					if n != of && of != liar && (l.Wrong > 0 || n != liar && scoreOf(w, n, of) < 0) {
						t.Errorf("who %s, seed %d: node %d accuses node %d, which is honest: %+v", name, 20+seed, n, of, l)
					}
				}
				if n != liar && scoreOf(w, n, liar) > -300 {
					t.Errorf("who %s, seed %d: at node %d the liar has a score of %g", name, 20+seed, n, scoreOf(w, n, liar))
				}
			}
		}
	}
}

// TestHonestNodesAreNeverAccused has crashes, loss, partitions and builds whose arithmetic is off in the last bits, and checks as many
// records as it can.
func TestHonestNodesAreNeverAccused(t *testing.T) {
	for seed := range uint64(2 * *checkSeeds) {
		const nodes = 6
		w, _ := checkedWorld(t, nodes, 0.3, func(cfg *Config, q *shared) {
			cfg.Seed, cfg.Network.Loss = seed, loss(0.2)
			cfg.Network.Jitter = must(network.ParseJitter("exponential:mean=100ms"))
			cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: 8 * node.Second, Until: 14 * node.Second, Groups: "halves"}}, nodes, seed, nil))
			q.ulps = func(n int, slope float64) float64 { return slope * (1 + float64(n)*1e-4) }
		})
		for i := range 6 {
			at := node.Instant(i+1) * 4 * node.Second
			w.Crash(i%nodes, at)
			w.Restart(i%nodes, at+node.Second/2)
		}
		w.Run(32*node.Second, nil)
		right := uint64(0)
		for n := range nodes {
			for _, l := range w.hosts[n].core.Logs() {
				right += l.Right
				if l.Wrong > 0 || l.Banned {
					t.Errorf("seed %d: node %d accuses: %+v", seed, n, l)
				}
			}
			s, _ := w.Status(n)
			for _, m := range s.Members {
				if m.Score < -100 { // who has crashed does not know what its last records were measured on
					t.Errorf("seed %d: at node %d an honest node has a score of %g", seed, n, m.Score)
				}
			}
		}
		if right < 200 {
			t.Errorf("seed %d: only %d records were checked", seed, right)
		}
		if !level(w) {
			t.Fatalf("seed %d: the nodes do not come to the same: %+v", seed, w.Replicas())
		}
		if err := equal(w); err != nil {
			t.Error(err)
		}
		if s, _ := w.Status(0); seed == 0 {
			t.Logf("%d records checked; at node 0 %+v", right, s.Scalar.Checks)
		}
	}
}

// mute does not say what its records were measured on.
type mute struct{ adversary.Honest }

func (mute) Send(_ int, m *gossip.Message) *gossip.Message {
	if _, ok := m.Body.(*gossip.Basis); ok {
		return nil
	}
	return m
}

// TestWhoDoesNotAnswerLosesTrustSlowly has a node that takes every question for lost.
func TestWhoDoesNotAnswerLosesTrustSlowly(t *testing.T) {
	const silent = 2
	w, _ := checkedWorld(t, 4, 0.3, nil)
	w.hosts[silent].attack = mute{}
	w.Run(30*node.Second, nil)
	for n := range 4 {
		if n == silent {
			continue
		}
		l := logOf(w, n, silent)
		score := scoreOf(w, n, silent)
		if l.Unanswered < 3 || l.Wrong > 0 || score >= 0 {
			t.Errorf("at node %d: %+v, score %g", n, l, score)
		}
		for of := range 4 {
			if of != n && of != silent && scoreOf(w, n, of) < 0 {
				t.Errorf("node %d distrusts node %d, which answers", n, of)
			}
		}
	}
}
