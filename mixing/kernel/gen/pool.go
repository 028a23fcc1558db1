package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wideAt is element RAX + i of the int64s at base, and halfAt that of the halfwords.
func wideAt(base reg.Register, i int) operand.Mem {
	return operand.Mem{Base: base, Index: reg.RAX, Scale: 8, Disp: 8 * i}
}

func halfAt(base reg.Register, i int) operand.Mem {
	return operand.Mem{Base: base, Index: reg.RAX, Scale: 2, Disp: 2 * i}
}

// lookup sets v to what the halfwords at from choose of the table at w. The sign is applied by AVX-512, and else left to the
// caller: where plus has all ones v is to be taken as it is, elsewhere negated.
func (s set) lookup(u int, w reg.GPPhysical, buckets reg.VecPhysical, from operand.Mem) (v, plus reg.VecPhysical) {
	index, v, plus := s.regs[3*u], s.regs[3*u+1], s.regs[3*u+2]
	VPMOVZXWQ(from, index)
	if s.wide {
		ones, negative := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}[u], []reg.OpmaskPhysical{reg.K5, reg.K6, reg.K7, reg.K5}[u]
		VPTESTNMQ(s.regs[13], index, negative)
		VPANDQ(buckets, index, index)
		KXNORW(ones, ones, ones)
		s.zero(v)
		VPGATHERQQ(operand.Mem{Base: w, Index: index, Scale: 8}, ones, v)
		VPSUBQ(v, s.regs[14], negative, v)
		return v, plus
	}
	VPSLLQ(operand.U8(48), index, plus)
	VPCMPGTQ(plus, s.regs[14], plus)
	VPAND(buckets, index, index)
	VPCMPEQQ(s.regs[13], s.regs[13], s.regs[13])
	s.zero(v) // or it would wait for what was there
	VPGATHERQQ(s.regs[13], operand.Mem{Base: w, Index: index, Scale: 8}, v)
	return v, plus
}

// lookups loads the constants of lookup; last is where that argument is. Of AVX2 register 13 is the mask that a gather uses up.
func (s set) lookups(last int) (buckets reg.VecPhysical) {
	buckets = s.regs[15]
	VPBROADCASTQ(operand.NewParamAddr("last", last), buckets)
	s.zero(s.regs[14])
	if s.wide {
		MOVL(operand.U32(1<<15), reg.EAX)
		s.spread(reg.RAX, 13)
	}
	return buckets
}

// ahead is the distance in bytes at which parameters are fetched into the second-level cache on the way, for nothing would be
// while random words are made. That takes a quarter off the time of PoolAdd; the functions of float32 gain nothing.
const ahead = 8192

// pool writes what is done with the halfwords of a structured pool.
func (s set) pool() {
	per := s.doubles()
	few := fmt.Sprintf(" for n elements, a multiple of %d and above 0,", per)
	s.begin("poolAdd", "(theta, w *int64, halves *uint32, skip int, last uint64, n int)",
		"poolAdd"+s.name+" is PoolAdd"+few+" with halfwords from the one after skip on. last is the number of the last bucket.")
	theta, w, halves, skip := reg.RDI, reg.RDX, reg.RSI, reg.R8
	s.pointers("theta", theta, "w", w, "halves", halves, "skip", skip)
	LEAQ(index(halves, skip, 2), halves)
	buckets := s.lookups(32)
	s.each(per, func(u, i int) {
		if s.wide || u%2 == 0 {
			PREFETCHT1(wideAt(theta, i+ahead/8))
		}
		v, plus := s.lookup(u, w, buckets, halfAt(halves, i))
		if s.wide {
			VPADDQ(wideAt(theta, i), v, v)
			VMOVDQU64(v, wideAt(theta, i))
			return
		}
		VPXOR(plus, v, v)
		VPSUBQ(plus, v, v) // negated where it is to be added
		VMOVDQU(wideAt(theta, i), plus)
		VPSUBQ(v, plus, v)
		VMOVDQU(v, wideAt(theta, i))
	})
	s.end()
}

// moves loads what moved needs.
func (s set) moves() {
	if s.wide {
		return
	}
	// An int64 in two parts: the low word becomes a part of 2^52 + low, the high one of 2^84 + 2^63 + high·2^32. Then the
	// difference from 2^84 + 2^63 + 2^52 is exact, and the sum of both is rounded once.
	for i, bits := range []uint64{0x4330000000000000, 0x4530000080000000, 0x4530000080100000} {
		MOVQ(operand.U64(bits), reg.RBX)
		VMOVQ(reg.RBX, s.half[9+i])
		VPBROADCASTQ(s.half[9+i], s.regs[9+i])
	}
}

