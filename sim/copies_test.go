package sim

import (
	"math"
	"testing"

	"starling/gossip/codec"
	"starling/node"
)

func copiesConfig(t *testing.T, nodes int, name string, gamma, beta float64) Config {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(nodes, "metropolis")
	cfg.Task.(*quadratic).codec = c
	cfg.Inline = 1000
	cfg.Node.Average.Exchange = node.Copies
	cfg.Node.Average.Copies = node.CopiesConfig{Gamma: gamma, Damp: codec.ClassOf(c).Contraction(), Beta: beta, Common: true}
	return cfg
}

func TestCopiesFirst(t *testing.T) {
	for _, kind := range []string{"plain", "loss", "sleep", "crash"} {
		cfg := copiesConfig(t, 6, "topk:0.25,fp32", 0.3, 0.3)
		if kind == "loss" {
			cfg.Network.Loss = loss(0.2)
		}
		w := start(t, cfg)
		for i := range 20 {
			n := i % 5
			at := node.Instant(5+2*i) * node.Second
			switch kind {
			case "sleep":
				w.Sleep(n, at)
				w.Restart(n, at+1500*node.Second/1000)
			case "crash":
				w.Crash(n, at)
				w.Restart(n, at+1500*node.Second/1000)
			}
		}
		for range 10 {
			w.Run(w.Now()+20*node.Second, nil)
			sum := 0.0
			for i := range cfg.Nodes {
				sum = math.Max(sum, cfg.Task.(*quadratic).distance(w.Params(i)))
			}
			s, _ := w.Status(0)
			st := w.Stats()
			t.Log(kind, w.Now().Seconds(), sum, s.Round, s.Counted, s.Published, w.Vectors(0), st.Flows[RepairTraffic].Messages.Sent, st.Flows[DigestTraffic].Messages.Sent)
		}
	}
}
