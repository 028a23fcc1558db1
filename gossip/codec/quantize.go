package codec

import (
	"encoding/binary"
	"math"

	"starling/mixing/philox"
)

// words sets dst to the random words of the numbers from first on, a multiple of 4 (spec 05, 5.3): that of number i is word
// i mod 4 of the block with the counter i / 4.
func words(dst []uint32, seed uint64, first int) {
	philox.Words(dst, seed, [4]uint32{uint32(first >> 2), 0, 0, philox.Rounding})
}

const (
	signBit  = 1 << 31
	infinity = 0x7f800000 // the bits of the smallest magnitude that is not finite
)

// magnitude returns the bits of |x|, whose order is that of the magnitudes.
func magnitude(x float32) uint32 { return math.Float32bits(x) &^ signBit }

// fp32 keeps every bit: 4 bytes little-endian.
type fp32 struct{}

func (fp32) name() string   { return "fp32" }
func (fp32) size(n int) int { return 4 * n }
func (fp32) head(int) int   { return 0 }
func (fp32) width() int     { return 4 }
func (fp32) lossy() bool    { return false }
func (fp32) unbiased() bool { return true }

func (fp32) encode(dst []byte, v []float32, _ uint64) {
	dst = dst[:4*len(v)]
	for i, x := range v {
		binary.LittleEndian.PutUint32(dst[4*i:4*i+4], math.Float32bits(x))
	}
}

func (fp32) decode(dst []float32, src []byte) error {
	src = src[:4*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i : 4*i+4]))
	}
	return nil
}

// bf16 keeps the upper half of a float32, rounded to nearest, ties to even, or at random; what would round to infinity becomes
// the largest finite number.
type bf16 struct{ random bool }

func (bf16) name() string     { return "bf16" }
func (bf16) size(n int) int   { return 2 * n }
func (bf16) head(int) int     { return 0 }
func (bf16) width() int       { return 2 }
func (bf16) lossy() bool      { return true }
func (q bf16) unbiased() bool { return q.random }

func (q bf16) encode(dst []byte, v []float32, seed uint64) {
	const exponent = infinity >> 16
	if !q.random {
		for i, x := range v {
			b := math.Float32bits(x)
			h := uint16((b + 0x7fff + b>>16&1) >> 16)
			if h&exponent == exponent {
				h = uint16(b >> 16) // truncation stays finite
			}
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
		return
	}
	var w [256]uint32
	for at := 0; at < len(v); at += len(w) {
		x := v[at:min(len(v), at+len(w))]
		words(w[:len(x)], seed, at)
		for i, f := range x {
			b := math.Float32bits(f)
			h := uint16((b + w[i]>>16) >> 16)
			if h&exponent == exponent {
				h = uint16(b >> 16)
			}
			binary.LittleEndian.PutUint16(dst[2*(at+i):], h)
		}
	}
}

func (bf16) decode(dst []float32, src []byte) error {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
	return nil
}

// scaleOf reads the scale of block b, which is finite and not negative.
func scaleOf(scales []byte, b int) (float32, error) {
	bits := binary.LittleEndian.Uint32(scales[4*b:])
	if bits >= infinity {
		return 0, corrupt("scale %g", math.Float32frombits(bits))
	}
	return math.Float32frombits(bits), nil
}

func putScale(scales []byte, b int, scale float32) {
	binary.LittleEndian.PutUint32(scales[4*b:], math.Float32bits(scale))
}
