package scalar

import (
	"math"
	"sort"
)

// MaxCode is the largest code of a byte: the one of [MaxMagnitude].
const MaxCode = 127

// MaxMagnitude is the largest absolute [Value] of a byte, in units of the run's [Config.GUnit].
const MaxMagnitude = 881744

// magnitudes are the integers that codes stand for: eight to the octave, floor(16·2^((m-1)/8) + 1/2) from code 1 on (spec 04, 4.6).
// They are written out so that no mathematical library decides about them.
var magnitudes = [MaxCode + 1]int32{
	0, 16, 17, 19, 21, 23, 25, 27, 29, 32, 35, 38, 41, 45, 49, 54,
	59, 64, 70, 76, 83, 91, 99, 108, 117, 128, 140, 152, 166, 181, 197, 215,
	235, 256, 279, 304, 332, 362, 395, 431, 470, 512, 558, 609, 664, 724, 790, 861,
	939, 1024, 1117, 1218, 1328, 1448, 1579, 1722, 1878, 2048, 2233, 2435, 2656, 2896, 3158, 3444,
	3756, 4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512, 8192, 8933, 9742, 10624, 11585, 12634, 13777,
	15024, 16384, 17867, 19484, 21247, 23170, 25268, 27554, 30048, 32768, 35734, 38968, 42495, 46341, 50535, 55109,
	60097, 65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194, 131072, 142935, 155872, 169979, 185364, 202141, 220436,
	240387, 262144, 285870, 311744, 339959, 370728, 404281, 440872, 480774, 524288, 571740, 623487, 679917, 741455, 808563, 881744,
}

// Slope is the estimate of the derivative along a direction from the losses on both sides at distance eps. It is not finite if a loss
// is not; then there is nothing to send.
func Slope(plus, minus, eps float64) float64 { return (plus - minus) / (2 * eps) }

// Encode rounds a slope to a byte: the sign in bit 7 (1 is negative) and a code below. unit is the run's [Config.GUnit], a power of two,
// and u is uniform in [0, 1), drawn by the sender; no other peer needs to know it. Between neighbouring values the byte is one of
// both, so that its mean over u is the slope; beyond the largest it is the largest. It is not ok for a slope that is not finite.
func Encode(g, unit, u float64) (b byte, ok bool) {
	a := math.Abs(g) / unit
	if math.IsNaN(a) || math.IsInf(g, 0) {
		return 0, false
	}
	m := MaxCode
	if a < MaxMagnitude {
		m = sort.Search(MaxCode, func(i int) bool { return float64(magnitudes[i+1]) > a })
		low, high := float64(magnitudes[m]), float64(magnitudes[m+1])
		if u < (a-low)/(high-low) {
			m++
		}
	}
	if g < 0 && m > 0 {
		m |= 0x80
	}
	return byte(m), true
}

// Clip bounds the code of a byte, so that it passes [Config.Check] in an epoch whose clip code is most.
func Clip(b, most byte) byte {
	if Code(b) <= most {
		return b
	}
	if most == 0 {
		return 0
	}
	return b&0x80 | most
}

// Canonical reports whether a byte is well-formed: zero has one form, 0x00, and 0x80 is malformed.
func Canonical(b byte) bool { return b != 0x80 }

// Code is the place of a byte's magnitude in the table, 0 to [MaxCode].
func Code(b byte) byte { return b & 0x7f }

// Value is the signed integer that a byte stands for, in units of the run's [Config.GUnit].
func Value(b byte) int64 {
	v := int64(magnitudes[b&0x7f])
	if b&0x80 != 0 {
		return -v
	}
	return v
}
