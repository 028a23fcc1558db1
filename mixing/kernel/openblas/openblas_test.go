//go:build openblas

package openblas

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"starling/mixing/kernel"
)

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// BenchmarkAgainstOpenBLAS runs both in turn and compares the fastest run of each, so that neither a busy machine nor a
// changing clock favours one.
func BenchmarkAgainstOpenBLAS(b *testing.B) {
	b.Logf("OpenBLAS runs its code for %s", core())
	for _, s := range []struct {
		how     string
		m, n, k int
	}{
		{"packed", 256, 1536, 576}, {"NN", 256, 1536, 576}, {"NT", 256, 1536, 576}, {"packed", 32, 128, 784}, {"NN", 32, 128, 784}, {"NT", 32, 128, 784},
		{"NN", 784, 128, 32}, {"NT", 28, 100, 784}, {"NT", 32, 100, 784}, {"NT", 60, 100, 784}, {"NT", 256, 100, 784}, {"packed", 256, 100, 784},
		{"NN", 100, 784, 32}, {"TN", 100, 784, 28}, {"TN", 100, 784, 32}, {"NT", 32, 10, 100}, {"NT", 32, 10, 784}, {"NT", 60, 1, 57},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d·%dx%d", s.how, s.m, s.k, s.k, s.n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			x, y, z := random(rng, s.m*s.k), random(rng, s.k*s.n), make([]float32, s.m*s.n)
			packed := kernel.PackNN(nil, s.n, s.k, y, s.n)
			own := map[string]func(){
				"packed": func() { kernel.MulPacked(false, s.m, x, s.k, packed, z, s.n) },
				"NN":     func() { kernel.MulNN(false, s.m, s.n, s.k, x, s.k, y, s.n, z, s.n) },
				"NT":     func() { kernel.MulNT(false, s.m, s.n, s.k, x, s.k, y, s.k, z, s.n) },
				"TN":     func() { kernel.MulTN(false, s.m, s.n, s.k, x, s.m, y, s.n, z, s.n) },
			}[s.how]
			theirs := func() { multiply(false, s.m, s.n, s.k, x, s.k, y, s.n, z, s.n) }
			if s.how == "NT" {
				theirs = func() { multiply(true, s.m, s.n, s.k, x, s.k, y, s.k, z, s.n) }
			}
			work := 2 * float64(s.m) * float64(s.n) * float64(s.k)
			turns := max(1, int(2e6/work))
			fastest := func(f func(), before time.Duration) time.Duration {
				start := time.Now()
				for range turns {
					f()
				}
				return min(before, time.Since(start))
			}
			mine, other := time.Hour, time.Hour
			for b.Loop() {
				mine, other = fastest(own, mine), fastest(theirs, other)
			}
			rate := func(d time.Duration) float64 { return work * float64(turns) / d.Seconds() / 1e9 }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate(mine), "GFLOP/s")
			b.ReportMetric(rate(other), "OpenBLAS-GFLOP/s")
			b.ReportMetric(rate(mine)/rate(other), "ratio")
		})
	}
}
