package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var lengths = func() (n []int) {
	for i := range 150 {
		n = append(n, i)
	}
	return append(n, 255, 256, 257, 511, 512, 513, 1030)
}()

// odd are numbers of all kinds.
func odd(rng *rand.Rand, n int) []float32 {
	v := random(rng, n)
	for i := range v {
		switch rng.IntN(8) {
		case 0:
			v[i] = float32(math.Copysign(0, float64(v[rng.IntN(n)])))
		case 1:
			v[i] = math.Float32frombits(rng.Uint32())
		}
	}
	return v
}

func sameFloat(x, y float32) bool {
	return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
}

func TestVectorOperationsEqualTheReference(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, n := range lengths {
			x, y := odd(rng, n), odd(rng, n)
			check := func(name string, f func(out []float32), want func(i int) float32) {
				t.Helper()
				memory := append(slices.Clone(y), mark)
				got := memory[:n:n]
				f(got)
				for i := range got {
					if !sameFloat(got[i], want(i)) {
						t.Errorf("%s of %d: element %d is %v, want %v", name, n, i, got[i], want(i))
					}
				}
				if memory[n] != mark {
					t.Errorf("%s of %d writes behind the end", name, n)
				}
			}
			check("Axpy", func(out []float32) { use.axpyAll(0.3, x, out) }, func(i int) float32 { return FMA(0.3, x[i], y[i]) })
			check("Add", func(out []float32) { use.addAll(x, out) }, func(i int) float32 { return y[i] + x[i] })
			check("Sub", func(out []float32) { use.subAll(out, x, out) }, func(i int) float32 { return x[i] - y[i] })
			check("Scale", func(out []float32) { use.scaleAll(-2.5, out) }, func(i int) float32 { return -2.5 * y[i] })
			check("ReLU", func(out []float32) { use.reluAll(out) }, func(i int) float32 {
				if y[i] < 0 {
					return 0
				}
				return y[i]
			})
			check("Gate", func(out []float32) { use.gateAll(out, x) }, func(i int) float32 {
				if x[i] == 0 {
					return 0
				}
				return y[i]
			})
			levels := make([]uint8, n)
			for i := range levels {
				levels[i] = uint8(rng.Uint32())
			}
			check("Grey", func(out []float32) { use.greyAll(out, levels) }, func(i int) float32 { return float32(levels[i]) / 255 })
		}
	})
}

func TestAllGreyLevelsAreRoundedOnce(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		levels, got := make([]uint8, 256), make([]float32, 256)
		for i := range levels {
			levels[i] = uint8(i)
		}
		use.greyAll(got, levels)
		for i, v := range got {
			if want := float32(float64(i) / 255); v != want {
				t.Errorf("level %d is %v, want %v", i, v, want)
			}
		}
	})
}

func TestExportedVectorOperationsAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	x, y := random(rng, 77), random(rng, 77)
	levels := make([]uint8, 77)
	doubles := make([]float64, 77)
	for i := range levels {
		levels[i], doubles[i] = uint8(rng.Uint32()), rng.NormFloat64()
	}
	for name, f := range map[string][2]func(out []float32){
		"Axpy":  {func(out []float32) { Axpy(3, x, out) }, func(out []float32) { tiers()[0].axpyAll(3, x, out) }},
		"Add":   {func(out []float32) { Add(x, out) }, func(out []float32) { tiers()[0].addAll(x, out) }},
		"Sub":   {func(out []float32) { Sub(out, x, y) }, func(out []float32) { tiers()[0].subAll(out, x, y) }},
		"Scale": {func(out []float32) { Scale(3, out) }, func(out []float32) { tiers()[0].scaleAll(3, out) }},
		"ReLU":  {func(out []float32) { ReLU(out) }, func(out []float32) { tiers()[0].reluAll(out) }},
		"Gate":  {func(out []float32) { Gate(out, x) }, func(out []float32) { tiers()[0].gateAll(out, x) }},
		"Grey":  {func(out []float32) { Grey(out, levels) }, func(out []float32) { tiers()[0].greyAll(out, levels) }},
		"WeightedSum": {
			func(out []float32) { WeightedSum(out, []float64{2, 3}, [][]float32{x, y}) },
			func(out []float32) { tiers()[0].weightedAll(out, []float64{2, 3}, [][]float32{x, y}) },
		},
		"Dot": {func(out []float32) { out[0] = float32(Dot(x, y)) }, func(out []float32) { out[0] = float32(tiers()[0].dotAll(x, y)) }},
		"Exps": {
			func(out []float32) {
				Exps(doubles, doubles)
				out[0] = float32(doubles[0])
				doubles[0] = math.Log(doubles[0])
			},
			func(out []float32) { out[0] = float32(math.Exp(doubles[0])) },
		},
	} {
		a, b := slices.Clone(y), slices.Clone(y)
		f[0](a)
		f[1](b)
		if !slices.Equal(a, b) {
			t.Errorf("%s gives other bits than plain Go", name)
		}
	}
}

