package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dot keeps the 32 lanes of Dot in registers. Products of two float32 are exact in float64, so that fusing changes nothing.
func (s set) dot() {
	s.begin("dot", "(x, y *float32, n int, lanes *[32]float64)",
		"dot"+s.name+" sets the lanes of Dot for n elements, a multiple of 32 and above 0.")
	s.pointers("x", reg.RSI, "y", reg.RDI)
	Load(Param("lanes"), reg.RDX)
	per := s.doubles()
	vecs := 32 / per
	for v := range vecs {
		s.zero(s.regs[v])
	}
	XORQ(reg.RAX, reg.RAX)
	Label("loop")
	for v := range vecs {
		x, y := s.regs[vecs+2*(v%2)], s.regs[vecs+2*(v%2)+1]
		VCVTPS2PD(at(reg.RSI, v*per), x)
		VCVTPS2PD(at(reg.RDI, v*per), y)
		VFMADD231PD(x, y, s.regs[v])
	}
	ADDQ(operand.U8(32), reg.RAX)
	SUBQ(operand.U8(32), reg.RCX)
	JNE(operand.LabelRef("loop"))
	for v := range vecs {
		VMOVUPD(s.regs[v], mem(reg.RDX, v*s.bytes))
	}
	s.end()
}

// weighted keeps eight vectors of sums in registers while it goes through the vectors, so that each is read once.
func (s set) weighted() {
	per := s.doubles()
	s.begin("weighted", "(dst *float32, weights *float64, vectors *[]float32, count, n int)",
		fmt.Sprintf("weighted%s is WeightedSum of count vectors, above 0, for n elements, a multiple of %d and above 0.", s.name, 8*per))
	s.pointers("dst", reg.RDI)
	XORQ(reg.RAX, reg.RAX)
	w, t := s.regs[8], s.regs[9:13]
	Label("block")
	Load(Param("weights"), reg.RSI)
	Load(Param("vectors"), reg.RDX)
	Load(Param("count"), reg.R8)
	for u := range 8 {
		s.zero(s.regs[u])
	}
	Label("vector")
	MOVQ(mem(reg.RDX, 0), reg.RBX)
	VBROADCASTSD(mem(reg.RSI, 0), w)
	for u := range 8 {
		x := t[u%len(t)]
		VCVTPS2PD(at(reg.RBX, u*per), x)
		VMULPD(w, x, x)
		VADDPD(x, s.regs[u], s.regs[u])
	}
	ADDQ(operand.U8(24), reg.RDX) // a slice is three words
	ADDQ(operand.U8(8), reg.RSI)
	DECQ(reg.R8)
	JNE(operand.LabelRef("vector"))
	for u := range 8 {
		if s.wide {
			VCVTPD2PS(s.regs[u], s.half[u])
		} else {
			VCVTPD2PSY(s.regs[u], s.half[u])
		}
		VMOVUPS(s.half[u], at(reg.RDI, u*per))
	}
	ADDQ(operand.U32(8*per), reg.RAX)
	SUBQ(operand.U32(8*per), reg.RCX)
	JNE(operand.LabelRef("block"))
	s.end()
}

// expTable are the constants of Exp in the order of their use, the bounds of the exponent, and the bias.
var expTable = []float64{
	math.Log2E, 0.5, 0x1.62e42fefp-1, 0x1.473de6af278edp-34, -1021, 1023,
	1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
	1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1, 1,
}

// exp computes as Exp does, a vector at a time, and leaves at the first vector that has an element whose result is not a
// product with a power of two in range.
func (s set) exp() {
	per := s.doubles()
	table := operand.Mem{Symbol: operand.NewStaticSymbol("expTable"), Base: reg.StaticBase}
	if s.wide {
		table = GLOBL("expTable", attr.RODATA|attr.NOPTR)
		for i, v := range expTable {
			for j := range 4 {
				DATA(32*i+8*j, operand.U64(math.Float64bits(v))) // a float without a fraction would be printed as an integer
			}
		}
		for j := range 4 {
			DATA(32*len(expTable)+8*j, operand.U64(1023))
		}
	}
	s.begin("exp", "(dst, x *float64, n int) int",
		fmt.Sprintf("exp%s sets dst to Exp of x for up to n elements, a multiple of %d, and returns how many it did:", s.name, per),
		"it stops before a vector with results that are not finite or below 2⁻¹⁰²⁰.")
	s.pointers("dst", reg.RDI, "x", reg.RSI)
	LEAQ(table, reg.RDX)
	XORQ(reg.RAX, reg.RAX)
	entry := func(i int) operand.Mem { return mem(reg.RDX, 32*i) }
	// with applies an operation with a constant of the table.
	with := func(plain, broadcast func(...operand.Op), i int, x, to reg.VecPhysical) {
		if s.wide {
			broadcast(entry(i), x, to)
		} else {
			plain(entry(i), x, to)
		}
	}
	x, n, r, t, p := s.regs[0], s.regs[1], s.regs[2], s.regs[3], s.regs[4]
	Label("loop")
	CMPQ(reg.RAX, reg.RCX)
	JGE(operand.LabelRef("done"))
	VMOVUPD(operand.Mem{Base: reg.RSI, Index: reg.RAX, Scale: 8}, x)
	with(VMULPD, VMULPD_BCST, 0, x, n)
	with(VADDPD, VADDPD_BCST, 1, n, n)
	const down = operand.U8(9)
	if s.wide {
		VRNDSCALEPD(down, n, n)
		VCMPPD_BCST(operand.U8(30), entry(4), n, reg.K1) // above
		VCMPPD_BCST(operand.U8(17), entry(5), n, reg.K1, reg.K2)
		KMOVB(reg.K2, reg.EBX)
		CMPL(reg.EBX, operand.U32(0xff))
	} else {
		VROUNDPD(down, n, n)
		VCMPPD(operand.U8(30), entry(4), n, t)
		VCMPPD(operand.U8(17), entry(5), n, r)
		VANDPD(t, r, r)
		VMOVMSKPD(r, reg.EBX)
		CMPL(reg.EBX, operand.U32(0xf))
	}
	JNE(operand.LabelRef("done"))
	with(VMULPD, VMULPD_BCST, 2, n, t)
	VSUBPD(t, x, r)
	with(VMULPD, VMULPD_BCST, 3, n, t)
	VSUBPD(t, r, r)
	with(VMULPD, VMULPD_BCST, 6, r, p)
	for i := 7; i < len(expTable); i++ {
		if i > 7 {
			VMULPD(r, p, p)
		}
		with(VADDPD, VADDPD_BCST, i, p, p)
	}
	if s.wide {
		VCVTPD2DQ(n, s.half[1])
	} else {
		VCVTPD2DQY(n, s.half[1])
	}
	VPMOVSXDQ(s.half[1], n)
	with(VPADDQ, VPADDQ_BCST, len(expTable), n, n)
	VPSLLQ(operand.U8(52), n, n)
	VMULPD(n, p, p)
	VMOVUPD(p, operand.Mem{Base: reg.RDI, Index: reg.RAX, Scale: 8})
	ADDQ(operand.U8(per), reg.RAX)
	JMP(operand.LabelRef("loop"))
	Label("done")
	Store(reg.RAX, ReturnIndex(0))
	s.end()
}
