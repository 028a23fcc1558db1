package optim

import (
	"math"

	"starling/mixing/kernel"
)

// A Schedule is the factor of the learning rate over the steps. The zero value is the constant 1.
type Schedule struct {
	Kind     string  // "constant" or empty, "cosine", "wsd" (warm-up, stable, decay), or "step"
	Warmup   uint64  // steps at the start over which the factor rises from 1/100 to 1 along a line
	Total    uint64  // cosine and wsd: the step from which on the factor is Final
	Final    float64 // cosine and wsd: the factor at the end
	Cooldown float64 // wsd: the share of Total over which the factor falls, 0 to 1
	Shape    string  // wsd: how it falls: "linear", "sqrt" or empty, "square", "cosine", "mirror" or "exp"
	Every    uint64  // step: steps between two cuts
	Gamma    float64 // step: what a cut multiplies by
}

// Factor returns the factor at a step, counted from 0. The formulas are those of the trapezoid schedule: with x going from 0
// to 1 over the cooldown and φ = Final, linear is φ+(1−φ)(1−x), sqrt has 1−√x and square 1−x² in place of 1−x, cosine
// (1+cos πx)/2, mirror is twice linear minus cosine, exp is φ^x.
func (s Schedule) Factor(step uint64) float64 {
	if step < s.Warmup {
		const start = 0.01
		x := float64(step) / float64(s.Warmup)
		return x + float64((1-x)*start)
	}
	switch s.Kind {
	case "cosine":
		if step >= s.Total {
			return s.Final
		}
		x := float64(step-s.Warmup) / float64(s.Total-s.Warmup)
		return fall(s.Final, float64(0.5*(1+kernel.CosPi(x))))
	case "wsd":
		if step >= s.Total {
			return s.Final
		}
		down := uint64(math.Floor(s.Cooldown * float64(s.Total)))
		hold := s.Total - min(down, s.Total)
		if step < hold {
			return 1
		}
		return s.cool(float64(step-hold) / float64(down))
	case "step":
		return power(s.Gamma, step/s.Every)
	}
	return 1
}

// cool returns the factor at the share x of the cooldown.
func (s Schedule) cool(x float64) float64 {
	linear, cosine := fall(s.Final, 1-x), fall(s.Final, float64(0.5*(1+kernel.CosPi(x))))
	switch s.Shape {
	case "linear":
		return linear
	case "square":
		return fall(s.Final, 1-float64(x*x))
	case "cosine":
		return cosine
	case "mirror":
		return float64(2*linear) - cosine
	case "exp":
		return kernel.Exp(x * kernel.Log(s.Final))
	}
	return fall(s.Final, 1-math.Sqrt(x))
}

func fall(final, y float64) float64 { return final + float64((1-final)*y) }
