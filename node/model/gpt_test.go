package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/mixing"
	"starling/node/data"
	"starling/node/optim"
)

// sequences draws rows of tokens and the tokens that follow them.
func sequences(rng *rand.Rand, rows, context, tokens int) (x []float32, y []int32) {
	for range rows {
		next := rng.IntN(tokens)
		for range context {
			x = append(x, float32(next))
			next = rng.IntN(tokens)
			y = append(y, int32(next))
		}
	}
	return x, y
}

// gptReference computes the mean loss of one gpt in float64, straight from the definition, tensors found by their names.
type gptReference struct {
	gptShape
	layout *mixing.Layout
	params []float64
}

func (g gptReference) tensor(format string, args ...any) []float64 {
	name := fmt.Sprintf(format, args...)
	i := slices.IndexFunc(g.layout.Tensors, func(t mixing.Tensor) bool { return t.Name == name })
	t := g.layout.Tensors[i]
	return g.params[t.Offset:][:t.Len()]
}

func (g gptReference) norm(x, gain []float64) []float64 {
	var squares float64
	for _, v := range x {
		squares += v * v
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = gain[i] * v / math.Sqrt(squares/float64(len(x))+epsilon)
	}
	return out
}

func times(w, x []float64) []float64 {
	out := make([]float64, len(w)/len(x))
	for i := range out {
		for j, v := range x {
			out[i] += w[i*len(x)+j] * v
		}
	}
	return out
}

func plus(x, y []float64) {
	for i, v := range y {
		x[i] += v
	}
}

// mean returns the values weighted by the powers of their scaled products with a query.
func (g gptReference) mean(q []float64, keys, values [][]float64) []float64 {
	out := make([]float64, g.width)
	size := g.width / g.heads
	for h := 0; h < g.width; h += size {
		var sum float64
		for i := range keys {
			weight := math.Exp(times(keys[i][h:h+size], q[h:h+size])[0] / math.Sqrt(float64(size)))
			sum += weight
			for j := range size {
				out[h+j] += weight * values[i][h+j]
			}
		}
		for j := range size {
			out[h+j] /= sum
		}
	}
	return out
}

func (g gptReference) loss(x []float32, y []int32) float64 {
	var loss float64
	e, p := g.tensor("tokens.weight"), g.tensor("positions.weight")
	for first := 0; first < len(y); first += g.context {
		stream := make([][]float64, g.context)
		for i := range stream {
			stream[i] = slices.Clone(e[int(x[first+i])*g.width:][:g.width])
			plus(stream[i], p[i*g.width:][:g.width])
		}
		for l := range g.layers {
			var keys, values [][]float64
			for _, v := range stream {
				qkv := times(g.tensor("layers.%d.attention.in.weight", l), g.norm(v, g.tensor("layers.%d.attention.gain", l)))
				keys, values = append(keys, qkv[g.width:][:g.width]), append(values, qkv[2*g.width:])
				plus(v, times(g.tensor("layers.%d.attention.out.weight", l), g.mean(qkv[:g.width], keys, values)))
				hidden := times(g.tensor("layers.%d.mlp.up.weight", l), g.norm(v, g.tensor("layers.%d.mlp.gain", l)))
				for i, u := range hidden {
					hidden[i] = u / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(u+0.044715*u*u*u)))
				}
				plus(v, times(g.tensor("layers.%d.mlp.down.weight", l), hidden))
			}
		}
		for i, v := range stream {
			var sum float64
			logits := times(e, g.norm(v, g.tensor("gain")))
			for _, z := range logits {
				sum += math.Exp(z)
			}
			if label := y[first+i]; label >= 0 {
				loss += math.Log(sum) - logits[label]
			}
		}
	}
	return loss / float64(Counted(y))
}

func TestLabelsThatDoNotCountTeachNothing(t *testing.T) {
	m := parse(t, "gpt:layers=1,width=8,heads=2,context=4", 0, 9)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 3)
	grad[5] = 7
	if loss := m.Gradient(grad, params, []float32{1, 2, 3, 4}, []int32{-1, -1, -1, -1}); loss != 0 || slices.ContainsFunc(grad, func(g float32) bool { return g != 0 }) {
		t.Errorf("the loss of labels that do not count is %v, their gradient %v", loss, grad)
	}
}

