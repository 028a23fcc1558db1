package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

type product struct {
	name           string
	transA, transB bool
	run            func(t tier, accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int)
}

// products are all ways to a product: the exported ones, and those among which they choose.
func products() []product {
	return []product{
		{"NN", false, false, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			t.multiply(add, m, n, k, a, lda, 1, b, ldb, c, ldc)
		}},
		{"NN copied", false, false, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			if !nothing(add, m, n, k, c, ldc) {
				t.multiplyCopied(add, m, n, k, a, lda, 1, b, ldb, c, ldc)
			}
		}},
		{"NN packed", false, false, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			t.multiplyPacked(add, m, a, lda, t.pack(nil, false, n, k, b, ldb), c, ldc)
		}},
		{"TN", true, false, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			t.multiply(add, m, n, k, a, 1, lda, b, ldb, c, ldc)
		}},
		{"NT", false, true, tier.multiplyNT},
		{"NT turned", false, true, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			if !nothing(add, m, n, k, c, ldc) {
				t.multiplyTurned(add, m, n, k, a, lda, b, ldb, c, ldc, make([]float32, blockK*panelN), make([]float32, pieceN*panelN))
			}
		}},
		{"NT transposed", false, true, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			if !nothing(add, m, n, k, c, ldc) {
				t.multiplyTransposed(add, m, n, k, a, lda, b, ldb, c, ldc, make([]float32, blockK*panelN))
			}
		}},
		{"NT packed", false, true, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			t.multiplyPacked(add, m, a, lda, t.pack(nil, true, n, k, b, ldb), c, ldc)
		}},
		{"NT packed NN", false, true, func(t tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			t.multiplyPackedT(add, m, a, lda, t.pack(nil, false, k, n, b, ldb), c, ldc)
		}},
	}
}

// exported are the products by their exported functions.
func exported() map[string]func(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	return map[string]func(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int){
		"NN": MulNN, "TN": MulTN, "NT": MulNT,
		"NN packed": func(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			MulPacked(add, m, a, lda, PackNN(nil, n, k, b, ldb), c, ldc)
		},
		"NT packed": func(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			MulPacked(add, m, a, lda, PackNT(nil, n, k, b, ldb), c, ldc)
		},
		"NT packed NN": func(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
			MulPackedT(add, m, a, lda, PackNN(nil, k, n, b, ldb), c, ldc)
		},
	}
}

// everyTier runs a test with every set of instructions of this machine.
func everyTier(t *testing.T, test func(t *testing.T, use tier)) {
	for _, use := range tiers() {
		t.Run(use.String(), func(t *testing.T) { test(t, use) })
	}
}

// sides returns rows and columns of the two factors as they lie in memory.
func (p product) sides(m, n, k int) (ar, ac, br, bc int) {
	ar, ac, br, bc = m, k, k, n
	if p.transA {
		ar, ac = ac, ar
	}
	if p.transB {
		br, bc = bc, br
	}
	return
}

func (p product) at(a []float32, lda int, b []float32, ldb, i, j, q int) (x, y float32) {
	if p.transA {
		x = a[q*lda+i]
	} else {
		x = a[i*lda+q]
	}
	if p.transB {
		y = b[j*ldb+q]
	} else {
		y = b[q*ldb+j]
	}
	return
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// A matrix is longer than it needs to be, with a mark in what is not part of it.
const mark = -12345.5

func guarded(rng *rand.Rand, rows, cols, ld int) (all, m []float32) {
	n := 0
	if rows > 0 && cols > 0 {
		n = (rows-1)*ld + cols
	}
	all = random(rng, n+64)
	for i := range all {
		if i >= n || i%ld >= cols {
			all[i] = mark
		}
	}
	return all, all[:n:n]
}

// compare checks one product against float64, against the documented order bit for bit, and for writes outside of C.
func (p product) compare(t testing.TB, use tier, rng *rand.Rand, accumulate bool, m, n, k, slack int) {
	t.Helper()
	ar, ac, br, bc := p.sides(m, n, k)
	lda, ldb, ldc := ac+slack, bc+slack, n+slack
	_, a := guarded(rng, ar, ac, max(1, lda))
	_, b := guarded(rng, br, bc, max(1, ldb))
	all, c := guarded(rng, m, n, max(1, ldc))
	before := append([]float32(nil), all...)
	p.run(use, accumulate, m, n, k, a, lda, b, ldb, c, ldc)
	for at, got := range all {
		old := before[at]
		if old == mark {
			if got != old {
				t.Fatalf("%s %d×%d×%d: element %d outside of C changed from %v to %v", p.name, m, n, k, at, old, got)
			}
			continue
		}
		i, j := at/ldc, at%ldc
		var exact, size float64
		var want float32
		if accumulate {
			exact, size, want = float64(old), math.Abs(float64(old)), old
		}
		for q0 := 0; q0 < k; q0 += 384 {
			var s float32
			for q := q0; q < min(k, q0+384); q++ {
				x, y := p.at(a, lda, b, ldb, i, j, q)
				exact += float64(x) * float64(y)
				size += math.Abs(float64(x) * float64(y))
				s = FMA(x, y, s)
			}
			if q0 == 0 && !accumulate {
				want = s
			} else {
				want += s
			}
		}
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%s %s %d×%d×%d accumulate %v slack %d: element (%d,%d) is %v, the documented order gives %v", use, p.name, m, n, k, accumulate, slack, i, j, got, want)
		}
		if math.Abs(float64(got)-exact) > size*1e-6*math.Sqrt(float64(k)+1) {
			t.Fatalf("%s %s %d×%d×%d: element (%d,%d) is %v, want %v", use, p.name, m, n, k, i, j, got, exact)
		}
	}
}

