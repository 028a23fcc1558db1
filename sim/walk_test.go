package sim

import (
	"testing"

	"starling/mixing/srrw"
	"starling/node"
	"starling/sim/network"
)

// walkConfig is a world of nodes, each of which pulls the models that come to it towards its own point.
func walkConfig(nodes int, tokens uint32) Config {
	cfg := config(nodes, "mean")
	cfg.Node.Method = "walk"
	cfg.Node.RepairEvery = 2 * node.Second
	cfg.Node.Walk = node.WalkConfig{
		Config: must(srrw.Parse("srrw:alpha=10,floor=true")), Tokens: tokens, Steps: 1, Carry: true, SaveEvery: 10,
		BeatEvery: node.Second, NewsEvery: node.Second, CreateAfter: node.Second, LostAfter: 5 * node.Second, ModelEvery: 10 * node.Second,
	}
	return cfg
}

// held counts the live copies of each token.
func held(w *World, tokens uint32) []int {
	n := make([]int, tokens)
	for i := range w.Nodes() {
		if s, ok := w.Status(i); ok && w.Up(i) {
			for _, t := range s.Walk.Tokens {
				if t.State == "held" {
					n[t.Token]++
				}
			}
		}
	}
	return n
}

func TestTokensFindTheCommonOptimum(t *testing.T) {
	cfg := walkConfig(8, 2)
	w := start(t, cfg)
	w.Run(120*node.Second, nil)
	task := cfg.Task.(*quadratic)
	alone := task.distance(task.points[0])
	for k := range 2 {
		if d := task.distance(w.Model(k)); !(d < alone/2) {
			t.Errorf("token %d is %.3f from the common optimum; a node alone ends %.3f from it", k, d, alone)
		}
	}
	s, _ := w.Status(0)
	if len(s.Walk.Tokens) != 2 || s.Walk.Tokens[0].Hop < 50 || s.Walk.Neighbours != 7 {
		t.Errorf("%+v", *s.Walk)
	}
	flows := w.Stats().Flows
	if flows[TokenTraffic].Messages.Sent == 0 || flows[BlobTraffic].Messages.Sent == 0 || flows[UpdateTraffic].Messages.Sent != 0 {
		t.Errorf("%+v is not a traffic of tokens alone", flows)
	}
}

func TestWalkTracesDependOnTheSeedAlone(t *testing.T) {
	trace := func(seed uint64, workers int) string {
		cfg := walkConfig(5, 2)
		cfg.Seed, cfg.Workers, cfg.Network.Loss = seed, workers, loss(0.2)
		w := start(t, cfg)
		w.Crash(2, 4*node.Second)
		w.Restart(2, 8*node.Second)
		w.Run(20*node.Second, nil)
		return w.TraceHash()
	}
	checkTraces(t, trace)
}

// TestTokensOutliveTheirHolders has every node crash once, two halves part for a while, and messages get lost.
func TestTokensOutliveTheirHolders(t *testing.T) {
	const nodes, tokens = 12, 3
	cfg := walkConfig(nodes, tokens)
	cfg.Network.Loss = loss(0.2)
	cfg.Network.Partitions = must(network.ParsePartitions([]network.Split{{From: 20 * node.Second, Until: 80 * node.Second, Groups: "halves"}}, nodes, 3, nil))
	w := start(t, cfg)
	for n := range nodes {
		at := node.Instant(10+8*n) * node.Second
		w.Crash(n, at)
		w.Restart(n, at+6*node.Second)
	}
	revived, void := 0, 0
	w.Observe = func(_ int, _ node.Instant, _ node.Event, b *node.Batch) {
		for _, s := range b.Observe {
			switch s.Kind {
			case node.StatRevived:
				revived++
			case node.StatFenced:
				void++
			}
		}
	}
	w.Run(300*node.Second, nil)
	w.Rest()
	w.Run(w.Now()+60*node.Second, nil)
	for k, n := range held(w, tokens) {
		if n != 1 {
			t.Errorf("token %d has %d holders", k, n)
		}
	}
	if revived == 0 || void == 0 {
		t.Errorf("%d tokens were revived and %d copies void: too little has happened", revived, void)
	}
	if !w.AtRest() {
		t.Error("the nodes do not come to rest")
	}
}