func TestGradientsOfGPTEqualFiniteDifferences(t *testing.T) {
	for _, test := range []struct {
		spec                 string
		rows, context, token int
		every                int // element is checked
	}{
		{"gpt:layers=1,width=4,heads=1,context=3", 2, 3, 3, 1},
		{"gpt:layers=2,width=8,heads=2,context=5", 3, 5, 7, 1},
		{"gpt:layers=1,width=6,heads=3,context=1", 4, 1, 5, 1},
		{"gpt:layers=1,width=8,heads=2,context=70", 9, 70, 20, 61},     // two blocks of queries, two chunks
		{"gpt:layers=1,width=16,heads=2,context=20", 28, 20, 256, 499}, // blocks of logits that end within a sequence, and all bytes
	} {
		t.Run(test.spec, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(31, 32))
			m := parse(t, test.spec, 0, test.token).(*gpt)
			n := m.Layout().Len()
			params, grad := make([]float32, n), make([]float32, n)
			m.Init(params, 3)
			for i := range params { // far from the start, where every part has some effect
				params[i] += 0.3 * float32(rng.NormFloat64())
			}
			x, y := sequences(rng, test.rows, test.context, test.token)
			for i := 2; i < len(y); i += 5 {
				y[i] = -1 // does not count
			}
			loss := m.Gradient(grad, params, x, y)
			if sum, _ := m.Evaluate(params, x, y); math.Abs(sum/float64(Counted(y))-loss) > 1e-9 {
				t.Errorf("the loss is %v, evaluated %v", loss, sum/float64(Counted(y)))
			}
			r := gptReference{m.gptShape, m.layout, make([]float64, n)}
			for i, p := range params {
				r.params[i] = float64(p)
			}
			if want := r.loss(x, y); math.Abs(loss-want) > 2e-6 {
				t.Errorf("the loss is %v, want %v", loss, want)
			}
			for i := 0; i < n; i += test.every {
				const h = 1e-5
				at := r.params[i]
				r.params[i] = at + h
				up := r.loss(x, y)
				r.params[i] = at - h
				down := r.loss(x, y)
				r.params[i] = at
				if want := (up - down) / (2 * h); math.Abs(float64(grad[i])-want) > 3e-6+1e-4*math.Abs(want) {
					t.Errorf("element %d of the gradient is %v, want %v", i, grad[i], want)
				}
			}
		})
	}
}

func TestGPTSeesThePastAlone(t *testing.T) {
	const context = 100
	m := parse(t, "gpt:layers=2,width=16,heads=2,context=100", 0, 256)
	params := make([]float32, m.Layout().Len())
	m.Init(params, 5)
	x, y := sequences(rand.New(rand.NewPCG(33, 34)), 1, context, 256)
	losses := func(x []float32) (all []float64) {
		g := m.(*gpt)
		g.forward(params, x)
		for i := range y {
			g.logit(params, y[:i+1], func(from int, z []float32, labels []int32) {
				if last := from + len(labels) - 1; last == i {
					sum, right := g.powers(z[len(z)-256:], y[i])
					all = append(all, math.Log(sum)-right)
				}
			})
		}
		return all
	}
	before := losses(x)
	for _, at := range []int{0, 1, 63, 64, 99} {
		other := slices.Clone(x)
		other[at] = float32((int(x[at]) + 1) % 256)
		after := losses(other)
		if !slices.Equal(before[:at], after[:at]) {
			t.Errorf("another token at %d changes what is predicted before", at)
		}
		for i := at; i < context; i++ {
			if before[i] == after[i] {
				t.Errorf("another token at %d does not change what is predicted after %d", at, i)
			}
		}
	}
}

