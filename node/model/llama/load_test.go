package llama

import (
	"math"
	"strings"
	"testing"

	"starling/node/model/hf"
	"starling/node/model/weights"
)

// changed is a source with one tensor that is another, or not there.
type changed struct {
	Source
	name   string
	tensor *weights.Tensor
}

func (c changed) Tensor(name string) (weights.Tensor, error) {
	switch {
	case name != c.name:
		return c.Source.Tensor(name)
	case c.tensor == nil:
		return weights.Tensor{}, weights.Missing(name, nil)
	}
	return *c.tensor, nil
}

func TestWeightsThatDoNotFitAreRefused(t *testing.T) {
	c := small(hf.Llama)
	const name = "model.layers.1.self_attn.q_proj.weight"
	wide, err := weights.FromFloats(name, []int{48, 41}, make([]float32, 48*41))
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, 48*40)
	v[77] = float32(math.Inf(1))
	broken, err := weights.FromFloats(name, []int{48, 40}, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tensor *weights.Tensor
		want   string
	}{{nil, name}, {&wide, name}, {&broken, "not finite"}} {
		if _, err := Load(c, changed{gaussian{c}, name, test.tensor}, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	bad := c
	bad.Layers = 0
	if _, err := Load(bad, gaussian{c}, Options{}); err == nil || !strings.Contains(err.Error(), "num_hidden_layers") {
		t.Errorf("a model without layers: %v", err)
	}
	gpt2 := small(hf.GPT2)
	gpt2.Activation = "relu"
	if _, err := Load(gpt2, gaussian{gpt2}, Options{}); err == nil || !strings.Contains(err.Error(), "gelu_new") {
		t.Errorf("GPT-2 with rectifiers: %v", err)
	}
}

func TestBytesAreCloseToFloats(t *testing.T) {
	for _, name := range models {
		exact, rounded := load(t, name, Options{}), load(t, name, Options{Int8: true})
		if f, b := exact.base.Bytes(), rounded.base.Bytes(); b > f/2 { // these are small, with much padding
			t.Errorf("%s: floats take %d bytes, bytes %d", name, f, b)
		}
		m := rounded.model(t, "lora:r=1", 1)
		params := make([]float32, m.Layout().Len())
		m.Init(params, 1)
		compareLogits(t, m, params, rounded.batch, floats(t, exact.file, "logits"), 0.12)
		loss, _, n := m.Evaluate(params, rounded.batch)
		if want := float64(floats(t, exact.file, "loss")[0]); math.Abs(loss/float64(n)-want) > 0.01*want {
			t.Errorf("%s: the loss with bytes is %v, want %v", name, loss/float64(n), want)
		}
	}
}

func TestRotationsAreThoseOfTheirAngles(t *testing.T) {
	for i := range 20000 {
		angle := float64(i) * 0.4321
		cos, sin := circle(angle)
		if math.Abs(float64(cos)-math.Cos(angle)) > 1e-7 || math.Abs(float64(sin)-math.Sin(angle)) > 1e-7 {
			t.Fatalf("at %v: %v and %v, want %v and %v", angle, cos, sin, math.Cos(angle), math.Sin(angle))
		}
	}
}
