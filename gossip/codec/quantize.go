package codec

import (
	"encoding/binary"
	"fmt"
	"math"
)

// fp32 keeps every bit: 4 bytes little-endian.
type fp32 struct{}

func (fp32) name() string   { return "fp32" }
func (fp32) size(n int) int { return 4 * n }
func (fp32) width() int     { return 4 }
func (fp32) lossy() bool    { return false }

func (fp32) encode(dst []byte, v []float32) {
	for i, x := range v {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func (fp32) decode(dst []float32, src []byte) error {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
	return nil
}

// bf16 keeps the upper half of a float32, rounded to nearest, ties to even; what would round to infinity becomes the
// largest finite number.
type bf16 struct{}

func (bf16) name() string   { return "bf16" }
func (bf16) size(n int) int { return 2 * n }
func (bf16) width() int     { return 2 }
func (bf16) lossy() bool    { return true }

func (bf16) encode(dst []byte, v []float32) {
	const infinity = 0x7f80
	for i, x := range v {
		b := math.Float32bits(x)
		h := uint16((b + 0x7fff + b>>16&1) >> 16)
		if h&infinity == infinity {
			h = uint16(b >> 16) // truncation stays finite
		}
		binary.LittleEndian.PutUint16(dst[2*i:], h)
	}
}

func (bf16) decode(dst []float32, src []byte) error {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
	return nil
}

// int8Block rounds to 255 levels between plus and minus the largest magnitude of each block of 256: first all scales as
// float32, then one byte for each number (spec 05, 5.3, nearest, ties to even).
type int8Block struct{}

const (
	int8Length = 256
	int8Levels = 127
)

func blocks(n int) int { return (n + int8Length - 1) / int8Length }

func (int8Block) name() string   { return "int8" }
func (int8Block) size(n int) int { return 4*blocks(n) + n }
func (int8Block) width() int     { return 1 }
func (int8Block) lossy() bool    { return true }

func (int8Block) encode(dst []byte, v []float32) {
	scales, levels := dst[:4*blocks(len(v))], dst[4*blocks(len(v)):]
	for b := 0; b*int8Length < len(v); b++ {
		x := v[b*int8Length : min(len(v), (b+1)*int8Length)]
		var most float32
		for _, f := range x {
			most = max(most, float32(math.Abs(float64(f))))
		}
		scale := most / int8Levels
		binary.LittleEndian.PutUint32(scales[4*b:], math.Float32bits(scale))
		out := levels[b*int8Length:]
		for i, f := range x {
			var q float64
			if scale > 0 {
				q = math.RoundToEven(float64(f) / float64(scale))
			}
			out[i] = byte(int8(max(-int8Levels, min(int8Levels, q))))
		}
	}
}

func (int8Block) decode(dst []float32, src []byte) error {
	scales, levels := src[:4*blocks(len(dst))], src[4*blocks(len(dst)):]
	for i := range dst {
		q := int8(levels[i])
		if q < -int8Levels {
			return fmt.Errorf("%w: level %d", ErrCorrupt, q)
		}
		scale := math.Float32frombits(binary.LittleEndian.Uint32(scales[4*(i/int8Length):]))
		if !(scale >= 0 && scale <= math.MaxFloat32) {
			return fmt.Errorf("%w: scale %g", ErrCorrupt, scale)
		}
		// The largest scale times the largest level may round up beyond the range.
		dst[i] = float32(max(-math.MaxFloat32, min(math.MaxFloat32, float64(q)*float64(scale))))
	}
	return nil
}
