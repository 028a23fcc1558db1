package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers of a panel. Row i of a tile of A is read at a0 + i·row for i < 7 and at a7 + (i-7)·row from there on, with
// multiples 1, 2 and 4 by the address unit, 3 and 5 in registers.
var (
	regC, regLdc = reg.RDI, reg.RSI
	regA, regRow = reg.R8, reg.R9
	regRow3      = reg.R10
	regRow5      = reg.R11
	regStep      = reg.R12
	regB, regLdb = reg.RBX, reg.R13
	regAhead     = reg.RCX
	regCount     = reg.RDX
	runB         = reg.RAX
	runA0, runA7 = reg.R14, reg.R15
)

// rowOf is the address of row i of a tile of A.
func rowOf(i int) operand.Mem {
	base := runA0
	if i >= 7 {
		base, i = runA7, i-7
	}
	switch i {
	case 0:
		return mem(base, 0)
	case 1, 2, 4:
		return index(base, regRow, uint8(i))
	case 3, 6:
		return index(base, regRow3, uint8(i/3))
	default:
		return index(base, regRow5, 1)
	}
}

// panel writes the product of a panel: C, of m rows and n columns, n at most two vectors, is A·B or grows by it. Tiles of up
// to 14 rows (6 with 16 registers) stay in registers for all k products of an element.
func (s set) panel() {
	s.begin("panel", "(c *float32, ldc int, a *float32, row, step int, b *float32, ldb, ahead int, m, tall, n, k int, add bool)",
		"panel"+s.name+" is panel for n up to two vectors, m, n and k above 0. Strides are in bytes. Tiles have tall rows.",
		"Lines of B at the distance ahead, in bytes, are wanted next and fetched on the way.")
	most := 6
	if s.wide {
		most = 14
	}
	rest := operand.NewParamAddr("m", 64)
	load := func(name string, r reg.GPPhysical) { Load(Param(name), r) }
	load("c", regC)
	load("ldc", regLdc)
	load("a", regA)
	load("row", regRow)
	load("step", regStep)
	load("b", regB)
	load("ldb", regLdb)
	load("n", reg.RCX)
	s.masks()
	load("ahead", regAhead)
	LEAQ(index(regRow, regRow, 2), regRow3)
	LEAQ(index(regRow, regRow, 4), regRow5)

	Label("tile")
	load("tall", runB)
	load("m", runA0)
	CMPQ(runA0, runB)
	CMOVQLT(runA0, runB)
	// From here on the height of the tile is in runB until its body begins.
	MOVQ(regA, runA0)
	LEAQ(index(regA, regRow3, 2), runA7)
	ADDQ(regRow, runA7)
	load("k", regCount)
	load("n", regA) // for the choice of the body; the body moves A on
	CMPQ(regA, operand.U32(s.floats()))
	MOVQ(runA0, regA)
	JGT(operand.LabelRef("two"))
	s.choose(1, most)
	Label("two")
	s.choose(2, most)
	for vecs := 1; vecs <= 2; vecs++ {
		for h := 1; h <= most; h++ {
			s.body(h, vecs, rest)
		}
	}
	Label("done")
	s.end()
}

// masks sets up what keeps the last vector of a row within its n columns, n in RCX, at most two vectors. AVX-512 has one mask for each of
// two vectors, AVX2 one for the last.
func (s set) masks() {
	if s.wide {
		MOVQ(operand.U32(1), reg.RAX)
		SHLQ(reg.CL, reg.RAX)
		DECQ(reg.RAX)
		KMOVW(reg.EAX, reg.K1)
		SHRQ(operand.U8(16), reg.RAX)
		KMOVW(reg.EAX, reg.K2)
		return
	}
	// Eight words of ones and eight of zeros, read from 8 - (n-1)%8 - 1 on.
	ones := GLOBL("ones", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		v := operand.U32(0)
		if i < 8 {
			v = operand.U32(0xffffffff)
		}
		DATA(4*i, v)
	}
	DECQ(reg.RCX)
	ANDQ(operand.U8(7), reg.RCX)
	NEGQ(reg.RCX)
	LEAQ(ones, reg.RAX)
	VMOVDQU(operand.Mem{Base: reg.RAX, Index: reg.RCX, Scale: 4, Disp: 28}, reg.Y15)
}

func (s set) choose(vecs, most int) {
	for h := most; h > 1; h-- {
		CMPQ(runB, operand.U8(h))
		JEQ(operand.LabelRef(fmt.Sprintf("v%dh%d", vecs, h)))
	}
	JMP(operand.LabelRef(fmt.Sprintf("v%dh1", vecs)))
}

// loadB and others move vector v of vecs, which the mask may cut.
func (s set) loadB(from operand.Mem, v, vecs int, to reg.VecPhysical) {
	switch {
	case s.wide:
		VMOVUPS_Z(from, mask(v), to)
	case v == vecs-1:
		VMASKMOVPS(from, reg.Y15, to)
	default:
		VMOVUPS(from, to)
	}
}

func (s set) storeC(from reg.VecPhysical, v, vecs int, to operand.Mem) {
	switch {
	case s.wide:
		VMOVUPS(from, mask(v), to)
	case v == vecs-1:
		VMASKMOVPS(from, reg.Y15, to)
	default:
		VMOVUPS(from, to)
	}
}

func mask(v int) reg.OpmaskPhysical {
	if v == 0 {
		return reg.K1
	}
	return reg.K2
}

// body writes a tile of h rows and vecs vectors, and takes them off the rest of the rows.
func (s set) body(h, vecs int, rest operand.Mem) {
	name := fmt.Sprintf("v%dh%d", vecs, h)
	acc := func(i, v int) reg.VecPhysical { return s.regs[i*vecs+v] }
	last := len(s.regs) - 1
	if !s.wide {
		last-- // the mask
	}
	b := []reg.VecPhysical{s.regs[last], s.regs[last-1]}
	x := s.regs[last-2]
	Label(name)
	for i := range h {
		for v := range vecs {
			s.zero(acc(i, v))
		}
	}
	MOVQ(regB, runB)
	Label(name + "loop")
	for v := range vecs {
		s.loadB(mem(runB, v*s.bytes), v, vecs, b[v])
	}
	if s.wide {
		for v := range vecs {
			PREFETCHT0(operand.Mem{Base: runB, Index: regAhead, Scale: 1, Disp: v * s.bytes})
		}
	}
	for i := range h {
		VBROADCASTSS(rowOf(i), x)
		for v := range vecs {
			VFMADD231PS(b[v], x, acc(i, v))
		}
	}
	ADDQ(regStep, runA0)
	ADDQ(regStep, runA7)
	ADDQ(regLdb, runB)
	DECQ(regCount)
	JNE(operand.LabelRef(name + "loop"))

	Load(Param("add"), reg.AL)
	TESTB(reg.AL, reg.AL)
	MOVQ(regC, runA0)
	JEQ(operand.LabelRef(name + "store"))
	for i := range h {
		for v := range vecs {
			s.loadB(mem(runA0, v*s.bytes), v, vecs, x)
			VADDPS(x, acc(i, v), acc(i, v))
		}
		ADDQ(regLdc, runA0)
	}
	Label(name + "store")
	for i := range h {
		for v := range vecs {
			s.storeC(acc(i, v), v, vecs, mem(regC, v*s.bytes))
		}
		ADDQ(regLdc, regC)
	}
	IMUL3Q(operand.U8(h), regRow, runA0)
	ADDQ(runA0, regA)
	SUBQ(operand.U8(h), rest)
	JNE(operand.LabelRef("tile"))
	JMP(operand.LabelRef("done"))
}