func TestProductsEqualTheReference(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		for _, p := range products() {
			t.Run(p.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 2))
				for m := range 18 {
					for n := range 37 {
						k := [...]int{0, 1, 2, 3, 5, 8, 17, 33}[rng.IntN(8)]
						p.compare(t, use, rng, rng.IntN(2) == 0, m, n, k, 3*rng.IntN(2))
					}
				}
				for range 60 { // all sizes up to 70, by lot
					p.compare(t, use, rng, rng.IntN(2) == 0, 1+rng.IntN(70), 1+rng.IntN(70), 1+rng.IntN(70), rng.IntN(4))
				}
				for _, s := range [][3]int{
					{31, 9, 383}, {32, 8, 384}, {33, 7, 385}, {65, 5, 769}, {1, 1, 1200}, {2, 4, 768}, {64, 4, 32}, {3, 130, 40}, {97, 3, 1}, {3, 0, 451}, {0, 3, 451}, {70, 0, 900},
					{255, 3, 20}, {256, 2, 20}, {257, 33, 3}, {520, 1, 5}, {50, 260, 30}, {14, 129, 100}, {28, 256, 64}, {29, 257, 65},
				} {
					p.compare(t, use, rng, rng.IntN(2) == 0, s[0], s[1], s[2], rng.IntN(2))
				}
			})
		}
	})
}

func TestExportedProductsAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, p := range products() {
		if f := exported()[p.name]; f != nil {
			p.run = func(_ tier, add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
				f(add, m, n, k, a, lda, b, ldb, c, ldc)
			}
			for range 20 {
				p.compare(t, best, rng, rng.IntN(2) == 0, rng.IntN(70), rng.IntN(70), rng.IntN(500), rng.IntN(4))
			}
		}
	}
}

func TestPackingAgainUsesTheMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b := random(rng, 100*40)
	p := PackNT(nil, 40, 100, b, 100)
	if allocs := testing.AllocsPerRun(10, func() { p = PackNN(p, 30, 100, b, 40) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	a, got, want := random(rng, 7*100), make([]float32, 7*30), make([]float32, 7*30)
	MulPacked(false, 7, a, 100, p, got, 30)
	MulNN(false, 7, 30, 100, a, 100, b, 40, want, 30)
	if !slices.Equal(got, want) {
		t.Error("a packed factor in used memory gives another product")
	}
}

func TestProductsDoNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	a, b, c := random(rng, 64*400), random(rng, 400*400), make([]float32, 400*400)
	p := PackNT(nil, 100, 400, b, 400)
	for name, f := range map[string]func(){
		"NN":     func() { MulNN(false, 64, 300, 400, a, 400, b, 400, c, 300) },
		"TN":     func() { MulTN(false, 100, 64, 64, a, 100, b, 64, c, 64) },
		"NT":     func() { MulNT(true, 64, 100, 400, a, 400, b, 400, c, 100) },
		"NT 2":   func() { MulNT(true, 3, 100, 50, a, 50, b, 50, c, 100) },
		"packed": func() { MulPacked(true, 64, a, 400, p, c, 100) },
	} {
		if allocs := testing.AllocsPerRun(10, f); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// Infinities, NaN, and numbers whose products vanish or overflow take the same ways everywhere; of a NaN only that it is one.
func TestExtremeNumbersHaveTheSameProducts(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(9, 10))
		strange := func(n int) []float32 {
			v := random(rng, n)
			for i := range v {
				switch rng.IntN(12) {
				case 0:
					v[i] = 0
				case 1:
					v[i] = float32(math.Copysign(0, -1))
				case 2:
					v[i] = math.Float32frombits(rng.Uint32())
				case 3:
					v[i] = math.Float32frombits(rng.Uint32() & 0x80ffffff) // too small for all bits
				case 4, 5, 6:
					v[i] *= 0x1p-70
				case 7:
					if rng.IntN(30) == 0 {
						v[i] = float32(math.Inf(1))
					}
				}
			}
			return v
		}
		for _, p := range products() {
			for range 40 {
				m, n, k := 1+rng.IntN(30), 1+rng.IntN(50), 1+rng.IntN(40)
				_, ac, _, bc := p.sides(m, n, k)
				a, b, c := strange(m*k), strange(k*n), strange(m*n)
				want := slices.Clone(c)
				p.run(use, true, m, n, k, a, ac, b, bc, c, n)
				p.run(tiers()[0], true, m, n, k, a, ac, b, bc, want, n)
				for i := range c {
					if math.Float32bits(c[i]) != math.Float32bits(want[i]) && (c[i] == c[i] || want[i] == want[i]) {
						t.Fatalf("%s %d×%d×%d: element %d is %x, in plain Go %x", p.name, m, n, k, i, c[i], want[i])
					}
				}
			}
		}
	})
}

