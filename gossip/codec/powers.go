package codec

import "math"

// powers is e3m0, a sign and three bits of exponent: zero, or the scale of a block of 64 over a power of two up to 64. The scale is
// the largest magnitude (spec 03, 3.4). First come all scales as float32, then the codes, two in a byte, the lower half first. For
// an entropy coder, every code of a short vector has a byte of its own.
//
// A code is the sign times 8 plus e, which stands for nothing if it is 0 and else for 2^(e-7) scales. Magnitudes are rounded to
// nearest, ties to the smaller code, and nothing has no sign.
type powers struct{ coded bool }

const (
	powersBlock = 64
	powersLimit = 7
	powersSign  = 8
)

func (powers) name() string   { return "e3m0" }
func (powers) head(n int) int { return 4 * blocks(n, powersBlock) }
func (powers) width() int     { return 1 }
func (powers) lossy() bool    { return true }
func (powers) unbiased() bool { return false }

func (q powers) size(n int) int {
	if open(q.coded, n) {
		return q.head(n) + n
	}
	return q.head(n) + (n+1)/2
}

// codes sets out to the codes of x and returns the scale.
func (powers) codes(out []byte, x []float32) float32 {
	var most uint32
	for _, f := range x {
		most = max(most, magnitude(f))
	}
	scale := math.Float32frombits(most)
	out = out[:len(x)]
	if most == 0 {
		clear(out)
		return 0
	}
	const (
		fraction = 52
		zero     = 1023 - powersLimit // the exponent of half the least power
		half     = zero << fraction   // and its bits: up to it, nothing is the nearest
	)
	s := float64(scale)
	for i, f := range x {
		// No part of two float32 is so near a tie that the division would make it one.
		part := math.Float64bits(math.Abs(float64(f)) / s)
		// Adding a bit less than half rounds the exponent up above the middle between two powers. Below the least power stands
		// nothing, and the middle is half of it.
		e := int32((part+1<<(fraction-1)-1)>>fraction) - zero
		e = max(e, 1) & -int32((half-part)>>63)
		sign := uint32(-e) >> 31 & (math.Float32bits(f) >> 31)
		out[i] = byte(uint32(e) | sign*powersSign)
	}
	return scale
}

func (q powers) encode(dst []byte, v []float32, _ uint64) {
	var out [powersBlock + 1]byte
	open := open(q.coded, len(v))
	codes := dst[q.head(len(v)):]
	for at := 0; at < len(v); at += powersBlock {
		x := v[at:min(len(v), at+powersBlock)]
		if open {
			putScale(dst, at/powersBlock, q.codes(codes[at:], x))
			continue
		}
		putScale(dst, at/powersBlock, q.codes(out[:], x))
		out[len(x)] = 0 // what fills the last byte
		to := codes[at/2:][:(len(x)+1)/2]
		for i := range to {
			to[i] = out[2*i] | out[2*i+1]<<4
		}
	}
}

func (q powers) decode(dst []float32, src []byte) error {
	scales, codes := src[:q.head(len(dst))], src[q.head(len(dst)):]
	open := open(q.coded, len(dst))
	if !open && len(dst)%2 == 1 && codes[len(codes)-1]>>4 != 0 {
		return corrupt("half a byte is not filled with zeros")
	}
	for at := 0; at < len(dst); at += powersBlock {
		scale, err := scaleOf(scales, at/powersBlock)
		if err != nil {
			return err
		}
		var value [16]float32
		for e := range powersLimit {
			x := scale / float32(int(1)<<e)
			value[powersLimit-e], value[powersSign|(powersLimit-e)] = x, -x
		}
		to := dst[at:min(len(dst), at+powersBlock)]
		var none byte
		if open {
			for i, b := range codes[at:][:len(to)] {
				none |= b>>4 | minusNothing(b)
				to[i] = value[b&15]
			}
		} else {
			from := codes[at/2:][:(len(to)+1)/2]
			for i := range len(to) / 2 {
				b := from[i]
				to[2*i], to[2*i+1] = value[b&15], value[b>>4]
				none |= minusNothing(b)
			}
			if len(to)%2 == 1 {
				b := from[len(from)-1]
				to[len(to)-1] = value[b&15]
				none |= minusNothing(b & 15)
			}
		}
		if none != 0 {
			return corrupt("a code that e3m0 does not have")
		}
	}
	return nil
}

// minusNothing is not 0 if one of the two codes in a byte is the sign alone.
func minusNothing(b byte) byte { return b >> 3 & ^(b | b>>1 | b>>2) & 0x11 }
