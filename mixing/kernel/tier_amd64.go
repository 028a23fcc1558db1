package kernel

import "github.com/klauspost/cpuid/v2"

//go:generate go -C gen run . -out ../kernel_amd64.s -stubs ../decl_amd64.go -pkg kernel

// A tier is a set of instructions that this machine has. Functions of a tier that return a number did so many of the first
// elements, and leave the rest, all of them for plain, to the caller.
type tier int

const (
	plain  tier = iota
	avx2        // and FMA
	avx512      // F, BW, DQ and VL
)

// best is chosen once, and only ever read.
var best = tiers()[len(tiers())-1]

// tiers returns what this machine has, the best last.
func tiers() []tier {
	list := []tier{plain}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3) {
		list = append(list, avx2)
		if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL) {
			list = append(list, avx512)
		}
	}
	return list
}

func (t tier) String() string { return [...]string{"plain", "avx2", "avx512"}[t] }

// whole returns the largest multiple of what a step of the tier takes, narrow elements with AVX2 and twice as many with AVX-512.
func (t tier) whole(n, narrow int) int {
	if t == plain {
		return 0
	}
	return n &^ (narrow*int(t) - 1)
}

func (t tier) panel(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb, ahead int, c []float32, ldc int) {
	switch t {
	case avx512:
		panel512(&c[0], 4*ldc, &a[0], 4*row, 4*step, &b[0], 4*ldb, 4*ahead, m, even(m, 14), n, k, add)
	case avx2:
		for j := 0; j < n; j += 16 {
			panel2(&c[j], 4*ldc, &a[0], 4*row, 4*step, &b[j], 4*ldb, 4*ahead, m, even(m, 6), min(16, n-j), k, add)
		}
	default:
		plainPanel(add, m, n, k, a, row, step, b, ldb, c, ldc)
	}
}

func (t tier) transpose(dst []float32, ldd int, src []float32, lds int, rows, cols int) {
	switch t {
	case avx512:
		transpose512(&dst[0], 4*ldd, &src[0], 4*lds, rows, cols)
	case avx2:
		r, c := rows&^7, cols&^7
		if r > 0 && c > 0 {
			transpose2(&dst[0], 4*ldd, &src[0], 4*lds, r, c)
			if c < cols {
				plainTranspose(dst[c*ldd:], ldd, src[c:], lds, r, cols-c)
			}
		} else {
			r = 0
		}
		if r < rows {
			plainTranspose(dst[r:], ldd, src[r*lds:], lds, rows-r, cols)
		}
	default:
		plainTranspose(dst, ldd, src, lds, rows, cols)
	}
}

func (t tier) copyPanel(dst, src []float32, lds int, k, n int) {
	switch {
	case t == avx512:
		copyPanel512(&dst[0], &src[0], 4*lds, k, n)
	case t == avx2 && n == panelN:
		copyPanel2(&dst[0], &src[0], 4*lds, k, n)
	default:
		plainCopyPanel(dst, src, lds, k, n)
	}
}

func (t tier) widen(dst []float32, src []int8, scales []float32, rows int) {
	switch t {
	case avx512:
		widen512(&dst[0], &src[0], &scales[0], rows)
	case avx2:
		widen2(&dst[0], &src[0], &scales[0], rows)
	default:
		plainWiden(dst, src, scales, rows)
	}
}

func (t tier) axpy(alpha float32, x, y []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		axpy512(alpha, &x[0], &y[0], n)
	default:
		axpy2(alpha, &x[0], &y[0], n)
	}
	return n
}

func (t tier) add(x, y []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		add512(&x[0], &y[0], n)
	default:
		add2(&x[0], &y[0], n)
	}
	return n
}

func (t tier) sub(dst, x, y []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		sub512(&dst[0], &x[0], &y[0], n)
	default:
		sub2(&dst[0], &x[0], &y[0], n)
	}
	return n
}

func (t tier) scale(alpha float32, x []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		scale512(alpha, &x[0], n)
	default:
		scale2(alpha, &x[0], n)
	}
	return n
}

func (t tier) relu(x []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		relu512(&x[0], n)
	default:
		relu2(&x[0], n)
	}
	return n
}

func (t tier) gate(x, h []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		gate512(&x[0], &h[0], n)
	default:
		gate2(&x[0], &h[0], n)
	}
	return n
}

func (t tier) finite(x []float32) (int, bool) {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
		return 0, true
	case t == avx512:
		return n, finite512(&x[0], n) == 0
	default:
		return n, finite2(&x[0], n) == 0
	}
}

func (t tier) largest(x []float32, lanes *[16]float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		largest512(&x[0], n, lanes)
	default:
		largest2(&x[0], n, lanes)
	}
	return n
}

func (t tier) grey(dst []float32, levels []uint8) int {
	n := t.whole(len(dst), 8)
	switch {
	case n == 0:
	case t == avx512:
		grey512(&dst[0], &levels[0], n)
	default:
		grey2(&dst[0], &levels[0], n)
	}
	return n
}

func (t tier) dot(x, y []float32, lanes *[32]float64) int {
	n := len(x) &^ 31
	switch {
	case n == 0 || t == plain:
		return 0
	case t == avx512:
		dot512(&x[0], &y[0], n, lanes)
	default:
		dot2(&x[0], &y[0], n, lanes)
	}
	return n
}

func (t tier) weighted(dst []float32, weights []float64, vectors [][]float32) int {
	n := t.whole(len(dst), 32)
	if n == 0 && t == avx512 {
		t, n = avx2, avx2.whole(len(dst), 32)
	}
	switch {
	case n == 0 || len(vectors) == 0:
		return 0
	case t == avx512:
		weighted512(&dst[0], &weights[0], &vectors[0], len(vectors), n)
	default:
		weighted2(&dst[0], &weights[0], &vectors[0], len(vectors), n)
	}
	return n
}

func (t tier) exp(dst, x []float64) int {
	n := t.whole(len(x), 4)
	switch {
	case n == 0:
		return 0
	case t == avx512:
		return exp512(&dst[0], &x[0], n)
	default:
		return exp2(&dst[0], &x[0], n)
	}
}

func (t tier) adam(a *Adam, w, g, first, second []float32) int {
	n := t.whole(len(w), 8)
	switch {
	case n == 0:
	case t == avx512:
		adam512(&a.Scale, &w[0], &g[0], &first[0], &second[0], n)
	default:
		adam2(&a.Scale, &w[0], &g[0], &first[0], &second[0], n)
	}
	return n
}

func (t tier) exps32(x []float32, alpha, shift float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		expsSingle512(&x[0], alpha, shift, n)
	default:
		expsSingle2(&x[0], alpha, shift, n)
	}
	return n
}

func (t tier) mul(x, y []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		mul512(&x[0], &y[0], n)
	default:
		mul2(&x[0], &y[0], n)
	}
	return n
}

func (t tier) gelu(y, x []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		gelu512(&y[0], &x[0], n)
	default:
		gelu2(&y[0], &x[0], n)
	}
	return n
}

func (t tier) silu(y, x []float32) int {
	n := t.whole(len(x), 8)
	switch {
	case n == 0:
	case t == avx512:
		silu512(&y[0], &x[0], n)
	default:
		silu2(&y[0], &x[0], n)
	}
	return n
}
