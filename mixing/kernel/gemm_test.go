package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

type product struct {
	name           string
	transA, transB bool
	run            func(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int)
}

func products() []product {
	return []product{{"NN", false, false, MulNN}, {"TN", true, false, MulTN}, {"NT", false, true, MulNT}}
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

// compare checks one product against float64, against the documented order bit for bit, and for writes outside of C.
func (p product) compare(t testing.TB, rng *rand.Rand, accumulate bool, m, n, k, slack int) {
	t.Helper()
	ar, ac, br, bc := p.sides(m, n, k)
	lda, ldb, ldc := ac+slack, bc+slack, n+slack
	a, b, c := random(rng, ar*lda), random(rng, br*ldb), random(rng, m*ldc)
	if slack == 0 && ar > 0 && m > 0 && br > 0 { // no more memory than the matrices need
		a, b, c = a[:len(a):len(a)], b[:len(b):len(b)], c[:len(c):len(c)]
	}
	before := append([]float32(nil), c...)
	p.run(accumulate, m, n, k, a, lda, b, ldb, c, ldc)
	for i := range m {
		for j := range ldc {
			got, old := c[i*ldc+j], before[i*ldc+j]
			if j >= n {
				if got != old {
					t.Fatalf("%s %d×%d×%d: element (%d,%d) outside of C changed from %v to %v", p.name, m, n, k, i, j, old, got)
				}
				continue
			}
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
					s += float32(x * y)
				}
				if q0 == 0 && !accumulate {
					want = s
				} else {
					want += s
				}
			}
			if math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%s %d×%d×%d accumulate %v: element (%d,%d) is %v, the documented order gives %v", p.name, m, n, k, accumulate, i, j, got, want)
			}
			if math.Abs(float64(got)-exact) > size*1e-6*math.Sqrt(float64(k)+1) {
				t.Fatalf("%s %d×%d×%d: element (%d,%d) is %v, want %v", p.name, m, n, k, i, j, got, exact)
			}
		}
	}
}

func TestProductsEqualTheReference(t *testing.T) {
	for _, p := range products() {
		t.Run(p.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for m := range 7 {
				for n := range 10 {
					for _, k := range []int{0, 1, 2, 3, 5, 8, 17} {
						p.compare(t, rng, false, m, n, k, 0)
						p.compare(t, rng, true, m, n, k, 3)
					}
				}
			}
			for _, s := range [][3]int{
				{31, 9, 383}, {32, 8, 384}, {33, 7, 385}, {65, 5, 769}, {1, 1, 1200}, {2, 4, 768}, {64, 4, 32}, {3, 130, 40}, {97, 3, 1}, {3, 0, 451}, {0, 3, 451}, {70, 0, 900},
			} {
				p.compare(t, rng, false, s[0], s[1], s[2], 0)
				p.compare(t, rng, true, s[0], s[1], s[2], 1)
			}
		})
	}
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
		for _, p := range products() {
			p.compare(t, rng, accumulate, int(m)%70, int(n)%20, int(k)%900, int(slack)%5)
		}
	})
}

func BenchmarkProducts(b *testing.B) {
	for _, s := range []struct{ m, n, k int }{{32, 128, 784}, {784, 128, 32}, {256, 1536, 576}, {32, 64, 784}, {64, 784, 32}, {32, 10, 784}} {
		for _, p := range products() {
			b.Run(fmt.Sprintf("%s/%dx%d·%dx%d", p.name, s.m, s.k, s.k, s.n), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				_, ac, _, bc := p.sides(s.m, s.n, s.k)
				x, y, z := random(rng, s.m*s.k), random(rng, s.k*s.n), make([]float32, s.m*s.n)
				for b.Loop() {
					p.run(false, s.m, s.n, s.k, x, ac, y, bc, z, s.n)
				}
				b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
