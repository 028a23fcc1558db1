package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node/data"
	"starling/node/optim"
)

func parse(t testing.TB, spec string, inputs, classes int) Model {
	t.Helper()
	m, err := Parse(spec, inputs, classes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rows(rng *rand.Rand, n, inputs, classes int) (x []float32, y []int32) {
	x, y = make([]float32, n*inputs), make([]int32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	for i := range y {
		y[i] = int32(rng.IntN(classes))
	}
	return x, y
}

// reference computes the mean loss in float64, straight from the definition.
func reference(l *mixing.Layout, params []float64, x []float32, y []int32, inputs int) float64 {
	var loss float64
	for r, label := range y {
		h := make([]float64, inputs)
		for i := range h {
			h[i] = float64(x[r*inputs+i])
		}
		for t := 0; t < len(l.Tensors); t += 2 {
			w, b := l.Tensors[t], l.Tensors[t+1]
			out := make([]float64, w.Shape[0])
			for i := range out {
				out[i] = params[b.Offset+i]
				for j, v := range h {
					out[i] += params[w.Offset+i*len(h)+j] * v
				}
				if t+2 < len(l.Tensors) {
					out[i] = max(out[i], 0)
				}
			}
			h = out
		}
		var sum float64
		for _, z := range h {
			sum += math.Exp(z)
		}
		loss += math.Log(sum) - h[label]
	}
	return loss / float64(len(y))
}

func TestGradientsEqualFiniteDifferences(t *testing.T) {
	for _, spec := range []string{"softmax", "mlp:7", "mlp:6,5", "mlp:4,3,5"} {
		t.Run(spec, func(t *testing.T) {
			const inputs, classes = 5, 4
			rng := rand.New(rand.NewPCG(1, 2))
			m := parse(t, spec, inputs, classes)
			n := m.Layout().Len()
			params, grad := make([]float32, n), make([]float32, n)
			m.Init(params, 3)
			for i := range params { // biases too, so that no unit sits on its kink
				params[i] += 0.1 * float32(rng.NormFloat64())
			}
			x, y := rows(rng, 11, inputs, classes)
			loss := m.Gradient(grad, params, x, y)
			exact := make([]float64, n)
			for i, p := range params {
				exact[i] = float64(p)
			}
			if want := reference(m.Layout(), exact, x, y, inputs); math.Abs(loss-want) > 1e-6 {
				t.Errorf("the loss is %v, want %v", loss, want)
			}
			for i := range exact {
				const h = 1e-6
				at := exact[i]
				exact[i] = at + h
				up := reference(m.Layout(), exact, x, y, inputs)
				exact[i] = at - h
				down := reference(m.Layout(), exact, x, y, inputs)
				exact[i] = at
				if want := (up - down) / (2 * h); math.Abs(float64(grad[i])-want) > 1e-5 {
					t.Errorf("element %d of the gradient is %v, want %v", i, grad[i], want)
				}
			}
		})
	}
}

func TestLargeBatchesAreTheMeanOfTheirRows(t *testing.T) {
	const inputs, classes, n = 3, 3, 2*chunk + 17
	rng := rand.New(rand.NewPCG(4, 5))
	m := parse(t, "mlp:6", inputs, classes)
	params := make([]float32, m.Layout().Len())
	m.Init(params, 1)
	x, y := rows(rng, n, inputs, classes)
	grad, one := make([]float32, len(params)), make([]float32, len(params))
	mean, loss := make([]float64, len(params)), 0.0
	got := m.Gradient(grad, params, x, y)
	for i := range n {
		loss += m.Gradient(one, params, x[i*inputs:][:inputs], y[i:][:1]) / n
		for j, g := range one {
			mean[j] += float64(g) / n
		}
	}
	if math.Abs(got-loss) > 1e-6 {
		t.Errorf("the loss is %v, that of the rows %v", got, loss)
	}
	for j := range mean {
		if math.Abs(mean[j]-float64(grad[j])) > 1e-6 {
			t.Errorf("element %d is %v, that of the rows %v", j, grad[j], mean[j])
		}
	}
}

func TestEvaluationAgreesWithTheLoss(t *testing.T) {
	const inputs, classes, n = 4, 5, chunk + 3
	rng := rand.New(rand.NewPCG(6, 7))
	m := parse(t, "mlp:9,8", inputs, classes)
	params := make([]float32, m.Layout().Len())
	m.Init(params, 1)
	x, y := rows(rng, n, inputs, classes)
	mean := m.Gradient(make([]float32, len(params)), params, x, y)
	loss, right := m.Evaluate(params, x, y)
	if math.Abs(loss/n-mean) > 1e-6 {
		t.Errorf("the mean loss is %v by evaluation and %v by training", loss/n, mean)
	}
	sum, count := 0.0, 0
	for i := range n {
		l, r := m.Evaluate(params, x[i*inputs:][:inputs], y[i:][:1])
		sum, count = sum+l, count+r
	}
	if math.Abs(sum-loss) > 1e-9*loss || count != right {
		t.Errorf("rows one by one give %v and %d, together %v and %d", sum, count, loss, right)
	}
	if l, r := m.Evaluate(params, nil, nil); l != 0 || r != 0 {
		t.Errorf("no rows give %v and %d", l, r)
	}
}

func TestTrainingThatDivergedShows(t *testing.T) {
	m := parse(t, "mlp:3", 2, 2)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		for i := range params {
			params[i] = bad
		}
		x, y := []float32{1, 2, -3, 4}, []int32{0, 1}
		if loss := m.Gradient(grad, params, x, y); !math.IsNaN(loss) {
			t.Errorf("the loss of parameters of %v is %v", bad, loss)
		}
		if loss, right := m.Evaluate(params, x, y); !math.IsNaN(loss) || math.IsNaN(float64(bad)) && right != 0 {
			t.Errorf("parameters of %v have loss %v, and %d are right", bad, loss, right)
		}
	}
	for i := range params {
		params[i] = 1e18 // large, and still no overflow in the softmax
	}
	if loss := m.Gradient(grad, params, []float32{1, 2}, []int32{1}); math.IsNaN(loss) || !kernel.Finite(grad) {
		t.Errorf("the loss of large parameters is %v", loss)
	}
}

func TestInitialParametersAreSpreadAsTheySay(t *testing.T) {
	m := parse(t, "mlp:100", 784, 10)
	l := m.Layout()
	params, again, other := make([]float32, l.Len()), make([]float32, l.Len()), make([]float32, l.Len())
	m.Init(params, 1)
	m.Clone().Init(again, 1)
	m.Init(other, 2)
	if !slices.Equal(params, again) || slices.Equal(params, other) {
		t.Error("initial parameters are not a function of the seed")
	}
	for i, bound := range []float64{math.Sqrt(6. / 784), 0, math.Sqrt(6. / 110), 0} {
		var sum, squares, largest float64
		v := l.Tensors[i].Of(params)
		for _, p := range v {
			sum, squares, largest = sum+float64(p), squares+float64(p)*float64(p), max(largest, math.Abs(float64(p)))
		}
		n := float64(len(v))
		if largest > bound || largest < 0.99*bound || math.Abs(sum/n) > 4*bound/math.Sqrt(3*n) || math.Abs(squares/n-bound*bound/3) > 0.1*bound*bound/3 {
			t.Errorf("%s: largest %v, mean %v, mean square %v; want uniform on ±%v", l.Tensors[i].Name, largest, sum/n, squares/n, bound)
		}
	}
}

func TestTheLayoutNamesLayers(t *testing.T) {
	var got []string
	for _, tensor := range parse(t, "mlp:20,30", 8, 5).Layout().Tensors {
		got = append(got, fmt.Sprintf("%s %v from %d kind %d", tensor.Name, tensor.Shape, tensor.Offset, tensor.Kind))
	}
	want := []string{
		"layers.0.weight [20 8] from 0 kind 0", "layers.0.bias [20] from 160 kind 1",
		"layers.1.weight [30 20] from 180 kind 0", "layers.1.bias [30] from 780 kind 1",
		"layers.2.weight [5 30] from 810 kind 0", "layers.2.bias [5] from 960 kind 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClonesDoNotShareScratch(t *testing.T) {
	m := parse(t, "mlp:16", 8, 3)
	params := make([]float32, m.Layout().Len())
	m.Init(params, 1)
	rng := rand.New(rand.NewPCG(8, 9))
	x, y := rows(rng, 64, 8, 3)
	want := make([]float32, len(params))
	m.Gradient(want, params, x, y)
	done := make(chan []float32)
	for range 4 {
		clone := m.Clone()
		go func() {
			grad := make([]float32, len(params))
			for range 50 {
				clone.Gradient(grad, params, x, y)
			}
			done <- grad
		}()
	}
	for range 4 {
		if got := <-done; !slices.Equal(got, want) {
			t.Error("a clone on another goroutine has another gradient")
		}
	}
}

// A hash of results on one machine: the test passes on others only if they compute the same bits.
func TestGradientsHaveTheRecordedBits(t *testing.T) {
	m := parse(t, "mlp:20,12", 30, 7)
	params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
	m.Init(params, 99)
	rng := rand.New(rand.NewPCG(10, 11))
	x, y := make([]float32, 300*30), make([]int32, 300)
	for i := range x {
		x[i] = rng.Float32() - 0.3
	}
	for i := range y {
		y[i] = int32(rng.IntN(7))
	}
	o, err := optim.Parse("adamw:lr=0.01,schedule=cosine,total=30")
	if err != nil {
		t.Fatal(err)
	}
	state := make([]float32, o.StateLen(len(params)))
	h := fnv.New64a()
	for s := range uint64(20) {
		fmt.Fprintf(h, "%x ", math.Float64bits(m.Gradient(grad, params, x, y)))
		if err := o.Step(params, grad, state, optim.Context{Step: s, LR: o.Rate(s)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range params {
		fmt.Fprintf(h, "%x ", math.Float32bits(p))
	}
	if got := h.Sum64(); got != 0x2b6a17f1010e3d77 {
		t.Errorf("the hash is %#x", got)
	}
}

// train goes through MNIST once, or the share of it that epochs says, and returns the share of test rows that are right.
func train(t *testing.T, set, test *data.Set, spec, optimizer string) float64 {
	t.Helper()
	o, err := optim.Parse(optimizer)
	if err != nil {
		t.Fatal(err)
	}
	const batch = 32
	plan, err := data.NewPlan(set.Len(), batch, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, spec, set.Inputs(), set.Classes())
	n := m.Layout().Len()
	params, grad, state := make([]float32, n), make([]float32, n), make([]float32, o.StateLen(n))
	m.Init(params, 1)
	x, y := make([]float32, batch*784), make([]int32, batch)
	var order data.Batches
	share := float64(epochs)
	for s := range uint64(share * float64(set.Len()/batch)) {
		set.Fill(x, y, order.Rows(plan, s))
		m.Gradient(grad, params, x, y)
		if err := o.Step(params, grad, state, optim.Context{Step: s, LR: o.Rate(s)}); err != nil {
			t.Fatal(err)
		}
	}
	x, y = make([]float32, test.Len()*784), make([]int32, test.Len())
	test.FillRange(x, y, 0, test.Len())
	_, right := m.Evaluate(params, x, y)
	return float64(right) / float64(test.Len())
}

func TestOneEpochOfMNISTIsLearned(t *testing.T) {
	source, err := data.Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	set, err := source.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := source.Test()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		model, optimizer string
		want             float64
	}{
		{"mlp:64", "sgd:lr=0.1", 0.93},
		{"softmax", "sgd:lr=0.1", 0.90},
		{"softmax", "adamw:lr=1e-3", 0.90},
	} {
		t.Run(test.model+"/"+test.optimizer, func(t *testing.T) {
			got := train(t, set, held, test.model, test.optimizer)
			t.Logf("accuracy %.4f", got)
			if got < test.want-(1-epochs)*0.12 { // less training, less learned
				t.Errorf("accuracy %.4f, want %v", got, test.want)
			}
		})
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		spec            string
		inputs, classes int
		want            string
	}{
		{"", 2, 2, `"" is not known; use softmax, mlp:WIDTHS, svm or gpt`},
		{"sofmax", 2, 2, "did you mean \"softmax\"?"},
		{"MLP:64", 2, 2, "did you mean \"mlp\"?"},
		{"mpl", 2, 2, "did you mean \"mlp\"?"},
		{"resnet50", 2, 2, `"resnet50" is not known; use softmax, mlp:WIDTHS, svm or gpt`},
		{"softmax:3", 2, 2, "not known"},
		{"mlp", 2, 2, "such as mlp:64"},
		{"mlp:", 2, 2, "such as mlp:64"},
		{"mlp:0", 2, 2, `not "0"`},
		{"mlp:-3", 2, 2, `not "-3"`},
		{"mlp:64,", 2, 2, `not ""`},
		{"mlp:65537", 2, 2, "from 1 to 65536"},
		{"mlp:60000,60000", 2, 2, "not possible"},
		{"mlp:40000,40000,40000", 2, 2, "more than 2^31"},
		{"mlp:30000,30000", 2, 2, "more than 268435456"},
		{"mlp:1" + strings.Repeat(",1", 16), 2, 2, "17 hidden layers"},
		{"softmax", -1, 2, "-1 inputs"},
		{"softmax", 0, 256, `model "softmax" wants rows of features, and this data is text: use gpt`},
		{"mlp:64", 0, 256, "use gpt"},
		{"svm", 0, 2, "use gpt"},
		{"gpt", 784, 10, "model gpt reads text, and this data is rows of features: use data from text:FILE"},
		{"gtp:layers=1", 0, 256, `did you mean "gpt"?`},
		{"gpt:", 0, 256, `has no setting ""; it has layers, width, heads, context, such as gpt:layers=4`},
		{"gpt:layer=2", 0, 256, `did you mean "layers"?`},
		{"gpt:64", 0, 256, `has no setting "64"`},
		{"gpt:layers=2,layers=2", 0, 256, "model gpt has layers twice"},
		{"gpt:layers=2,", 0, 256, `no setting ""`},
		{"gpt:layers=0", 0, 256, `model gpt wants layers from 1 to 64, not "0"`},
		{"gpt:layers=65", 0, 256, `not "65"`},
		{"gpt:layers", 0, 256, `not ""`},
		{"gpt:context=8193", 0, 256, "context from 1 to 8192"},
		{"gpt:width=130", 0, 256, "a width of 130 cannot be divided among 4"},
		{"gpt:width=65536", 0, 256, "model gpt is not possible: tensor"},
		{"gpt:width=4096,layers=8", 0, 256, "parameters, more than 268435456"},
		{"gpt:width=1024,layers=12,context=8192", 0, 256, "floats of memory for a row, more than 268435456"},
		{"softmax", 2, 1, "1 classes"},
		{"softmax", 2, 257, "257 classes"},
		{strings.Repeat("x", 5000), 2, 2, "not known"},
	} {
		_, err := Parse(test.spec, test.inputs, test.classes)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 250 {
			t.Errorf("Parse(%.40q, %d, %d): %v, want %q", test.spec, test.inputs, test.classes, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("softmax")
	f.Add("mlp:128, 64")
	f.Add("gpt:layers=2, width=8,heads=2,context=3")
	f.Add("mlp:65536,65536,65536")
	f.Fuzz(func(t *testing.T, spec string) {
		for _, inputs := range []int{0, 3} {
			m, err := Parse(spec, inputs, 2)
			if err == nil && (m.Layout().Len() < 3 || m.Layout().Len() > maxParams) {
				t.Errorf("%q has %d parameters", spec, m.Layout().Len())
			}
		}
	})
}

func BenchmarkStep(b *testing.B) {
	source, err := data.Open("mnist")
	if err != nil {
		b.Fatal(err)
	}
	set, err := source.Test()
	if err != nil {
		b.Fatal(err)
	}
	o, err := optim.Parse("sgd:lr=0.1")
	if err != nil {
		b.Fatal(err)
	}
	for _, spec := range []string{"softmax", "mlp:64", "mlp:100", "mlp:128,64"} {
		b.Run(spec, func(b *testing.B) {
			const batch = 32
			plan, err := data.NewPlan(set.Len(), batch, 1, 0)
			if err != nil {
				b.Fatal(err)
			}
			m := parse(b, spec, 784, 10)
			params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
			m.Init(params, 1)
			x, y := make([]float32, batch*784), make([]int32, batch)
			var order data.Batches
			step := uint64(0)
			for b.Loop() {
				set.Fill(x, y, order.Rows(plan, step))
				m.Gradient(grad, params, x, y)
				if err := o.Step(params, grad, nil, optim.Context{Step: step, LR: 0.1}); err != nil {
					b.Fatal(err)
				}
				step++
			}
			b.ReportMetric(batch*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	source, err := data.Open("mnist")
	if err != nil {
		b.Fatal(err)
	}
	set, err := source.Test()
	if err != nil {
		b.Fatal(err)
	}
	for _, spec := range []string{"softmax", "mlp:64", "mlp:100"} {
		b.Run(spec, func(b *testing.B) {
			m := parse(b, spec, 784, 10)
			params := make([]float32, m.Layout().Len())
			m.Init(params, 1)
			x, y := make([]float32, 256*784), make([]int32, 256)
			for b.Loop() {
				for first := 0; first < set.Len(); first += 256 {
					n := min(256, set.Len()-first)
					set.FillRange(x, y, first, n)
					m.Evaluate(params, x[:n*784], y[:n])
				}
			}
		})
	}
}
