package outer

import (
	"errors"
	"fmt"
)

// An Optimizer takes one outer step for each synchronous round. It has two shapes, which are not the same optimizer (spec 03, 3.3).
//
// With G the weighted sum of the pseudo-gradients, Nesterov's is
//
//	m     := Momentum m + G
//	theta := theta - LR (G + Momentum m)
//
// and the heavy ball, whose m is the displacement itself, is
//
//	m     := Momentum m - LR G
//	theta := theta + m
type Optimizer struct {
	LR, Momentum float64 // DiLoCo's are 0.7 and 0.9
	HeavyBall    bool
}

// Step is the step on pseudo-gradients with the weights, which sum to 1 for a mean. The window stays empty.
func (o Optimizer) Step(weights []float64) Step {
	s := start(len(weights))
	s.Window.Window = 0
	g := Form{G: weights}
	s.Momentum.scale(o.Momentum)
	if o.HeavyBall {
		s.Momentum.add(-o.LR, g)
		s.Anchor.add(1, s.Momentum)
		return s
	}
	s.Momentum.add(1, g)
	s.Anchor.add(-o.LR, g)
	s.Anchor.add(-float64(o.LR*o.Momentum), s.Momentum)
	return s
}

// Gain is how far the anchor moves in the long run for a pseudo-gradient that stays the same, in pseudo-gradients for each round.
func (o Optimizer) Gain() float64 { return o.LR / (1 - o.Momentum) }

// gainMax bounds the gain that [Optimizer.Stable] lets pass. Published settings have 1 to 10; beyond, the weights of a round need
// only be wrong by a few percent in the same sense, as when one contribution counts twice, for the run to be lost.
const gainMax = 20

// LRMax is the learning rate from which on the optimizer diverges even on a quadratic whose minimum every local training reaches,
// so that the pseudo-gradient is all that is missing [derived from the roots of the recursion]. Less thorough local training
// bears more.
func (o Optimizer) LRMax() float64 {
	if o.HeavyBall {
		return 2 * (1 + o.Momentum)
	}
	return 2 * (1 + o.Momentum) / (1 + float64(2*o.Momentum))
}

// Stable refuses an optimizer that diverges or does not move.
func (o Optimizer) Stable() error {
	switch {
	case !(o.Momentum >= 0 && o.Momentum < 1):
		return fmt.Errorf("outer momentum %g: want at least 0 and less than 1, such as 0.9", o.Momentum)
	case !(o.LR > 0):
		return fmt.Errorf("outer learning rate %g: want more than 0, such as 0.7", o.LR)
	case !(o.LR < o.LRMax()):
		return fmt.Errorf("outer learning rate %g with momentum %g overshoots further every round: want less than %.4g", o.LR, o.Momentum, o.LRMax())
	case !(o.Gain() <= gainMax):
		return fmt.Errorf("outer learning rate %g with momentum %g moves %.3g times as far as the nodes did, in the long run: at most %d is sane, so take a learning rate of at most %.4g or a momentum of at most %.4g",
			o.LR, o.Momentum, o.Gain(), gainMax, float64(gainMax*(1-o.Momentum)), 1-o.LR/gainMax)
	}
	return nil
}

// NaiveNesterov takes a Nesterov step on every push, however stale: what [Delayed] is better than. It is for comparison.
type NaiveNesterov struct {
	LR, Mu float64
	N      int // each push counts as its N-th part, so that N of them make as much as one round
}

// Fold takes the pushes one after the other, each scaled by its weight. One of weight 0 does nothing.
func (n NaiveNesterov) Fold(_ uint64, weights []float64) Step {
	s := start(len(weights))
	s.Window.Window = 0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		g := w / float64(n.N)
		s.Momentum.scale(n.Mu)
		s.Momentum.G[i] += g
		s.Anchor.G[i] -= float64(n.LR * g)
		s.Anchor.add(-float64(n.LR*n.Mu), s.Momentum)
	}
	return s
}

// Next is the counter after the pushes.
func (n NaiveNesterov) Next(t uint64, weights []float64) uint64 { return count(t, weights) }

// Stable refuses settings under which N pushes of the same parameters diverge.
func (n NaiveNesterov) Stable() error {
	if n.N < 1 {
		return errors.New("pushes of a round: want at least 1, such as the number of workers")
	}
	return Optimizer{LR: n.LR, Momentum: n.Mu}.Stable()
}

// count is the number of pushes so far.
func count(t uint64, weights []float64) uint64 {
	for _, w := range weights {
		if w != 0 {
			t++
		}
	}
	return t
}
