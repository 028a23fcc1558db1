package codec

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/kernel"
	"starling/mixing/philox"
)

// largest is what top finds, by sorting.
func largest(v []float32, k int) []uint32 {
	at := make([]uint32, len(v))
	for i := range at {
		at[i] = uint32(i)
	}
	slices.SortStableFunc(at, func(a, b uint32) int { return cmp.Compare(magnitude(v[b]), magnitude(v[a])) })
	at = at[:k]
	slices.Sort(at)
	return at
}

func TestTopIsExactWhateverTheVector(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	shapes := map[string]func(i, n int) float32{
		"random":   func(int, int) float32 { return float32(r.NormFloat64()) },
		"few":      func(int, int) float32 { return float32(r.IntN(5) - 2) },
		"equal":    func(int, int) float32 { return -1 },
		"zero":     func(int, int) float32 { return 0 },
		"rising":   func(i, _ int) float32 { return float32(i) },
		"falling":  func(i, n int) float32 { return float32(i - n) },
		"one":      func(i, n int) float32 { return float32(max(0, i-n+2)) },
		"sampled":  func(i, n int) float32 { return float32(max(0, 1-i%max(1, n/max(1, min(samples, n/16))))) }, // what guess looks at
		"unseen":   func(i, n int) float32 { return float32(min(1, i%max(1, n/max(1, min(samples, n/16))))) },   // what it does not
		"any bits": func(int, int) float32 { return math.Float32frombits(r.Uint32() &^ (1 << 30)) },
	}
	var p picker
	for name, shape := range shapes {
		for _, n := range []int{1, 2, 3, 15, 16, 17, 100, 1000, 4096, 100000} {
			v := make([]float32, n)
			for i := range v {
				v[i] = shape(i, n)
			}
			for _, k := range []int{1, 2, n / 100, n / 10, n / 2, n - 1, n} {
				if k < 1 || k > n {
					continue
				}
				if got, want := p.top(nil, v, k), largest(v, k); !slices.Equal(got, want) {
					t.Fatalf("%s: the %d largest of %d are wrong", name, k, n)
				}
			}
		}
	}
}

func TestSparsifiersKeepWhatTheySay(t *testing.T) {
	for _, n := range theLengths(200) {
		v := gaussian(n, 5)
		for ratio, name := range map[float64]string{0.01: "topk:0.01,fp32", 0.3: "topk:0.3,fp32,auto", 0.9: "topk:0.9,fp32"} {
			got := thereAndBack(t, must(t, name), v, 1)
			want := make([]float32, n)
			if n > 0 {
				for _, i := range largest(v, max(1, int(math.Ceil(ratio*float64(n))))) {
					want[i] = v[i]
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s of %d numbers keeps others", name, n)
			}
		}
		for _, k := range []int{1, n / 100, n / 3, n} {
			if k < 1 || k > n {
				continue
			}
			// Spec 05, 5.3: a partial shuffle.
			place := make([]uint32, n)
			for i := range place {
				place[i] = uint32(i)
			}
			for i := range k {
				w := philox.Block(77, [4]uint32{uint32(i), 0, 0, 5})[0]
				j := i + int(uint64(w)*uint64(n-i)>>32)
				place[i], place[j] = place[j], place[i]
			}
			want := place[:k]
			slices.Sort(want)
			if !slices.Equal(randomPlaces(n, k, 77), want) || !slices.Equal(fewPlaces(n, k, 77), want) {
				t.Fatalf("%d random places of %d are wrong", k, n)
			}
		}
	}
}

// slowDCT transforms h rows of 64 by the definition, in float64; back is the inverse.
func slowDCT(x []float64, h int, back bool) []float64 {
	matrix := func(n int) [][]float64 {
		d := make([][]float64, n)
		for q := range d {
			d[q] = make([]float64, n)
			for i := range d[q] {
				a := math.Sqrt(2 / float64(n))
				if q == 0 {
					a = math.Sqrt(1 / float64(n))
				}
				d[q][i] = a * math.Cos(math.Pi*float64(2*i+1)*float64(q)/float64(2*n))
			}
		}
		return d
	}
	tall, wide := matrix(h), matrix(dctSide)
	half, full := make([]float64, len(x)), make([]float64, len(x))
	for q := range h {
		for i := range h {
			d := tall[q][i]
			if back {
				d = tall[i][q]
			}
			for j := range dctSide {
				half[q*dctSide+j] += d * x[i*dctSide+j]
			}
		}
	}
	for q := range dctSide {
		for i := range dctSide {
			d := wide[q][i]
			if back {
				d = wide[i][q]
			}
			for r := range h {
				full[r*dctSide+q] += d * half[r*dctSide+i]
			}
		}
	}
	return full
}

func TestCosineTransformKeepsTheLargestCoefficients(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 1000, 4095, 4096, 4097, 5000} {
		for _, k := range []int{1, 8, 100, 4096} {
			v := gaussian(n, uint64(n))
			got := thereAndBack(t, must(t, (&line{keep: newCosine(k)}).keep.name()+",fp32"), v, 0)
			for at := 0; at < n; at += dctChunk {
				chunk := v[at:min(n, at+dctChunk)]
				h := (len(chunk) + 63) / 64
				x := make([]float64, h*64)
				for i, f := range chunk {
					x[i] = float64(f)
				}
				coefficients := slowDCT(x, h, false)
				if k < len(coefficients) {
					sorted := slices.Clone(coefficients)
					slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(math.Abs(b), math.Abs(a)) })
					for i, c := range coefficients {
						if math.Abs(c) <= math.Abs(sorted[k])*(1+1e-9) {
							coefficients[i] = 0
						}
					}
				}
				back := slowDCT(coefficients, h, true)
				for i := range chunk {
					if d := math.Abs(back[i] - float64(got[at+i])); d > 1e-5 {
						t.Fatalf("k=%d, %d numbers: number %d is %g, want %g", k, n, at+i, got[at+i], back[i])
					}
				}
			}
		}
	}
}

