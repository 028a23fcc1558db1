package outer

import (
	"fmt"
)

// Delayed is delayed Nesterov (spec 03, 3.5): every push takes effect at once as a plain step, and momentum enters once in N
// pushes, with their mean, so that a stale direction is not repeated 1/(1-Mu) times before others have spoken.
//
// With t the pushes before, D the window and g a push,
//
//	D := D + g
//	theta := theta - LR (c' Mu m + g/N)    c' = C, or 1-(N-1)C where N divides t+1, after m := Mu m + D/N and D := 0
//
// With C = 0 or N = 1 a window is one step of Nesterov's on the mean of its pushes.
type Delayed struct {
	LR, Mu float64 // 0.7 and 0.9, as for synchronous rounds
	N      int     // pushes in a window, at least 1: the number of workers
	C      float64 // how much of the momentum every push applies: from 0, once per window, to 1/N, evenly
}

// Fold takes pushes one after the other, each scaled by its weight, from a state that t pushes have made: exactly the rule
// above for each of them. A push of weight 0 is none: it changes neither the state nor the count, for if it filled the window,
// those that a worker pushes beyond its [Share] would crowd out the others all the same.
//
// The window form is zero when the last push closed a window. If t is a multiple of N, no form reads the old window.
func (d Delayed) Fold(t uint64, weights []float64) Step {
	n := uint64(d.N)
	s := start(len(weights))
	if t%n == 0 {
		s.Window.Window = 0
	}
	for i, w := range weights {
		if w == 0 {
			continue
		}
		s.Window.G[i] += w
		s.Anchor.G[i] -= float64(d.LR * w / float64(d.N))
		activation := d.C
		if t++; t%n == 0 {
			s.Momentum.scale(d.Mu)
			s.Momentum.add(1/float64(d.N), s.Window)
			s.Window.scale(0)
			activation = 1 - float64(float64(d.N-1)*d.C)
		}
		s.Anchor.add(-float64(d.LR*activation*d.Mu), s.Momentum)
	}
	return s
}

// Next is the counter after the pushes, which is also the version of the parameters: those of weight 0 are not counted.
func (d Delayed) Next(t uint64, weights []float64) uint64 { return count(t, weights) }

// Stable refuses a share of momentum that the rule does not have, and learning rates as [Optimizer.Stable] does.
func (d Delayed) Stable() error {
	switch {
	case d.N < 1:
		return fmt.Errorf("pushes in a window: %d: want at least 1, such as the number of workers", d.N)
	case !(d.C >= 0 && float64(d.C*float64(d.N)) <= 1):
		return fmt.Errorf("momentum applied at every push: %g: want from 0, which applies it once per window, to 1/%d, for then the %d pushes of a window have applied it all", d.C, d.N, d.N)
	}
	return Optimizer{LR: d.LR, Momentum: d.Mu}.Stable()
}