func TestRowsOfGPTAreIndependent(t *testing.T) {
	const context, rows = 30, 40 // chunks of 17 rows
	rng := rand.New(rand.NewPCG(35, 36))
	m := parse(t, "gpt:layers=2,width=8,heads=2,context=30", 0, 11)
	if inputs, labels := m.Row(); inputs != context || labels != context {
		t.Errorf("a row has %d features and %d labels", inputs, labels)
	}
	n := m.Layout().Len()
	params, grad, one, mean := make([]float32, n), make([]float32, n), make([]float32, n), make([]float64, n)
	m.Init(params, 1)
	x, y := sequences(rng, rows, context, 11)
	loss := m.Gradient(grad, params, x, y)
	sum, right := m.Evaluate(params, x, y)
	if math.Abs(sum/float64(len(y))-loss) > 1e-9 {
		t.Errorf("the mean loss is %v by evaluation and %v by training", sum/float64(len(y)), loss)
	}
	for i := range rows {
		xs, ys := x[i*context:][:context], y[i*context:][:context]
		loss -= m.Gradient(one, params, xs, ys) / rows
		for j, g := range one {
			mean[j] += float64(g) / rows
		}
		l, r := m.Evaluate(params, xs, ys)
		sum, right = sum-l, right-r
	}
	if math.Abs(loss) > 1e-9 || math.Abs(sum) > 1e-6 || right != 0 {
		t.Errorf("rows one by one differ by %v in the loss of training, by %v and %d in evaluation", loss, sum, right)
	}
	for j := range mean {
		if math.Abs(mean[j]-float64(grad[j])) > 1e-6 {
			t.Errorf("element %d is %v, that of the rows %v", j, grad[j], mean[j])
		}
	}
	if l, r := m.Evaluate(params, nil, nil); l != 0 || r != 0 {
		t.Errorf("no rows give %v and %d", l, r)
	}
}

func TestGPTDoesNotAllocateInTheLongRun(t *testing.T) {
	m := parse(t, "gpt:layers=2,width=16,heads=2,context=70", 0, 256)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 1)
	x, y := sequences(rand.New(rand.NewPCG(37, 38)), 9, 70, 256)
	if n := testing.AllocsPerRun(3, func() {
		m.Gradient(grad, params, x, y)
		m.Evaluate(params, x[:70], y[:70])
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func TestGPTThatDivergedShows(t *testing.T) {
	m := parse(t, "gpt:layers=1,width=8,heads=2,context=4", 0, 7)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	x, y := sequences(rand.New(rand.NewPCG(39, 40)), 2, 4, 7)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
		for i := range params {
			params[i] = bad
		}
		if loss := m.Gradient(grad, params, x, y); !math.IsNaN(loss) {
			t.Errorf("the loss of parameters of %v is %v", bad, loss)
		}
		if loss, right := m.Evaluate(params, x, y); !math.IsNaN(loss) || right != 0 {
			t.Errorf("parameters of %v have loss %v, and %d are right", bad, loss, right)
		}
	}
}

func TestWhatIsNoTokenPanics(t *testing.T) {
	m := parse(t, "gpt:layers=1,width=4,heads=1,context=1", 0, 7)
	params := make([]float32, m.Layout().Len())
	for _, x := range []float32{-8, 7, float32(math.NaN())} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic with %v", x)
				}
			}()
			m.Evaluate(params, []float32{x}, []int32{0})
		}()
	}
}

