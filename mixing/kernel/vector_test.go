package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var lengths = [...]int{0, 1, 2, 3, 4, 5, 7, 8, 511, 512, 513, 1030}

func TestVectorOperationsEqualTheReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range lengths {
		x, y := random(rng, n), random(rng, n)
		check := func(name string, got []float32, want func(i int) float32) {
			t.Helper()
			for i := range got {
				if got[i] != want(i) {
					t.Errorf("%s of %d: element %d is %v, want %v", name, n, i, got[i], want(i))
				}
			}
		}
		got := slices.Clone(y)
		Axpy(0.3, x, got)
		check("Axpy", got, func(i int) float32 { return y[i] + float32(0.3*x[i]) })
		got = slices.Clone(y)
		Add(x, got)
		check("Add", got, func(i int) float32 { return y[i] + x[i] })
		got = slices.Clone(y)
		Sub(got, x, got)
		check("Sub", got, func(i int) float32 { return x[i] - y[i] })
		got = slices.Clone(y)
		Scale(-2.5, got)
		check("Scale", got, func(i int) float32 { return -2.5 * y[i] })

		var dot, norm, size float64
		for i := range x {
			dot += float64(x[i]) * float64(y[i])
			norm += float64(x[i]) * float64(x[i])
			size += math.Abs(float64(x[i]) * float64(y[i]))
		}
		if got := Dot(x, y); math.Abs(got-dot) > 1e-14*size {
			t.Errorf("Dot of %d is %v, want %v", n, got, dot)
		}
		if got := Norm2(x); math.Abs(got-math.Sqrt(norm)) > 1e-13*math.Sqrt(norm) {
			t.Errorf("Norm2 of %d is %v, want %v", n, got, math.Sqrt(norm))
		}
	}
}

func TestDotAddsInTheDocumentedOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range lengths {
		x, y := random(rng, n), random(rng, n)
		var lanes [4]float64
		for i := range n &^ 3 {
			lanes[i%4] += float64(x[i]) * float64(y[i])
		}
		want := (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
		for i := n &^ 3; i < n; i++ {
			want += float64(x[i]) * float64(y[i])
		}
		if got := Dot(x, y); got != want {
			t.Errorf("Dot of %d is %v, the documented order gives %v", n, got, want)
		}
	}
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
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range 9 {
			x := make([]float32, 9)
			x[(i+1)%9] = math.MaxFloat32
			if !Finite(x) {
				t.Error("finite numbers are said not to be")
			}
			x[i] = float32(bad)
			if Finite(x) {
				t.Errorf("%v at %d is said to be finite", bad, i)
			}
		}
	}
}

func TestWeightedSumEqualsTheReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, n := range lengths {
		for k := range 5 {
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
			WeightedSum(got, weights, vectors)
			if !slices.Equal(got, want) {
				t.Errorf("sum of %d vectors of %d differs from the reference", k, n)
			}
			for j := range k { // in place, over each of them
				in := slices.Clone(vectors)
				in[j] = slices.Clone(vectors[j])
				WeightedSum(in[j], weights, in)
				if !slices.Equal(in[j], want) {
					t.Errorf("sum of %d vectors of %d in place of the %d. differs from the reference", k, n, j)
				}
			}
		}
	}
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
	for _, bench := range []struct {
		name  string
		bytes int64
		f     func()
	}{
		{"Axpy", 8 * n, func() { Axpy(1e-9, x, y) }},
		{"Dot", 8 * n, func() { Dot(x, y) }},
		{"Finite", 4 * n, func() { Finite(x) }},
		{"WeightedSum8", 32 * n, func() { WeightedSum(y, weights, eight) }},
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