func TestStepsOfAdamEqualTheReference(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(19, 20))
		a := Adam{Scale: 0.7, Beta1: 0.9, New1: 0.1, Beta2: 0.999, New2: 0.001, Decay: 1e-3, Rate: 0.01, Root: 1.3, Epsilon: 1e-8}
		for _, n := range lengths {
			g := odd(rng, n)
			var got, want [3][]float32
			for i := range got {
				got[i] = odd(rng, n)
				if i == 2 {
					for j, x := range got[i] {
						got[i][j] = float32(math.Abs(float64(x)))
					}
				}
				want[i] = slices.Clone(got[i])
			}
			use.adamAll(a, got[0], g, got[1], got[2])
			for i := range n {
				x := float32(a.Scale * g[i])
				m := float32(a.Beta1*want[1][i]) + float32(a.New1*x)
				v := float32(a.Beta2*want[2][i]) + float32(a.New2*float32(x*x))
				w := want[0][i] - float32(a.Decay*want[0][i])
				w -= float32(a.Rate*m) / (float32(float32(math.Sqrt(float64(v)))*a.Root) + a.Epsilon)
				if !sameFloat(got[0][i], w) || !sameFloat(got[1][i], m) || !sameFloat(got[2][i], v) {
					t.Fatalf("%d of %d: weight and moments %v %v %v, want %v %v %v", i, n, got[0][i], got[1][i], got[2][i], w, m, v)
				}
			}
		}
	})
}

func TestDotAddsInTheDocumentedOrder(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, n := range lengths {
			x, y := random(rng, n), random(rng, n)
			var size, plain float64
			lanes := make([]float64, 32)
			for i := range n {
				lanes[i%32] += float64(float64(x[i]) * float64(y[i]))
				plain += float64(float64(x[i]) * float64(y[i]))
				size += math.Abs(float64(x[i]) * float64(y[i]))
			}
			for len(lanes) > 1 {
				half := len(lanes) / 2
				for l := range half {
					lanes[l] += lanes[l+half]
				}
				lanes = lanes[:half]
			}
			if got := use.dotAll(x, y); got != lanes[0] || math.Abs(got-plain) > 1e-14*size {
				t.Errorf("Dot of %d is %v, the documented order gives %v", n, got, lanes[0])
			}
		}
	})
}

func TestNormOfExtremeNumbersIsFinite(t *testing.T) {
	if got, want := Norm2([]float32{math.MaxFloat32, math.MaxFloat32}), math.Sqrt2*math.MaxFloat32; math.Abs(got/want-1) > 1e-15 {
		t.Errorf("norm of the largest numbers is %v, want %v", got, want)
	}
	if got, want := Norm2([]float32{math.SmallestNonzeroFloat32}), float64(math.SmallestNonzeroFloat32); got != want {
		t.Errorf("norm of the smallest number is %v, want %v", got, want)
	}
}

func TestFiniteFindsEveryBadNumber(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		for n := 1; n < 150; n++ {
			x := make([]float32, n)
			for i := range x {
				x[i] = math.MaxFloat32
			}
			if !use.finiteAll(x) {
				t.Errorf("%d finite numbers are said not to be", n)
			}
			for i := range x {
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					x[i] = float32(bad)
					if use.finiteAll(x) {
						t.Errorf("%v at %d of %d is said to be finite", bad, i, n)
					}
				}
				x[i] = -math.MaxFloat32
			}
		}
		if !use.finiteAll(nil) {
			t.Error("no numbers are said not to be finite")
		}
	})
}