func TestCosinesAreOrthonormal(t *testing.T) {
	for n := 1; n <= dctSide; n++ {
		d := cosines(n)
		for q := range n {
			for r := range n {
				want := 0.0
				if q == r {
					want = 1
				}
				if got := kernel.Dot(d[q*n:][:n], d[r*n:][:n]); math.Abs(got-want) > 1e-6 {
					t.Fatalf("rows %d and %d of %d: %g", q, r, n, got)
				}
			}
		}
	}
}

func TestPlacesComeBackInFewBits(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 3000 {
		p := positions{groups: 1 + r.IntN(4), limit: 1 + r.IntN(300)}
		p.k, p.last = 1+r.IntN(p.limit), 1+r.IntN(p.limit)
		p.lastK = 1 + r.IntN(p.last)
		var at []uint32
		p.each(func(_, _, k, limit int) {
			some := r.Perm(limit)[:k]
			slices.Sort(some)
			for _, x := range some {
				at = append(at, uint32(x))
			}
		})
		b := p.append([]byte{1}, at)
		if len(b)-1 > p.size() {
			t.Fatalf("%+v: %d bytes, more than %d", p, len(b)-1, p.size())
		}
		got, rest, err := p.read(append(slices.Clone(b[1:]), 7, 7))
		if err != nil || len(rest) != 2 || !slices.Equal(got, at) {
			t.Fatalf("%+v: %v, rest %v", p, err, rest)
		}
		for cut := range len(b) - 1 {
			if _, _, err := p.read(b[1 : 1+cut]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%+v cut to %d of %d bytes: %v", p, cut, len(b)-1, err)
			}
		}
	}
}

// A place far behind the one before takes more ones than a word has.
func TestPlacesFarApartComeBack(t *testing.T) {
	p := positions{groups: 1, lastK: 3, last: 1 << 20}
	for _, at := range [][]uint32{{0, 1, 2}, {1<<20 - 3, 1<<20 - 2, 1<<20 - 1}, {0, 1, 1<<20 - 1}} {
		for parameter := 10; parameter < 21; parameter++ {
			length, next := 0, uint32(0)
			gaps := make([]uint32, 3)
			for i, x := range at {
				gaps[i] = x - next
				next = x + 1
				length += int(gaps[i]>>parameter) + 1 + parameter
			}
			b := appendRice([]byte{byte(parameter)}, gaps, parameter, length)
			got, rest, err := p.read(b)
			if err != nil || len(rest) != 0 || !slices.Equal(got, at) {
				t.Errorf("%v with parameter %d: %v, %v", at, parameter, got, err)
			}
		}
	}
}

// Done-when of the sizes: on noise, the worst there is for them.
func TestSparseMessagesAreAsSmallAsPromised(t *testing.T) {
	v := gaussian(1<<20, 1)
	b, err := must(t, "dct:k=8,sign").Encode(nil, v, 0)
	if per := float64(len(b)) / (1 << 8); err != nil || per > 12 {
		t.Errorf("dct:k=8,sign: %.2f bytes per 4,096 numbers, want at most 12: %v", per, err)
	}
	b, err = must(t, "topk:0.01,int4").Encode(nil, v, 0)
	if per := float64(8*len(b)) / float64(share(0.01, len(v))); err != nil || per > 13 {
		t.Errorf("topk:0.01,int4: %.2f bits per kept entry, want at most 13: %v", per, err)
	}
}
