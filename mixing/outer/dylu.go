package outer

import (
	"math"
	"slices"
)

// Steps is how many local steps a worker takes so that all return at about the same time (DyLU; spec 03, 3.6): as large a part of
// h as its speed is of the reference, rounded down, from least to h. A worker whose speed is not known takes h.
func Steps(speed, reference float64, h, least int) int {
	if !usable(speed) || !usable(reference) {
		return h
	}
	part := speed / reference
	if part >= 1 {
		return h
	}
	return min(h, max(least, int(math.Floor(part*float64(h)))))
}

// Speed averages a worker's speed, in steps for each second, with that of its last steps, half and half. A speed of 0 is not known
// yet and takes the measurement as it is. The time is in nanoseconds; without steps or time nothing was measured.
func Speed(speed float64, steps int, nanoseconds int64) float64 {
	if steps <= 0 || nanoseconds <= 0 {
		return speed
	}
	last := float64(steps) / (float64(nanoseconds) / 1e9)
	if !usable(speed) {
		return last
	}
	return float64(0.5*speed) + float64(0.5*last)
}

// Reference is the speed that takes all steps: of those that are known, in order, the one at the quantile, rounded down. A quantile
// of 1 is the fastest; 0.9 leaves out at least one if there are two, so that one bad measurement does not slow everybody. It is 0
// if no speed is known.
func Reference(speeds []float64, quantile float64) float64 {
	known := make([]float64, 0, len(speeds))
	for _, s := range speeds {
		if usable(s) {
			known = append(known, s)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	last := len(known) - 1
	return known[max(0, min(last, int(quantile*float64(last))))]
}

// usable reports whether a speed was measured.
func usable(speed float64) bool { return speed > 0 && speed <= math.MaxFloat64 }
