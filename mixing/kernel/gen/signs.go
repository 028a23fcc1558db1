package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// signsAdd keeps parameters in registers while it goes through the seeds. A sum begins with all signs negative; twice the
// coefficient is added where one is not.
func (s set) signsAdd() {
	group := 8 // parameters that are left when there are not as many as in the registers
	if !s.wide {
		group = 32
	}
	s.begin("signsAdd", "(theta, twice *int64, bits *uint32, skip, stride, seeds int, minus int64, n int)",
		fmt.Sprintf("signsAdd%s adds to n elements, n a multiple of %d and above 0, twice[s] where bit is 1 and takes off minus, for all of the", s.name, group),
		"seeds, above 0. Their rows of bits are stride bytes apart; skip bytes come before the first bits.")
	theta, twice, bits, stride, seeds, n := reg.RDI, reg.RSI, reg.RDX, reg.R8, reg.R9, reg.RCX
	row, c, left := reg.R10, reg.R11, reg.R12
	s.pointers("theta", theta, "twice", twice, "bits", bits, "skip", row, "stride", stride, "seeds", seeds)
	ADDQ(row, bits)
	minus, coef := s.regs[15], s.regs[14]
	if s.wide {
		minus, coef = s.regs[31], s.regs[30]
	}
	VPBROADCASTQ(operand.NewParamAddr("minus", 48), minus)
	if !s.wide {
		shifts := GLOBL("bitShifts", attr.RODATA|attr.NOPTR)
		for i := range 32 {
			DATA(8*i, operand.U64(63-i))
		}
		LEAQ(shifts, reg.RBX)
		s.zero(s.regs[13])
	}
	vectors := []int{8}
	if s.wide {
		vectors = []int{16, 1}
	}
	for _, count := range vectors {
		name := fmt.Sprintf("by%d", count)
		per := count * s.doubles()
		Label(name)
		CMPQ(n, operand.U32(per))
		JLT(operand.LabelRef(name + "less"))
		for v := range count {
			VMOVUPD(mem(theta, s.bytes*v), s.regs[v])
			VPSUBQ(minus, s.regs[v], s.regs[v])
		}
		MOVQ(bits, row)
		MOVQ(twice, c)
		MOVQ(seeds, left)
		Label(name + "seed")
		VPBROADCASTQ(mem(c, 0), coef)
		if s.wide {
			s.masked(count, row, coef)
		} else {
			s.blended(count, row, coef)
		}
		ADDQ(stride, row)
		ADDQ(operand.U8(8), c)
		DECQ(left)
		JNE(operand.LabelRef(name + "seed"))
		for v := range count {
			VMOVUPD(s.regs[v], mem(theta, s.bytes*v))
		}
		ADDQ(operand.U32(8*per), theta)
		ADDQ(operand.U32(per/8), bits)
		SUBQ(operand.U32(per), n)
		JMP(operand.LabelRef(name))
		Label(name + "less")
	}
	s.end()
}

// masked adds with a byte of bits as the mask of a vector.
func (s set) masked(count int, row reg.GPPhysical, coef reg.VecPhysical) {
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}
	for v := range count {
		k := masks[v%len(masks)]
		KMOVB(mem(row, v), k)
		VPADDQ(coef, s.regs[v], k, s.regs[v])
	}
}

// blended moves one of 32 bits to the sign of every lane, which chooses between the coefficient and zero.
func (s set) blended(count int, row reg.GPPhysical, coef reg.VecPhysical) {
	all, zero := s.regs[12], s.regs[13]
	VPBROADCASTD(mem(row, 0), all)
	for v := range count {
		t := s.regs[8+v%4]
		VPSLLVQ(mem(reg.RBX, 32*v), all, t)
		VBLENDVPD(t, coef, zero, t)
		VPADDQ(t, s.regs[v], s.regs[v])
	}
}

// signsPerturb adds steps whose signs are bits.
func (s set) signsPerturb() {
	per := s.floats()
	s.begin("signsPerturb", "(dst, x *float32, bits *uint32, skip int, step float32, n int)",
		fmt.Sprintf("signsPerturb%s is SignsPerturb for n elements, a multiple of %d and above 0, with bits from those after skip bytes on.", s.name, per))
	dst, x, bits, skip := reg.RDI, reg.RDX, reg.RSI, reg.R8
	s.pointers("dst", dst, "x", x, "bits", bits, "skip", skip)
	ADDQ(skip, bits)
	minus, sign := s.regs[9], s.regs[10]
	VBROADCASTSS(operand.NewParamAddr("step", 32), minus)
	plus := s.regs[8]
	VMOVUPS(minus, plus)
	s.negative(sign, minus)
	if !s.wide {
		shifts := GLOBL("byteShifts", attr.RODATA|attr.NOPTR)
		for i := range 8 {
			DATA(4*i, operand.U32(31-i))
		}
		LEAQ(shifts, reg.RBX)
		VMOVDQU(mem(reg.RBX, 0), plus)
	}
	s.each(per, func(u, i int) {
		v := s.regs[u]
		if s.wide {
			k := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}[u]
			KMOVW(mem(bits, 0), k)
			VMOVUPS(minus, v)
			VMOVUPS(plus, k, v)
			VADDPS(at(x, i), v, v)
			VMOVUPS(v, at(dst, i))
		} else {
			VPBROADCASTB(mem(bits, 0), v)
			VPSLLVD(plus, v, v)
			s.stepped(v, minus, sign, at(x, i), at(dst, i))
		}
		ADDQ(operand.U8(per/8), bits)
	})
	s.end()
}