func TestProductsOfRowsDoNotDependOnTheirNeighbours(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const m, n, k = 37, 11, 500
	a, b := random(rng, m*k), random(rng, n*k)
	all, one := make([]float32, m*n), make([]float32, n)
	MulNT(false, m, n, k, a, k, b, k, all, n)
	for i := range m {
		MulNT(false, 1, n, k, a[i*k:], k, b, k, one, n)
		for j, v := range one {
			if v != all[i*n+j] {
				t.Fatalf("element (%d,%d) is %v alone and %v among %d rows", i, j, v, all[i*n+j], m)
			}
		}
	}
}

func TestAShapeThatDoesNotFitPanics(t *testing.T) {
	for _, test := range []struct {
		name          string
		m, n, k       int
		a, b, c       int
		lda, ldb, ldc int
	}{
		{"short A", 2, 2, 2, 3, 4, 4, 2, 2, 2},
		{"short B", 2, 2, 2, 4, 3, 4, 2, 2, 2},
		{"short C", 2, 2, 2, 4, 4, 3, 2, 2, 2},
		{"narrow A", 2, 2, 2, 4, 4, 4, 1, 2, 2},
		{"negative", -1, 2, 2, 4, 4, 4, 2, 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			MulNN(false, test.m, test.n, test.k, make([]float32, test.a), test.lda, make([]float32, test.b), test.ldb, make([]float32, test.c), test.ldc)
		})
	}
}

func FuzzProducts(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5), uint16(400), uint8(1), true)
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, slack uint8, accumulate bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, use := range tiers() {
			for _, p := range products() {
				p.compare(t, use, rng, accumulate, int(m)%70, int(n)%70, int(k)%900, int(slack)%5)
			}
		}
	})
}

func BenchmarkProducts(b *testing.B) {
	for _, s := range []struct{ m, n, k int }{
		{32, 128, 784}, {784, 128, 32}, {256, 1536, 576}, {32, 100, 784}, {100, 784, 32}, {28, 100, 784}, {60, 100, 784}, {256, 100, 784}, {32, 10, 100}, {32, 10, 784},
	} {
		for name, f := range exported() {
			if name == "NT packed NN" { // BenchmarkPacked has it
				continue
			}
			b.Run(fmt.Sprintf("%s/%dx%d·%dx%d", name, s.m, s.k, s.k, s.n), func(b *testing.B) {
				p := products()[slices.IndexFunc(products(), func(p product) bool { return p.name == name })]
				rng := rand.New(rand.NewPCG(1, 2))
				_, ac, _, bc := p.sides(s.m, s.n, s.k)
				x, y, z := random(rng, s.m*s.k), random(rng, s.k*s.n), make([]float32, s.m*s.n)
				if p.name == "NN packed" {
					packed := PackNN(nil, s.n, s.k, y, bc)
					f = func(add bool, m, n, k int, a []float32, lda int, _ []float32, _ int, c []float32, ldc int) {
						MulPacked(add, m, a, lda, packed, c, ldc)
					}
				}
				for b.Loop() {
					f(false, s.m, s.n, s.k, x, ac, y, bc, z, s.n)
				}
				b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// Bits of results on one machine; the test passes on every other one only if they are the same there.
func TestProductsHaveTheRecordedBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	h := uint64(14695981039346656037)
	for _, s := range [][3]int{{32, 100, 784}, {7, 33, 385}, {60, 1, 57}, {13, 40, 12}} {
		m, n, k := s[0], s[1], s[2]
		for _, p := range products() {
			_, ac, _, bc := p.sides(m, n, k)
			a, b, c := random(rng, m*k), random(rng, k*n), random(rng, m*n)
			p.run(best, true, m, n, k, a, ac, b, bc, c, n)
			Axpy(0.3, c[:m], c[m*n-m:])
			c = append(c, float32(Dot(a, a)))
			for _, v := range c {
				h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
			}
		}
	}
	if h != 0x4756e0dbbebdf8ff {
		t.Errorf("the hash of all products is %#x", h)
	}
}
