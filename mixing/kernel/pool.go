package kernel

import (
	"fmt"
	"math"
	"math/bits"

	"starling/mixing/philox"
)

// poolChunk is the number of parameters whose random halfwords are made at once; they stay in the first-level cache, with the
// sums of 4096 directions.
const poolChunk = 2048

// poolHalves is the number of parameters that a block of Philox serves in a structured pool.
const poolHalves = 8

// MaxBuckets is the largest number of buckets, and so of directions, of a structured pool: a random halfword is a sign and a
// bucket.
const MaxBuckets = 1 << 15

// checkBuckets panics unless a halfword can choose among so many.
func checkBuckets(n int) {
	if n < 2 || n > MaxBuckets || n&(n-1) != 0 {
		panic(fmt.Sprintf("kernel: internal error: a pool of %d buckets; want a power of two from 2 to %d", n, MaxBuckets))
	}
}

// halves are the random halfwords of a chunk, two in a word, the low half first.
type halves [poolChunk / 2]uint32

// fill makes the halfwords of the first of n parameters from the flat index first on, of as many as there is room for, and
// returns how many. skip halfwords come before theirs.
func (h *halves) fill(t tier, n int, key uint64, tensor uint32, first uint64) (size, skip int) {
	skip = int(first % poolHalves)
	size = min(n, poolChunk-skip)
	t.words(h[:wordsFor(skip+size, poolHalves)], key, first/poolHalves, tensor, philox.SparseIndex)
	return size, skip
}

// at returns halfword i.
func (h *halves) at(i int) uint32 { return h[i>>1] >> (i & 1 * 16) & 0xffff }

// PoolAdd adds to each theta[i] the value s·w[h] of the parameter with the flat index first+i in a tensor: all directions of a
// structured pool in one pass, if w is the [Hadamard] transform of their coefficients. The bucket h and the sign s are those of
// a random halfword: for the parameter j it is halfword j mod 8 of block j/8 of Philox under the key, with the counter (block
// low, block high, tensor, [philox.SparseIndex]), low halves first. Its low bits are h, and s is +1 if its bit 15 is 1. Sums
// wrap around. len(w) is the number of buckets, a power of two from 2 to [MaxBuckets].
func PoolAdd(theta, w []int64, key uint64, tensor uint32, first uint64) {
	best.poolAddAll(theta, w, key, tensor, first)
}

func (t tier) poolAddAll(theta, w []int64, key uint64, tensor uint32, first uint64) {
	checkBuckets(len(w))
	var h halves
	for len(theta) > 0 {
		size, skip := h.fill(t, len(theta), key, tensor, first)
		for i := t.poolAdd(theta[:size], w, &h, skip); i < size; i++ {
			theta[i] += signed(w, h.at(skip+i))
		}
		theta, first = theta[size:], first+uint64(size)
	}
}

// signed returns what a halfword chooses of w. The product with the sign is by complement: negative is 0 or all ones.
func signed(w []int64, half uint32) int64 {
	negative := int64(half>>15) - 1
	return (w[int(half)&(len(w)-1)] ^ negative) - negative
}

// PoolPerturb sets dst[i] to x[i] + step·z, rounded once, with z = ±1 of direction k of a structured pool for the parameter with
// the flat index first+i in a tensor: z = s·(−1)^popcount(k & h), with the sign s and bucket h of [PoolAdd]. k is below the
// number of buckets. dst may be x.
func PoolPerturb(dst, x []float32, step float32, k, buckets uint32, key uint64, tensor uint32, first uint64) {
	best.poolPerturbAll(dst, x, step, k, buckets, key, tensor, first)
}

func (t tier) poolPerturbAll(dst, x []float32, step float32, k, buckets uint32, key uint64, tensor uint32, first uint64) {
	same(len(dst), len(x))
	checkBuckets(int(buckets))
	if k >= buckets {
		panic(fmt.Sprintf("kernel: internal error: direction %d of a pool of %d", k, buckets))
	}
	// z is +1 where an odd number of these bits is set.
	mask := k | 1<<15
	var h halves
	for len(dst) > 0 {
		size, skip := h.fill(t, len(dst), key, tensor, first)
		for i := t.poolPerturb(dst[:size], x, step, mask, &h, skip); i < size; i++ {
			dst[i] = x[i] + flipped(step, uint32(bits.OnesCount32(h.at(skip+i)&mask)))
		}
		dst, x, first = dst[size:], x[size:], first+uint64(size)
	}
}

// flipped returns step if the lowest bit of plus is 1, else −step.
func flipped(step float32, plus uint32) float32 {
	return math.Float32frombits(math.Float32bits(step) ^ (plus&1^1)<<31)
}

// Hadamard transforms a in place: a[h] becomes the sum over k of a[k]·(−1)^popcount(k & h), which wraps around. The length of a
// is a power of two. Twice the transform is len(a) times the original.
func Hadamard(a []int64) {
	if len(a)&(len(a)-1) != 0 || len(a) == 0 {
		panic(fmt.Sprintf("kernel: internal error: a Hadamard transform of %d elements; want a power of two", len(a)))
	}
	for step := 1; step < len(a); step *= 2 {
		for from := 0; from < len(a); from += 2 * step {
			low, high := a[from:][:step], a[from+step:][:step]
			for i, x := range low {
				y := high[i]
				low[i], high[i] = x+y, x-y
			}
		}
	}
}
