package track

import "math"

const (
	watchRises = 3
	watchLeast = 1.0 / 64 // of the first gamma
)

// A Watch halves gamma when the distance of a vector from its public copy runs away: when it rises three rounds in a row (spec 05,
// 5.6), each time by more than the time before, to more than it ever was. What diverges does so geometrically and without end;
// the rises of a codec that lags behind at the start of a run become smaller, and noise seldom sets a record. Without the two
// conditions they alone would bring gamma to nothing. It does not go below a 64th of the first. A Watch must not be used
// concurrently.
type Watch struct {
	gamma, first float64
	last, rise   float64
	highest      float64
	rises        int
	seen         bool
}

// NewWatch begins with a gamma.
func NewWatch(gamma float64) *Watch { return &Watch{gamma: gamma, first: gamma} }

// Gamma is the one to use.
func (w *Watch) Gamma() float64 { return w.gamma }

// Observe takes the distance of a round, and reports whether gamma was halved because of it: tell somebody. A distance that is not
// a finite number is further than any.
func (w *Watch) Observe(distance float64) (halved bool) {
	far := !(distance <= math.MaxFloat64)
	if far {
		distance = math.MaxFloat64
	}
	rise := distance - w.last
	switch {
	case !w.seen, !far && !(rise > 0):
		w.rises = 0
	case far || w.rises == 0 || rise > w.rise:
		w.rises++
	default:
		w.rises = 1 // the first of a row that may follow
	}
	record := far || distance > w.highest
	if !far {
		w.highest = max(w.highest, distance)
	}
	w.seen, w.last, w.rise = true, distance, rise
	if w.rises < watchRises || !record {
		return false
	}
	w.rises = 0
	if w.gamma/2 < float64(w.first*watchLeast) {
		return false
	}
	w.gamma /= 2
	return true
}
