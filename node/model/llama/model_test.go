package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"starling/node/model/hf"
	"starling/node/model/weights"
)

// small is a configuration that goes through everything more than once: blocks of the vocabulary and of queries, groups of heads.
func small(family hf.Family) hf.Config {
	c := hf.Config{
		Family: family, Vocab: 1600, Context: 700, Hidden: 40, MLP: 56, Layers: 2, Heads: 6, KVHeads: 2, HeadDim: 8, NormEps: 1e-5,
		Rope: hf.Rope{Theta: 10000}, Activation: "silu", Tied: true, BOS: -1, Pad: -1,
	}
	switch family {
	case hf.Qwen2:
		c.QKVBias, c.Tied = true, false
	case hf.GPT2:
		c.Heads, c.KVHeads, c.Activation, c.Rope = 5, 5, "gelu_new", hf.Rope{}
	}
	return c
}

// gaussian is a source of weights for small configurations, drawn when they are asked for, the same for the same name.
type gaussian struct{ config hf.Config }

func (g gaussian) Tensor(name string) (weights.Tensor, error) {
	shape, rng, n := drawn(g.config, name)
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(0.2 * float32(rng.NormFloat64()))
		if strings.HasSuffix(name, "weight") && len(shape) == 1 {
			v[i]++
		}
	}
	return weights.FromFloats(name, shape, v)
}

// drawn returns the shape of a tensor, the number of its elements, and what to draw them from.
func drawn(c hf.Config, name string) (shape []int, rng *rand.Rand, n int) {
	all := c.Tensors()
	shape = all[slices.IndexFunc(all, func(s hf.Shape) bool { return s.Name == name })].Shape
	n, seed := 1, uint64(5)
	for _, d := range shape {
		n *= d
	}
	for _, r := range name {
		seed = seed*31 + uint64(r)
	}
	return shape, rand.New(rand.NewPCG(seed, 1)), n
}

func build(t testing.TB, c hf.Config, spec string, workers int, o Options) (m *Model, params, grad []float32) {
	t.Helper()
	base, err := Load(c, gaussian{c}, o)
	if err != nil {
		t.Fatal(err)
	}
	if spec == "all" {
		spec = "lora:r=3;" + everything(base)
	}
	m = reference{base: base}.model(t, spec, workers)
	params, grad = make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 3)
	rng := rand.New(rand.NewPCG(6, 7))
	for i := range params { // away from the start, where B is zero
		params[i] += float32(0.05 * float32(rng.NormFloat64()))
	}
	return m, params, grad
}

var families = []hf.Family{hf.Llama, hf.Qwen2, hf.GPT2}

func TestGradientsEqualFiniteDifferences(t *testing.T) {
	for _, family := range families {
		t.Run(string(family), func(t *testing.T) {
			m, params, grad := build(t, small(family), "all", 2, Options{})
			rng := rand.New(rand.NewPCG(8, 9))
			batch := text(rng, 1600, 70, 3, 1, 30)
			for i := 10; i < 30; i++ {
				batch.Targets[i] = -1
			}
			m.Gradient(grad, params, batch)
			at := make([]float32, len(params))
			loss := func(step float64, direction []float64) float64 {
				for i, p := range params {
					at[i] = p + float32(step*direction[i])
				}
				sum, _, n := m.Evaluate(at, batch)
				return sum / float64(n)
			}
			// One direction for every tensor: its own gradient, which tells most.
			for _, tensor := range m.Layout().Tensors {
				direction, norm := make([]float64, len(params)), 0.0
				for _, g := range tensor.Of(grad) {
					norm += float64(g) * float64(g)
				}
				norm = math.Sqrt(norm)
				for i, g := range tensor.Of(grad) {
					direction[tensor.Offset+i] = float64(g) / norm
				}
				const h = 0.04
				slope := func(h float64) float64 { return (loss(h, direction) - loss(-h, direction)) / (2 * h) }
				got, want := norm, (4*slope(h/2)-slope(h))/3
				if !(math.Abs(got-want) < 2e-4+0.004*math.Abs(want)) {
					t.Errorf("%s: the slope along the gradient is %v, want %v", tensor.Name, got, want)
				}
			}
		})
	}
}

func TestResultsAreTheSameBitsWithAnyNumberOfWorkers(t *testing.T) {
	for _, family := range families {
		for _, o := range []Options{{}, {Int8: true}} {
			m, params, grad := build(t, small(family), "all", 1, o)
			batch := text(rand.New(rand.NewPCG(10, 11)), 1600, 70, 300, 40, 200)
			loss, _ := m.Gradient(grad, params, batch)
			sum, right, _ := m.Evaluate(params, batch)
			again := make([]float32, len(grad))
			for _, workers := range []int{2, 3, 7} {
				for _, frugal := range []bool{false, true} {
					c := m.Clone()
					c.workers = workers
					c.Frugal(frugal)
					l, _ := c.Gradient(again, params, batch)
					s, r, _ := c.Evaluate(params, batch)
					if l != loss || s != sum || r != right || !slices.Equal(again, grad) {
						t.Errorf("%s, %d workers, frugal %v: other results", family, workers, frugal)
					}
				}
			}
			if math.Abs(sum-loss*606) > 1e-3 {
				t.Errorf("the loss of evaluation is %v, that of training %v", sum/606, loss)
			}
		}
	}
}

