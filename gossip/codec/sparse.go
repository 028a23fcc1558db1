package codec

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"starling/mixing/philox"
)

// share returns how many of n numbers a ratio keeps: at least one, and rounded up.
func share(ratio float64, n int) int {
	return max(1, min(n, int(math.Ceil(float64(ratio*float64(n))))))
}

func ratioText(ratio float64) string { return strconv.FormatFloat(ratio, 'g', -1, 64) }

// topK keeps the largest magnitudes.
type topK struct{ ratio float64 }

func (s topK) name() string   { return "topk:" + ratioText(s.ratio) }
func (s topK) kept(n int) int { return share(s.ratio, n) }
func (s topK) head(n int) int { return s.places(n).size() }
func (topK) unbiased() bool   { return false }

func (s topK) places(n int) positions {
	return positions{groups: 1, lastK: s.kept(n), last: n}
}

func (s topK) choose(dst []byte, v []float32, _ uint64) ([]byte, []float32, error) {
	var p picker
	k := s.kept(len(v))
	at := p.top(make([]uint32, 0, k), v, k)
	return s.places(len(v)).append(dst, at), gather(v, at), nil
}

func gather(v []float32, at []uint32) []float32 {
	kept := make([]float32, len(at))
	for i, x := range at {
		kept[i] = v[x]
	}
	return kept
}

func (s topK) which(n int, src []byte) ([]uint32, []byte, error) { return s.places(n).read(src) }

func (topK) fill(dst []float32, at []uint32, kept []float32) {
	clear(dst)
	for i, x := range at {
		dst[x] = kept[i]
	}
}

// randomK keeps numbers that the seed says, which travels instead of their places. If it is scaled, what is kept stands for
// what is not.
type randomK struct {
	ratio  float64
	scaled bool
}

func (s randomK) name() string   { return "randk:" + ratioText(s.ratio) }
func (s randomK) kept(n int) int { return share(s.ratio, n) }
func (randomK) head(int) int     { return 8 }
func (s randomK) unbiased() bool { return s.scaled }

func (s randomK) choose(dst []byte, v []float32, seed uint64) ([]byte, []float32, error) {
	at := randomPlaces(len(v), s.kept(len(v)), seed)
	return binary.LittleEndian.AppendUint64(dst, seed), gather(v, at), nil
}

func (s randomK) which(n int, src []byte) ([]uint32, []byte, error) {
	if len(src) < 8 {
		return nil, nil, corrupt("it ends before the seed")
	}
	return randomPlaces(n, s.kept(n), binary.LittleEndian.Uint64(src)), src[8:], nil
}

func (s randomK) fill(dst []float32, at []uint32, kept []float32) {
	clear(dst)
	if !s.scaled {
		topK{}.fill(dst, at, kept)
		return
	}
	factor := float64(len(dst)) / float64(len(at))
	for i, x := range at {
		dst[x] = float32(max(-math.MaxFloat32, min(math.MaxFloat32, float64(factor*float64(kept[i])))))
	}
}

// randomPlaces returns k of n places, ascending, by a partial Fisher-Yates shuffle (spec 05, 5.3).
func randomPlaces(n, k int, seed uint64) []uint32 {
	if k < n/64 {
		return fewPlaces(n, k, seed)
	}
	place := make([]uint32, n)
	for i := range place {
		place[i] = uint32(i)
	}
	chosen := make([]uint64, (n+63)/64)
	var drawn [256]uint32
	for from := 0; from < k; from += len(drawn) {
		ahead := drawn[:min(len(drawn), k-from)]
		draw(ahead, n, from, seed)
		for i, far := range ahead {
			i += from
			j := i + int(far)
			x := place[j]
			place[j] = place[i]
			chosen[x/64] |= 1 << (x % 64)
		}
	}
	at := place[:0]
	for w, b := range chosen {
		for ; b != 0; b &= b - 1 {
			at = append(at, uint32(64*w+bits.TrailingZeros64(b)))
		}
	}
	return at
}

// fewPlaces is randomPlaces, and remembers only what was swapped.
func fewPlaces(n, k int, seed uint64) []uint32 {
	at := make([]uint32, k)
	moved := make(map[uint32]uint32, 2*k)
	place := func(i uint32) uint32 {
		if x, ok := moved[i]; ok {
			return x
		}
		return i
	}
	draw(at, n, 0, seed)
	for i := range uint32(k) {
		j := i + at[i]
		at[i] = place(j)
		moved[j] = place(i)
	}
	slices.Sort(at)
	return at
}

// draw says how far behind place first of n, and the places that follow, the ones lie that they are swapped with.
func draw(far []uint32, n, first int, seed uint64) {
	philox.Firsts(far, seed, [4]uint32{uint32(first), 0, 0, philox.SparseIndex})
	for i, w := range far {
		far[i] = philox.Below(w, uint32(n-first-i))
	}
}
