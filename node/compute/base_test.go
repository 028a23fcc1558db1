package compute

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"starling/mixing"
	"starling/node/manifest"
)

func TestAllNodesStartFromTheWeightsThatTheManifestNames(t *testing.T) {
	m := manifest.Default()
	m.Data.Source, m.Model = "pegasos", "softmax"
	drawn, err := New(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	base := make([]float32, drawn.Len())
	for i := range base {
		base[i] = float32(i) / 8
	}
	has := func(v []float32) func(*mixing.Layout) ([]float32, error) {
		return func(*mixing.Layout) ([]float32, error) { return v, nil }
	}
	if p, err := New(m, Options{Weights: has(base)}); err != nil || p.Base() != nil {
		t.Errorf("a run whose weights are drawn: %v", err)
	}
	m.Init = manifest.WeightsInit(Digest(base))
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := New(m, Options{Weights: has(base)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		n, err := p.Node(uint64(i), i)
		if err != nil {
			t.Fatal(err)
		}
		params, opt := make([]float32, p.Len()), make([]float32, p.OptLen())
		p.Init(n, params, opt)
		if !slices.Equal(params, base) || !p.Common() {
			t.Errorf("node %d starts from something else", i)
		}
	}
	m.Method.Name, m.Method.Scalar = "scalar", "structured"
	if p, err = New(m, Options{Weights: has(base)}); err != nil {
		t.Fatal(err)
	}
	if cfg, err := p.Scalar(); err != nil || cfg.BaseDigest != Digest(base) {
		t.Errorf("records are to change the model %x, not %x: %v", cfg.BaseDigest, Digest(base), err)
	}

	other, odd := slices.Clone(base), slices.Clone(base)
	other[3]++
	odd[3] = float32(math.Inf(1))
	for _, test := range []struct {
		name, want string
		weights    func(*mixing.Layout) ([]float32, error)
	}{
		{"none", "say with --model in which file they are", nil},
		{"of another digest", "take those that the run was made for", has(other)},
		{"of another model", "and model softmax has", has(base[1:])},
		{"that are no numbers", "no finite numbers", has(odd)},
		{"that cannot be read", "the disk is gone", func(*mixing.Layout) ([]float32, error) { return nil, errors.New("the disk is gone") }},
	} {
		if _, err := New(m, Options{Weights: test.weights}); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("weights %s: %v", test.name, err)
		}
	}
}
