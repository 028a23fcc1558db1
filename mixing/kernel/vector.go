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

// Axpy adds alpha·x to y, element by element: y[i] += float32(alpha·x[i]).
func Axpy(alpha float32, x, y []float32) {
	same(len(x), len(y))
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}

// Add adds x to y, element by element.
func Add(x, y []float32) {
	same(len(x), len(y))
	y = y[:len(x)]
	for i, v := range x {
		y[i] += v
	}
}

// Sub sets dst = x - y, element by element. dst may be x or y.
func Sub(dst, x, y []float32) {
	same(len(x), len(dst))
	same(len(y), len(dst))
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = x[i] - y[i]
	}
}

// Scale multiplies every element of x by alpha.
func Scale(alpha float32, x []float32) {
	for i := range x {
		x[i] *= alpha
	}
}

// Dot returns the inner product of x and y. The products are exact in float64; the i-th goes to lane i mod 4, and the sum is
// (lane 0 + lane 1) + (lane 2 + lane 3). Lanes hold whole groups of four; the up to three elements left over are added last.
func Dot(x, y []float32) float64 {
	same(len(x), len(y))
	y = y[:len(x)]
	var s0, s1, s2, s3 float64
	for len(x) >= 4 && len(y) >= 4 {
		s0 += float64(float64(x[0]) * float64(y[0]))
		s1 += float64(float64(x[1]) * float64(y[1]))
		s2 += float64(float64(x[2]) * float64(y[2]))
		s3 += float64(float64(x[3]) * float64(y[3]))
		x, y = x[4:], y[4:]
	}
	sum := (s0 + s1) + (s2 + s3)
	for i := range min(len(x), len(y)) {
		sum += float64(float64(x[i]) * float64(y[i]))
	}
	return sum
}

// Norm2 returns the Euclidean norm of x, with the sums of [Dot]. Squares of float32 neither overflow nor vanish in float64.
func Norm2(x []float32) float64 { return math.Sqrt(Dot(x, x)) }

// Finite reports whether no element of x is NaN or infinite.
func Finite(x []float32) bool {
	// The exponent of such a number is all ones: adding one at its place carries into the sign bit.
	const one, mask = 1 << 23, 0x7fffffff
	var carry uint32
	for _, v := range x {
		carry |= math.Float32bits(v)&mask + one
	}
	return carry>>31 == 0
}

// WeightedSum sets dst[i] to the sum over j of weights[j]·vectors[j][i], for vectors as long as dst. The sum is taken in
// float64, in the order of the vectors, and rounded to float32 once. All vectors are read in one blocked pass. dst may be one
// of the vectors, but must not overlap one in any other way. Without vectors dst becomes zero.
func WeightedSum(dst []float32, weights []float64, vectors [][]float32) {
	same(len(weights), len(vectors))
	for _, v := range vectors {
		same(len(v), len(dst))
	}
	var block [blockVector]float64
	for start := 0; start < len(dst); start += blockVector {
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