// Bits of results on one machine; the test passes on every other one only if they are the same there.
func TestModelsHaveTheRecordedBits(t *testing.T) {
	want := map[string]uint64{
		"llamafalse": 0x80831410af096801, "llamatrue": 0x11f17a5c64ba71da, "qwen2false": 0x7ed07a29e1864e3f, "qwen2true": 0xf5e0f6bd15afd61c,
		"gpt2false": 0xbf1a9a63dec7f9d4, "gpt2true": 0x34937442be0f2261,
	}
	for _, family := range families {
		for _, o := range []Options{{}, {Int8: true}} {
			c := small(family)
			c.Vocab = 800
			m, params, grad := build(t, c, "all", 2, o)
			m.Gradient(grad, params, text(rand.New(rand.NewPCG(12, 13)), 800, 70, 5))
			h := uint64(14695981039346656037)
			for _, v := range grad {
				h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
			}
			if name := fmt.Sprint(family, o.Int8); h != want[name] {
				t.Errorf("%s: the hash of the gradient is %#x", name, h)
			}
		}
	}
}

func TestSequencesDoNotSeeEachOther(t *testing.T) {
	for _, family := range families {
		m, params, grad := build(t, small(family), "lora:r=2;full:norms", 2, Options{})
		batch := text(rand.New(rand.NewPCG(14, 15)), 1600, 66, 600, 5, 80)
		loss, targets := m.Gradient(grad, params, batch)
		var mean float64
		sum, one, at := make([]float64, len(grad)), make([]float32, len(grad)), 0
		for _, n := range batch.Lengths {
			l, k := m.Gradient(one, params, Batch{batch.Tokens[at:][:n], batch.Targets[at:][:n], []int{n}})
			at += n
			share := float64(k) / float64(targets)
			mean += l * share
			for i, g := range one {
				sum[i] += float64(g) * share
			}
		}
		if math.Abs(mean-loss) > 1e-9 {
			t.Errorf("%s: the loss of all is %v, of one after the other %v", family, loss, mean)
		}
		for i, g := range grad {
			if math.Abs(float64(g)-sum[i]) > 1e-6 {
				t.Fatalf("%s: element %d of the gradient is %v, of one after the other %v", family, i, g, sum[i])
			}
		}
	}
}

func TestTargetsThatDoNotCountChangeNothing(t *testing.T) {
	m, params, grad := build(t, small(hf.Llama), "lora:r=2", 2, Options{})
	batch := text(rand.New(rand.NewPCG(16, 17)), 1600, 20)
	for i := range batch.Targets {
		batch.Targets[i] = -1
	}
	grad[0] = 1
	if loss, n := m.Gradient(grad, params, batch); loss != 0 || n != 0 || slices.ContainsFunc(grad, func(g float32) bool { return g != 0 }) {
		t.Errorf("no target has loss %v", loss)
	}
	if loss, right, n := m.Evaluate(params, Batch{}); loss != 0 || right != 0 || n != 0 {
		t.Errorf("nothing has loss %v", loss)
	}
	batch.Targets[7] = 3
	if loss, n := m.Gradient(grad, params, batch); !(loss > 0) || n != 1 {
		t.Errorf("one target: loss %v of %d", loss, n)
	}
}

func TestTrainingStartsWhereTheModelWas(t *testing.T) {
	for _, family := range families {
		m, params, _ := build(t, small(family), "rslora:r=4", 1, Options{})
		all, whole, _ := build(t, small(family), "all", 1, Options{})
		m.Init(params, 9)
		all.Init(whole, 9)
		tokens := text(rand.New(rand.NewPCG(18, 19)), 1600, 30).Tokens
		got, want := make([]float32, 30*1600), make([]float32, 30*1600)
		m.Logits(got, params, tokens)
		all.Logits(want, whole, tokens)
		if !slices.Equal(got, want) {
			t.Errorf("%s: adapters at the start are not the model without", family)
		}
		again, other := make([]float32, len(params)), make([]float32, len(params))
		m.Clone().Init(again, 9)
		m.Init(other, 10)
		if !slices.Equal(params, again) || slices.Equal(params, other) {
			t.Errorf("%s: the start is no function of the seed", family)
		}
		for _, tensor := range m.Layout().Tensors {
			v := tensor.Of(params)
			if strings.Contains(tensor.Name, "lora_B") {
				if slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) {
					t.Errorf("%s is not zero", tensor.Name)
				}
				continue
			}
			bound := float32(1 / math.Sqrt(float64(tensor.Shape[1])))
			if low, high := slices.Min(v), slices.Max(v); low < -bound || high > bound || high-low < 1.7*bound {
				t.Errorf("%s lies from %v to %v, want ±%v", tensor.Name, low, high, bound)
			}
		}
	}
}

