package kernel

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

var passMillions = flag.Int("millions", 16, "`n` million parameters for the benchmarks of passes; 135 need 2.2 GB")

// BenchmarkPasses goes over as many parameters as a model has, by one goroutine and by two that share it, with every set of instructions.
// Memory is what a pass costs that does nothing but add one to all integers.
func BenchmarkPasses(b *testing.B) {
	const piece = 1 << 18 // taken by whoever is free
	n := *passMillions << 20
	rng := rand.New(rand.NewPCG(1, 2))
	theta, w, coef, keys := make([]int64, n), integers(rng, 4096), integers(rng, 64), make([]uint64, 64)
	for i := range keys {
		keys[i] = rng.Uint64()
	}
	x, y := make([]float32, n), make([]float32, n)
	passes := []struct {
		name  string
		bytes int64 // that a parameter moves
		f     func(use tier, from, to int)
	}{
		{"Memory", 16, func(_ tier, from, to int) { increment(theta[from:to]) }},
		{"PoolAdd", 16, func(use tier, from, to int) { use.poolAddAll(theta[from:to], w, 1, 2, uint64(from)) }},
		{"PoolPerturb", 8, func(use tier, from, to int) {
			use.poolPerturbAll(y[from:to], x[from:to], 1e-3, 77, 4096, 1, 2, uint64(from))
		}},
		{"SignsAdd64", 16, func(use tier, from, to int) { use.signsAddAll(theta[from:to], coef, keys, 2, uint64(from)) }},
		{"SignsPerturb", 8, func(use tier, from, to int) { use.signsPerturbAll(y[from:to], x[from:to], 1e-3, 1, 2, uint64(from)) }},
		{"ThetaFloats", 16, func(use tier, from, to int) { use.thetaFloatsAll(y[from:to], x[from:to], theta[from:to], 0x1p-60) }},
	}
	for _, p := range passes {
		for _, use := range tiers() {
			if p.name == "Memory" && use != best {
				continue
			}
			for _, parts := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/%s/%d", p.name, use, parts), func(b *testing.B) {
					p.f(use, 0, n) // the memory is there
					b.SetBytes(p.bytes * int64(n))
					for b.Loop() {
						var all sync.WaitGroup
						var next atomic.Int64
						for range parts {
							all.Go(func() {
								for from := int(next.Add(piece)) - piece; from < n; from = int(next.Add(piece)) - piece {
									p.f(use, from, from+piece)
								}
							})
						}
						all.Wait()
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gparam/s")
				})
			}
		}
	}
}

func increment(v []int64) {
	for len(v) >= 8 {
		p := (*[8]int64)(v)
		p[0]++
		p[1]++
		p[2]++
		p[3]++
		p[4]++
		p[5]++
		p[6]++
		p[7]++
		v = v[8:]
	}
	for i := range v {
		v[i]++
	}
}

func BenchmarkPhilox(b *testing.B) {
	for _, use := range tiers() {
		b.Run(use.String(), func(b *testing.B) {
			dst := make([]uint32, 2048)
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				use.words(dst, 1, 2, 3, 4)
			}
		})
	}
}

func BenchmarkHadamard(b *testing.B) {
	a := make([]int64, 4096)
	for b.Loop() {
		Hadamard(a)
	}
}
