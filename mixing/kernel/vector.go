package kernel

import (
	"fmt"
	"math"
)

// blockVector is the number of elements that one pass of WeightedSum keeps in float64; with the vectors it reads it stays
// in the first-level cache.
const blockVector = 512

func same(x, y int) {
	if x != y {
		panic(fmt.Sprintf("kernel: internal error: vectors of %d and %d elements", x, y))
	}
}

// Axpy adds alpha·x to y, element by element: y[i] becomes [FMA] of alpha, x[i] and y[i].
func Axpy(alpha float32, x, y []float32) { best.axpyAll(alpha, x, y) }

func (t tier) axpyAll(alpha float32, x, y []float32) {
	same(len(x), len(y))
	done := t.axpy(alpha, x, y)
	x, y = x[done:], y[done:][:len(x)-done]
	for i, v := range x {
		y[i] = FMA(alpha, v, y[i])
	}
}

// Add adds x to y, element by element.
func Add(x, y []float32) { best.addAll(x, y) }

func (t tier) addAll(x, y []float32) {
	same(len(x), len(y))
	done := t.add(x, y)
	x, y = x[done:], y[done:][:len(x)-done]
	for i, v := range x {
		y[i] += v
	}
}

// Sub sets dst = x - y, element by element. dst may be x or y.
func Sub(dst, x, y []float32) { best.subAll(dst, x, y) }

func (t tier) subAll(dst, x, y []float32) {
	same(len(x), len(dst))
	same(len(y), len(dst))
	for i := t.sub(dst, x, y); i < len(dst); i++ {
		dst[i] = x[i] - y[i]
	}
}

// Scale multiplies every element of x by alpha.
func Scale(alpha float32, x []float32) { best.scaleAll(alpha, x) }

func (t tier) scaleAll(alpha float32, x []float32) {
	for i := t.scale(alpha, x); i < len(x); i++ {
		x[i] *= alpha
	}
}

// ReLU sets the elements of x that are below 0 to 0. A NaN stays one, and so does a negative zero.
func ReLU(x []float32) { best.reluAll(x) }

func (t tier) reluAll(x []float32) {
	for i := t.relu(x); i < len(x); i++ {
		if x[i] < 0 {
			x[i] = 0
		}
	}
}

// Gate sets the elements of x to 0 where h is 0: the gradient of [ReLU] with the outputs h, from that of its outputs.
func Gate(x, h []float32) { best.gateAll(x, h) }

func (t tier) gateAll(x, h []float32) {
	same(len(x), len(h))
	for i := t.gate(x, h); i < len(x); i++ {
		if h[i] == 0 {
			x[i] = 0
		}
	}
}

// Grey sets dst[i] to levels[i]/255, between 0 and 1, rounded once.
func Grey(dst []float32, levels []uint8) { best.greyAll(dst, levels) }

func (t tier) greyAll(dst []float32, levels []uint8) {
	same(len(dst), len(levels))
	for i := t.grey(dst, levels); i < len(dst); i++ {
		dst[i] = float32(levels[i]) / 255
	}
}

// Dot returns the inner product of x and y. The products are exact in float64 and the i-th is added to lane i mod 32, in
// order. The lanes are then added in pairs: lane l and lane l+16 of 32, l and l+8 of the 16 sums, and so on.
func Dot(x, y []float32) float64 { return best.dotAll(x, y) }

func (t tier) dotAll(x, y []float32) float64 {
	same(len(x), len(y))
	var lanes [32]float64
	done := t.dot(x, y, &lanes) // a multiple of 32
	y = y[done:]
	for i, v := range x[done:][:len(y)] {
		lanes[i%32] += float64(float64(v) * float64(y[i]))
	}
	// The halves are added, 16 lanes to 16, then those of what that gives, down to one.
	for l := range 8 {
		lanes[l] = (lanes[l] + lanes[l+16]) + (lanes[l+8] + lanes[l+24])
	}
	return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

// Norm2 returns the Euclidean norm of x, with the sums of [Dot]. Squares of float32 neither overflow nor vanish in float64.
func Norm2(x []float32) float64 { return math.Sqrt(Dot(x, x)) }

// Finite reports whether no element of x is NaN or infinite.
func Finite(x []float32) bool { return best.finiteAll(x) }

func (t tier) finiteAll(x []float32) bool {
	done, ok := t.finite(x)
	// The exponent of such a number is all ones: adding one at its place carries into the sign bit.
	const one, mask = 1 << 23, 0x7fffffff
	var carry uint32
	for _, v := range x[done:] {
		carry |= math.Float32bits(v)&mask + one
	}
	return ok && carry>>31 == 0
}

// Max returns the largest element of x that is a number, or minus infinity if there is none. A zero is positive.
func Max(x []float32) float32 { return best.max(x) }

func (t tier) max(x []float32) float32 {
	least := float32(math.Inf(-1))
	lanes := [16]float32{least, least, least, least, least, least, least, least, least, least, least, least, least, least, least, least}
	most := least
	for _, v := range x[t.largest(x, &lanes):] {
		if v > most {
			most = v
		}
	}
	for _, v := range lanes {
		if v > most {
			most = v
		}
	}
	return most + 0
}

// WeightedSum sets dst[i] to the sum over j of weights[j]·vectors[j][i], for vectors as long as dst. The sum is taken in
// float64, in the order of the vectors, each product rounded before it is added, and rounded to float32 once. All vectors are
// read in one blocked pass. dst may be one of the vectors, but must not overlap one in any other way. Without vectors dst
// becomes zero.
func WeightedSum(dst []float32, weights []float64, vectors [][]float32) {
	best.weightedAll(dst, weights, vectors)
}

func (t tier) weightedAll(dst []float32, weights []float64, vectors [][]float32) {
	same(len(weights), len(vectors))
	for _, v := range vectors {
		same(len(v), len(dst))
	}
	start := t.weighted(dst, weights, vectors)
	if start == len(dst) {
		return
	}
	var block [blockVector]float64
	for ; start < len(dst); start += blockVector {
		end := min(start+blockVector, len(dst))
		acc := block[:end-start]
		clear(acc)
		for j, v := range vectors {
			w := weights[j]
			for i, x := range v[start:end:end][:len(acc)] {
				acc[i] += float64(w * float64(x))
			}
		}
		out := dst[start:end][:len(acc)]
		for i, s := range acc {
			out[i] = float32(s)
		}
	}
}

// Exps sets dst[i] to [Exp] of x[i], the same bits. dst may be x.
func Exps(dst, x []float64) { best.expAll(dst, x) }

func (t tier) expAll(dst, x []float64) {
	same(len(dst), len(x))
	for len(x) > 0 {
		done := t.exp(dst, x)
		// Either less than a vector is left, or the next vector has a result out of the ordinary.
		rest := min(len(x), done+8)
		for i := done; i < rest; i++ {
			dst[i] = Exp(x[i])
		}
		dst, x = dst[rest:], x[rest:]
	}
}