func TestParametersThatDivergedShow(t *testing.T) {
	m, params, grad := build(t, small(hf.Llama), "lora:r=2", 2, Options{})
	batch := text(rand.New(rand.NewPCG(20, 21)), 1600, 20)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
		for i := range params {
			params[i] = bad
		}
		if loss, _ := m.Gradient(grad, params, batch); !math.IsNaN(loss) {
			t.Errorf("the loss of parameters of %v is %v", bad, loss)
		}
		if loss, right, _ := m.Evaluate(params, batch); !math.IsNaN(loss) || right != 0 {
			t.Errorf("parameters of %v have loss %v, and %d are right", bad, loss, right)
		}
	}
}

func TestBatchesThatAreNonePanic(t *testing.T) {
	m, params, grad := build(t, small(hf.Llama), "lora:r=2", 1, Options{})
	for name, b := range map[string]Batch{
		"token too large":  {[]int32{1600}, []int32{1}, []int{1}},
		"token below 0":    {[]int32{-1}, []int32{1}, []int{1}},
		"target too large": {[]int32{1}, []int32{1600}, []int{1}},
		"no length":        {[]int32{1}, []int32{1}, []int{0, 1}},
		"too long":         {make([]int32, 701), make([]int32, 701), []int{701}},
		"lengths":          {[]int32{1, 2}, []int32{1, 2}, []int{1}},
		"targets":          {[]int32{1, 2}, []int32{1}, []int{2}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			m.Gradient(grad, params, b)
		}()
	}
}

// held returns the bytes of all slices that a value holds, each once.
func held(v reflect.Value, seen map[unsafe.Pointer]bool) (n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.UnsafePointer()] {
			seen[v.UnsafePointer()] = true
			n += held(v.Elem(), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += held(v.Field(i), seen)
		}
	case reflect.Array:
		for i := range v.Len() {
			n += held(v.Index(i), seen)
		}
	case reflect.Slice:
		kind := v.Type().Elem().Kind()
		if kind == reflect.Pointer || kind == reflect.Struct || kind == reflect.Slice {
			for i := range v.Len() {
				n += held(v.Index(i), seen)
			}
		} else if v.Cap() > 0 && !seen[v.UnsafePointer()] {
			seen[v.UnsafePointer()] = true
			n += int64(v.Cap()) * int64(v.Type().Elem().Size())
		}
	}
	return n
}

func TestMemoryIsAsEstimated(t *testing.T) {
	for _, family := range families {
		for _, o := range []Options{{}, {Int8: true}} {
			for _, u := range []Use{
				{Context: 600, Sequences: 1, Workers: 2, Train: true}, {Context: 100, Sequences: 4, Workers: 1, Train: true},
				{Context: 300, Sequences: 1, Workers: 1, Train: true, Frugal: true}, {Context: 256, Sequences: 3, Workers: 2},
			} {
				c := small(family)
				m, params, grad := build(t, c, "lora:r=4", u.Workers, o)
				m.Frugal(u.Frugal)
				parts, n, err := Memory(c, m.Training(), o, u)
				if err != nil || n != len(params) {
					t.Fatalf("%d parameters, want %d: %v", n, len(params), err)
				}
				lengths := slices.Repeat([]int{u.Context}, u.Sequences)
				batch := text(rand.New(rand.NewPCG(1, 1)), c.Vocab, lengths...)
				if u.Train {
					m.Gradient(grad, params, batch)
				} else {
					m.Evaluate(params, batch)
				}
				seen := map[unsafe.Pointer]bool{}
				workers := held(reflect.ValueOf(m.benches), seen)
				got := map[string]int64{"weights": m.base.Bytes(), "workers": workers, "layers": held(reflect.ValueOf(m.scratch), seen)}
				for _, p := range parts {
					least := map[string]float64{"weights": 1, "layers": 0.98, "workers": 0.8 / float64(u.Workers)}[p.Name] // one may do all
					if most := float64(p.Bytes); float64(got[p.Name]) > most*(2-max(least, 0.98)) || float64(got[p.Name]) < most*least {
						t.Errorf("%s %+v %+v: %s take %d bytes, estimated %d", family, o, u, p.Name, got[p.Name], p.Bytes)
					}
				}
			}
		}
	}
	if _, _, err := Memory(small(hf.Llama), Training{Rank: 1, Alpha: 1}, Options{}, Use{Context: 701}); err == nil {
		t.Error("sequences longer than the context are possible")
	}
}
