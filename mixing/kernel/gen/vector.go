package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// each runs body over n elements, n in RCX, a multiple of per and above 0: four times per at once as long as there are as many. body
// gets the number of the piece and its distance in elements from the index in RAX.
func (s set) each(per int, body func(u, at int)) {
	n, i := reg.RCX, reg.RAX
	XORQ(i, i)
	Label("four")
	CMPQ(n, operand.U32(4*per))
	JLT(operand.LabelRef("one"))
	for u := range 4 {
		body(u, u*per)
	}
	ADDQ(operand.U32(4*per), i)
	SUBQ(operand.U32(4*per), n)
	JMP(operand.LabelRef("four"))
	Label("one")
	TESTQ(n, n)
	JEQ(operand.LabelRef("done"))
	body(0, 0)
	ADDQ(operand.U32(per), i)
	SUBQ(operand.U32(per), n)
	JMP(operand.LabelRef("one"))
	Label("done")
}

// at is element RAX + i of the floats at base.
func at(base reg.Register, i int) operand.Mem {
	return operand.Mem{Base: base, Index: reg.RAX, Scale: 4, Disp: 4 * i}
}

// elementwise writes the functions whose elements do not meet.
func (s set) elementwise() {
	per := s.floats()
	few := fmt.Sprintf(" for n elements, a multiple of %d and above 0.", per)
	x, y, z := reg.RSI, reg.RDI, reg.RDX
	factor := s.regs[8]

	s.begin("axpy", "(alpha float32, x, y *float32, n int)", "axpy"+s.name+" is Axpy"+few)
	VBROADCASTSS(operand.NewParamAddr("alpha", 0), factor)
	s.pointers("x", x, "y", y)
	s.each(per, func(u, i int) {
		VMOVUPS(at(y, i), s.regs[u])
		VFMADD231PS(at(x, i), factor, s.regs[u])
		VMOVUPS(s.regs[u], at(y, i))
	})
	s.end()

	s.begin("add", "(x, y *float32, n int)", "add"+s.name+" is Add"+few)
	s.pointers("x", x, "y", y)
	s.each(per, func(u, i int) {
		VMOVUPS(at(y, i), s.regs[u])
		VADDPS(at(x, i), s.regs[u], s.regs[u])
		VMOVUPS(s.regs[u], at(y, i))
	})
	s.end()

	s.begin("sub", "(dst, x, y *float32, n int)", "sub"+s.name+" is Sub"+few)
	s.pointers("dst", z, "x", x, "y", y)
	s.each(per, func(u, i int) {
		VMOVUPS(at(x, i), s.regs[u])
		VSUBPS(at(y, i), s.regs[u], s.regs[u])
		VMOVUPS(s.regs[u], at(z, i))
	})
	s.end()

	s.begin("scale", "(alpha float32, x *float32, n int)", "scale"+s.name+" is Scale"+few)
	VBROADCASTSS(operand.NewParamAddr("alpha", 0), factor)
	s.pointers("x", x)
	s.each(per, func(u, i int) {
		VMULPS(at(x, i), factor, s.regs[u])
		VMOVUPS(s.regs[u], at(x, i))
	})
	s.end()

	// The maximum of 0 and x is its second operand when one is a NaN or both are zeros.
	s.begin("relu", "(x *float32, n int)", "relu"+s.name+" is ReLU"+few)
	s.pointers("x", x)
	s.zero(factor)
	s.each(per, func(u, i int) {
		VMAXPS(at(x, i), factor, s.regs[u])
		VMOVUPS(s.regs[u], at(x, i))
	})
	s.end()

	const unequal = operand.U8(4) // or unordered
	s.begin("gate", "(x, h *float32, n int)", "gate"+s.name+" is Gate"+few)
	s.pointers("x", x, "h", y)
	s.zero(factor)
	s.each(per, func(u, i int) {
		if s.wide {
			VCMPPS(unequal, at(y, i), factor, reg.K1)
			VMOVUPS_Z(at(x, i), reg.K1, s.regs[u])
		} else {
			VCMPPS(unequal, at(y, i), factor, s.regs[u])
			VANDPS(at(x, i), s.regs[u], s.regs[u])
		}
		VMOVUPS(s.regs[u], at(x, i))
	})
	s.end()
}

