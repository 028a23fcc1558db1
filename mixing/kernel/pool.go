package kernel

import (
	"fmt"
	"math"
	"math/bits"

	"starling/mixing/philox"
)

// poolChunk is the number of parameters whose random halfwords are made at once; they stay in the first-level cache, with the
// sums of 4096 directions.
const poolChunk = 1024

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

// chunks calls do for the pieces of n parameters that begin at the flat index first, each with the random halfwords of its
// parameters, two in a word, low half first; skip halves come before those of the piece.
func (t tier) chunks(n int, key uint64, tensor uint32, first uint64, do func(from, to, skip int, words []uint32)) {
	var buffer [poolChunk / 2]uint32
	for from := 0; from < n; {
		skip := int(first % poolHalves)
		size := min(n-from, poolChunk-skip)
		words := buffer[:(skip+size+poolHalves-1)/poolHalves*(poolHalves/2)]
		t.words(words, key, first/poolHalves, tensor, philox.SparseIndex)
		do(from, from+size, skip, words)
		from += size
		first += uint64(size)
	}
}

// half returns halfword i of words.
func half(words []uint32, i int) uint32 { return words[i>>1] >> (i & 1 * 16) & 0xffff }

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
	t.chunks(len(theta), key, tensor, first, func(from, to, skip int, words []uint32) {
		for i := from; i < to; i++ {
			theta[i] += signed(w, half(words, skip+i-from))
		}
	})
}

// signed returns what a halfword chooses of w. The product with the sign is by complement: negative is 0 or all ones.
func signed(w []int64, half uint32) int64 {
	negative := int64(half>>15) - 1
	return (w[int(half)&(len(w)-1)] ^ negative) - negative
}

// PoolFloats sets dst[i] to what [ThetaFloats] makes of base[i] and of the sum that [PoolAdd] would add to the parameter: the
// model of a pool without a vector of its integers. dst may be base.
func PoolFloats(dst, base []float32, w []int64, unit float64, key uint64, tensor uint32, first uint64) {
	best.poolFloatsAll(dst, base, w, unit, key, tensor, first)
}

func (t tier) poolFloatsAll(dst, base []float32, w []int64, unit float64, key uint64, tensor uint32, first uint64) {
	same(len(dst), len(base))
	checkBuckets(len(w))
	t.chunks(len(dst), key, tensor, first, func(from, to, skip int, words []uint32) {
		for i := from; i < to; i++ {
			dst[i] = moved(base[i], signed(w, half(words, skip+i-from)), unit)
		}
	})
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
	t.chunks(len(dst), key, tensor, first, func(from, to, skip int, words []uint32) {
		for i := from; i < to; i++ {
			dst[i] = x[i] + flipped(step, uint32(bits.OnesCount32(half(words, skip+i-from)&mask)))
		}
	})
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
