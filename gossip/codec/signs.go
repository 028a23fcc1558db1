package codec

import "math"

// denseSigns and sparseSigns are how many signs share a scale. Signs of what a sparsifier kept stand for numbers that lie far
// apart in the vector, and each costs its place besides: scales of their own are worth more, and cost less beside it.
const denseSigns, sparseSigns = 4096, 64

// total is the sum of magnitudes: number i is added to sum i mod 4, and the four are added in pairs.
func total(x []float32) float64 {
	var s [4]float64
	for len(x) >= 4 {
		s[0] += math.Abs(float64(x[0]))
		s[1] += math.Abs(float64(x[1]))
		s[2] += math.Abs(float64(x[2]))
		s[3] += math.Abs(float64(x[3]))
		x = x[4:]
	}
	for i, f := range x {
		s[i] += math.Abs(float64(f))
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// signs is one bit for each number, 1 if it is below 0, and the mean magnitude of each block: first all means as float32, then
// the bits, the lowest of a byte first.
type signs struct{ block int }

func (signs) name() string     { return "sign" }
func (q signs) size(n int) int { return q.head(n) + (n+7)/8 }
func (q signs) head(n int) int { return 4 * blocks(n, q.block) }
func (signs) width() int       { return 1 }
func (signs) lossy() bool      { return true }
func (signs) unbiased() bool   { return false }

func (q signs) encode(dst []byte, v []float32, _ uint64) {
	bits := dst[q.head(len(v)):]
	for at := 0; at < len(v); at += q.block {
		x := v[at:min(len(v), at+q.block)]
		putScale(dst, at/q.block, float32(total(x)/float64(len(x))))
	}
	for len(v) >= 8 {
		bits[0] = negative(v[0]) | negative(v[1])<<1 | negative(v[2])<<2 | negative(v[3])<<3 |
			negative(v[4])<<4 | negative(v[5])<<5 | negative(v[6])<<6 | negative(v[7])<<7
		v, bits = v[8:], bits[1:]
	}
	for i, f := range v {
		bits[0] |= negative(f) << i
	}
}

// negative is 1 for numbers below 0, and 0 for both zeros.
func negative(x float32) byte {
	b := math.Float32bits(x)
	return byte(b >> 31 & ((b&^signBit + signBit - 1) >> 31))
}

func (q signs) decode(dst []float32, src []byte) error {
	scales, bits := src[:q.head(len(dst))], src[q.head(len(dst)):]
	if len(dst)%8 > 0 && bits[len(bits)-1]>>(len(dst)%8) != 0 {
		return corrupt("the last byte is not filled with zeros")
	}
	for at := 0; at < len(dst); at += q.block {
		scale, err := scaleOf(scales, at/q.block)
		if err != nil {
			return err
		}
		s := math.Float32bits(scale)
		to, from := dst[at:min(len(dst), at+q.block)], bits[at/8:]
		for len(to) >= 8 {
			b := uint32(from[0])
			to[0] = math.Float32frombits(s | b<<31)
			to[1] = math.Float32frombits(s | b>>1<<31)
			to[2] = math.Float32frombits(s | b>>2<<31)
			to[3] = math.Float32frombits(s | b>>3<<31)
			to[4] = math.Float32frombits(s | b>>4<<31)
			to[5] = math.Float32frombits(s | b>>5<<31)
			to[6] = math.Float32frombits(s | b>>6<<31)
			to[7] = math.Float32frombits(s | b>>7<<31)
			to, from = to[8:], from[1:]
		}
		for i := range to {
			to[i] = math.Float32frombits(s | uint32(from[0])>>i<<31)
		}
	}
	return nil
}

// ternaryBlock is a multiple of 4, for random words, and of 5, the levels in a byte.
const ternaryBlock = 320

// ternary is minus one, nothing or one times the scale of a block of 320: first all scales as float32, then the levels plus 1
// as digits to base 3, five in a byte, the lowest first. For an entropy coder, every level of a short vector has a byte of its
// own.
//
// Rounded at random, the scale is the largest magnitude and a number's magnitude over it the chance of not being zero (Wen et
// al. 2017). Otherwise numbers above 0.7 times the mean magnitude are kept, and their mean is the scale (Li et al. 2016).
type ternary struct{ random, coded bool }

func (ternary) name() string     { return "ternary" }
func (ternary) head(n int) int   { return 4 * blocks(n, ternaryBlock) }
func (ternary) width() int       { return 1 }
func (ternary) lossy() bool      { return true }
func (q ternary) unbiased() bool { return q.random }

func (q ternary) size(n int) int {
	if open(q.coded, n) {
		return q.head(n) + n
	}
	return q.head(n) + (n+4)/5
}

func (q ternary) encode(dst []byte, v []float32, seed uint64) {
	var w [ternaryBlock]uint32
	var digits [ternaryBlock + 4]byte
	open := open(q.coded, len(v))
	levels := dst[q.head(len(v)):]
	for at := 0; at < len(v); at += ternaryBlock {
		x := v[at:min(len(v), at+ternaryBlock)]
		out := digits[:]
		if open {
			out = levels[at:]
		}
		if q.random {
			words(w[:len(x)], seed, at)
			putScale(dst, at/ternaryBlock, ternaryRandom(out, x, w[:]))
		} else {
			putScale(dst, at/ternaryBlock, ternaryNearest(out, x))
		}
		if open {
			continue
		}
		clear(digits[len(x):])
		to := levels[at/5:][:(len(x)+4)/5]
		for i := range to {
			d := digits[5*i:][:5]
			to[i] = d[0] + 3*d[1] + 9*d[2] + 27*d[3] + 81*d[4]
		}
	}
}

func ternaryRandom(out []byte, x []float32, words []uint32) float32 {
	var most uint32
	for _, f := range x {
		most = max(most, magnitude(f))
	}
	scale := math.Float32frombits(most)
	if most == 0 {
		most = 1 // not to divide by zero
	}
	s := float64(math.Float32frombits(most))
	out, words = out[:len(x)], words[:len(x)]
	for i, f := range x {
		chance := float64(math.Abs(float64(f)) / s * (1 << 32))
		one := byte(math.Float64bits(float64(words[i])-chance) >> 63)
		out[i] = 1 + one - 2*(one&byte(math.Float32bits(f)>>31))
	}
	return scale
}

func ternaryNearest(out []byte, x []float32) float32 {
	least := magnitude(float32(total(x) / float64(len(x)) * 0.7))
	var sum float64
	var count int32
	out = out[:len(x)]
	for i, f := range x {
		b := math.Float32bits(f)
		m := b &^ signBit
		above := (least - m) >> 31 // 1 if m is the larger: both are below 2³¹
		sum += float64(math.Float32frombits(m & -above))
		count += int32(above)
		out[i] = byte(1 + above - 2*(above&(b>>31)))
	}
	if count == 0 {
		return 0
	}
	return float32(sum / float64(count))
}

func (q ternary) decode(dst []float32, src []byte) error {
	scales, levels := src[:q.head(len(dst))], src[q.head(len(dst)):]
	open := open(q.coded, len(dst))
	for at := 0; at < len(dst); at += ternaryBlock {
		scale, err := scaleOf(scales, at/ternaryBlock)
		if err != nil {
			return err
		}
		value := [4]float32{-scale, 0, scale}
		to := dst[at:min(len(dst), at+ternaryBlock)]
		var bad uint32
		if open {
			for i, b := range levels[at:][:len(to)] {
				bad |= uint32(2-int32(b)) >> 31
				to[i] = value[b&3]
			}
		} else {
			bad = unpack(to, levels[at/5:], &value)
		}
		if bad != 0 {
			return corrupt("a level that ternary does not have")
		}
	}
	return nil
}

// unpack sets dst from digits to base 3, and returns something else than 0 if there are more digits than numbers.
func unpack(dst []float32, src []byte, value *[4]float32) (bad uint32) {
	for len(dst) > 0 {
		to := dst[:min(5, len(dst))]
		rest := uint32(src[0])
		for i := range to {
			next := rest * 171 >> 9 // a third, for all bytes
			to[i] = value[(rest-3*next)&3]
			rest = next
		}
		bad |= rest
		dst, src = dst[len(to):], src[1:]
	}
	return bad
}