// moved stores base − unit·v, each operation rounded, and then to float32. t is lost.
func (s set) moved(u int, v, t, unit reg.VecPhysical, base, to operand.Mem) {
	if s.wide {
		VCVTQQ2PD(v, v)
		VMULPD(unit, v, v)
		VCVTPS2PD(base, t)
		VSUBPD(v, t, v)
		VCVTPD2PS(v, s.half[3*u+1])
		VMOVUPS(s.half[3*u+1], to)
		return
	}
	VPSRLQ(operand.U8(32), v, t)
	VPBLENDD(operand.U8(0xaa), s.regs[9], v, v)
	VPXOR(s.regs[10], t, t)
	VSUBPD(s.regs[11], t, t)
	VADDPD(v, t, v)
	VMULPD(unit, v, v)
	VCVTPS2PD(base, t)
	VSUBPD(v, t, v)
	VCVTPD2PSY(v, s.half[3*u+1])
	VMOVUPS(s.half[3*u+1], to)
}

// thetaFloats moves by integers from memory.
func (s set) thetaFloats() {
	per := s.doubles()
	s.begin("thetaFloats", "(dst, base *float32, theta *int64, unit float64, n int)",
		fmt.Sprintf("thetaFloats%s is ThetaFloats for n elements, a multiple of %d and above 0.", s.name, per))
	dst, base, theta := reg.RDI, reg.RDX, reg.RSI
	s.pointers("dst", dst, "base", base, "theta", theta)
	unit := s.regs[12]
	VBROADCASTSD(operand.NewParamAddr("unit", 24), unit)
	s.moves()
	s.each(per, func(u, i int) {
		u %= 3
		v, t := s.regs[3*u+1], s.regs[3*u]
		VMOVUPD(wideAt(theta, i), v)
		s.moved(u, v, t, unit, at(base, i), at(dst, i))
	})
	s.end()
}

// poolPerturb moves the parity of chosen bits of a halfword to the sign of a step.
func (s set) poolPerturb() {
	per := s.floats()
	s.begin("poolPerturb", "(dst, x *float32, halves *uint32, skip int, step float32, mask uint32, n int)",
		fmt.Sprintf("poolPerturb%s is PoolPerturb for n elements, a multiple of %d and above 0, with halfwords as for poolAdd%[1]s. step is added", s.name, per),
		"where an odd number of the bits of mask is set.")
	dst, x, halves, skip := reg.RDI, reg.RDX, reg.RSI, reg.R8
	s.pointers("dst", dst, "x", x, "halves", halves, "skip", skip)
	LEAQ(index(halves, skip, 2), halves)
	mask, minus, sign := s.regs[8], s.regs[9], s.regs[10]
	VBROADCASTSS(operand.NewParamAddr("mask", 36), mask)
	VBROADCASTSS(operand.NewParamAddr("step", 32), minus)
	s.negative(sign, minus)
	s.each(per, func(u, i int) {
		v, t := s.regs[2*u], s.regs[2*u+1]
		VPMOVZXWD(halfAt(halves, i), v)
		s.and(mask, v)
		for _, by := range []int{8, 4, 2, 1} { // bit 15 becomes the sum of all
			VPSLLD(operand.U8(by), v, t)
			s.xor(t, v)
		}
		VPSLLD(operand.U8(16), v, v)
		s.stepped(v, minus, sign, at(x, i), at(dst, i))
	})
	s.end()
}

// negative negates minus, and sets sign to the signs of a vector of float32.
func (s set) negative(sign, minus reg.VecPhysical) {
	MOVQ(operand.U64(0x8000000080000000), reg.RAX)
	if s.wide {
		VPBROADCASTQ(reg.RAX, sign)
	} else {
		VMOVQ(reg.RAX, sign.AsX())
		VPBROADCASTQ(sign.AsX(), sign)
	}
	s.xor(sign, minus)
}

// stepped stores x − minus where v has a sign, else x + minus.
func (s set) stepped(v, minus, sign reg.VecPhysical, x, to operand.Mem) {
	s.and(sign, v)
	s.xor(minus, v)
	VADDPS(x, v, v)
	VMOVUPS(v, to)
}

func (s set) and(x, y reg.VecPhysical) {
	if s.wide {
		VPANDD(x, y, y)
	} else {
		VPAND(x, y, y)
	}
}

func (s set) xor(x, y reg.VecPhysical) {
	if s.wide {
		VPXORD(x, y, y)
	} else {
		VPXOR(x, y, y)
	}
}