func TestWeightedSumEqualsTheReference(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(9, 10))
		for _, n := range lengths {
			for _, k := range []int{0, 1, 2, 3, 4, 8, 16, 17} {
				weights, vectors := make([]float64, k), make([][]float32, k)
				for j := range k {
					weights[j], vectors[j] = rng.NormFloat64(), random(rng, n)
				}
				want := make([]float32, n)
				for i := range want {
					var s float64
					for j := range k {
						s += float64(weights[j] * float64(vectors[j][i]))
					}
					want[i] = float32(s)
				}
				got := random(rng, n)
				use.weightedAll(got, weights, vectors)
				if !slices.Equal(got, want) {
					t.Errorf("sum of %d vectors of %d differs from the reference", k, n)
				}
				for j := range min(k, 4) { // in place, over each of them
					in := slices.Clone(vectors)
					in[j] = slices.Clone(vectors[j])
					use.weightedAll(in[j], weights, in)
					if !slices.Equal(in[j], want) {
						t.Errorf("sum of %d vectors of %d in place of the %d. differs from the reference", k, n, j)
					}
				}
			}
		}
	})
}

func TestExpsAreExp(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(17, 18))
		special := []float64{math.Inf(1), math.Inf(-1), math.NaN(), 709.7, 709.8, -707, -708, -709, -745, -746, 1e300, -1e300, 0, 5e-324}
		for round := range 400 {
			x := make([]float64, rng.IntN(60))
			for i := range x {
				x[i] = rng.NormFloat64() * math.Exp2(float64(rng.IntN(3+9*min(1, round/100))))
				if round >= 200 && rng.IntN(10) == 0 {
					x[i] = special[rng.IntN(len(special))]
				}
			}
			got := slices.Clone(x)
			if done := use.exp(make([]float64, len(x)), x); round < 100 && done != use.whole(len(x), 4) {
				t.Fatalf("%d of %d ordinary exponentials are left to plain Go", len(x)-done, len(x))
			}
			use.expAll(got, got)
			for i := range x {
				if want := Exp(x[i]); math.Float64bits(got[i]) != math.Float64bits(want) && want == want {
					t.Fatalf("Exps has %v for %v, Exp %v", got[i], x[i], want)
				}
			}
		}
	})
}

func FuzzVectors(f *testing.F) {
	f.Add(uint64(1), uint16(100), float32(0.5))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, alpha float32) {
		rng := rand.New(rand.NewPCG(seed, 0))
		x, y := odd(rng, int(n)%2000), odd(rng, int(n)%2000)
		results := func(use tier) (all []float32, dot float64) {
			z := slices.Clone(y)
			use.axpyAll(alpha, x, z)
			all = append(all, z...)
			use.weightedAll(z, []float64{float64(alpha), 0.25, 3}, [][]float32{x, y, z})
			all = append(all, z...)
			use.reluAll(z)
			use.gateAll(z, x)
			if use.finiteAll(z) {
				all = append(all, z...)
			}
			return all, use.dotAll(x, y)
		}
		want, dot := results(tiers()[0])
		for _, use := range tiers() {
			got, d := results(use)
			if d != dot && d == d || !slices.EqualFunc(got, want, sameFloat) {
				t.Errorf("%s gives other bits than plain Go", use)
			}
		}
	})
}

