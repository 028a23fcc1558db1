package scalar

import (
	"math"
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
)

// A quadratic is the loss (x-target)ᵀ H (x-target)/2 with a diagonal H.
type quadratic struct{ h, target []float64 }

func drawQuadratic(rng *rand.Rand, d int, condition float64) quadratic {
	q := quadratic{make([]float64, d), make([]float64, d)}
	for i := range q.h {
		q.h[i] = math.Pow(condition, -rng.Float64())
		q.target[i] = rng.NormFloat64()
	}
	return q
}

func (q quadratic) loss(x func(i int) float64) (sum float64) {
	for i, h := range q.h {
		d := x(i) - q.target[i]
		sum += h * d * d / 2
	}
	return sum
}

func (q quadratic) grad(x []float64) []float64 {
	g := make([]float64, len(x))
	for i := range x {
		g[i] = q.h[i] * (x[i] - q.target[i])
	}
	return g
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// entriesOf is direction k of a pool for d parameters.
func entriesOf(p Pool, generation, k uint32, d int) []float64 {
	z := make([]float64, d)
	for j := range z {
		z[j] = float64(p.At(generation, k, 0, uint64(j))) / p.Family.Sigma()
	}
	return z
}

func (q quadratic) slope(x, z []float64, eps float64) float64 {
	at := func(e float64) float64 { return q.loss(func(i int) float64 { return x[i] + float64(e*z[i]) }) }
	return Slope(at(eps), at(-eps), eps)
}

func TestTheSlopeOfAQuadraticIsExactForAnyDistance(t *testing.T) {
	rng := rand.New(philox.NewStream(21, philox.Data, 0))
	for _, f := range families() {
		q, x := drawQuadratic(rng, 40, 100), drawQuadratic(rng, 40, 1).target
		g := q.grad(x)
		z := entriesOf(Pool{f, 16, rng.Uint64()}, 0, 3, 40)
		for _, eps := range []float64{1e-4, 1e-2, 1, 100} {
			if got, want := q.slope(x, z, eps), dot(g, z); math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
				t.Errorf("%s, eps %g: slope %.12g, want %.12g", f, eps, got, want)
			}
		}
	}
}

func TestTheMeanOverAllSignsIsTheGradient(t *testing.T) {
	const d = 10
	rng := rand.New(philox.NewStream(22, philox.Data, 0))
	q, x := drawQuadratic(rng, d, 10), drawQuadratic(rng, d, 1).target
	mean, z := make([]float64, d), make([]float64, d)
	for signs := range 1 << d {
		for i := range z {
			z[i] = float64(sign(signs>>i&1 == 1))
		}
		g := q.slope(x, z, 0.5)
		for i := range z {
			mean[i] += g * z[i] / (1 << d)
		}
	}
	for i, g := range q.grad(x) {
		if math.Abs(mean[i]-g) > 1e-9 {
			t.Errorf("parameter %d: the mean is %.12g, the gradient %.12g", i, mean[i], g)
		}
	}
}

// E|g z|² = (d + kurtosis - 2 + 1)·|grad|² for entries drawn apart from each other, within 1 % (spec 04, 4.5), and the mean is the
// gradient. Of a structured pool the generations are drawn anew.
func TestEstimatesHaveTheirMoments(t *testing.T) {
	const d, n = 12, 60000
	grad := make([]float64, d)
	for i := range grad {
		grad[i] = 1 - float64(i%5)/2
	}
	norm := dot(grad, grad)
	for f, kurtosis := range []float64{1, 2.75, 2.9375, 1} {
		p := Pool{Family: Family(f), K: 1024, Seed: 99}
		second, mean := 0.0, make([]float64, d)
		for i := range uint32(n) {
			z := entriesOf(p, i, i*7%p.K, d)
			g := dot(grad, z)
			second += g * g * dot(z, z) / n
			for j := range mean {
				mean[j] += g * z[j] / n
			}
		}
		if want := (d + kurtosis - 1) * norm; math.Abs(second-want) > 0.01*want {
			t.Errorf("%s: the mean square of an estimate is %.3f, want %.3f within 1 %%", p.Family, second, want)
		}
		for j, g := range grad {
			if math.Abs(mean[j]-g) > 6*math.Sqrt(2*norm/n) {
				t.Errorf("%s: the mean estimate of %g is %g", p.Family, g, mean[j])
			}
		}
	}
}
