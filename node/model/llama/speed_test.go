package llama

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"starling/mixing/kernel"
	"starling/node/model/hf"
	"starling/node/model/weights"
)

// smol is the configuration of SmolLM2-135M.
func smol() hf.Config {
	return hf.Config{
		Family: hf.Llama, Vocab: 49152, Context: 8192, Hidden: 576, MLP: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, NormEps: 1e-5,
		Rope: hf.Rope{Theta: 100000}, Activation: "silu", Tied: true, BOS: 1, EOS: []int{2}, Pad: 2,
	}
}

// random is a source of weights that are drawn when they are asked for, the same for the same name.
type random struct{ config hf.Config }

func (r random) Tensor(name string) (weights.Tensor, error) {
	shape, rng, n := drawn(r.config, name)
	data := make([]byte, 2*n)
	for i := 0; i < len(data); i += 2 { // within ±1/16, or from 1 to 2 for gains
		bits := uint16(rng.Uint32())&0x807f | 0x3d00
		if len(shape) == 1 {
			bits = bits&0x7f | 0x3f80
		}
		data[i], data[i+1] = byte(bits), byte(bits>>8)
	}
	return weights.New(name, weights.BF16, shape, data)
}

func text(rng *rand.Rand, vocab int, lengths ...int) Batch {
	b := Batch{Lengths: lengths}
	for _, n := range lengths {
		for i := range n {
			b.Tokens = append(b.Tokens, int32(rng.IntN(vocab)))
			if i > 0 {
				b.Targets = append(b.Targets, b.Tokens[len(b.Tokens)-1])
			}
		}
		b.Targets = append(b.Targets, -1)
	}
	return b
}

// flops returns those of the products with weights for a token on the way there.
func flops(b *Base) (n float64) {
	b.tensors(func(t tensor) {
		if t.matrix != nil {
			out, in := t.matrix.Dims()
			n += 2 * float64(out) * float64(in)
		}
	})
	return n
}

// products multiplies rows by all weights and does nothing else: the time that a forward pass cannot beat.
func (m *Model) products(n int) time.Duration {
	x, y := make([]float32, n*m.base.config.MLP), make([]float32, n*m.base.config.MLP)
	began := time.Now()
	m.rows(n, func(_ *bench, from, rows int) {
		m.base.tensors(func(t tensor) {
			if t.matrix == nil {
				return
			}
			out, in := t.matrix.Dims()
			for first := 0; first < out; first += m.base.config.MLP {
				size := min(m.base.config.MLP, out-first)
				view := t.matrix.Columns(first, size)
				kernel.MulPacked(false, rows, x[from*in:], in, &view, y[from*size:], size)
			}
		})
	})
	return time.Since(began)
}

// BenchmarkSmolLM2 measures a model with the shapes of SmolLM2-135M and LoRA of rank 8 on 512 tokens, with two workers: in turns the
// products of a forward pass alone, the pass with its losses, and a gradient. It reports medians, the part of the pass that the
// products are, and how many passes a gradient takes.
func BenchmarkSmolLM2(b *testing.B) {
	for _, v := range []struct {
		name   string
		int8   bool
		frugal bool
	}{{"float32", false, false}, {"float32frugal", false, true}, {"int8", true, false}} {
		b.Run(v.name, func(b *testing.B) {
			m, params, grad := smolModel(b, Options{Int8: v.int8})
			m.Frugal(v.frugal)
			batch := text(rand.New(rand.NewPCG(1, 2)), smol().Vocab, 512)
			m.Gradient(grad, params, batch)
			var products, passes, gradients []float64
			for b.Loop() {
				products = append(products, m.products(512).Seconds())
				began := time.Now()
				m.Evaluate(params, batch)
				passes = append(passes, time.Since(began).Seconds())
				began = time.Now()
				m.Gradient(grad, params, batch)
				gradients = append(gradients, time.Since(began).Seconds())
			}
			bare, pass, gradient := median(products), median(passes), median(gradients)
			b.ReportMetric(flops(m.base)*512/bare/1e9, "product-GFLOP/s")
			b.ReportMetric(1e3*pass, "ms/pass")
			b.ReportMetric(100*bare/pass, "%products/pass")
			b.ReportMetric(gradient/pass, "passes/gradient")
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// smolModel has the weights of STARLING_SMOLLM2 if that is set, and others otherwise.
func smolModel(b *testing.B, o Options) (m *Model, params, grad []float32) {
	b.Helper()
	var source Source = random{smol()}
	if os.Getenv("STARLING_SMOLLM2") != "" {
		c := smolLM2(b)
		defer c.Close()
		source = c
	}
	base, err := Load(smol(), source, o)
	if err != nil {
		b.Fatal(err)
	}
	m = reference{base: base}.model(b, "lora:r=8", 2)
	params, grad = make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 1)
	return m, params, grad
}

// BenchmarkToken measures the next token of a text of some hundred, one at a time.
func BenchmarkToken(b *testing.B) {
	for name, o := range map[string]Options{"float32": {}, "int8": {Int8: true}} {
		b.Run(name, func(b *testing.B) {
			m, params, _ := smolModel(b, o)
			g, err := m.Generator(params, 1024)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if g.Tokens() == 1024 {
					g.past = 0
				}
				if err := g.Feed(7); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemoryOfSmolLM2 trains a model with the shapes of SmolLM2-135M with LoRA on 512 tokens, and reports the most memory that the
// process has had: run one of them at a time. It is not known but on Linux.
func BenchmarkMemoryOfSmolLM2(b *testing.B) {
	for name, o := range map[string]Options{"float32": {}, "int8": {Int8: true}} {
		b.Run(name, func(b *testing.B) {
			m, params, grad := smolModel(b, o)
			batch := text(rand.New(rand.NewPCG(1, 2)), smol().Vocab, 512, 512)
			for b.Loop() {
				m.Gradient(grad, params, batch)
				m.Evaluate(params, batch)
			}
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				b.Skip(err)
			}
			_, after, _ := strings.Cut(string(status), "VmHWM:")
			kib, err := strconv.Atoi(strings.Fields(after)[0])
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(kib)/1024, "MiB-peak")
			parts, _, err := Memory(smol(), m.Training(), o, Use{Context: 512, Sequences: 2, Workers: 2, Train: true})
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range parts {
				b.ReportMetric(float64(p.Bytes)/(1<<20), "MiB-"+p.Name)
			}
		})
	}
}
