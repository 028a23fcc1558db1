package codec

import (
	"encoding/binary"
	"math/bits"
)

// Positions are ascending numbers below a limit, k of them in every group. A group's gaps (how many numbers lie between one
// position and the last, or the group's begin) are written in Rice's code: the gap shifted right by a parameter as that many
// ones and a zero, then the bits that were shifted out, the lowest bit first. Where that is longer, a group is a bitmap instead.
// A byte before says which: the parameter, or positionsBitmap. All groups but the last are of one shape.
type positions struct {
	k, limit int // of a group
	groups   int
	lastK    int // of the last group
	last     int // limit of the last group
}

const positionsBitmap = 0xff

// each calls f with the first position, the number of positions and the limit of every group.
func (p positions) each(f func(g, first, k, limit int)) {
	for g := range p.groups - 1 {
		f(g, g*p.k, p.k, p.limit)
	}
	f(p.groups-1, (p.groups-1)*p.k, p.lastK, p.last)
}

// count is the number of positions, bitmap the length in bits of the bitmaps.
func (p positions) count() int  { return (p.groups-1)*p.k + p.lastK }
func (p positions) bitmap() int { return (p.groups-1)*p.limit + p.last }

// rice bounds the length in bits with a parameter: gaps of a group add up to less than its limit.
func (p positions) rice(parameter int) int {
	return p.count()*(parameter+1) + (p.groups-1)*(p.limit>>parameter) + p.last>>parameter
}

// parameter is the one with the smallest bound.
func (p positions) parameter() int {
	best := 0
	for r := 1; r < 32 && p.rice(r) < p.rice(best); r++ {
		best = r
	}
	return best
}

// size bounds the bytes that append adds.
func (p positions) size() int { return 1 + (min(p.bitmap(), p.rice(p.parameter()))+7)/8 }

// append writes positions.
func (p positions) append(dst []byte, at []uint32) []byte {
	gaps := make([]uint32, len(at))
	p.each(func(_, first, k, _ int) {
		next := uint32(0)
		for i := first; i < first+k; i++ {
			gaps[i] = at[i] - next
			next = at[i] + 1
		}
	})
	// The parameter with the best bound, or the next one below, which is better for gaps that do not fill the group.
	best, length := positionsBitmap, p.bitmap()
	for r := p.parameter(); r >= 0; r-- {
		n := len(gaps) * (r + 1)
		for _, g := range gaps {
			n += int(g >> r)
		}
		if n >= length && best != positionsBitmap {
			break
		}
		if n < length {
			best, length = r, n
		}
	}
	dst = append(dst, byte(best))
	if best == positionsBitmap {
		from := len(dst)
		dst = append(dst, make([]byte, (length+7)/8)...)
		p.each(func(g, first, k, _ int) {
			for _, x := range at[first : first+k] {
				bit := g*p.limit + int(x)
				dst[from+bit/8] |= 1 << (bit % 8)
			}
		})
		return dst
	}
	return appendRice(dst, gaps, best, length)
}

// appendRice writes gaps, which take length bits.
func appendRice(dst []byte, gaps []uint32, parameter, length int) []byte {
	from := len(dst)
	end := from + (length+7)/8
	dst = append(dst, make([]byte, (length+7)/8+8)...)
	var word uint64
	used, to := 0, from // bits of word
	put := func(v uint64, n int) {
		word |= v << used
		used += n
		binary.LittleEndian.PutUint64(dst[to:], word)
		whole := used >> 3
		to += whole
		word >>= whole << 3
		used &= 7
	}
	for _, g := range gaps {
		ones := int(g >> parameter)
		for ones >= 32 {
			put(1<<32-1, 32)
			ones -= 32
		}
		low := uint64(g) & (1<<parameter - 1)
		if ones+1+parameter <= 56 {
			put(1<<ones-1|low<<(ones+1), ones+1+parameter)
		} else {
			put(1<<ones-1, ones+1)
			put(low, parameter)
		}
	}
	return dst[:end]
}

