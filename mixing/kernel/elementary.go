package kernel

import "math"

const (
	// ln2Hi has 20 trailing zero bits, so that its product with an exponent is exact; ln2Hi + ln2Lo is ln 2 to 100 bits.
	ln2Hi = 0x1.62e42fefp-1
	ln2Lo = 0x1.473de6af278edp-34
)

// Exp returns e to the power x, the same bits on every machine, within 2 units in the last place; results below 2⁻¹⁰²² lose
// relative accuracy. Exp(+Inf) is +Inf, Exp(-Inf) is 0, Exp(NaN) is NaN.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.2:
		return 0
	}
	// x = n·ln 2 + r with |r| <= ln 2 / 2, and e^r by its series: the term after the last is below 2⁻⁵⁶.
	n := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(n*ln2Hi) - float64(n*ln2Lo)
	p := float64(r*(1.0/87178291200)) + 1.0/6227020800
	p = float64(p*r) + 1.0/479001600
	p = float64(p*r) + 1.0/39916800
	p = float64(p*r) + 1.0/3628800
	p = float64(p*r) + 1.0/362880
	p = float64(p*r) + 1.0/40320
	p = float64(p*r) + 1.0/5040
	p = float64(p*r) + 1.0/720
	p = float64(p*r) + 1.0/120
	p = float64(p*r) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 1.0/2
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	if n > -1021 && n < 1023 {
		return p * math.Float64frombits(uint64(1023+int64(n))<<52)
	}
	return math.Ldexp(p, int(n))
}

// Log returns the natural logarithm of x, the same bits on every machine, within 2 units in the last place. Log(0) is -Inf,
// Log of a negative number is NaN, Log(+Inf) is +Inf.
func Log(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	// x = m·2^e with m between √½ and √2; log m = 2·artanh s with s = (m-1)/(m+1), by its series.
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	p := 2.0 / 23
	for _, c := range [...]float64{2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3} {
		p = float64(p*z) + c
	}
	// The large terms last, and 2s as f - s·f with f = m-1, which is exact, so that its rounding does not show.
	f := m - 1
	small := float64(s*float64(z*p)) + float64(float64(e)*ln2Lo)
	return float64(float64(e)*ln2Hi) + (f + (small - float64(s*f)))
}

// CosPi returns the cosine of πx for x between 0 and 1, the same bits on every machine, to 15 digits. Outside of that range
// it returns the value at the nearer end.
func CosPi(x float64) float64 {
	switch {
	case !(x > 0):
		return 1
	case x >= 1:
		return -1
	case x > 0.75:
		return -cosine((1 - x) * math.Pi)
	case x > 0.25:
		return sine((0.5 - x) * math.Pi)
	}
	return cosine(x * math.Pi)
}

// cosine and sine are the series, for arguments up to π/4 in size.
func cosine(x float64) float64 {
	z := float64(x * x)
	p := 1.0 / 20922789888000
	for _, c := range [...]float64{-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1} {
		p = float64(p*z) + c
	}
	return p
}

func sine(x float64) float64 {
	z := float64(x * x)
	p := -1.0 / 1307674368000
	for _, c := range [...]float64{1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1} {
		p = float64(p*z) + c
	}
	return float64(x * p)
}
