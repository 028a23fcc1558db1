package optim

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestPegasosFollowsItsFormula(t *testing.T) {
	o := parse(t, "pegasos:lambda=0.5")
	w := []float32{9, -9} // forgotten by the first step
	for i, step := range []struct{ grad, want []float32 }{
		{[]float32{-1, 2}, []float32{2, -4}},                         // t=1: η=2, keeps 0
		{[]float32{1, 0}, []float32{0, -2}},                          // t=2: η=1, keeps 1/2
		{[]float32{0, 3}, []float32{0, -2.0*2/3 - 3.0*2/3}},          // t=3: η=2/3, keeps 2/3
		{[]float32{0, 0}, []float32{0, (-2.0*2/3 - 3.0*2/3) * 0.75}}, // t=4
	} {
		// Neither the number of the step nor the rate counts.
		if err := o.Step(w, step.grad, nil, Context{Age: uint64(i), Step: 77, LR: 5}); err != nil {
			t.Fatal(err)
		}
		if !near(w[0], float64(step.want[0])) || !near(w[1], float64(step.want[1])) {
			t.Errorf("step %d: %v, want %v", i, w, step.want)
		}
	}
	if o.StateLen(5) != 0 || o.Rate(3) != 0.5 || o.Name() != "pegasos" {
		t.Errorf("%d of state, rate %g, name %s", o.StateLen(5), o.Rate(3), o.Name())
	}
}

func TestPegasosProjectsIfAsked(t *testing.T) {
	start, grad := []float32{0, 0}, []float32{-3, 4}
	free, bound := slices.Clone(start), slices.Clone(start)
	for spec, w := range map[string][]float32{"pegasos:lambda=0.25": free, "pegasos:lambda=0.25,project=true": bound} {
		if err := parse(t, spec).Step(w, grad, nil, Context{}); err != nil {
			t.Fatal(err)
		}
	}
	// η = 4 gives (12, -16) of norm 20; the ball has radius 2.
	if !slices.Equal(free, []float32{12, -16}) || !near(bound[0], 1.2) || !near(bound[1], -1.6) {
		t.Errorf("%v, projected %v", free, bound)
	}
}

func TestPegasosRefusesWhatItCannotStep(t *testing.T) {
	o := parse(t, "pegasos")
	w := []float32{1}
	if err := o.Step(w, []float32{1, 2}, nil, Context{}); !errors.Is(err, ErrLengths) {
		t.Error(err)
	}
	if err := o.Step(w, []float32{float32(math.Inf(1))}, nil, Context{}); !errors.Is(err, ErrDiverged) || w[0] != 1 {
		t.Error(err, w)
	}
	for _, spec := range []string{"pegasos:lambda=0", "pegasos:lambda=-1", "pegasos:lr=0.1", "pegasos:project=perhaps"} {
		if _, err := Parse(spec); err == nil {
			t.Errorf("%s is accepted", spec)
		}
	}
}
