package llama

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/node/model"
	"starling/node/model/hf"
	"starling/node/optim"
)

func TestRowsOfTokensAreTrainedAsSequences(t *testing.T) {
	m, params, grad := build(t, small(hf.Qwen2), "lora:r=3", 2, Options{})
	rows, err := m.Windows(30)
	if err != nil {
		t.Fatal(err)
	}
	batch := text(rand.New(rand.NewPCG(30, 31)), 1600, 30, 30, 30)
	var x []float32
	for _, token := range batch.Tokens {
		x = append(x, float32(token))
	}
	want, again := make([]float32, len(grad)), slices.Clone(params)
	loss, targets := m.Gradient(want, params, batch)
	if got := rows.Gradient(grad, params, x, batch.Targets); got != loss || !slices.Equal(grad, want) {
		t.Errorf("the loss of rows is %v, of sequences %v", got, loss)
	}
	sum, right, _ := m.Evaluate(params, batch)
	if s, r := rows.Clone().Evaluate(params, x, batch.Targets); s != sum || r != right {
		t.Errorf("rows have loss %v and %d right, sequences %v and %d", s, r, sum, right)
	}
	if inputs, labels := rows.Row(); inputs != 30 || labels != 30 || rows.Layout() != m.Layout() {
		t.Errorf("a row has %d tokens and %d labels", inputs, labels)
	}
	// Adapters alone learn the three texts by heart.
	o, err := optim.Parse("adamw:lr=0.02")
	if err != nil {
		t.Fatal(err)
	}
	rows.Init(again, 5)
	state := make([]float32, o.StateLen(len(again)))
	for i := range uint64(60) {
		rows.Gradient(grad, again, x, batch.Targets)
		if err := o.Step(again, grad, state, optim.Context{Step: i, LR: o.Rate(i)}); err != nil {
			t.Fatal(err)
		}
	}
	after, right := rows.Evaluate(again, x, batch.Targets)
	if after > sum/4 || right < targets/2 {
		t.Errorf("after 60 steps the loss is %v, where it was %v, and %d of %d are right", after, sum, right, targets)
	}
	for _, n := range []int{0, 701} {
		if _, err := m.Windows(n); err == nil {
			t.Errorf("rows of %d tokens are possible", n)
		}
	}
	for name, f := range map[string]func(){
		"half a row": func() { rows.Evaluate(params, x[:45], batch.Targets[:45]) },
		"a fraction": func() { rows.Evaluate(params, append([]float32{0.5}, x[1:30]...), batch.Targets[:30]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestDocumentsInARowAreComputedAlone(t *testing.T) {
	m, params, _ := build(t, small(hf.Llama), "full:norms", 1, Options{})
	together, err := m.Windows(6)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := m.Windows(3)
	if err != nil {
		t.Fatal(err)
	}
	// "3 4 5" and "6 7" share a row, whose last place is empty; the second row has nothing to learn.
	x, y := []float32{3, 4, 5, -1 - 6, 7, 0, 8, 9, 8, 9, 8, 9}, []int32{4, 5, -1, 7, 8, -1, -1, -1, -1, -1, -1, -1}
	loss, right := together.Evaluate(params, x, y)
	first, r1 := alone.Evaluate(params, []float32{3, 4, 5}, []int32{4, 5, -1})
	second, r2 := alone.Evaluate(params, []float32{6, 7, 0}, []int32{7, 8, -1})
	if math.Abs(loss-first-second) > 1e-5 || right != r1+r2 {
		t.Errorf("the loss of two documents in a row is %v, alone they have %v and %v", loss, first, second)
	}
	if b := together.(*windows).rows(x, y); !slices.Equal(b.Lengths, []int{2, 2}) || model.Counted(b.Targets) != 4 {
		t.Errorf("the batch is %+v", b)
	}
}