func TestTheLayoutOfGPTNamesItsParts(t *testing.T) {
	var got []string
	layout := parse(t, "gpt:layers=1,width=8,heads=2,context=5", 0, 20).Layout()
	for _, tensor := range layout.Tensors {
		got = append(got, fmt.Sprintf("%s %v kind %d", tensor.Name, tensor.Shape, tensor.Kind))
	}
	want := []string{
		"tokens.weight [20 8] kind 0", "positions.weight [5 8] kind 0", "layers.0.attention.gain [8] kind 2",
		"layers.0.attention.in.weight [24 8] kind 0", "layers.0.attention.out.weight [8 8] kind 0", "layers.0.mlp.gain [8] kind 2",
		"layers.0.mlp.up.weight [32 8] kind 0", "layers.0.mlp.down.weight [8 32] kind 0", "gain [8] kind 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	params := make([]float32, layout.Len())
	parse(t, "gpt:layers=1,width=8,heads=2,context=5", 0, 20).Init(params, 1)
	in := 0.5 * math.Sqrt(3./8)
	for i, bound := range []float64{in, in, 1, in, in / math.Sqrt2, 1, in, in / math.Sqrt(8), 1} {
		v := layout.Tensors[i].Of(params)
		if most := float64(slices.Max(v)); most > bound+1e-7 || most < 0.7*bound || bound == 1 && slices.Min(v) != 1 {
			t.Errorf("%s begins with up to %v, want %v", layout.Tensors[i].Name, most, bound)
		}
	}
}

// A hash of results on one machine: the test passes on others only if they compute the same bits.
func TestGradientsOfGPTHaveTheRecordedBits(t *testing.T) {
	m := parse(t, "gpt:layers=2,width=24,heads=3,context=37", 0, 256)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 99)
	x, y := sequences(rand.New(rand.NewPCG(41, 42)), 15, 37, 256)
	o, err := optim.Parse("adamw:lr=0.003")
	if err != nil {
		t.Fatal(err)
	}
	state := make([]float32, o.StateLen(len(params)))
	h := fnv.New64a()
	for s := range uint64(5) {
		fmt.Fprintf(h, "%x ", math.Float64bits(m.Gradient(grad, params, x, y)))
		if err := o.Step(params, grad, state, optim.Context{Step: s, LR: o.Rate(s)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range params {
		fmt.Fprintf(h, "%x ", math.Float32bits(p))
	}
	if got := h.Sum64(); got != 0x7af5aae255fdf295 {
		t.Errorf("the hash is %#x", got)
	}
}

// opticks returns windows of a book that comes with Go, for training and for evaluation.
func opticks(t testing.TB, context int) (train, held *data.Set) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("there is no go command to say where the text to learn is: %v", err)
	}
	file := filepath.Join(strings.TrimSpace(string(root)), "src", "testdata", "Isaac.Newton-Opticks.txt")
	if _, err := os.Stat(file); err != nil {
		t.Skipf("the text to learn, which comes with Go, is not there: %v", err)
	}
	source, err := data.Open("text:" + file)
	if err == nil {
		source, err = source.Windows(context)
	}
	if err == nil {
		train, err = source.Train(nil)
	}
	if err == nil {
		held, err = source.Test()
	}
	if err != nil {
		t.Fatal(err)
	}
	return train, held
}

func TestGPTLearnsMoreThanTheFrequencyOfLetters(t *testing.T) {
	const context, batch, steps = 32, 16, 300
	train, held := opticks(t, context)
	held = held.Subset([]int32{0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1500})
	m := parse(t, "gpt:layers=2,width=48,heads=3,context=32", 0, 256)
	o, err := optim.Parse("adamw:lr=5e-3")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := data.NewPlan(train.Len(), batch, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := m.Layout().Len()
	params, grad, state := make([]float32, n), make([]float32, n), make([]float32, o.StateLen(n))
	m.Init(params, 1)
	x, y := make([]float32, batch*context), make([]int32, batch*context)
	var order data.Batches
	var counts [256]float64
	for s := range uint64(steps) {
		train.Fill(x, y, order.Rows(plan, s))
		for _, label := range y {
			counts[label]++
		}
		m.Gradient(grad, params, x, y)
		if err := o.Step(params, grad, state, optim.Context{Step: s, LR: o.Rate(s)}); err != nil {
			t.Fatal(err)
		}
	}
	var entropy float64 // of single letters in what was read
	for _, c := range counts {
		if p := c / (steps * batch * context); p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	held.FillRange(x, y, 0, batch)
	sum, right := m.Evaluate(params, x, y)
	loss, share := sum/float64(len(y)), float64(right)/float64(len(y))
	t.Logf("loss %.3f nats a byte, entropy of letters %.3f, right %.3f", loss, entropy, share)
	if loss > entropy-0.5 || share < 0.3 {
		t.Errorf("loss %.3f nats a byte, %.3f right; single letters have an entropy of %.3f", loss, share, entropy)
	}
}

func BenchmarkGPT(b *testing.B) {
	const context, batch = 64, 8
	train, _ := opticks(b, context)
	m := parse(b, "gpt:layers=4,width=128,heads=4,context=64", 0, 256)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 1)
	x, y := make([]float32, batch*context), make([]int32, batch*context)
	train.FillRange(x, y, 0, batch)
	b.Run("gradient", func(b *testing.B) {
		for b.Loop() {
			m.Gradient(grad, params, x, y)
		}
		b.ReportMetric(batch*context*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	})
	b.Run("evaluate", func(b *testing.B) {
		for b.Loop() {
			m.Evaluate(params, x, y)
		}
		b.ReportMetric(batch*context*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	})
}
