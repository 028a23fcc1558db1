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
	words := wordsFor(n, signsBits)
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
			t.signsApply(theta[:n], coef[s:end], &b, skip)
		}
		theta = theta[n:]
		first += uint64(n)
	}
}

// signsApply adds the sums of up to signsSeeds seeds to parameters; skip bits come before theirs. The bits of a vector begin at
// a byte.
func (t tier) signsApply(theta, coef []int64, b *signs, skip int) {
	head := min(-skip&7, len(theta))
	done := head + t.signsAdd(theta[head:], coef, b, skip+head)
	if done == head {
		done = 0
	} else {
		plainSigns(theta[:head], coef, b, skip)
	}
	if done < len(theta) {
		plainSigns(theta[done:], coef, b, skip+done)
	}
}

// plainSigns adds the sums of up to signsSeeds seeds to parameters; skip bits come before theirs.
func plainSigns(theta, coef []int64, b *signs, skip int) {
	for s := 0; s < len(coef); s += 8 {
		plainEight(theta, coef[s:min(s+8, len(coef))], (*eightRows)(b[s:]), skip)
	}
}

// eightRows are the bits of eight seeds.
type eightRows [8][signsChunk / 32]uint32

// plainEight adds the sums of up to eight seeds: whatever the parameter, it is one of 256 ("four Russians").
func plainEight(theta, coef []int64, b *eightRows, skip int) {
	var sums [256]int64
	subsets(sums[:], coef)
	head := min(-skip&63, len(theta))
	b.add(theta[:head], &sums, skip)
	theta, skip = theta[head:], skip+head
	for ; len(theta) >= 64; theta, skip = theta[64:], skip+64 {
		rows, to := b.rows(skip/32), (*[64]int64)(theta)
		for j := range 8 { // one statement for every i: a loop would take half as long again
			row := rows[j]
			to[j] += sums[uint8(row)]
			to[j+8] += sums[uint8(row>>8)]
			to[j+16] += sums[uint8(row>>16)]
			to[j+24] += sums[uint8(row>>24)]
			to[j+32] += sums[uint8(row>>32)]
			to[j+40] += sums[uint8(row>>40)]
			to[j+48] += sums[uint8(row>>48)]
			to[j+56] += sums[uint8(row>>56)]
		}
	}
	b.add(theta, &sums, skip)
}

// add adds to parameters one by one.
func (b *eightRows) add(theta []int64, sums *[256]int64, skip int) {
	for i := range theta {
		word, at := (skip+i)/32, (skip+i)%32
		var chosen uint8
		for s := range b {
			chosen |= uint8(b[s][word]>>at&1) << s
		}
		theta[i] += sums[chosen]
	}
}

// rows returns the bits of 64 parameters from a word on: byte i of row j are those of parameter 8i+j. A row for every seed
// becomes that by a transposition of all squares of 8 bits, which swaps blocks of 1, 2 and 4 (Warren, Hacker's Delight, 7-3).
func (b *eightRows) rows(word int) (x [8]uint64) {
	for s := range x {
		x[s] = uint64(b[s][word]) | uint64(b[s][word+1])<<32
	}
	for i := 0; i < 8; i += 2 {
		x[i], x[i+1] = swapped(x[i], x[i+1], 1, 0x5555555555555555)
	}
	for _, i := range [...]int{0, 1, 4, 5} {
		x[i], x[i+2] = swapped(x[i], x[i+2], 2, 0x3333333333333333)
	}
	for i := range 4 {
		x[i], x[i+4] = swapped(x[i], x[i+4], 4, 0x0f0f0f0f0f0f0f0f)
	}
	return x
}

// swapped exchanges the bits of x at the places of mask times 2^shift with those of y at mask.
func swapped(x, y uint64, shift int, mask uint64) (uint64, uint64) {
	t := (x>>shift ^ y) & mask
	return x ^ t<<shift, y ^ t
}

// subsets sets sums[i] to the sum of the coefficients, each with the sign of its bit in i, + for 1, and to the same again for
// every value of bits that have no coefficient.
func subsets(sums, coef []int64) {
	sums[0] = 0
	for _, c := range coef {
		sums[0] -= c
	}
	for size, i := 1, 0; size < len(sums); size, i = 2*size, i+1 {
		var twice int64
		if i < len(coef) {
			twice = 2 * coef[i]
		}
		for l := range size {
			sums[size+l] = sums[l] + twice
		}
	}
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
		t.words(words[:wordsFor(skip+n, signsBits)], key, first/signsBits, tensor, philox.Perturbation)
		head := min(-skip&7, n)
		done := head + t.signsPerturb(dst[head:n], x[head:n], step, words[:], skip+head)
		plainSteps(dst[:head], x, step, words[:], skip)
		plainSteps(dst[done:n], x[done:], step, words[:], skip+done)
		dst, x = dst[n:], x[n:]
		first += uint64(n)
	}
}

// plainSteps sets dst to x and steps whose signs are bits, from the one after skip on.
func plainSteps(dst, x []float32, step float32, words []uint32, skip int) {
	x = x[:len(dst)]
	for i, v := range x {
		at := skip + i
		dst[i] = v + flipped(step, words[at/32]>>(at%32))
	}
}
