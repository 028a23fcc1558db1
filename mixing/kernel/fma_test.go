package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA computes x·y + z by big numbers; the arguments are finite.
func exactFMA(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(700).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
	p.Add(p, big.NewFloat(float64(z)))
	if p.Sign() == 0 { // the rules for signs of zeros hold in float64, where the product does not underflow
		return float32(float64(x)*float64(y) + float64(z))
	}
	r, _ := p.Float32()
	return r
}

func checkFMA(t *testing.T, x, y, z float32) {
	t.Helper()
	got, s := FMA(x, y, z), float64(x)*float64(y)+float64(z)
	if finite := Finite([]float32{x, y, z}); !finite {
		if want := float32(s); got != want && (got == got || want == want) {
			t.Errorf("FMA(%x, %x, %x) is %v, want %v", x, y, z, got, want)
		}
		return
	}
	if want := exactFMA(x, y, z); math.Float32bits(got) != math.Float32bits(want) {
		t.Errorf("FMA(%x, %x, %x) is %x, want %x", x, y, z, got, want)
	}
	if want := nearest(x, y, z); math.Float32bits(got) != math.Float32bits(want) {
		t.Errorf("FMA(%x, %x, %x) is %x by the short way and %x by the long one", x, y, z, got, want)
	}
}

func TestFMARoundsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for range 100_000 {
		checkFMA(t, math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32()))
		x, y := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		checkFMA(t, x, y, float32(rng.NormFloat64()))
		checkFMA(t, x, y, -x*y) // what is left is the rounding error of the product
	}
}

// A tie that is none: z and half a unit in its last place, and a product so much smaller that float64 drops it.
func TestFMAIsNotMisledByTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	wrong := 0
	for range 100_000 {
		// x·y is half a unit in the last place of z, (1 + 2^-e)·2^-24 for a z of 1: more than 53 bits below z.
		e := 1 + rng.IntN(23)
		x := float32(1 + math.Ldexp(1, -e))
		y := float32(1 - math.Ldexp(1, -e)) // x·y = 1 - 2^-2e
		if rng.IntN(2) == 0 {
			y = float32(1 + math.Ldexp(float64(1+rng.IntN(3)), -23))
			x = float32(1 - math.Ldexp(float64(1+rng.IntN(3)), -23))
		}
		shift := rng.IntN(240) - 140
		z := float32(math.Ldexp(1+float64(rng.IntN(1<<23))/(1<<23), shift))
		unit := float64(math.Float32frombits(math.Float32bits(z)+1) - z)
		u := math.Sqrt(unit / 2)
		exp := math.Round(math.Log2(u))
		x, y = float32(float64(x)*math.Exp2(exp)), float32(float64(y)*unit/2/math.Exp2(exp))
		if rng.IntN(2) == 0 {
			x = -x
		}
		if rng.IntN(2) == 0 {
			z = -z
		}
		checkFMA(t, x, y, z)
		if float32(float64(x)*float64(y)+float64(z)) != exactFMA(x, y, z) {
			wrong++
		}
	}
	if wrong < 1000 {
		t.Errorf("rounding twice is wrong for %d of the cases only: they test nothing", wrong)
	}
}

func TestFMAOfSmallResultsRoundsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	wrong := 0
	for range 200_000 {
		z := math.Float32frombits(rng.Uint32() & 0x80ffffff)
		// Half of the smallest float32, less or more a share of it that float64 drops beside z.
		d := float64(1+rng.IntN(3)) * 0x1p-23
		x := float32(math.Ldexp(1+d, -75))
		y := float32(math.Ldexp(1-d+float64(rng.IntN(2))*0x1p-23, -75))
		if rng.IntN(2) == 0 {
			y = -y
		}
		checkFMA(t, x, y, z)
		if float32(float64(x)*float64(y)+float64(z)) != exactFMA(x, y, z) {
			wrong++
		}
	}
	if wrong < 100 {
		t.Errorf("rounding twice is wrong for %d of the cases only: they test nothing", wrong)
	}
}

func TestFMAAtTheEdges(t *testing.T) {
	inf, nan, largest, smallest := float32(math.Inf(1)), float32(math.NaN()), float32(math.MaxFloat32), float32(math.SmallestNonzeroFloat32)
	values := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 2, -2, 0.5, 3, largest, -largest, smallest, -smallest, 0x1p-126, 0x1.fffffcp-127, 0x1p-75, 0x1p103, 0x1p127,
		-0x1p103, 0x1.fffffep-1, 0x1.000002p0, 0x1p24, 0x1p-24, inf, -inf, nan}
	for _, x := range values {
		for _, y := range values {
			for _, z := range values {
				checkFMA(t, x, y, z)
			}
		}
	}
}

func FuzzFMA(f *testing.F) {
	f.Add(uint32(0x3f800001), uint32(0x33800000), uint32(0x3f800000))
	f.Add(uint32(0x1a000001), uint32(0x1a000000), uint32(0x00400000))
	f.Fuzz(func(t *testing.T, x, y, z uint32) {
		checkFMA(t, math.Float32frombits(x), math.Float32frombits(y), math.Float32frombits(z))
	})
}
