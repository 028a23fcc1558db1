package report

import (
	"math"
	"strconv"
)

// An axis maps values to places along a line.
type axis struct {
	lo, hi  float64 // in values
	from    float64 // place of lo
	to      float64 // place of hi
	log     bool
	unit    unit
	classes bool // ticks are names, none of which may be left out
	ticks   []tick
}

type tick struct {
	value float64
	label string
}

// at is the place of a value.
func (a *axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	return a.from + float64((v-lo)/(hi-lo)*(a.to-a.from))
}

// shows tells whether a value has a place.
func (a *axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.log || v > 0 && v >= a.lo*(1-1e-9))
}

// unitsOnAxis is how many of a unit an axis must reach to be in that unit: one that ends at 90 s is in seconds, one that ends
// at 130 s in minutes.
const unitsOnAxis = 2

// newAxis covers the values from lo to hi, which may be equal or not finite, with about n ticks at round numbers: the
// first and the last are at its ends.
func newAxis(q quantity, lo, hi float64, n int, log bool) *axis {
	if math.IsNaN(lo) || math.IsNaN(hi) || lo > hi {
		lo, hi = 0, 1
	}
	if log && lo > 0 {
		return logAxis(q, lo, hi)
	}
	if hi-lo <= 1e-9*math.Max(math.Abs(lo), math.Abs(hi)) { // all equal
		switch {
		case q == fraction:
			lo, hi = lo-0.05, hi+0.05
		case lo == 0:
			hi = 1
		default:
			pad := math.Abs(lo) / 10
			lo, hi = lo-pad, hi+pad
		}
	}
	if q == fraction {
		lo, hi = math.Max(lo, 0), math.Min(hi, 1)
	}
	u := q.unitFor(math.Max(math.Abs(lo), math.Abs(hi)), unitsOnAxis)
	step := niceStep((hi - lo) / u.size / float64(n))
	if q == whole {
		step = math.Max(step, 1)
	}
	first, last := math.Floor(lo/u.size/step+1e-9), math.Ceil(hi/u.size/step-1e-9)
	a := &axis{lo: first * step * u.size, hi: last * step * u.size, unit: u}
	if q == fraction {
		a.lo, a.hi = math.Max(a.lo, 0), math.Min(a.hi, 1)
	}
	for k := first; k <= last; k++ {
		if v := k * step; v*u.size <= a.hi+step*u.size/1e6 {
			a.ticks = append(a.ticks, tick{v * u.size, stepLabel(v, step)})
		}
	}
	return a
}

// costAxis begins at zero, if no value is negative, and ends at the highest value: what is left of the last step would only
// be empty.
func costAxis(q quantity, lo, hi float64) *axis {
	if hi > 0 {
		lo = math.Min(lo, 0)
	}
	a := newAxis(q, lo, hi, 6, false)
	if hi > a.lo {
		a.hi = math.Min(a.hi, hi)
	}
	for len(a.ticks) > 0 && a.ticks[len(a.ticks)-1].value > a.hi*(1+1e-9) {
		a.ticks = a.ticks[:len(a.ticks)-1]
	}
	return a
}

// niceStep is the smallest of 1, 2 and 5 times a power of ten that is not below x.
func niceStep(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 0) {
		return 1
	}
	e := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*e >= x*(1-1e-9) {
			return m * e
		}
	}
	return 10 * e
}

// stepLabel writes a multiple of step with the digits that tell it from the next.
func stepLabel(v, step float64) string {
	if math.Abs(v) < step/2 {
		return "0"
	}
	if math.Abs(v) >= 1e6 || step < 1e-5 {
		return exponent(strconv.FormatFloat(v, 'e', 4, 64))
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	return separate(strconv.FormatFloat(v, 'f', decimals, 64))
}

// logAxis covers lo > 0 to hi with ticks at powers of ten, and at twice and five times those if there are few.
func logAxis(q quantity, lo, hi float64) *axis {
	u := q.unitFor(hi, unitsOnAxis)
	lo, hi = lo/u.size, hi/u.size
	if hi <= lo*(1+1e-9) {
		lo, hi = lo/2, hi*2
	}
	first, last := math.Floor(math.Log10(lo)+1e-9), math.Ceil(math.Log10(hi)-1e-9)
	multiples, every := []float64{1}, math.Ceil((last-first)/6)
	if last-first <= 3 {
		multiples = []float64{1, 2, 5}
	}
	var marks []float64
	for e := first; e <= last; e += every {
		for _, m := range multiples {
			marks = append(marks, m*math.Pow(10, e))
		}
	}
	// The axis begins at the last mark that is not above the values, and ends at the first that is not below.
	for len(marks) > 1 && marks[1] <= lo*(1+1e-9) {
		marks = marks[1:]
	}
	for len(marks) > 2 && marks[len(marks)-2] >= hi*(1-1e-9) {
		marks = marks[:len(marks)-1]
	}
	a := &axis{lo: marks[0] * u.size, hi: math.Max(marks[len(marks)-1], hi) * u.size, unit: u, log: true}
	for _, m := range marks {
		a.ticks = append(a.ticks, tick{m * u.size, stepLabel(m, m)})
	}
	return a
}

// thin drops every other tick until labels of the given widths fit between them.
func (a *axis) thin(gap float64) {
	for len(a.ticks) > 2 {
		fits := true
		for i := 1; i < len(a.ticks); i++ {
			p, q := a.ticks[i-1], a.ticks[i]
			if math.Abs(a.at(q.value)-a.at(p.value)) < (width(p.label, fontSize)+width(q.label, fontSize))/2+gap {
				fits = false
			}
		}
		if fits {
			return
		}
		var kept []tick
		for i := 0; i < len(a.ticks); i += 2 {
			kept = append(kept, a.ticks[i])
		}
		a.ticks = kept
	}
}
