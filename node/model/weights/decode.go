package weights

import (
	"encoding/binary"
	"math"
)

// Every decoder fills dst, a whole number of blocks, from src, which has exactly those. Products are rounded before sums, so that all
// machines get the same bits, which are those of the reference.

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(src[2*i:])
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// half reads an IEEE 754 binary16.
func half(src []byte) float32 {
	h := uint32(binary.LittleEndian.Uint16(src))
	sign, rest := h>>15<<31, h&0x7fff
	switch {
	case rest >= 0x7c00: // infinities, and numbers that are none
		return math.Float32frombits(sign | 0x7f800000 | rest&0x3ff<<13)
	case rest >= 0x400:
		return math.Float32frombits(sign | (rest<<13 + 112<<23))
	}
	return math.Float32frombits(sign | math.Float32bits(float32(rest)*0x1p-24)) // subnormal: exact
}

func decodeQ4_0(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[18:] {
		d, q, out := half(src), src[2:18], dst[:32]
		for i, b := range q {
			out[i] = d * float32(int(b&15)-8)
			out[i+16] = d * float32(int(b>>4)-8)
		}
	}
}

func decodeQ4_1(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[20:] {
		d, m, q, out := half(src), half(src[2:]), src[4:20], dst[:32]
		for i, b := range q {
			out[i] = float32(d*float32(b&15)) + m
			out[i+16] = float32(d*float32(b>>4)) + m
		}
	}
}

func decodeQ5_0(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[22:] {
		d, high, q, out := half(src), binary.LittleEndian.Uint32(src[2:]), src[6:22], dst[:32]
		for i, b := range q {
			out[i] = d * float32(int(uint32(b&15)|high>>i&1<<4)-16)
			out[i+16] = d * float32(int(uint32(b>>4)|high>>(i+16)&1<<4)-16)
		}
	}
}

func decodeQ5_1(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[24:] {
		d, m, high, q, out := half(src), half(src[2:]), binary.LittleEndian.Uint32(src[4:]), src[8:24], dst[:32]
		for i, b := range q {
			out[i] = float32(d*float32(uint32(b&15)|high>>i&1<<4)) + m
			out[i+16] = float32(d*float32(uint32(b>>4)|high>>(i+16)&1<<4)) + m
		}
	}
}

func decodeQ8_0(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[34:] {
		d, q, out := half(src), src[2:34], dst[:32]
		for i, b := range q {
			out[i] = float32(int8(b)) * d
		}
	}
}

// scaleMin returns scale and minimum number j of the 12 bytes that Q4_K and Q5_K pack eight of each into, 6 bits each: the first four
// of both have bytes of their own, whose upper two bits are those of the last four.
func scaleMin(s []byte, j int) (scale, minimum float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

func decodeQ4_K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[144:] {
		d, dmin, s := half(src), half(src[2:]), src[4:16]
		for j := range 8 {
			scale, minimum := scaleMin(s, j)
			scale, minimum = d*scale, dmin*minimum
			q, shift, out := src[16+j/2*32:][:32], uint(j%2*4), dst[j*32:][:32]
			for i, b := range q {
				out[i] = float32(scale*float32(b>>shift&15)) - minimum
			}
		}
	}
}

func decodeQ5_K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[176:] {
		d, dmin, s, high := half(src), half(src[2:]), src[4:16], src[16:48]
		for j := range 8 {
			scale, minimum := scaleMin(s, j)
			scale, minimum = d*scale, dmin*minimum
			q, shift, out := src[48+j/2*32:][:32], uint(j%2*4), dst[j*32:][:32]
			for i, b := range q {
				out[i] = float32(scale*float32(b>>shift&15|high[i]>>j&1<<4)) - minimum
			}
		}
	}
}

func decodeQ6_K(dst []float32, src []byte) {
	for ; len(dst) >= 256; dst, src = dst[256:], src[210:] {
		low, high, scales, d := src[:128], src[128:192], src[192:208], half(src[208:])
		for j := range 16 { // 16 numbers with one scale
			group := j / 2 // 32 numbers with one shift
			half := group / 4
			l, lowShift := low[half*64+group%2*32+j%2*16:][:16], uint(group%4/2*4)
			h, highShift := high[half*32+j%2*16:][:16], uint(group%4*2)
			scale, out := d*float32(int8(scales[j])), dst[j*16:][:16]
			for i := range out {
				out[i] = scale * float32(int(l[i]>>lowShift&15|h[i]>>highShift&3<<4)-32)
			}
		}
	}
}
