package data

import "starling/mixing/philox"

// Drawn sets dst to rows of a set of so many, each drawn by itself: a function of seed, owner and step alone, which anybody can repeat
// that has the set. A row can come twice. Without rows dst must be empty.
func Drawn(dst []int32, rows int, seed, owner, step uint64) {
	key := streamKey(seed, forDrawn, owner)
	var words [64]uint32
	for block := uint32(0); len(dst) > 0; block += uint32(len(words) / 4) {
		n := min(len(dst), len(words))
		philox.Words(words[:n], key, [4]uint32{block, uint32(step), uint32(step >> 32), philox.Data})
		for i, w := range words[:n] {
			dst[i] = int32(philox.Below(w, uint32(rows)))
		}
		dst = dst[n:]
	}
}
