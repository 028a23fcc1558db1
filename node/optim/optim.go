// Package optim holds the rules by which a node changes its parameters between two publications: SGD with momentum, AdamW,
// Pegasos, schedules of the learning rate, and clipping.
//
// Start with [Parse], which makes an [Optimizer] from a line such as "sgd:lr=0.1,momentum=0.9", and call its Step once a
// batch. The package does not compute gradients and knows no model: it works on flat vectors. Memory between two steps is
// one flat vector that the caller owns, so that a checkpoint holds it beside the parameters.
//
// The core does not import it; whoever carries out training does.
package optim

import (
	"errors"
	"math"

	"starling/mixing/kernel"
)

// A Context is what a step may look at besides the vectors. A rule that needs more than a gradient (the value of the loss,
// the shapes of the tensors, the gradient at another point) finds it in a field of its own.
type Context struct {
	Step uint64  // steps done before this one, since the state was zero
	Age  uint64  // local steps that went into the parameters before this one, here or elsewhere
	LR   float64 // learning rate of this step, usually Optimizer.Rate(Step)
}

// An Optimizer changes parameters along gradients. It holds settings only, and is safe for concurrent use on different
// vectors.
type Optimizer interface {
	// Name returns the first word of the specification.
	Name() string

	// StateLen returns the length of the state for n parameters; it may be 0. State starts as zeros. After parameters were
	// replaced from outside, by mixing, it stays as it is: both momentum and second moments stay meaningful.
	StateLen(n int) int

	// Rate returns the learning rate at a step, counted from 0: the base rate times the factor of the schedule.
	Rate(step uint64) float64

	// Step changes params and state in place and only reads grad, which is as long as params; state is StateLen long.
	// It returns an error, and has changed nothing, when the gradient or the rate is not finite or lengths do not fit.
	Step(params, grad, state []float32, c Context) error
}

// Errors of Step. Trying again with the same vectors does not help; [ErrDiverged] calls for older parameters or a lower rate.
var (
	ErrDiverged = errors.New("the gradient is not finite: training diverged; lower the learning rate, or clip")
	ErrLengths  = errors.New("parameters, gradient and state do not fit together")
)

// pace is what all rules share: base rate, schedule and clipping.
type pace struct {
	rate     float64
	clip     float64 // largest norm of a gradient, 0 for none
	schedule Schedule
}

func (p pace) Rate(step uint64) float64 { return p.rate * p.schedule.Factor(step) }

// begin checks the arguments of a step and returns the factor for the gradient: min(1, clip/(‖g‖+1e-6)).
func (p pace) begin(params, grad, state []float32, stateLen int, c Context) (float32, error) {
	if len(grad) != len(params) || len(state) != stateLen {
		return 0, ErrLengths
	}
	if !kernel.Finite(grad) || math.IsNaN(c.LR) || math.IsInf(c.LR, 0) {
		return 0, ErrDiverged
	}
	if p.clip > 0 {
		if f := p.clip / (kernel.Norm2(grad) + 1e-6); f < 1 {
			return float32(f), nil
		}
	}
	return 1, nil
}

// sgd is stochastic gradient descent with coupled decay, and with heavy-ball or Nesterov momentum:
//
//	g ← g + λw,  m ← μm + g,  w ← w − η·m  or  w ← w − η(g + μm)
//
// The products λw, η·(…) and, with Nesterov, μm are fused with the sum that takes them up, as in [kernel.Axpy]; the μm of the
// second rule is rounded first.
type sgd struct {
	pace
	momentum, decay float32
	nesterov        bool
}

func (o sgd) Name() string { return "sgd" }

func (o sgd) StateLen(n int) int {
	if o.momentum == 0 {
		return 0
	}
	return n
}

func (o sgd) Step(params, grad, state []float32, c Context) error {
	f, err := o.begin(params, grad, state, o.StateLen(len(params)), c)
	if err != nil {
		return err
	}
	lr, mu, wd := float32(c.LR), o.momentum, o.decay
	if f == 1 && wd == 0 && mu == 0 {
		kernel.Axpy(-lr, grad, params)
		return nil
	}
	var block [512]float32 // of the gradient, clipped and with decay
	for start := 0; start < len(params); start += len(block) {
		end := min(start+len(block), len(params))
		w, g := params[start:end], block[:end-start]
		copy(g, grad[start:end])
		kernel.Scale(f, g)
		if wd != 0 {
			kernel.Axpy(wd, w, g)
		}
		if mu != 0 {
			m := state[start:end]
			kernel.Scale(mu, m)
			kernel.Add(g, m)
			if o.nesterov {
				kernel.Axpy(mu, m, g)
			} else {
				copy(g, m)
			}
		}
		kernel.Axpy(-lr, g, w)
	}
	return nil
}

// adamw is Adam with decoupled decay. Its state is the first moments of all parameters, then the second moments:
//
//	w ← (1−ηλ)w,  m ← β1·m + (1−β1)g,  v ← β2·v + (1−β2)g²,  w ← w − (η/c1)·m / (√v/√c2 + ε),  ci = 1−βi^(step+1)
type adamw struct {
	pace
	beta1, beta2, eps, decay float64
}

func (o adamw) Name() string       { return "adamw" }
func (o adamw) StateLen(n int) int { return 2 * n }

func (o adamw) Step(params, grad, state []float32, c Context) error {
	f, err := o.begin(params, grad, state, 2*len(params), c)
	if err != nil {
		return err
	}
	n := len(params)
	c1, c2 := 1-power(o.beta1, c.Step+1), 1-power(o.beta2, c.Step+1)
	kernel.Adam{
		Scale: f,
		Beta1: float32(o.beta1), New1: float32(1 - o.beta1),
		Beta2: float32(o.beta2), New2: float32(1 - o.beta2),
		Decay: float32(c.LR * o.decay), Rate: float32(c.LR / c1), Root: float32(1 / math.Sqrt(c2)), Epsilon: float32(o.eps),
	}.Step(params, grad, state[:n], state[n:])
	return nil
}

// power returns b^n by squaring. Products alone give the same bits on every machine; math.Pow does not.
func power(b float64, n uint64) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p *= b
		}
		b *= b
	}
	return p
}
