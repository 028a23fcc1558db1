package kernel

import "starling/mixing/philox"

// wordsFor returns the number of words from which n parameters are served, per of them by a block; so many blocks that no tier
// leaves some to plain Go.
func wordsFor(n, per int) int { return (n + 8*per - 1) / (8 * per) * 32 }

// words is [philox.Indexed], in vectors as far as they go.
func (t tier) words(dst []uint32, key, block uint64, tensor, domain uint32) {
	done := t.blocks(dst, key, block, tensor, domain)
	philox.Indexed(dst[done:], key, block+uint64(done/4), tensor, domain)
}
