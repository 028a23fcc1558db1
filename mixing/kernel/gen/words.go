package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// counters are the blocks of the 64-bit lanes of a vector, such that pairs of words, put together within 128-bit lanes, give two
// vectors of blocks in their order.
func (s set) counters() []uint64 {
	if s.wide {
		return []uint64{0, 4, 1, 5, 2, 6, 3, 7}
	}
	return []uint64{0, 2, 1, 3}
}

// words computes a block of Philox in every 64-bit lane, each word in the lower half of a lane: that is how the products come,
// and what is in the upper halves does not matter to them. Several vectors at once fill the pipes.
func (s set) words() {
	per := len(s.counters())
	table := GLOBL("counters"+s.name, attr.RODATA|attr.NOPTR)
	for i, c := range s.counters() {
		DATA(8*i, operand.U64(c))
	}
	s.begin("words", "(dst *uint32, keys *[20]uint32, block uint64, tensor, domain uint32, n int)",
		fmt.Sprintf("words%s sets dst to the words of n consecutive blocks of Philox, n a multiple of %d and above 0. keys are those of the", s.name, per),
		"ten rounds, two for each.")
	dst, keys, block, offsets, n := reg.RDI, reg.RSI, reg.RDX, reg.RBX, reg.RCX
	s.pointers("dst", dst, "keys", keys, "block", block)
	LEAQ(table, offsets)
	last := len(s.regs) - 1
	k0, k1, m0, m1 := s.regs[last], s.regs[last-1], s.regs[last-2], s.regs[last-3]
	MOVL(operand.U32(0xD2511F53), reg.EAX)
	s.spread(reg.RAX, last-2)
	MOVL(operand.U32(0xCD9E8D57), reg.EAX)
	s.spread(reg.RAX, last-3)
	most := 2
	if s.wide {
		most = 4
		MOVL(operand.U32(0xaaaa), reg.EAX)
		KMOVW(reg.EAX, reg.K1)
	}
	for count := most; count > 0; count = count / most {
		name := fmt.Sprintf("by%d", count)
		Label(name)
		CMPQ(n, operand.U32(count*per))
		JLT(operand.LabelRef(name + "less"))
		s.blocks(count, block, offsets, keys, k0, k1, m0, m1)
		for u := range count {
			s.gathered(u, mem(dst, 16*per*u), mem(dst, 16*per*u+s.bytes))
		}
		ADDQ(operand.U32(count*per), block)
		ADDQ(operand.U32(16*count*per), dst)
		SUBQ(operand.U32(count*per), n)
		JMP(operand.LabelRef(name))
		Label(name + "less")
	}
	s.end()
}

// spread fills the 64-bit lanes of register i from a register.
func (s set) spread(from reg.GPPhysical, i int) {
	if s.wide {
		VPBROADCASTQ(from, s.regs[i])
		return
	}
	VMOVQ(from, s.half[i])
	VPBROADCASTQ(s.half[i], s.regs[i])
}

// blocks leaves the words of count vectors of blocks in registers 6u to 6u+3.
func (s set) blocks(count int, block, offsets, keys reg.GPPhysical, k0, k1, m0, m1 reg.VecPhysical) {
	state := make([][6]reg.VecPhysical, count) // words, and what is free
	for u := range state {
		copy(state[u][:], s.regs[6*u:])
		c := state[u]
		LEAQ(mem(block, u*len(s.counters())), reg.RAX)
		s.spread(reg.RAX, 6*u)
		VPADDQ(mem(offsets, 0), c[0], c[0])
		VPSRLQ(operand.U8(32), c[0], c[1])
		VBROADCASTSS(operand.NewParamAddr("tensor", 24), c[2])
		VBROADCASTSS(operand.NewParamAddr("domain", 28), c[3])
	}
	for round := range 10 {
		VPBROADCASTD(mem(keys, 8*round), k0)
		VPBROADCASTD(mem(keys, 8*round+4), k1)
		for u := range state {
			c := &state[u]
			p, q := c[4], c[5]
			VPMULUDQ(m0, c[0], p)
			VPMULUDQ(m1, c[2], q)
			s.upper(q, c[1], k0, c[0])
			s.upper(p, c[3], k1, c[2])
			c[1], q = q, c[1]
			c[3], p = p, c[3]
			c[4], c[5] = p, q
		}
	}
}

// upper sets z to the exclusive or of the upper half of a product with x and y; x is lost.
func (s set) upper(product, x, y, z reg.VecPhysical) {
	VPSRLQ(operand.U8(32), product, z)
	if s.wide {
		VPTERNLOGD(operand.U8(0x96), x, y, z)
	} else {
		VPXOR(y, x, x)
		VPXOR(x, z, z)
	}
}

// gathered stores the blocks of a vector of lanes. After ten rounds every word is in its register again.
func (s set) gathered(u int, first, second operand.Mem) {
	c := s.regs[6*u : 6*u+6]
	if s.wide {
		VMOVSLDUP(c[1], reg.K1, c[0])
		VMOVSLDUP(c[3], reg.K1, c[2])
		VPUNPCKLQDQ(c[2], c[0], c[4])
		VPUNPCKHQDQ(c[2], c[0], c[5])
		VMOVDQU32(c[4], first)
		VMOVDQU32(c[5], second)
		return
	}
	VPSLLQ(operand.U8(32), c[1], c[1])
	VPSLLQ(operand.U8(32), c[3], c[3])
	VPBLENDD(operand.U8(0xaa), c[1], c[0], c[0])
	VPBLENDD(operand.U8(0xaa), c[3], c[2], c[2])
	VPUNPCKLQDQ(c[2], c[0], c[4])
	VPUNPCKHQDQ(c[2], c[0], c[5])
	VMOVDQU(c[4], first)
	VMOVDQU(c[5], second)
}
