package sim

import (
	"testing"

	"starling/node"
	"starling/sim/adversary"
)

// lied runs ten nodes of whom two lie, and returns how far an honest one ends from the common optimum. What the nodes pull towards
// differs by little, as if each had its part of the same data; at the start they are as far as 8 from it.
func lied(t *testing.T, spec, liars string) (distance float64, r Replicas) {
	t.Helper()
	cfg := scalarConfig(10, spec)
	task := newQuadratic(10, 12)
	for _, p := range task.points {
		for j := range p {
			p[j] = 2.3 + p[j]/20
		}
	}
	cfg.Task = task
	if liars != "" {
		cfg.Adversaries = must(adversary.Parse([]string{liars + ":nodes=8-9"}, 10, 1))
	}
	w := start(t, cfg)
	w.Run(25*node.Second, nil)
	if !level(w) {
		t.Fatalf("%s: the nodes do not come to the same: %+v", liars, w.Replicas())
	}
	if err := equal(w); err != nil {
		t.Errorf("%s: %v", liars, err)
	}
	for n := range w.Nodes() {
		if s, _ := w.Status(n); int(s.Scalar.Banned) != w.Replicas().Banned {
			t.Errorf("%s: node %d has banned %d", liars, n, s.Scalar.Banned)
		}
	}
	return task.distance(w.Params(0)), w.Replicas()
}

func TestLiarsAboutSlopesDoLittleWhenEpochsAreClosed(t *testing.T) {
	const (
		open   = "structured:pool=64,epoch=64,rotate=2,lr=0.002,records=65536,peers=10"
		closed = "structured:pool=64,epoch=16,rotate=8,lr=0.002,records=65536,peers=10,mode=closed,combine="
	)
	if harm, _ := lied(t, open, "slope-max"); !(harm > 8) {
		t.Errorf("in open mode liars have the model end %.4f from the optimum: this tests nothing", harm)
	}
	for _, combine := range []string{"median", "trimmed:0.2", "mom:5"} {
		for _, liars := range []string{"", "slope-max", "slope-flip", "slope-replay", "record-fork"} {
			if combine != "median" && liars != "slope-max" {
				continue
			}
			harm, r := lied(t, closed+combine, liars)
			t.Logf("%s, %s: %.4f from the optimum; %d banned", combine, liars, harm, r.Banned)
			if banned := map[bool]int{true: 2}[liars == "record-fork"]; r.Banned != banned || !(harm < 0.4) {
				t.Errorf("%s, %s: %.4f from the optimum, and %d logs are banned, want %d", combine, liars, harm, r.Banned, banned)
			}
		}
	}
}
