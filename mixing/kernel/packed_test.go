package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// columns returns B as n rows of k.
func columns(p *Packed) []float32 {
	n, k := p.Dims()
	v := make([]float32, n*k)
	for j := range n {
		p.Column(v[j*k:][:k], j)
	}
	return v
}

func TestAFactorThatIsFilledInPiecesIsThatPackedAtOnce(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(41, 42))
		for _, s := range [][2]int{{1, 1}, {33, 65}, {96, 384}, {70, 1000}, {64, 449}} {
			n, k := s[0], s[1]
			b := random(rng, n*k)
			whole := use.pack(nil, true, n, k, b, k)
			p := NewPacked(n, k, false)
			for first := 0; first < n; first += 32 {
				rows := min(32, n-first)
				use.fill(p, first, rows, b[first*k:], k)
			}
			if got := columns(p); !slices.Equal(got, b) || !slices.Equal(columns(whole), b) {
				t.Errorf("%d×%d: columns are not the rows that were packed", k, n)
			}
		}
	})
}

func TestProductsWithBytesAreThoseWithTheRoundedFactor(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(43, 44))
		for _, s := range [][3]int{{1, 1, 1}, {5, 33, 65}, {17, 96, 384}, {300, 70, 500}, {3, 64, 449}, {40, 500, 100}} {
			m, n, k := s[0], s[1], s[2]
			b := random(rng, n*k)
			p := NewPacked(n, k, true)
			use.fill(p, 0, n, b, k)
			rounded := columns(p)
			for j := range n { // within half a step of what it was
				for from := 0; from < k; from += 64 {
					piece := b[j*k+from : j*k+min(k, from+64)]
					most := 0.0
					for _, v := range piece {
						most = max(most, math.Abs(float64(v)))
					}
					for i, v := range piece {
						if d := math.Abs(float64(rounded[j*k+from+i]) - float64(v)); d > most/254*1.0001 {
							t.Fatalf("%d×%d: element (%d,%d) is %v for %v, beside up to %v", k, n, from+i, j, rounded[j*k+from+i], v, most)
						}
					}
				}
			}
			a, there := random(rng, m*k), make([]float32, m*n)
			want := make([]float32, m*n)
			use.multiplyPacked(false, m, a, k, p, there, n)
			MulNT(false, m, n, k, a, k, rounded, k, want, n)
			if !slices.Equal(there, want) {
				t.Errorf("%d×%d·%d×%d: other bits than with the rounded factor", m, k, k, n)
			}
			a, back := random(rng, m*n), random(rng, m*k)
			want = slices.Clone(back)
			use.multiplyPackedT(true, m, a, n, p, back, k)
			MulNN(true, m, k, n, a, n, rounded, k, want, k)
			if !slices.Equal(back, want) {
				t.Errorf("%d×%d·(%d×%d)ᵀ: other bits than with the rounded factor", m, n, k, n)
			}
		}
	})
}

func TestColumnsOfAFactorGiveColumnsOfTheProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 46))
	const m, n, k = 9, 150, 400
	for _, bytes := range []bool{false, true} {
		p := NewPacked(n, k, bytes)
		p.FillNT(0, n, random(rng, n*k), k)
		b, a := columns(p), random(rng, m*k)
		all := make([]float32, m*n)
		MulPacked(false, m, a, k, p, all, n)
		for _, s := range [][2]int{{0, 150}, {32, 64}, {64, 86}, {128, 22}, {96, 5}, {32, 0}} {
			view := p.Columns(s[0], s[1])
			got := slices.Clone(all)
			for i := range m {
				clear(got[i*n+s[0]:][:s[1]])
			}
			MulPacked(false, m, a, k, &view, got[s[0]:], n)
			if !slices.Equal(got, all) {
				t.Errorf("columns %v are others", s)
			}
			back, want := make([]float32, m*k), make([]float32, m*k)
			MulPackedT(false, m, all[s[0]:], n, &view, back, k)
			MulNN(false, m, k, s[1], all[s[0]:], n, b[s[0]*k:], k, want, k)
			if !slices.Equal(back, want) {
				t.Errorf("products with the transpose of columns %v are others", s)
			}
		}
	}
}

func TestBytesTakeAQuarterOfTheMemory(t *testing.T) {
	if floats, bytes := PackedBytes(576, 1536, false), PackedBytes(576, 1536, true); floats != 4*576*1536 || bytes != 576*1536*17/16 {
		t.Errorf("%d and %d bytes", floats, bytes)
	}
	for _, bytes := range []bool{false, true} {
		p := NewPacked(70, 101, bytes)
		if held := 4*len(p.data) + len(p.bytes) + 4*len(p.scales); p.Bytes() != int64(held) || PackedBytes(70, 101, bytes) != int64(held) {
			t.Errorf("a factor of %d bytes says %d", held, p.Bytes())
		}
	}
}

func TestColumnsThatAreNotThere(t *testing.T) {
	p := NewPacked(70, 5, false)
	for name, f := range map[string]func(){
		"fill past the end": func() { p.FillNT(64, 32, make([]float32, 32*5), 5) },
		"fill between":      func() { p.FillNT(16, 32, make([]float32, 32*5), 5) },
		"fill a part":       func() { p.FillNT(0, 16, make([]float32, 32*5), 5) },
		"view between":      func() { p.Columns(5, 10) },
		"view past the end": func() { p.Columns(64, 7) },
		"column":            func() { p.Column(make([]float32, 5), 70) },
		"short column":      func() { p.Column(make([]float32, 4), 7) },
		"size":              func() { NewPacked(-1, 1, false) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// BenchmarkPacked is what a layer of a language model does with frozen weights, both ways, floats and bytes.
func BenchmarkPacked(b *testing.B) {
	const n, k = 1536, 576
	rng := rand.New(rand.NewPCG(47, 48))
	w := random(rng, n*k)
	for _, m := range []int{1, 64, 256} {
		x, y := random(rng, m*k), random(rng, m*n)
		for _, bytes := range []bool{false, true} {
			p := NewPacked(n, k, bytes)
			p.FillNT(0, n, w, k)
			for name, f := range map[string]func(){
				"there": func() { MulPacked(false, m, x, k, p, y, n) },
				"back":  func() { MulPackedT(false, m, y, n, p, x, k) },
			} {
				b.Run(fmt.Sprintf("%s/%d/bytes=%v", name, m, bytes), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(m)*n*k*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
