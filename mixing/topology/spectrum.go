package topology

import (
	"math"

	"starling/mixing/philox"
)

// krylov bounds the steps of the Lanczos iteration. Up to this many peers the gap is exact to rounding; beyond, it is
// a little too large for graphs that mix very slowly, such as long rings.
const krylov = 512

// Gap is the spectral gap of a doubly stochastic matrix: 1 minus the largest singular value of W - 11^T/n. A round
// shrinks the distance from the mean by 1 - Gap at least (spec 06, section 6.2). It is 0, up to rounding, for a graph
// in parts. One peer has gap 1.
func Gap(m Matrix) float64 { return gap(m, nil) }

// ReversibleGap is the gap of [Reversible] weights, in the norm weighted with mu.
func ReversibleGap(m Matrix, mu []float64) float64 { return gap(m, mu) }

// RoundsTo is the number of rounds after which a deviation has shrunk to the fraction eps of what it was, eps in (0, 1):
// ceil(ln eps/ln(1-gap)). It is math.MaxInt for a gap of 0, and at least 1.
func RoundsTo(gap, eps float64) int {
	switch {
	case !(gap > 0):
		return math.MaxInt
	case gap >= 1:
		return 1
	}
	r := math.Ceil(math.Log(eps) / math.Log1p(-gap))
	if r >= math.MaxInt {
		return math.MaxInt
	}
	return max(1, int(r))
}

// gap finds the largest singular value of B = D^1/2 W D^-1/2 - u u^T, D = diag(mu), u = sqrt(mu/sum mu), by Lanczos
// iteration on B^T B. Plain power iteration finds the same number, but needs about 1/gap steps; this one needs the root
// of that, and at most n. The basis is orthogonalised again in each step, which keeps false copies away.
func gap(m Matrix, mu []float64) float64 {
	n := len(m)
	if n < 2 {
		return 1
	}
	root, u := make([]float64, n), make([]float64, n)
	total := 0.0
	for i := range root {
		root[i] = 1
		if mu != nil {
			root[i] = math.Sqrt(mu[i])
		}
		total += float64(root[i] * root[i])
	}
	for i := range u {
		u[i] = root[i] / math.Sqrt(total)
	}
	s := make(Matrix, n)
	for i, row := range m {
		s[i] = make([]Weight, len(row))
		for k, w := range row {
			s[i][k] = Weight{w.Peer, w.W * root[i] / root[w.Peer]}
		}
	}
	st := s.Transpose()
	apply := func(w Matrix, dst, x []float64) {
		w.Mul(dst, x)
		axpy(dst, -dot(u, x), u)
	}

	q := make([]float64, n)
	for i := range q {
		q[i] = philox.Unit(word(0, uint32(i), 0, tagPick)) - 0.5
	}
	scale(q, 1/math.Sqrt(dot(q, q)))
	basis := [][]float64{q}
	var alpha, beta []float64
	mid, r := make([]float64, n), make([]float64, n)
	theta, calm := 0.0, 0
	for k := 1; ; k++ {
		apply(s, mid, basis[k-1])
		apply(st, r, mid)
		alpha = append(alpha, dot(r, basis[k-1]))
		for range 2 {
			for _, b := range basis {
				axpy(r, -dot(r, b), b)
			}
		}
		norm := math.Sqrt(dot(r, r))
		end := k == min(n, krylov) || norm < 1e-14
		if end || k%8 == 0 {
			next := largest(alpha, beta)
			if math.Abs(next-theta) <= 1e-14 {
				calm++
			} else {
				calm = 0
			}
			theta = next
			if end || calm == 3 {
				break
			}
		}
		beta = append(beta, norm)
		next := make([]float64, n)
		copy(next, r)
		scale(next, 1/norm)
		basis = append(basis, next)
	}
	return max(0, 1-math.Sqrt(max(0, theta)))
}

// largest is the largest eigenvalue of the symmetric tridiagonal matrix with diagonal a and off-diagonal b, by bisection
// on the number of eigenvalues below (Sturm).
func largest(a, b []float64) float64 {
	lo, hi := math.Inf(-1), math.Inf(-1)
	for i := range a {
		r := 0.0
		if i > 0 {
			r += b[i-1]
		}
		if i < len(a)-1 {
			r += b[i]
		}
		lo, hi = max(lo, a[i]), max(hi, a[i]+r)
	}
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi {
			break
		}
		below := 0
		d := 1.0
		for i := range a {
			off := 0.0
			if i > 0 {
				off = b[i-1] * b[i-1] / d
			}
			d = a[i] - mid - off
			if d == 0 {
				d = 1e-300
			}
			if d < 0 {
				below++
			}
		}
		if below == len(a) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += float64(x[i] * y[i])
	}
	return sum
}

func axpy(y []float64, a float64, x []float64) {
	for i := range y {
		y[i] += float64(a * x[i])
	}
}

func scale(x []float64, a float64) {
	for i := range x {
		x[i] *= a
	}
}
