package codec

import (
	"math"
	"strconv"

	"starling/mixing/kernel"
)

const (
	dctSide  = 64
	dctChunk = dctSide * dctSide
	// dctLargest is the bits of 2¹⁰⁰: sums of 4,096 numbers up to it are far from infinite.
	dctLargest = (127 + 100) << 23
)

// cosine keeps the k largest coefficients of every chunk of 4,096 numbers: of the orthonormal type-II discrete cosine transform
// of the chunk as 64 rows of 64 (spec 05, 5.9). A last chunk that is shorter has only as many rows as it needs, the last one
// filled up with zeros.
type cosine struct {
	k     int
	table []float32 // of 64
}

func newCosine(k int) cosine { return cosine{k, cosines(dctSide)} }

// cosines returns the matrix of the transform of n numbers: element (q, i) is a_q·cos(π(2i+1)q/2n), a_0 = √(1/n), else √(2/n).
func cosines(n int) []float32 {
	wave := make([]float64, 4*n) // cos(πm/2n)
	for m := range wave {
		wave[m] = kernel.CosPi(float64(min(m, 4*n-m)) / float64(2*n))
	}
	d := make([]float32, n*n)
	for q := range n {
		a := math.Sqrt(2 / float64(n))
		if q == 0 {
			a = math.Sqrt(1 / float64(n))
		}
		for i := range n {
			d[q*n+i] = float32(a * wave[(2*i+1)*q%(4*n)])
		}
	}
	return d
}

func (c cosine) name() string { return "dct:k=" + strconv.Itoa(c.k) }
func (cosine) unbiased() bool { return false }

// rows returns the rows of the last chunk of n numbers.
func rows(n int) int { return blocks((n-1)%dctChunk+1, dctSide) }

func (c cosine) places(n int) positions {
	last := rows(n) * dctSide
	return positions{k: c.k, limit: dctChunk, groups: blocks(n, dctChunk), lastK: min(c.k, last), last: last}
}

func (c cosine) kept(n int) int { return c.places(n).count() }
func (c cosine) head(n int) int { return c.places(n).size() }

// tall returns the matrix for columns of h numbers.
func (c cosine) tall(h int) []float32 {
	if h == dctSide {
		return c.table
	}
	return cosines(h)
}

func (c cosine) choose(dst []byte, v []float32, _ uint64) ([]byte, []float32, error) {
	for _, x := range v {
		if magnitude(x) > dctLargest {
			return nil, nil, errTooLarge
		}
	}
	shape := c.places(len(v))
	at := make([]uint32, 0, shape.count())
	kept := make([]float32, 0, shape.count())
	var p picker
	var chunk, half, full [dctChunk]float32
	shape.each(func(g, _, k, limit int) {
		from := v[g*dctChunk : min(len(v), (g+1)*dctChunk)]
		if len(from) < limit {
			clear(chunk[copy(chunk[:], from):])
			from = chunk[:]
		}
		h := limit / dctSide
		kernel.MulNN(false, h, dctSide, h, c.tall(h), h, from, dctSide, half[:], dctSide)
		kernel.MulNT(false, h, dctSide, dctSide, half[:], dctSide, c.table, dctSide, full[:], dctSide)
		first := len(at)
		at = p.top(at, full[:limit], k)
		for _, x := range at[first:] {
			kept = append(kept, full[x])
		}
	})
	return shape.append(dst, at), kept, nil
}

func (c cosine) which(n int, src []byte) ([]uint32, []byte, error) { return c.places(n).read(src) }

// outer is the number of coefficients up to which a chunk is the sum of so many products of a row and a column.
const outer = 96

func (c cosine) fill(dst []float32, at []uint32, kept []float32) {
	var left, right [outer * dctSide]float32
	var chunk, half, full [dctChunk]float32
	c.places(len(dst)).each(func(g, first, k, limit int) {
		h := limit / dctSide
		to := dst[g*dctChunk : min(len(dst), (g+1)*dctChunk)]
		out := to
		if len(to) < limit {
			out = chunk[:]
		}
		tall := c.tall(h)
		if k <= outer {
			for i, x := range at[first : first+k] {
				q, r := int(x)/dctSide, int(x)%dctSide
				l := left[i*h:][:h]
				for j, t := range tall[q*h:][:h] {
					l[j] = kept[first+i] * t
				}
				copy(right[i*dctSide:][:dctSide], c.table[r*dctSide:])
			}
			kernel.MulTN(false, h, dctSide, k, left[:], h, right[:], dctSide, out, dctSide)
		} else {
			clear(full[:])
			for i, x := range at[first : first+k] {
				full[x] = kept[first+i]
			}
			kernel.MulTN(false, h, dctSide, h, tall, h, full[:], dctSide, half[:], dctSide)
			kernel.MulNN(false, h, dctSide, dctSide, half[:], dctSide, c.table, dctSide, out, dctSide)
		}
		if len(to) < limit {
			copy(to, out)
		}
	})
}
