package outer

import "math"

// Staleness weighs a push by the versions that the parameters have advanced since the pusher took its base (spec 03, 3.5).
type Staleness struct {
	Polynomial bool   // the weight is (1+tau)^-0.5; otherwise 1
	Most       uint64 // a push staler than this is refused, and its worker pulls afresh
}

// TauMax is the usual bound on staleness for windows of n pushes: 4n.
func TauMax(n int) uint64 { return 4 * uint64(max(1, n)) }

// Weight is that of a push of staleness tau; ok is false if it is to be refused.
func (s Staleness) Weight(tau uint64) (w float64, ok bool) {
	switch {
	case tau > s.Most:
		return 0, false
	case s.Polynomial:
		return 1 / math.Sqrt(1+float64(tau)), true
	}
	return 1, true
}

// Share is how many pushes of one worker count in a window of n: twice as many as its part, which is 2 as long as there are n
// workers. What it pushes beyond has weight 0. Live workers are those from which pushes are expected; if they are fewer
// than n, each may count more often, for otherwise a window would never fill.
func Share(n, live int) int {
	n, live = max(1, n), max(1, live)
	return 2 * ((n + live - 1) / live)
}
