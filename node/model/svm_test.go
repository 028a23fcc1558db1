package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheHingeIsWhatItsFormulaSays(t *testing.T) {
	m := parse(t, "svm", 2, 2)
	params := []float32{1, -2}
	x := []float32{
		2, 0, // side 2: label 1 has no loss, label 0 a loss of 3
		0.5, 0, // 0.5: a loss of 0.5 or 1.5
		0, 0, // 0: a loss of 1, and classified as 0
		1, 0, // 1: no loss for label 1, just so
	}
	for _, test := range []struct {
		y     []int32
		loss  float64
		right int
		grad  []float32
	}{
		{[]int32{1, 1, 1, 1}, 1.5, 3, []float32{-0.125, 0}},
		{[]int32{0, 0, 0, 0}, 3 + 1.5 + 1 + 2, 1, []float32{3.5 / 4, 0}},
		{[]int32{1, 0, 0, 1}, 1.5 + 1, 3, []float32{0.125, 0}},
	} {
		grad := []float32{9, 9}
		mean := m.Gradient(grad, params, x, test.y)
		loss, right := m.Evaluate(params, x, test.y)
		if loss != test.loss || mean != test.loss/4 || right != test.right || !slices.Equal(grad, test.grad) {
			t.Errorf("%v: loss %g and %g, %d right, gradient %v; want %+v", test.y, loss, mean, right, grad, test)
		}
	}
}

func TestTheHingeGradientIsTheSlopeOfItsLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, inputs := rapid.IntRange(1, 9).Draw(t, "rows"), rapid.IntRange(1, 9).Draw(t, "inputs")
		number := rapid.Float32Range(-2, 2)
		m, err := Parse("svm", inputs, 2)
		if err != nil {
			t.Fatal(err)
		}
		w, x := rapid.SliceOfN(number, inputs, inputs).Draw(t, "w"), rapid.SliceOfN(number, rows*inputs, rows*inputs).Draw(t, "x")
		y := rapid.SliceOfN(rapid.Int32Range(0, 1), rows, rows).Draw(t, "y")
		grad := make([]float32, inputs)
		loss := m.Gradient(grad, w, x, y)
		// A subgradient of a convex function is below it everywhere.
		v := rapid.SliceOfN(number, inputs, inputs).Draw(t, "v")
		bound := loss
		for i := range v {
			bound += float64(grad[i]) * float64(v[i]-w[i])
		}
		if there, _ := m.Evaluate(v, x, y); there/float64(rows) < bound-1e-4 {
			t.Fatalf("loss %g is below the tangent's %g", there/float64(rows), bound)
		}
	})
}

func TestTheHingeOfNoNumberIsNone(t *testing.T) {
	m := parse(t, "svm", 1, 2)
	params, grad := []float32{float32(math.NaN())}, make([]float32, 1)
	if loss := m.Gradient(grad, params, []float32{1}, []int32{1}); !math.IsNaN(loss) {
		t.Errorf("loss %g", loss)
	}
	if loss, right := m.Evaluate(params, []float32{1, 1}, []int32{0, 1}); !math.IsNaN(loss) || right != 0 {
		t.Errorf("loss %g, %d right", loss, right)
	}
}

func TestAnSVMIsForTwoClassesAndStartsAtZero(t *testing.T) {
	if _, err := Parse("svm", 784, 10); err == nil || !strings.Contains(err.Error(), "2 classes") {
		t.Error(err)
	}
	params := []float32{1, 2, 3}
	parse(t, "svm", 3, 2).Init(params, 5)
	if !slices.Equal(params, []float32{0, 0, 0}) {
		t.Error(params)
	}
}

func TestPreparedRowsAreWorthWhatTheyAreWorthUnprepared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, inputs := rapid.IntRange(0, 2*chunk+9).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "inputs")
		m, err := Parse("svm", inputs, 2)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, x, y := make([]float32, inputs), make([]float32, rows*inputs), make([]int32, rows)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		for i := range y {
			y[i] = int32(r.IntN(2))
		}
		exam := m.(Preparer).Prepare(x, y)
		for range 3 {
			for i := range w {
				w[i] = float32(r.NormFloat64())
			}
			loss, right := m.Evaluate(w, x, y)
			if l, n := exam(w); l != loss || n != right {
				t.Fatalf("loss %g and %d right, prepared %g and %d", loss, right, l, n)
			}
			for i := range y { // the definition, in the order of the rows
				if l := hinge(y[i], side(w, x[i*inputs:][:inputs])); l > 0 {
					loss -= l
				}
			}
			if math.Abs(loss) > 1e-3*float64(1+rows) {
				t.Fatalf("the loss is off by %g", loss)
			}
		}
	})
}

func side(w, x []float32) (sum float64) {
	for i := range w {
		sum += float64(w[i]) * float64(x[i])
	}
	return sum
}
