package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestActivationsEqualTheReference(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(21, 22))
		plain := tiers()[0]
		for _, n := range lengths {
			for _, draw := range []func(*rand.Rand, int) []float32{random, odd} {
				x, y := draw(rng, n), draw(rng, n)
				alpha, shift := float32(rng.NormFloat64()*20), float32(rng.NormFloat64()*20)
				check := func(name string, f func(use tier, x, y []float32)) {
					t.Helper()
					gotX, gotY := append(slices.Clone(x), mark), append(slices.Clone(y), mark)
					wantX, wantY := slices.Clone(x), slices.Clone(y)
					f(use, gotX[:n:n], gotY[:n:n])
					f(plain, wantX, wantY)
					for i := range n {
						if !sameFloat(gotX[i], wantX[i]) || !sameFloat(gotY[i], wantY[i]) {
							t.Fatalf("%s of %d: element %d of %v and %v gives %v and %v, want %v and %v", name, n, i, x[i], y[i], gotX[i], gotY[i], wantX[i], wantY[i])
						}
					}
					if gotX[n] != mark || gotY[n] != mark {
						t.Errorf("%s of %d writes behind the end", name, n)
					}
				}
				check("Mul", func(use tier, x, y []float32) { use.mulAll(x, y) })
				check("Exps32", func(use tier, x, _ []float32) { use.exps32All(x, alpha, shift) })
				check("GELU", func(use tier, x, y []float32) { use.geluAll(y, x) })
				check("SiLU", func(use tier, x, y []float32) { use.siluAll(y, x) })
			}
		}
	})
}

func TestExportedActivationsAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	x, y := random(rng, 77), random(rng, 77)
	gotX, gotY := slices.Clone(x), slices.Clone(y)
	GELU(gotY, gotX)
	Mul(gotX, gotY)
	Exps32(gotX, 2, 1)
	for i := range x {
		wantX, wantY := []float32{x[i]}, []float32{y[i]}
		tiers()[0].geluAll(wantY, wantX)
		wantY[0] *= wantX[0]
		wantX[0] = Exp32(float32(2*wantX[0]) - 1)
		if gotX[i] != wantX[0] || gotY[i] != wantY[0] {
			t.Errorf("element %d is %v and %v, want %v and %v", i, gotX[i], gotY[i], wantX[0], wantY[0])
		}
	}
}

func TestExp32IsAccurateBetweenItsBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	for i := range 300_000 {
		x := float32((rng.Float64() - 0.5) * 174)
		if i%2 == 0 {
			x = float32(rng.NormFloat64())
		}
		if got, want := float64(Exp32(x)), math.Exp(float64(x)); math.Abs(got-want) > want*0x1p-22 {
			t.Fatalf("Exp32(%v) is %v, want %v", x, got, want)
		}
	}
	inf := float32(math.Inf(1))
	for _, x := range []float32{87, 87.1, 1e30, inf} {
		if got, low := Exp32(x), Exp32(-x); got != Exp32(87) || low != Exp32(-87) || got > math.MaxFloat32 || low < 0x1p-126 {
			t.Errorf("Exp32 of ±%v is %v and %v", x, got, low)
		}
	}
	if got := Exp32(float32(math.NaN())); got == got {
		t.Errorf("Exp32 of no number is %v", got)
	}
}

func TestGELUAndItsDerivativeAreAccurate(t *testing.T) {
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	for i := range 4000 {
		at := float32(i-2000) / 111
		x, y := []float32{at}, make([]float32, 1)
		GELU(y, x)
		const h = 1e-5
		want, slope := gelu(float64(at)), (gelu(float64(at)+h)-gelu(float64(at)-h))/(2*h)
		if math.Abs(float64(y[0])-want) > 1e-6 || math.Abs(float64(x[0])-slope) > 2e-6 {
			t.Errorf("at %v: %v with slope %v, want %v with %v", at, y[0], x[0], want, slope)
		}
	}
	for _, big := range []float32{1e3, 1e6, 1e12} {
		x, y := []float32{big, -big}, make([]float32, 2)
		GELU(y, x)
		if y[0] != big || x[0] != 1 || math.Abs(float64(y[1])) > 1e-20 || math.Abs(float64(x[1])) > 1 {
			t.Errorf("at ±%v: %v with slopes %v", big, y, x)
		}
	}
}

func TestSiLUAndItsDerivativeAreAccurate(t *testing.T) {
	silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	for i := range 4000 {
		at := float32(i-2000) / 61
		x, y := []float32{at}, make([]float32, 1)
		SiLU(y, x)
		const h = 1e-5
		want, slope := silu(float64(at)), (silu(float64(at)+h)-silu(float64(at)-h))/(2*h)
		if math.Abs(float64(y[0])-want) > 1e-6*(1+math.Abs(want)) || math.Abs(float64(x[0])-slope) > 2e-6 {
			t.Errorf("at %v: %v with slope %v, want %v with %v", at, y[0], x[0], want, slope)
		}
	}
	for _, big := range []float32{1e3, 1e6, 1e20} {
		x, y := []float32{big, -big}, make([]float32, 2)
		SiLU(y, x)
		if y[0] != big || x[0] != 1 || math.Abs(float64(y[1])) > 1e-17 || math.Abs(float64(x[1])) > 1e-17 {
			t.Errorf("at ±%v: %v with slopes %v", big, y, x)
		}
	}
}

// Bits of results on one machine; the test passes on every other one only if they are the same there.
func TestActivationsHaveTheRecordedBits(t *testing.T) {
	var h uint64 = 14695981039346656037
	x, y := make([]float32, 5000), make([]float32, 5000)
	for i := range x {
		x[i] = float32(i-2500) / 97
	}
	e := slices.Clone(x)
	Exps32(e, 3.1, -0.7)
	silu, slope := slices.Clone(x), slices.Clone(x)
	GELU(y, x)
	SiLU(silu, slope)
	for i := range x {
		for _, v := range []float32{e[i], x[i], y[i]} {
			h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
		}
	}
	if h != 0x43d1e38faafea2a9 {
		t.Errorf("hash of 15000 results is %#x", h)
	}
	h = 14695981039346656037
	for i := range silu {
		for _, v := range []float32{silu[i], slope[i]} {
			h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
		}
	}
	if h != 0xac24e80512a54a74 {
		t.Errorf("hash of 10000 results of SiLU is %#x", h)
	}
}

func BenchmarkActivations(b *testing.B) {
	const n = 1 << 13
	x, y := make([]float32, n), make([]float32, n)
	for name, f := range map[string]func(){
		"Mul":    func() { Mul(x, y) },
		"Exps32": func() { Exps32(x, 1, 0.5) },
		"GELU":   func() { GELU(y, x) },
		"SiLU":   func() { SiLU(y, x) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				f()
			}
		})
	}
}
