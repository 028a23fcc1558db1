package llama

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"starling/node/model/hf"
	"starling/node/model/safetensors"
)

// models are the directories of testdata, which make.py makes.
var models = []string{"llama", "smollm2", "qwen2", "gpt2"}

// adapters are the trainings that make.py has for them.
var adapters = map[string]string{
	"llama":   "lora:r=3,alpha=6",
	"smollm2": "rslora:r=4,alpha=8,targets=q_proj+v_proj+down_proj",
	"qwen2":   "lora:r=2,alpha=4,targets=k_proj+o_proj+gate_proj",
	"gpt2":    "lora:r=3,alpha=6,targets=c_attn+c_fc+mlp.c_proj",
}

func open(t testing.TB, path ...string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func floats(t testing.TB, f *safetensors.File, name string) []float32 {
	t.Helper()
	tensor, err := f.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tensor.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func integers(t testing.TB, f *safetensors.File, name string) (v []int32) {
	t.Helper()
	tensor, err := f.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	for b := tensor.Bytes(); len(b) > 0; b = b[4:] {
		v = append(v, int32(binary.LittleEndian.Uint32(b)))
	}
	return v
}

// A reference is what make.py says of a model.
type reference struct {
	base  *Base
	file  *safetensors.File
	batch Batch
}

func load(t testing.TB, name string, o Options) reference {
	t.Helper()
	c, err := hf.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	base, err := Load(*c.Config, c, o)
	if err != nil {
		t.Fatal(err)
	}
	r := reference{base: base, file: open(t, name, "expect.safetensors")}
	r.batch.Tokens, r.batch.Targets = integers(t, r.file, "tokens"), integers(t, r.file, "targets")
	for _, n := range integers(t, r.file, "lengths") {
		r.batch.Lengths = append(r.batch.Lengths, int(n))
	}
	return r
}

func (r reference) model(t testing.TB, spec string, workers int) *Model {
	t.Helper()
	training, err := ParseTraining(spec)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(r.base, training, workers)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expected fills a vector with tensors of the reference, whose names begin with a prefix. GPT-2's matrices lie across there.
func (r reference) expected(t testing.TB, m *Model, f *safetensors.File, prefix string) []float32 {
	t.Helper()
	v := make([]float32, m.Layout().Len())
	for _, tensor := range m.Layout().Tensors {
		from, to := floats(t, f, prefix+tensor.Name), tensor.Of(v)
		if len(from) != len(to) {
			t.Fatalf("%s: %d elements, want %d", tensor.Name, len(to), len(from))
		}
		if len(tensor.Shape) == 2 && strings.Contains(tensor.Name, ".h.") && !strings.Contains(tensor.Name, "lora") {
			rows, cols := tensor.Shape[0], tensor.Shape[1]
			for i := range to {
				to[i] = from[i%cols*rows+i/cols]
			}
			continue
		}
		copy(to, from)
	}
	return v
}

func compareLogits(t *testing.T, m *Model, params []float32, b Batch, want []float32, within float64) {
	t.Helper()
	vocab, at := m.base.config.Vocab, 0
	for _, n := range b.Lengths {
		got := make([]float32, n*vocab)
		m.Logits(got, params, b.Tokens[at:][:n])
		for i, v := range got {
			if d := math.Abs(float64(v) - float64(want[at*vocab+i])); !(d <= within) {
				t.Fatalf("logit %d of token %d is %v, want %v", i%vocab, at+i/vocab, v, want[at*vocab+i])
			}
		}
		at += n
	}
}

// compareGradients wants every tensor within a part of its largest element.
func compareGradients(t *testing.T, m *Model, got, want []float32, within float64) {
	t.Helper()
	for _, tensor := range m.Layout().Tensors {
		g, w := tensor.Of(got), tensor.Of(want)
		var size, diff float64
		at := 0
		for i := range w {
			size = max(size, math.Abs(float64(w[i])))
			if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= diff) {
				diff, at = d, i
			}
		}
		if !(diff <= within*size) || size == 0 {
			t.Errorf("%s: element %d is %v, want %v, where the largest is %v", tensor.Name, at, g[at], w[at], size)
		}
	}
}

func everything(b *Base) string {
	var list []string
	b.tensors(func(t tensor) { list = append(list, t.name) })
	return "full:" + strings.Join(list, "+")
}

func TestModelsAreThoseOfTransformers(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			r := load(t, name, Options{})
			m := r.model(t, everything(r.base), 2)
			params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
			m.Init(params, 1)
			compareLogits(t, m, params, r.batch, floats(t, r.file, "logits"), 1e-4)
			loss, targets := m.Gradient(grad, params, r.batch)
			if want := float64(floats(t, r.file, "loss")[0]); math.Abs(loss-want) > 1e-6 || targets != 70+9-2-8 {
				t.Errorf("the loss of %d targets is %v, want %v", targets, loss, want)
			}
			compareGradients(t, m, grad, r.expected(t, m, r.file, "grad."), 1e-4)
		})
	}
}

func TestAdaptersAreThoseOfPEFT(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			r := load(t, name, Options{})
			m := r.model(t, adapters[name], 2)
			params := r.expected(t, m, open(t, name, "adapter", "adapter_model.safetensors"), "base_model.model.")
			grad := make([]float32, len(params))
			compareLogits(t, m, params, r.batch, floats(t, r.file, "adapted.logits"), 1e-4)
			loss, _ := m.Gradient(grad, params, r.batch)
			if want := float64(floats(t, r.file, "adapted.loss")[0]); math.Abs(loss-want) > 1e-6 {
				t.Errorf("the loss is %v, want %v", loss, want)
			}
			compareGradients(t, m, grad, r.expected(t, m, r.file, "adapted.grad."), 1e-4)
		})
	}
}