// pointers loads arguments, given as name and register, and n.
func (s set) pointers(list ...any) {
	for i := 0; i < len(list); i += 2 {
		Load(Param(list[i].(string)), list[i+1].(reg.GPPhysical))
	}
	Load(Param("n"), reg.RCX)
}

// word fills a vector with a constant.
func (s set) word(bits uint32, v, low reg.VecPhysical) {
	MOVL(operand.U32(bits), reg.EAX)
	VMOVD(reg.EAX, low)
	VPBROADCASTD(low, v)
}

// finite looks at exponents: all ones, plus one, carry into the sign.
func (s set) finite() {
	per := s.floats()
	s.begin("finite", "(x *float32, n int) uint32",
		fmt.Sprintf("finite%s returns 0 if Finite, for n elements, a multiple of %d and above 0.", s.name, per))
	s.pointers("x", reg.RSI)
	drop, one := s.regs[8], s.regs[9]
	s.word(0x7fffffff, drop, reg.X8)
	s.word(1<<23, one, reg.X9)
	for u := range 4 {
		s.zero(s.regs[4+u])
	}
	s.each(per, func(u, i int) {
		t, acc := s.regs[u], s.regs[4+u]
		if s.wide {
			VPANDD(at(reg.RSI, i), drop, t)
			VPADDD(one, t, t)
			VPORD(t, acc, acc)
		} else {
			VPAND(at(reg.RSI, i), drop, t)
			VPADDD(one, t, t)
			VPOR(t, acc, acc)
		}
	})
	for u := 1; u < 4; u++ {
		if s.wide {
			VPORD(s.regs[4+u], s.regs[4], s.regs[4])
		} else {
			VPOR(s.regs[4+u], s.regs[4], s.regs[4])
		}
	}
	if s.wide {
		VPMOVD2M(s.regs[4], reg.K1)
		KMOVW(reg.K1, reg.EAX)
	} else {
		VMOVMSKPS(s.regs[4], reg.EAX)
	}
	Store(reg.EAX, ReturnIndex(0))
	s.end()
}

// grey divides by 255: a quotient by the reciprocal, and one correction, which is exact for all 256 levels.
func (s set) grey() {
	per := s.floats()
	s.begin("grey", "(dst *float32, levels *uint8, n int)", fmt.Sprintf("grey%s is Grey for n elements, a multiple of %d and above 0.", s.name, per))
	s.pointers("dst", reg.RDI, "levels", reg.RSI)
	divisor, inverse := s.regs[8], s.regs[9]
	s.word(0x437f0000, divisor, reg.X8)
	s.word(0x3b808081, inverse, reg.X9)
	s.each(per, func(u, i int) {
		v, q := s.regs[u], s.regs[4+u]
		VPMOVZXBD(operand.Mem{Base: reg.RSI, Index: reg.RAX, Scale: 1, Disp: i}, v)
		VCVTDQ2PS(v, v)
		VMULPS(inverse, v, q)
		VFNMADD231PS(divisor, q, v)
		VFMADD231PS(inverse, v, q)
		VMOVUPS(q, at(reg.RDI, i))
	})
	s.end()
}

// largest keeps the largest elements so far of four vectors. Of a NaN and a number the second operand, the first here, is taken.
func (s set) largest() {
	per := s.floats()
	s.begin("largest", "(x *float32, n int, lanes *[16]float32)",
		fmt.Sprintf("largest%s sets the first %d lanes to elements among which is the largest, for n elements, a multiple of %[2]d and above 0.", s.name, per))
	s.pointers("x", reg.RSI)
	Load(Param("lanes"), reg.RDX)
	for u := range 4 {
		s.word(0xff800000, s.regs[4+u], s.low(4+u))
	}
	s.each(per, func(u, i int) {
		VMOVUPS(at(reg.RSI, i), s.regs[u])
		VMAXPS(s.regs[4+u], s.regs[u], s.regs[4+u])
	})
	for u := 1; u < 4; u++ {
		VMAXPS(s.regs[4], s.regs[4+u], s.regs[4])
	}
	VMOVUPS(s.regs[4], mem(reg.RDX, 0))
	s.end()
}

// low is the lowest quarter or half of a register of the first 16.
func (s set) low(i int) reg.VecPhysical {
	return []reg.VecPhysical{
		reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
	}[i]
}