func TestUnequalLengthsPanic(t *testing.T) {
	two, three := make([]float32, 2), make([]float32, 3)
	for name, f := range map[string]func(){
		"Axpy":        func() { Axpy(1, two, three) },
		"Add":         func() { Add(three, two) },
		"Sub":         func() { Sub(two, two, three) },
		"Dot":         func() { Dot(two, three) },
		"WeightedSum": func() { WeightedSum(two, []float64{1}, [][]float32{three}) },
		"weights":     func() { WeightedSum(two, []float64{1, 2}, [][]float32{two}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// ulps returns the distance in units in the last place of want.
func ulps(got, want float64) float64 {
	return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
}

func TestElementaryFunctionsAreAccurate(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 200_000 {
		x := (rng.Float64() - 0.5) * 1400
		if got, want := Exp(x), math.Exp(x); ulps(got, want) > 2 {
			t.Fatalf("Exp(%v) is %v, want %v", x, got, want)
		}
		small := rng.NormFloat64()
		if got, want := Exp(small), math.Exp(small); ulps(got, want) > 2 {
			t.Fatalf("Exp(%v) is %v, want %v", small, got, want)
		}
		for _, y := range []float64{math.Exp(x), math.Exp(small / 8), rng.Float64()} {
			if got, want := Log(y), math.Log(y); ulps(got, want) > 2 {
				t.Fatalf("Log(%v) is %v, want %v", y, got, want)
			}
		}
		u := rng.Float64()
		if got, want := CosPi(u), math.Cos(math.Pi*u); math.Abs(got-want) > 1e-15 {
			t.Fatalf("CosPi(%v) is %v, want %v", u, got, want)
		}
	}
}

func TestElementaryFunctionsAtTheEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, test := range []struct {
		name string
		f    func(float64) float64
		x, y float64
	}{
		{"Exp", Exp, 0, 1}, {"Exp", Exp, inf, inf}, {"Exp", Exp, -inf, 0}, {"Exp", Exp, nan, nan}, {"Exp", Exp, 710, inf}, {"Exp", Exp, -746, 0},
		{"Exp", Exp, -745, math.SmallestNonzeroFloat64},
		{"Log", Log, 1, 0}, {"Log", Log, 0, -inf}, {"Log", Log, -1, nan}, {"Log", Log, inf, inf}, {"Log", Log, nan, nan},
		{"Log", Log, math.SmallestNonzeroFloat64, -744.4400719213812}, {"Log", Log, 2, math.Ln2},
		{"CosPi", CosPi, 0, 1}, {"CosPi", CosPi, 0.5, 0}, {"CosPi", CosPi, 1, -1}, {"CosPi", CosPi, -3, 1}, {"CosPi", CosPi, 7, -1}, {"CosPi", CosPi, nan, 1},
	} {
		t.Run(fmt.Sprintf("%s(%v)", test.name, test.x), func(t *testing.T) {
			if got := test.f(test.x); got != test.y && !(got != got && test.y != test.y) {
				t.Errorf("got %v, want %v", got, test.y)
			}
		})
	}
}

// Bits of results on one machine; the test passes on every other one only if they are the same there.
func TestElementaryFunctionsHaveTheRecordedBits(t *testing.T) {
	var h uint64 = 14695981039346656037
	add := func(v float64) { h = (h ^ math.Float64bits(v)) * 1099511628211 }
	for i := range 5000 {
		x := float64(i-2500) / 97
		add(Exp(x))
		add(Log(float64(i+1) / 89))
		add(CosPi(float64(i) / 5003))
	}
	if h != 0x13dcbfc8b6b2c455 {
		t.Errorf("hash of 15000 results is %#x", h)
	}
}

func BenchmarkVectors(b *testing.B) {
	const n = 1 << 16
	rng := rand.New(rand.NewPCG(1, 2))
	x, y := random(rng, n), random(rng, n)
	eight, weights := make([][]float32, 8), make([]float64, 8)
	for i := range eight {
		eight[i], weights[i] = random(rng, n), 0.125
	}
	short := [][]float32{eight[0][:57], eight[1][:57]}
	for _, bench := range []struct {
		name  string
		bytes int64
		f     func()
	}{
		{"Axpy", 8 * n, func() { Axpy(1e-9, x, y) }},
		{"Dot", 8 * n, func() { Dot(x, y) }},
		{"Add", 8 * n, func() { Add(x, y) }},
		{"Finite", 4 * n, func() { Finite(x) }},
		{"WeightedSum8", 32 * n, func() { WeightedSum(y, weights, eight) }},
		{"ShortDot", 8 * 57, func() { Dot(x[:57], y[:57]) }},
		{"ShortSum", 8 * 57, func() { WeightedSum(y[:57], weights[:2], short) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(bench.bytes)
			for b.Loop() {
				bench.f()
			}
		})
	}
	b.Run("Exp", func(b *testing.B) {
		s, i := 0.0, 0
		for b.Loop() {
			i++
			s += Exp(-float64(i & 15))
		}
	})
}

func TestMaxIsTheLargestNumber(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(71, 72))
		for _, n := range lengths {
			for _, draw := range []func(*rand.Rand, int) []float32{random, odd} {
				x := draw(rng, n)
				want := float32(math.Inf(-1))
				for _, v := range x {
					if v > want {
						want = v
					}
				}
				if got := use.max(x); math.Float32bits(got) != math.Float32bits(want+0) {
					t.Fatalf("the largest of %v is %v, want %v", x, got, want)
				}
			}
		}
		nan, minus := float32(math.NaN()), float32(math.Copysign(0, -1))
		for at := range 40 { // in every lane
			x := slices.Repeat([]float32{nan}, 40)
			if got := use.max(x); !math.IsInf(float64(got), -1) {
				t.Fatalf("the largest of none is %v", got)
			}
			x[at] = minus
			if got := use.max(x); math.Float32bits(got) != 0 {
				t.Fatalf("the largest is %v, want zero", got)
			}
			x[(at+7)%40] = -3
			if got := use.max(x); got != 0 {
				t.Fatalf("the largest is %v, want zero", got)
			}
		}
	})
	if Max([]float32{1, 3, 2}) != 3 {
		t.Error("the largest of 1, 3 and 2 is not 3")
	}
}
