package kernel

import "math"

// FMA returns x·y + z, rounded to float32 once. Every product that this package adds up in float32 is defined by it; the
// assembly uses the instruction, and this function takes the way through float64 so that it is the same bits on every machine.
// Which NaN comes out, when one does, is not defined.
func FMA(x, y, z float32) float32 {
	s := float64(float64(x)*float64(y)) + float64(z)
	if doubtful(s) {
		return nearest(x, y, z)
	}
	return float32(s)
}

// doubtful reports whether rounding s to float32 may go wrong if s is itself a rounded sum of a product of two float32, which
// is exact in float64, and a third. It can only where s seems to lie half-way between two float32: the low 29 bits are then a
// one and zeros, or, for results too small for all 24 bits of a float32, something else.
func doubtful(s float64) bool {
	const smallest = 897 << 53 // 2⁻¹²⁶ without its sign
	b := math.Float64bits(s) << 1
	return b<<34 == 1<<63 || b-1 < smallest-1
}

// nearest is FMA without doubt. The error of the sum in float64 (Knuth's two-sum) says on which side of it the exact result
// lies; moving it there if its last bit is even is rounding to odd (Boldo and Melquiond 2008), which never makes a tie.
func nearest(x, y, z float32) float32 {
	p, q := float64(float64(x)*float64(y)), float64(z)
	s := p + q
	t := s - p
	e := (p - (s - t)) + (q - t)
	if b := math.Float64bits(s); b&1 == 0 && (e > 0 || e < 0) {
		if (e > 0) == (s > 0) {
			b++
		} else {
			b--
		}
		s = math.Float64frombits(b)
	}
	return float32(s)
}
