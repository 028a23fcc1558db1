package mixing

// A Stat is the mean and the population variance of a tensor.
type Stat struct {
	Mean, Var float64
}

// statBlock is the length over which sums are plain before they are merged pairwise (spec 01, 1.7).
const statBlock = 4096

// Moments returns mean and population variance, accumulated in float64 over fixed blocks that are merged in order. Those
// of an empty slice are zero.
func Moments(x []float32) Stat {
	var n, mean, m2 float64
	for len(x) > 0 {
		b := x[:min(statBlock, len(x))]
		x = x[len(b):]
		shift := float64(b[0]) // keeps the sums small where the mean is far from zero
		var s1, s2 float64
		for _, v := range b {
			d := float64(v) - shift
			s1 += d
			s2 += float64(d * d)
		}
		nb := float64(len(b))
		mb := shift + s1/nb
		m2b := max(0, s2-float64(s1*(s1/nb)))
		if n == 0 {
			n, mean, m2 = nb, mb, m2b
			continue
		}
		delta := mb - mean
		total := n + nb
		mean += float64(delta * (nb / total))
		m2 += m2b + float64(float64(delta*delta)*(n*nb/total))
		n = total
	}
	if n == 0 {
		return Stat{}
	}
	return Stat{Mean: mean, Var: m2 / n}
}
