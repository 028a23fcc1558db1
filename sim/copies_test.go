package sim

import (
	"math"
	"testing"

	"starling/gossip/codec"
	"starling/node"
)

// lossy is the quadratic task with vectors that are encoded by a codec that loses much.
type lossy struct {
	*quadratic
	codec codec.Codec
}

func newLossy(t *testing.T, nodes, dim int, name string) *lossy {
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	q := newQuadratic(nodes, dim)
	q.codec = c
	return &lossy{q, c}
}

func copiesConfig(t *testing.T, nodes int, name string, gamma, beta float64) Config {
	cfg := config(nodes, "metropolis")
	l := newLossy(t, nodes, 12, name)
	cfg.Task = l.quadratic
	cfg.Inline = 1000
	cfg.Node.Average.Exchange = node.Copies
	cfg.Node.Average.Copies = node.CopiesConfig{Gamma: gamma, Damp: codec.ClassOf(l.codec).Contraction(), Beta: beta, Common: true}
	return cfg
}

func TestCopiesFirst(t *testing.T) {
	for _, beta := range []float64{0, 0.3} {
		cfg := copiesConfig(t, 6, "topk:0.25,fp32", 0.3, beta)
		w := start(t, cfg)
		for range 10 {
			w.Run(w.Now()+20*node.Second, nil)
			sum := 0.0
			for i := range cfg.Nodes {
				sum = math.Max(sum, cfg.Task.(*quadratic).distance(w.Params(i)))
			}
			s, _ := w.Status(0)
			t.Log(beta, w.Now().Seconds(), sum, s.Round, s.Counted, s.Published, w.Vectors(0))
		}
	}
}
