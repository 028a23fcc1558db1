package optim

import (
	"math"

	"starling/mixing/kernel"
)

// pegasos is the subgradient method for support vector machines of Shalev-Shwartz, Singer and Srebro (2007, figure 1), which
// minimises λ/2·‖w‖² plus the mean loss that the gradient g is of. With t the age of the parameters after the step:
//
//	η = 1/(λt),  w ← (1 − ηλ)w − η·g,  and if asked  w ← min(1, (1/√λ)/‖w‖)·w
//
// As ηλ = 1/t the first step forgets where it started from.
type pegasos struct {
	lambda  float64
	project bool
}

func (o pegasos) Name() string     { return "pegasos" }
func (o pegasos) StateLen(int) int { return 0 }

// Rate returns the rate of a node that is alone, whose steps are the age of its parameters.
func (o pegasos) Rate(step uint64) float64 { return 1 / float64(o.lambda*(float64(step)+1)) }

// Step goes by the age of the parameters alone, whatever c.Step and c.LR are.
func (o pegasos) Step(params, grad, state []float32, c Context) error {
	if _, err := (pace{}).begin(params, grad, state, 0, c); err != nil {
		return err
	}
	t := float64(c.Age) + 1
	keep, rate := float32(1-1/t), float32(1/float64(o.lambda*t))
	grad = grad[:len(params)]
	for i, w := range params {
		params[i] = float32(keep*w) - float32(rate*grad[i])
	}
	if !o.project {
		return nil
	}
	if norm := kernel.Norm2(params); float64(norm*math.Sqrt(o.lambda)) > 1 {
		kernel.Scale(float32(1/float64(norm*math.Sqrt(o.lambda))), params)
	}
	return nil
}
