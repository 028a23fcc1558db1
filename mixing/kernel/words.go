package kernel

import "starling/mixing/philox"

// wordsFor returns the number of words from which n parameters are served, per of them by a block; so many blocks that no tier
// leaves some to plain Go.
func wordsFor(n, per int) int { return (n + 8*per - 1) / (8 * per) * 32 }

// words sets dst to the words of consecutive blocks of Philox under a key, as [philox.Block] gives them: block b has the counter
// (b low, b high, tensor, domain), the first b is block, and the low half carries into the high one.
func (t tier) words(dst []uint32, key, block uint64, tensor, domain uint32) {
	done := t.blocks(dst, key, block, tensor, domain)
	dst, block = dst[done:], block+uint64(done/4)
	for len(dst) > 0 {
		n := len(dst)
		if left := 1<<32 - block&(1<<32-1); uint64(n) > 4*left { // philox.Words does not carry
			n = int(4 * left)
		}
		philox.Words(dst[:n], key, [4]uint32{uint32(block), uint32(block >> 32), tensor, domain})
		dst, block = dst[n:], block+uint64(n/4)
	}
}
