package codec

import (
	"bytes"
	"math"
)

const (
	int8Block, int8Limit = 256, 127
	int4Block, int4Limit = 64, 7
)

// quantize sets out to the multiples of the scale that it returns, which has the largest magnitude of x at the limit. Multiples
// are rounded to nearest, ties to even, or at random if there are words (spec 05, 5.3).
func quantize(out []int8, x []float32, limit int32, words []uint32) float32 {
	var most uint32
	for _, f := range x {
		most = max(most, magnitude(f))
	}
	scale := math.Float32frombits(most) / float32(limit)
	out = out[:len(x)]
	if scale == 0 {
		clear(out)
		return 0
	}
	s := float64(scale)
	if words == nil {
		// Adding this leaves an integer in the low bits of the sum, rounded as wanted.
		const integer = 3 << 51
		for i, f := range x {
			q := int32(math.Float64bits(float64(f)/s + integer))
			out[i] = int8(max(-limit, min(limit, q)))
		}
		return scale
	}
	words = words[:len(x)]
	for i, f := range x {
		y := float64(f) / s
		// If y is so close below an integer that y + 256 is one, the integer is right whatever the word.
		q := int32(y+256) - 256
		// One more if the word is below the fraction: then the difference has a sign.
		q += int32(math.Float64bits(float64(words[i])-float64((y-float64(q))*(1<<32))) >> 63)
		out[i] = int8(max(-limit, min(limit, q)))
	}
	return scale
}

// eight is int8: 255 levels between plus and minus the largest magnitude of each block of 256: first all scales as float32, then
// one byte for each number.
type eight struct{ random bool }

func (eight) name() string     { return "int8" }
func (eight) size(n int) int   { return 4*blocks(n, int8Block) + n }
func (eight) head(int) int     { return 0 }
func (eight) width() int       { return 1 }
func (eight) lossy() bool      { return true }
func (q eight) unbiased() bool { return q.random }

func (q eight) encode(dst []byte, v []float32, seed uint64) {
	var w [int8Block]uint32
	var out [int8Block]int8
	levels := dst[4*blocks(len(v), int8Block):]
	for at := 0; at < len(v); at += int8Block {
		x := v[at:min(len(v), at+int8Block)]
		var random []uint32
		if q.random {
			random = w[:len(x)]
			words(random, seed, at)
		}
		putScale(dst, at/int8Block, quantize(out[:], x, int8Limit, random))
		to := levels[at:][:len(x)]
		for i := range to {
			to[i] = byte(out[i])
		}
	}
}

func (eight) decode(dst []float32, src []byte) error {
	scales, levels := src[:4*blocks(len(dst), int8Block)], src[4*blocks(len(dst), int8Block):]
	if i := bytes.IndexByte(levels, 0x80); i >= 0 {
		return corrupt("level -128 of number %d", i)
	}
	for at := 0; at < len(dst); at += int8Block {
		scale, err := scaleOf(scales, at/int8Block)
		if err != nil {
			return err
		}
		to := dst[at:min(len(dst), at+int8Block)]
		from := levels[at:][:len(to)]
		for i, b := range from {
			to[i] = float32(int8(b)) * scale
		}
		bound(to, scale, int8Limit)
	}
	return nil
}

// bound brings products back into range: the largest scale times the largest level may round up beyond it.
func bound(x []float32, scale, limit float32) {
	if scale < math.MaxFloat32/(limit+1) {
		return
	}
	for i, f := range x {
		x[i] = max(-math.MaxFloat32, min(math.MaxFloat32, f))
	}
}

// four is int4: 15 levels between plus and minus the largest magnitude of each block of 64: first all scales as float32, then
// the levels plus 7, two in a byte, the lower half first. For an entropy coder, every level of a short vector has a byte of its own.
type four struct{ random, coded bool }

// openMost is the length up to which levels that will be coded lie one in a byte. Of more levels, several in a byte are coded
// closer to their entropy, and in less time; but then the table of codes is longer, too much so for a short vector.
const openMost = 1 << 15

func open(coded bool, n int) bool { return coded && n <= openMost }

func (four) name() string     { return "int4" }
func (four) head(n int) int   { return 4 * blocks(n, int4Block) }
func (four) width() int       { return 1 }
func (four) lossy() bool      { return true }
func (q four) unbiased() bool { return q.random }

func (q four) size(n int) int {
	if open(q.coded, n) {
		return q.head(n) + n
	}
	return q.head(n) + (n+1)/2
}

func (q four) encode(dst []byte, v []float32, seed uint64) {
	var w [int8Block]uint32 // words are drawn for several blocks at once
	var out [int4Block + 1]int8
	open := open(q.coded, len(v))
	levels := dst[q.head(len(v)):]
	for at := 0; at < len(v); at += int4Block {
		x := v[at:min(len(v), at+int4Block)]
		var random []uint32
		if q.random {
			if at%len(w) == 0 {
				words(w[:min(len(w), len(v)-at)], seed, at)
			}
			random = w[at%len(w):][:len(x)]
		}
		putScale(dst, at/int4Block, quantize(out[:], x, int4Limit, random))
		if open {
			to := levels[at:][:len(x)]
			for i := range to {
				to[i] = byte(out[i] + int4Limit)
			}
			continue
		}
		out[len(x)] = -int4Limit // what fills the last byte
		to := levels[at/2:][:(len(x)+1)/2]
		for i := range to {
			to[i] = byte(out[2*i]+int4Limit) | byte(out[2*i+1]+int4Limit)<<4
		}
	}
}

func (q four) decode(dst []float32, src []byte) error {
	scales, levels := src[:q.head(len(dst))], src[q.head(len(dst)):]
	open := open(q.coded, len(dst))
	if !open && len(dst)%2 == 1 && levels[len(levels)-1]>>4 != 0 {
		return corrupt("half a byte is not filled with zeros")
	}
	for at := 0; at < len(dst); at += int4Block {
		scale, err := scaleOf(scales, at/int4Block)
		if err != nil {
			return err
		}
		var value [16]float32
		for i := range value {
			value[i] = float32(i-int4Limit) * scale
		}
		bound(value[:15], scale, int4Limit)
		to := dst[at:min(len(dst), at+int4Block)]
		var none byte
		if open {
			for i, b := range levels[at:][:len(to)] {
				none |= b >> 4
				to[i] = value[b&15]
				none |= b & (b >> 1) & (b >> 2) & (b >> 3) & 1
			}
		} else {
			from := levels[at/2:][:(len(to)+1)/2]
			for i := range len(to) / 2 {
				b := from[i]
				to[2*i], to[2*i+1] = value[b&15], value[b>>4]
				none |= b & (b >> 1) & (b >> 2) & (b >> 3) & 0x11
			}
			if len(to)%2 == 1 {
				b := from[len(from)-1]
				to[len(to)-1] = value[b]
				none |= b & (b >> 1) & (b >> 2) & (b >> 3)
			}
		}
		if none != 0 {
			return corrupt("a level that int4 does not have")
		}
	}
	return nil
}
