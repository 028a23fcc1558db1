package walk

import (
	"math"
	"slices"

	"starling/mixing/kernel"
	"starling/mixing/srrw"
	"starling/mixing/topology"
)

// eigen returns the eigenvalues of a symmetric matrix of n rows, ascending, and for each an eigenvector of length 1, by Jacobi's
// rotations. The matrix is left as it is.
func eigen(matrix []float64, n int) (values []float64, vectors [][]float64) {
	a := slices.Clone(matrix)
	v := make([]float64, n*n) // the vectors are its columns
	for i := range n {
		v[i*n+i] = 1
	}
	for range 60 {
		off, all := 0.0, 0.0
		for i := range n {
			for j := range n {
				all += float64(a[i*n+j] * a[i*n+j])
				if i != j {
					off += float64(a[i*n+j] * a[i*n+j])
				}
			}
		}
		if off <= 1e-30*all {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, v, n, p, q)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch d := a[i*n+i] - a[j*n+j]; {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
	for _, k := range order {
		values = append(values, a[k*n+k])
		vector := make([]float64, n)
		for i := range vector {
			vector[i] = v[i*n+k]
		}
		vectors = append(vectors, vector)
	}
	return values, vectors
}

// rotate makes the element (p, q) zero.
func rotate(a, v []float64, n, p, q int) {
	if a[p*n+q] == 0 {
		return
	}
	half := (a[q*n+q] - a[p*n+p]) / (2 * a[p*n+q])
	t := 1 / (math.Abs(half) + math.Sqrt(1+float64(half*half)))
	if half < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(1+float64(t*t))
	s := t * c
	for i := range n {
		x, y := a[i*n+p], a[i*n+q]
		a[i*n+p], a[i*n+q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
	for i := range n {
		x, y := a[p*n+i], a[q*n+i]
		a[p*n+i], a[q*n+i] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
	for i := range n {
		x, y := v[i*n+p], v[i*n+q]
		v[i*n+p], v[i*n+q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
}

// A spectrum is the modes of a base chain that visits all peers alike, without the constant one: P is symmetric.
type spectrum struct {
	values  []float64
	vectors [][]float64 // each times 1/sqrt(n): the left eigenvectors of spec 02 for equal mu
}

func newSpectrum(c srrw.Config, g topology.Graph) spectrum {
	if c.Form == srrw.Proposals { // whose chain is this one, whatever the base is
		c.Base, c.Form = srrw.Metropolis, srrw.Rows
	}
	c.Alpha = 0
	n := g.N()
	p := make([]float64, n*n)
	for i, at := range places(g) {
		for _, s := range c.Row(at) {
			p[i*n+int(s.Tag)] = s.P
		}
	}
	values, vectors := eigen(p, n)
	s := spectrum{values[:n-1], vectors[:n-1]} // the largest is 1
	for _, v := range s.vectors {
		for i := range v {
			v[i] /= math.Sqrt(float64(n))
		}
	}
	return s
}

// A pace is how the steps of the model, beta, and of the history, gamma, are to each other, and how much of what pulls back is made up for
// by their becoming smaller.
type pace struct {
	ratio                    float64 // beta by gamma
	history, between, models float64 // a/(n gamma), b/(n gamma) and b/(n beta) at hop n
}

// limit is the pace in the long run. It is false if the steps of the history do not become smaller.
func limit(c srrw.Config) (pace, bool) {
	var p pace
	switch {
	case c.B < c.A:
		p.ratio = math.Inf(1)
	case c.B == c.A:
		p.ratio = 1
	}
	if c.A == 1 {
		p.history = 1
	}
	if c.B == 1 {
		p.models = 1
		p.between = p.ratio // only if both are 1
	}
	return p, !c.Floor
}

// present is the pace at hop number n, with so many peers.
func present(c srrw.Config, n uint64, peers int) pace {
	gamma, beta := c.Gamma(n, peers), c.Beta(n)
	gamma = max(gamma, 1/float64(n+uint64(peers)+1)) // one more count
	at := float64(n) + 2
	p := pace{ratio: beta / gamma, history: c.A / (at * gamma), between: c.B / (at * gamma), models: c.B / (at * beta)}
	if c.Floor && gamma > power(at, c.A) {
		p.history = 0
	}
	return p
}

func power(n, a float64) float64 { return kernel.Exp(-a * kernel.Log(n)) }

// covariance is what the covariance of the model by the step beta is at a pace, by the axes of the task's curvature (spec 02, section 2.6).
//
// Along each mode of the chain with eigenvalue lambda the visits are off by z, and the model by y along an axis of curvature eta. With
// k = alpha(1+lambda)+1, or alpha+1 for proposals, and noise w of variance c = (1+lambda)/(1-lambda) that both have in common, both are
// pulled back: z by gamma (-k z + w), y by beta (-eta y - (k-1) h z + h w) in a hop. The result is where the variances of y stay in proportion
// to beta. With a ratio of 0, 1 and infinity the three cases of the spec come out: c/k², c/k and c for a curvature of 1, halved.
func (t *task) covariance(s spectrum, c srrw.Config, at pace) []float64 {
	d := t.dimension()
	out := make([]float64, d*d)
	for i, lambda := range s.values {
		h := make([]float64, d) // the gradients along the mode, by axes
		for p := range h {
			for j, u := range s.vectors[i] {
				for k, e := range t.errors[j] {
					h[p] -= float64(u * float64(e*t.axes[p][k]))
				}
			}
		}
		k := float64(c.Alpha*(1+lambda)) + 1
		if c.Form == srrw.Proposals {
			k = c.Alpha + 1
		}
		noise := (1 + lambda) / (1 - lambda)
		zz := noise / (k + k - at.history)
		yz := func(eta float64) float64 {
			return (noise - float64((k-1)*zz)) / (k + float64(eta*at.ratio) - at.between)
		}
		for p := range h {
			for q := range h {
				v := noise - float64((k-1)*(yz(t.bends[p])+yz(t.bends[q])))
				out[p*d+q] += float64(h[p] * h[q] * v / (t.bends[p] + t.bends[q] - at.models))
			}
		}
	}
	return out
}
