package codec

import (
	"math"
	"slices"
)

// A picker finds the largest magnitudes of vectors. Its memory is used again from vector to vector.
type picker struct {
	at, key, work []uint32
}

// samples is how many numbers a threshold is guessed from.
const samples = 4096

// top appends the places of the k largest magnitudes of v to where, ascending; of equal ones it takes the first. k is at most
// len(v). A threshold from a sample leaves few candidates, among which the choice is exact; if it leaves too few, all are.
func (p *picker) top(where []uint32, v []float32, k int) []uint32 {
	if k == len(v) {
		for i := range v {
			where = append(where, uint32(i))
		}
		return where
	}
	p.candidates(v, k, p.guess(v, k))
	if len(p.at) < k {
		p.candidates(v, k, 0)
	}
	p.work = append(p.work[:0], p.key...)
	cut, equal := smallest(p.work, k)
	first := len(where)
	where = slices.Grow(where, k)[:first+k]
	for i, m := 0, first; m < len(where); i++ { // written and then kept or not: a branch would be guessed wrong too often
		key := p.key[i]
		where[m] = p.at[i]
		m += int((cut - key) >> 31)
		if key == cut && equal > 0 {
			equal--
			m++
		}
	}
	return where
}

// guess returns a magnitude that most likely k of v reach, and not many more.
func (p *picker) guess(v []float32, k int) uint32 {
	m := min(samples, len(v)/16)
	if m == 0 {
		return 0
	}
	p.work = p.work[:0]
	for i := range m {
		p.work = append(p.work, magnitude(v[uint64(i)*uint64(len(v))/uint64(m)]))
	}
	// So many of the sample are expected to be among the largest, plus some standard deviations.
	share := float64(k) * float64(m) / float64(len(v))
	rank := int(share+float64(3*math.Sqrt(share))) + 4
	if rank >= m {
		return 0
	}
	cut, _ := smallest(p.work, rank)
	return cut
}

// candidates sets at and key to the places and magnitudes of what is not below least, of which k are wanted.
func (p *picker) candidates(v []float32, k int, least uint32) {
	const some = 1024
	room := min(2*k, len(v)) + some
	if least == 0 {
		room = len(v) + some
	}
	p.at, p.key = slices.Grow(p.at[:0], room), slices.Grow(p.key[:0], room)
	for from := 0; from < len(v); from += some {
		x := v[from:min(len(v), from+some)]
		have := len(p.at)
		p.at, p.key = slices.Grow(p.at, some), slices.Grow(p.key, some)
		at, key := p.at[have:have+len(x)], p.key[have:have+len(x)]
		n := 0
		for i, f := range x { // as in top
			m := magnitude(f)
			at[n], key[n] = uint32(from+i), m
			n += int((m-least)>>31 ^ 1)
		}
		p.at, p.key = p.at[:have+n], p.key[:have+n]
	}
}

// smallest returns the smallest of the k largest keys, and how many of those are equal to it. k is above 0 and at most the
// number of keys, which are overwritten. It looks at the keys' bytes from the highest down, and keeps those that may still be it.
func smallest(keys []uint32, k int) (cut uint32, equal int) {
	for shift := 24; shift >= 0; shift -= 8 {
		var count [256]int
		for _, x := range keys {
			count[x>>shift&0xff]++
		}
		digit := 255
		for ; k > count[digit]; digit-- {
			k -= count[digit]
		}
		cut |= uint32(digit) << shift
		if count[digit] == len(keys) {
			continue
		}
		kept := keys[:0]
		for _, x := range keys {
			if x>>shift&0xff == uint32(digit) {
				kept = append(kept, x)
			}
		}
		keys = kept
	}
	return cut, k
}
