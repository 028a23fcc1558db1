package codec

import "math"

// A Class is what those have to reckon with who agree through a codec (spec 05, 5.2 and 5.6).
type Class struct {
	Quantizer string  // how numbers are written, "int4"
	Kept      float64 // the part of the numbers that is sent, above 0 to 1
	Random    bool    // they are any numbers, not those that matter most
	// Variance bounds what an unbiased codec adds: the mean square of what it gets wrong, in squares of the vector's norm. It is 0
	// for other codecs, which never make a vector's error larger than the vector.
	Variance float64
}

// ClassOf returns the class of a codec.
func ClassOf(c Codec) Class {
	l, ok := c.(*line)
	if !ok {
		return Class{Kept: 1}
	}
	k := Class{Quantizer: l.write.name(), Kept: 1}
	switch s := l.keep.(type) {
	case topK:
		k.Kept = s.ratio
	case randomK:
		k.Kept, k.Random = s.ratio, true
	case cosine:
		k.Kept = float64(s.k) / dctChunk
	}
	if l.Unbiased() && l.Lossy() {
		k.Variance = (1+l.rounding())/k.Kept - 1
	}
	return k
}

// rounding bounds the variance of rounding at random. A step of a block's scale s adds s²/4 to each number at most, and the block has
// one number of the largest magnitude. The worst block for ternary has that one and otherwise equal numbers a √n times smaller.
func (c *line) rounding() float64 {
	switch c.write.(type) {
	case eight:
		return float64(int8Block) / (4 * int8Limit * int8Limit)
	case four:
		return float64(int4Block) / (4 * int4Limit * int4Limit)
	case ternary:
		return (math.Sqrt(ternaryBlock) - 1) / 2
	}
	return 0
}

// Contraction is what an unbiased codec's result has to be multiplied by so that it is never far off: 1/(1+Variance). It is 1 for
// codecs that are not unbiased.
func (k Class) Contraction() float64 { return 1 / (1 + k.Variance) }
