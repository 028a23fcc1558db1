package weights

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Append appends x to data in format t, little-endian: F32, F16 or BF16, rounded to the nearest, to even where there are two. It
// returns an error for other formats.
func Append(data []byte, t Type, x []float32) ([]byte, error) {
	switch t {
	case F32:
		for _, v := range x {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	case F16:
		for _, v := range x {
			data = binary.LittleEndian.AppendUint16(data, toHalf(v))
		}
	case BF16:
		for _, v := range x {
			data = binary.LittleEndian.AppendUint16(data, toBrain(v))
		}
	default:
		return data, fmt.Errorf("number format %s is not written here; F32, F16 and BF16 are", t)
	}
	return data, nil
}

// toHalf rounds to an IEEE 754 binary16; too large numbers become infinite.
func toHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign, rest := uint16(b>>31<<15), b&0x7fffffff
	switch {
	case rest > 0x7f800000:
		return sign | 0x7e00 // not a number
	case rest >= 0x477ff000: // from 65520 on
		return sign | 0x7c00
	case rest < 0x38800000: // below 2^-14: a subnormal number counts units of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(rest))*0x1p24))
	}
	rest -= 112 << 23
	return sign | uint16((rest+0xfff+rest>>13&1)>>13)
}

// toBrain rounds to the upper half of a float32.
func toBrain(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16 | 0x40) // stays not a number
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
