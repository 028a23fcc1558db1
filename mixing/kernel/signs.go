package kernel

import "starling/mixing/philox"

// The random bits of signsSeeds seeds for signsChunk parameters are made at once. They and the parameters stay in the caches
// while all the seeds are applied.
const (
	signsSeeds = 32
	signsChunk = 4096
	signsBits  = 128 // parameters that a block of Philox serves
)

// signs are the random bits of a chunk, a row for every seed; parameter j has bit j mod 32 of word j/32.
type signs [signsSeeds][signsChunk / 32]uint32

// fill makes the first bits of a chunk, for n parameters.
func (b *signs) fill(t tier, n int, keys []uint64, tensor uint32, first uint64) {
	words := (n + signsBits - 1) / signsBits * (signsBits / 32)
	for s, key := range keys {
		t.words(b[s][:words], key, first/signsBits, tensor, philox.Perturbation)
	}
}

// SignsAdd adds to each theta[i] the sum over s of coef[s]·r, with r = ±1 of the dense direction of keys[s] for the parameter
// with the flat index first+i in a tensor, in one pass over theta for all of them. For the parameter j the sign is bit j mod 32
// of word (j mod 128)/32 of block j/128 of Philox under the key, with the counter (block low, block high, tensor,
// [philox.Perturbation]): +1 if it is 1. Sums wrap around.
func SignsAdd(theta, coef []int64, keys []uint64, tensor uint32, first uint64) {
	best.signsAddAll(theta, coef, keys, tensor, first)
}

func (t tier) signsAddAll(theta, coef []int64, keys []uint64, tensor uint32, first uint64) {
	same(len(coef), len(keys))
	var b signs
	for len(theta) > 0 {
		skip := int(first % signsBits)
		n := min(len(theta), signsChunk-skip)
		for s := 0; s < len(keys); s += signsSeeds {
			end := min(s+signsSeeds, len(keys))
			b.fill(t, skip+n, keys[s:end], tensor, first)
			plainSigns(theta[:n], coef[s:end], &b, skip)
		}
		theta = theta[n:]
		first += uint64(n)
	}
}

// plainSigns adds the sums of up to signsSeeds seeds to parameters; skip bits come before theirs.
func plainSigns(theta, coef []int64, b *signs, skip int) {
	for s := 0; s < len(coef); s += 8 {
		plainEight(theta, coef[s:min(s+8, len(coef))], b[s:][:8], skip)
	}
}

// plainEight adds the sums of up to eight seeds: whatever the parameter, it is one of 256 ("four Russians").
func plainEight(theta, coef []int64, b [][signsChunk / 32]uint32, skip int) {
	var sums [256]int64
	for _, c := range coef {
		sums[0] -= c
	}
	for s, c := range coef {
		for i := range 1 << s {
			sums[1<<s+i] = sums[i] + 2*c
		}
	}
	last := len(coef)
	for i := 0; i < len(theta); {
		word, at := (skip+i)/32, (skip+i)%32
		if at%8 != 0 || len(theta)-i < 8 {
			chosen := 0
			for s := range last {
				chosen |= int(b[s][word]>>at&1) << s
			}
			theta[i] += sums[chosen]
			i++
			continue
		}
		var square uint64 // byte s has the bits of seed s
		for s := range last {
			square |= uint64(b[s][word]>>at&0xff) << (8 * s)
		}
		square = turned(square)
		eight := theta[i:][:8]
		for j := range eight {
			eight[j] += sums[uint8(square>>(8*j))]
		}
		i += 8
	}
}

// turned transposes a square of eight bytes of eight bits, by swapping blocks of 1, 2 and 4 (Warren, Hacker's Delight, 7-3).
func turned(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// SignsPerturb sets dst[i] to x[i] + step·r, rounded once, with r = ±1 as in [SignsAdd] for the parameter with the flat index
// first+i in a tensor under a key. dst may be x.
func SignsPerturb(dst, x []float32, step float32, key uint64, tensor uint32, first uint64) {
	best.signsPerturbAll(dst, x, step, key, tensor, first)
}

func (t tier) signsPerturbAll(dst, x []float32, step float32, key uint64, tensor uint32, first uint64) {
	same(len(dst), len(x))
	var words [signsChunk / 32]uint32
	for len(dst) > 0 {
		skip := int(first % signsBits)
		n := min(len(dst), signsChunk-skip)
		t.words(words[:(skip+n+signsBits-1)/signsBits*(signsBits/32)], key, first/signsBits, tensor, philox.Perturbation)
		for i, v := range x[:n] {
			at := skip + i
			dst[i] = v + flipped(step, words[at/32]>>(at%32))
		}
		dst, x = dst[n:], x[n:]
		first += uint64(n)
	}
}
