package main

import (
	"fmt"
	"slices"

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
	table := GLOBL("philox"+s.name, attr.RODATA|attr.NOPTR)
	lanes := slices.Concat(s.counters(), slices.Repeat([]uint64{0xD2511F53}, per), slices.Repeat([]uint64{0xCD9E8D57}, per))
	for i, v := range lanes {
		DATA(8*i, operand.U64(v))
	}
	s.begin("words", "(dst *uint32, keys *[20]uint32, block uint64, tensor, domain uint32, n int)",
		fmt.Sprintf("words%s sets dst to the words of n consecutive blocks of Philox, n a multiple of %d and above 0. keys are those of the", s.name, per),
		"ten rounds, two for each.")
	dst, block, n := reg.RDI, reg.RDX, reg.RCX
	s.pointers("dst", dst, "keys", regKeys, "block", block)
	LEAQ(table, regTable)
	most, factors := 3, [2]operand.Op{mem(regTable, s.bytes), mem(regTable, 2*s.bytes)}
	if s.wide {
		most, factors = 4, [2]operand.Op{s.regs[29], s.regs[30]}
		for i, f := range factors {
			VMOVDQU64(mem(regTable, (1+i)*s.bytes), f)
		}
		MOVL(operand.U32(0xaaaa), reg.EAX)
		KMOVW(reg.EAX, reg.K1)
	}
	for _, count := range []int{most, 1} {
		name := fmt.Sprintf("by%d", count)
		Label(name)
		CMPQ(n, operand.U32(count*per))
		JLT(operand.LabelRef(name + "less"))
		for u, c := range s.blocks(count, block, factors) {
			s.gathered(c, mem(dst, 16*per*u), mem(dst, 16*per*u+s.bytes))
		}
		ADDQ(operand.U32(count*per), block)
		ADDQ(operand.U32(16*count*per), dst)
		SUBQ(operand.U32(count*per), n)
		JMP(operand.LabelRef(name))
		Label(name + "less")
	}
	s.end()
}

// Registers of words: the keys, and the table of counters and of the two factors.
var regKeys, regTable = reg.RSI, reg.RBX

// spread fills the 64-bit lanes of register i from a register.
func (s set) spread(from reg.GPPhysical, i int) {
	if s.wide {
		VPBROADCASTQ(from, s.regs[i])
		return
	}
	VMOVQ(from, s.half[i])
	VPBROADCASTQ(s.half[i], s.regs[i])
}

// blocks returns the registers of the words of count vectors of blocks, and a fifth that is free. Without registers for them the
// factors are in memory.
func (s set) blocks(count int, block reg.GPPhysical, factors [2]operand.Op) [][5]reg.VecPhysical {
	state := make([][5]reg.VecPhysical, count)
	key := s.regs[len(s.regs)-1]
	for u := range state {
		copy(state[u][:], s.regs[5*u:])
		c := state[u]
		LEAQ(mem(block, u*len(s.counters())), reg.RAX)
		s.spread(reg.RAX, 5*u)
		VPADDQ(mem(regTable, 0), c[0], c[0])
		VPSRLQ(operand.U8(32), c[0], c[1])
		VBROADCASTSS(operand.NewParamAddr("tensor", 24), c[2])
		VBROADCASTSS(operand.NewParamAddr("domain", 28), c[3])
	}
	for round := range 10 {
		VPBROADCASTD(mem(regKeys, 8*round), key)
		for u, c := range state {
			VPMULUDQ(factors[0], c[0], c[4])
			VPMULUDQ(factors[1], c[2], c[0])
			s.upper(c[0], c[1], key, c[2])
			// What was read last is free: the new words are in 2, 0, 1 and 4.
			state[u] = [5]reg.VecPhysical{c[2], c[0], c[1], c[4], c[3]}
		}
		VPBROADCASTD(mem(regKeys, 8*round+4), key)
		for _, c := range state {
			s.upper(c[3], c[4], key, c[2])
		}
	}
	return state
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

// gathered stores the blocks of a vector of lanes, two of them in pairs of lanes.
func (s set) gathered(c [5]reg.VecPhysical, first, second operand.Mem) {
	if s.wide {
		VMOVSLDUP(c[1], reg.K1, c[0])
		VMOVSLDUP(c[3], reg.K1, c[2])
		VPUNPCKLQDQ(c[2], c[0], c[4])
		VPUNPCKHQDQ(c[2], c[0], c[0])
		VMOVDQU32(c[4], first)
		VMOVDQU32(c[0], second)
		return
	}
	VPSLLQ(operand.U8(32), c[1], c[1])
	VPSLLQ(operand.U8(32), c[3], c[3])
	VPBLENDD(operand.U8(0xaa), c[1], c[0], c[0])
	VPBLENDD(operand.U8(0xaa), c[3], c[2], c[2])
	VPUNPCKLQDQ(c[2], c[0], c[4])
	VPUNPCKHQDQ(c[2], c[0], c[0])
	VMOVDQU(c[4], first)
	VMOVDQU(c[0], second)
}
