package kernel

import "starling/mixing/philox"

func (t tier) blocks(dst []uint32, key, block uint64, tensor, domain uint32) int {
	n := t.whole(len(dst)/4, 4)
	if n == 0 {
		return 0
	}
	keys := philox.RoundKeys(key)
	if t == avx512 {
		words512(&dst[0], &keys, block, tensor, domain, n)
	} else {
		words2(&dst[0], &keys, block, tensor, domain, n)
	}
	return 4 * n
}

func (t tier) poolAdd(theta, w []int64, h *halves, skip int) int {
	n := t.whole(len(theta), 4)
	switch {
	case n == 0:
	case t == avx512:
		poolAdd512(&theta[0], &w[0], &h[0], skip, uint64(len(w)-1), n)
	default:
		poolAdd2(&theta[0], &w[0], &h[0], skip, uint64(len(w)-1), n)
	}
	return n
}

func (t tier) poolPerturb(dst, x []float32, step float32, mask uint32, h *halves, skip int) int {
	n := t.whole(len(dst), 8)
	switch {
	case n == 0:
	case t == avx512:
		poolPerturb512(&dst[0], &x[0], &h[0], skip, step, mask, n)
	default:
		poolPerturb2(&dst[0], &x[0], &h[0], skip, step, mask, n)
	}
	return n
}

func (t tier) thetaFloats(dst, base []float32, theta []int64, unit float64) int {
	n := t.whole(len(dst), 4)
	switch {
	case n == 0:
	case t == avx512:
		thetaFloats512(&dst[0], &base[0], &theta[0], unit, n)
	default:
		thetaFloats2(&dst[0], &base[0], &theta[0], unit, n)
	}
	return n
}

// signsAdd wants skip to be whole bytes.
func (t tier) signsAdd(theta, coef []int64, b *signs, skip int) int {
	n := t.whole(len(theta), 32)
	switch {
	case n == 0 || len(coef) == 0:
		return 0
	case t == avx512:
		signsLookup(theta[:n], coef, b, skip)
		return n
	}
	var twice [signsSeeds]int64
	var sum int64
	for i, c := range coef {
		twice[i] = 2 * c
		sum += c
	}
	signsChoose2(&theta[0], &twice[0], &b[0][0], skip/8, 4*len(b[0]), len(coef), sum, n)
	return n
}

// signsLookup makes tables of sums and applies them, those of all seeds at once or of eight at a time.
func signsLookup(theta, coef []int64, b *signs, skip int) {
	var sums [signsSeeds / 4][16]int64
	for s := 0; s < len(coef); s += 4 {
		subsets(sums[s/4][:], coef[s:min(s+4, len(coef))])
	}
	if len(coef) > 24 {
		signsLookup512(&theta[0], &sums[0][0], &b[0][0], skip/8, 4*len(b[0]), 4, len(theta))
		return
	}
	for s := 0; s < len(coef); s += 8 {
		signsLookup512(&theta[0], &sums[s/4][0], &b[s][0], skip/8, 4*len(b[0]), 1, len(theta))
	}
}

// signsPerturb wants skip to be whole bytes.
func (t tier) signsPerturb(dst, x []float32, step float32, words []uint32, skip int) int {
	n := t.whole(len(dst), 8)
	switch {
	case n == 0:
	case t == avx512:
		signsPerturb512(&dst[0], &x[0], &words[0], skip/8, step, n)
	default:
		signsPerturb2(&dst[0], &x[0], &words[0], skip/8, step, n)
	}
	return n
}