// read reads what append wrote, and returns the rest of src.
func (p positions) read(src []byte) (at []uint32, rest []byte, err error) {
	if len(src) < 1 {
		return nil, nil, corrupt("it ends before the positions")
	}
	how := int(src[0])
	src = src[1:]
	at = make([]uint32, p.count())
	switch {
	case how == positionsBitmap:
		return p.readBitmap(at, src)
	case how < 32:
		return p.readRice(at, src, how)
	}
	return nil, nil, corrupt("positions of kind %d", how)
}

func (p positions) readBitmap(at []uint32, src []byte) ([]uint32, []byte, error) {
	size := (p.bitmap() + 7) / 8
	if len(src) < size {
		return nil, nil, corrupt("it ends among the positions")
	}
	if p.bitmap()%8 > 0 && src[size-1]>>(p.bitmap()%8) != 0 {
		return nil, nil, corrupt("the last byte of the positions is not filled with zeros")
	}
	found := 0
	for i := 0; i < size; i += 8 {
		var word [8]byte
		copy(word[:], src[i:size])
		w := binary.LittleEndian.Uint64(word[:])
		if bits.OnesCount64(w) > len(at)-found {
			return nil, nil, corrupt("more than %d positions", len(at))
		}
		for ; w != 0; w &= w - 1 {
			at[found] = uint32(8*i + bits.TrailingZeros64(w))
			found++
		}
	}
	if found < len(at) {
		return nil, nil, corrupt("%d positions instead of %d", found, len(at))
	}
	if p.groups == 1 {
		return at, src[size:], nil
	}
	ok := true
	p.each(func(g, first, k, limit int) {
		for i := first; i < first+k; i++ {
			at[i] -= uint32(g * p.limit) // wraps around if it belongs to the group before
			ok = ok && at[i] < uint32(limit)
		}
	})
	if !ok {
		return nil, nil, corrupt("a position of another group")
	}
	return at, src[size:], nil
}

func (p positions) readRice(at []uint32, src []byte, parameter int) ([]uint32, []byte, error) {
	r := bitReader{src: src}
	for g := range p.groups {
		first, k, limit := g*p.k, p.k, uint64(p.limit)
		if g == p.groups-1 {
			k, limit = p.lastK, uint64(p.last)
		}
		next := uint64(0)
		for i := first; i < first+k; i++ {
			gap, ok := r.rice(parameter, limit)
			next += gap
			if !ok || next >= limit {
				return nil, nil, corrupt("a position beyond the end")
			}
			at[i] = uint32(next)
			next++
		}
	}
	used, ok := r.close()
	if !ok {
		return nil, nil, corrupt("it ends among the positions, or they are not filled with zeros")
	}
	return at, src[used:], nil
}

// A bitReader reads bits, the lowest of a byte first. Behind the end it reads zeros.
type bitReader struct {
	src  []byte
	at   int // the next byte
	word uint64
	have int // bits of word
}

// fill makes have at least 56.
func (r *bitReader) fill() {
	if r.at+8 <= len(r.src) {
		r.word |= binary.LittleEndian.Uint64(r.src[r.at:]) << r.have
		n := (63 - r.have) >> 3
		r.at += n
		r.have += n << 3
		r.word &= 1<<r.have - 1
		return
	}
	for r.have <= 56 {
		if r.at < len(r.src) {
			r.word |= uint64(r.src[r.at]) << r.have
		}
		r.at++
		r.have += 8
	}
}

// rice reads a number below limit.
func (r *bitReader) rice(parameter int, limit uint64) (uint64, bool) {
	var ones uint64
	for {
		r.fill()
		n := bits.TrailingZeros64(^r.word)
		if n < r.have {
			ones += uint64(n)
			r.word >>= n + 1
			r.have -= n + 1
			break
		}
		ones += uint64(r.have)
		r.word, r.have = 0, 0
		if ones<<parameter >= limit {
			return 0, false
		}
	}
	if r.have < parameter {
		r.fill()
	}
	v := ones<<parameter | r.word&(1<<parameter-1)
	r.word >>= parameter
	r.have -= parameter
	return v, v < limit
}

// close returns the number of bytes read; the rest of the last one must be zeros.
func (r *bitReader) close() (int, bool) {
	unread := r.have >> 3
	r.at -= unread
	return r.at, r.at <= len(r.src) && r.word&(1<<(r.have&7)-1) == 0
}
