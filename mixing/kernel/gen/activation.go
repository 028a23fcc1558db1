package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Places in softTable, the constants of Exp32, GELU and SiLU. The series of Exp32 begins at series, its highest term first; its last
// two terms are one.
const (
	lowest = iota
	highest
	log2e
	round
	ln2Head
	ln2Tail
	minusCubic
	minusLinear
	slope
	linear
	bias
	minusOne
	series
	one = series + 7
)

var softTable = []uint32{
	math.Float32bits(-87), math.Float32bits(87), math.Float32bits(math.Log2E), math.Float32bits(12582912),
	math.Float32bits(0.693359375), math.Float32bits(-2.12194440e-4),
	math.Float32bits(-0.07135481282553506), math.Float32bits(-1.5957691216057308), math.Float32bits(0.2140644384766052),
	math.Float32bits(1.5957691216057308), 127 << 23, math.Float32bits(-1),
	math.Float32bits(1.0 / 5040), math.Float32bits(1.0 / 720), math.Float32bits(1.0 / 120), math.Float32bits(1.0 / 24), math.Float32bits(1.0 / 6),
	math.Float32bits(1.0 / 2), math.Float32bits(1), math.Float32bits(1),
}

// table writes softTable once, for both sets.
func (s set) table() {
	if !s.wide {
		return
	}
	GLOBL("softTable", attr.RODATA|attr.NOPTR)
	for i, v := range softTable {
		for j := range 8 {
			DATA(32*i+4*j, operand.U32(v))
		}
	}
}

// constants lets R10 point to softTable.
func (s set) constants() {
	LEAQ(operand.Mem{Symbol: operand.NewStaticSymbol("softTable"), Base: reg.StaticBase}, reg.R10)
}

// with applies an operation with a constant of softTable: op(constant, x, to).
func (s set) with(plain, broadcast func(...operand.Op), i int, x, to reg.VecPhysical) {
	if s.wide {
		broadcast(mem(reg.R10, 32*i), x, to)
	} else {
		plain(mem(reg.R10, 32*i), x, to)
	}
}

// constant loads one.
func (s set) constant(i int, to reg.VecPhysical) { VBROADCASTSS(mem(reg.R10, 32*i), to) }

// exp32 sets p to Exp32 of x, operation by operation; x, n and the register 15 are lost. The bounds are taken such that a NaN stays.
func (s set) exp32(x, n, p reg.VecPhysical) {
	s.constant(lowest, p)
	VMAXPS(x, p, x)
	s.constant(highest, p)
	VMINPS(x, p, x)
	s.with(VMULPS, VMULPS_BCST, log2e, x, n)
	s.with(VADDPS, VADDPS_BCST, round, n, n)
	s.constant(round, p)
	VSUBPS(p, n, p) // the whole number; its bits stay in n
	r, t := x, s.regs[15]
	s.with(VMULPS, VMULPS_BCST, ln2Head, p, t)
	VSUBPS(t, r, r)
	s.with(VMULPS, VMULPS_BCST, ln2Tail, p, t)
	VSUBPS(t, r, r)
	s.with(VMULPS, VMULPS_BCST, series, r, p)
	for i := series + 1; i < len(softTable); i++ {
		if i > series+1 {
			VMULPS(r, p, p)
		}
		s.with(VADDPS, VADDPS_BCST, i, p, p)
	}
	VPSLLD(operand.U8(23), n, n)
	s.with(VPADDD, VPADDD_BCST, bias, n, n)
	VMULPS(n, p, p)
}

// activations writes Exps32, Mul, GELU and SiLU.
func (s set) activations() {
	per := s.floats()
	few := fmt.Sprintf(" for n elements, a multiple of %d and above 0.", per)
	xp, yp := reg.RSI, reg.RDI
	s.table()

	s.begin("mul", "(x, y *float32, n int)", "mul"+s.name+" is Mul"+few)
	s.pointers("x", xp, "y", yp)
	s.each(per, func(u, i int) {
		VMOVUPS(at(yp, i), s.regs[u])
		VMULPS(at(xp, i), s.regs[u], s.regs[u])
		VMOVUPS(s.regs[u], at(yp, i))
	})
	s.end()

	s.begin("expsSingle", "(x *float32, alpha, shift float32, n int)", "expsSingle"+s.name+" is Exps32"+few)
	alpha, shift := s.regs[13], s.regs[14]
	VBROADCASTSS(operand.NewParamAddr("alpha", 8), alpha)
	VBROADCASTSS(operand.NewParamAddr("shift", 12), shift)
	s.pointers("x", xp)
	s.constants()
	s.each(per, func(u, i int) {
		x, n, p := s.regs[3*u], s.regs[3*u+1], s.regs[3*u+2]
		VMULPS(at(xp, i), alpha, x)
		VSUBPS(shift, x, x)
		s.exp32(x, n, p)
		VMOVUPS(p, at(xp, i))
	})
	s.end()

	s.begin("gelu", "(y, x *float32, n int)", "gelu"+s.name+" is GELU"+few)
	s.pointers("y", yp, "x", xp)
	s.constants()
	s.each(per, func(u, i int) {
		v := s.regs[12]
		square, x, n, e := s.regs[3*u], s.regs[3*u+1], s.regs[3*u+2], s.regs[13]
		VMOVUPS(at(xp, i), v)
		VMULPS(v, v, square)
		s.with(VMULPS, VMULPS_BCST, minusCubic, square, x)
		s.with(VADDPS, VADDPS_BCST, minusLinear, x, x)
		VMULPS(v, x, x)
		s.exp32(x, n, e)
		s.with(VADDPS, VADDPS_BCST, one, e, e)
		s.constant(one, x)
		VDIVPS(e, x, n) // the sigmoid
		VSUBPS(n, x, x)
		VMULPS(n, v, v) // the result
		VMOVUPS(v, at(yp, i))
		VMULPS(v, x, x)
		s.with(VMULPS, VMULPS_BCST, slope, square, square)
		s.with(VADDPS, VADDPS_BCST, linear, square, square)
		VMULPS(square, x, x)
		VADDPS(n, x, x)
		VMOVUPS(x, at(xp, i))
	})
	s.end()

	s.begin("silu", "(y, x *float32, n int)", "silu"+s.name+" is SiLU"+few)
	s.pointers("y", yp, "x", xp)
	s.constants()
	s.each(per, func(u, i int) {
		v := s.regs[12]
		x, n, e := s.regs[3*u], s.regs[3*u+1], s.regs[13]
		VMOVUPS(at(xp, i), v)
		s.with(VMULPS, VMULPS_BCST, minusOne, v, x)
		s.exp32(x, n, e)
		s.with(VADDPS, VADDPS_BCST, one, e, e)
		s.constant(one, x)
		VDIVPS(e, x, n) // the sigmoid
		VSUBPS(n, x, x)
		VMULPS(n, v, v) // the result
		VMOVUPS(v, at(yp, i))
		VMULPS(v, x, x)
		VADDPS(n, x, x)
		VMOVUPS(x, at(xp, i))
	})
	s.end()
}
