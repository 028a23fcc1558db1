package kernel

import "math"

// The constants of the float32 exponential. roundBits is 1.5·2²³: added to a number below 2²² it leaves the nearest whole
// number in the low bits, and taken away again that number. ln2Head has 15 trailing zero bits, so that its product with an
// exponent is exact.
const (
	limit32   = 87
	log2e32   = float32(math.Log2E)
	roundBits = float32(12582912)
	ln2Head   = float32(0.693359375)
	ln2Tail   = float32(-2.12194440e-4)
)

// The constants of [GELU]: 2·√(2/π), its product with 0.044715, and three times that.
const (
	geluLinear = float32(1.5957691216057308)
	geluCubic  = float32(0.07135481282553506)
	geluSlope  = float32(0.2140644384766052)
)

// Exp32 returns e to the power x in float32, the same bits on every machine, within a relative error of 2⁻²². Outside of
// ±87 it returns the value at the nearer end, so that a result is never zero or infinite. Exp32(NaN) is NaN.
func Exp32(x float32) float32 {
	if x < -limit32 {
		x = -limit32
	}
	if x > limit32 {
		x = limit32
	}
	// x = n·ln 2 + r with |r| <= ln 2 / 2, and e^r by its series: the term after the last is below 2⁻²⁷.
	z := float32(x*log2e32) + roundBits
	n := z - roundBits
	r := x - float32(n*ln2Head)
	r -= float32(n * ln2Tail)
	p := float32(r*(1.0/5040)) + 1.0/720
	p = float32(p*r) + 1.0/120
	p = float32(p*r) + 1.0/24
	p = float32(p*r) + 1.0/6
	p = float32(p*r) + 1.0/2
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	return float32(p * math.Float32frombits(math.Float32bits(z)<<23+127<<23))
}

// Exps32 sets every element of x to [Exp32] of alpha·x − shift, with the product and the difference rounded: the powers of a
// softmax if shift is the largest product.
func Exps32(x []float32, alpha, shift float32) { best.exps32All(x, alpha, shift) }

func (t tier) exps32All(x []float32, alpha, shift float32) {
	for i := t.exps32(x, alpha, shift); i < len(x); i++ {
		x[i] = Exp32(float32(alpha*x[i]) - shift)
	}
}

// Mul multiplies y by x, element by element.
func Mul(x, y []float32) { best.mulAll(x, y) }

func (t tier) mulAll(x, y []float32) {
	same(len(x), len(y))
	done := t.mul(x, y)
	x, y = x[done:], y[done:][:len(x)-done]
	for i, v := range x {
		y[i] *= v
	}
}

// GELU sets y to the Gaussian error linear unit of x (Hendrycks and Gimpel 2016) in its usual approximation by a sigmoid of a
// cubic, and replaces x by the derivative there, with which [Mul] takes a gradient back:
//
//	y = x·s,  x ← s + y·(1−s)·(a + 3b·x²),  s = 1/(1 + exp(−x·(a + b·x²))),  a = 2·√(2/π),  b = 0.044715·a
//
// Every operation is rounded, and exp is [Exp32]. Results are of no use for x beyond 10¹² in size.
func GELU(y, x []float32) { best.geluAll(y, x) }

func (t tier) geluAll(y, x []float32) {
	same(len(x), len(y))
	done := t.gelu(y, x)
	x, y = x[done:], y[done:][:len(x)-done]
	for i, v := range x {
		square := float32(v * v)
		e := Exp32(float32((float32(square*-geluCubic) + -geluLinear) * v))
		s := 1 / (e + 1)
		out := float32(v * s)
		slope := float32(square*geluSlope) + geluLinear
		y[i] = out
		x[i] = float32(float32((1-s)*out)*slope) + s
	}
}

// SiLU sets y to the sigmoid linear unit of x (Elfwing, Uchibe and Doya 2018), which is the gate of SwiGLU, and replaces x by the
// derivative there, with which [Mul] takes a gradient back:
//
//	y = x·s,  x ← s + y·(1−s),  s = 1/(1 + exp(−x))
//
// Every operation is rounded, and exp is [Exp32].
func SiLU(y, x []float32) { best.siluAll(y, x) }

func (t tier) siluAll(y, x []float32) {
	same(len(x), len(y))
	done := t.silu(y, x)
	x, y = x[done:], y[done:][:len(x)-done]
	for i, v := range x {
		s := 1 / (Exp32(-v) + 1)
		out := float32(v * s)
		y[i] = out
		x[i] = float32((1-s)*out) + s
	}
}
