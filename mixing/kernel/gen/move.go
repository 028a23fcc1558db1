package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose copies blocks of as many rows as columns, 16 or 8, through registers. AVX-512 cuts the last block of either
// direction by masks; AVX2 has no cheap way to, so that it wants whole blocks.
func (s set) transpose() {
	doc := "transpose" + s.name + " is transpose with strides in bytes, rows and cols above 0"
	if !s.wide {
		doc += " and multiples of 8"
	}
	s.begin("transpose", "(dst *float32, ldd int, src *float32, lds int, rows, cols int)", doc+".")
	side := s.floats()
	dst, ldd, src, lds := reg.RDI, reg.RSI, reg.R8, reg.R9
	rows, cols, left := reg.R10, reg.R11, reg.RBX
	from, to, count, shift := reg.RAX, reg.RDX, reg.R12, reg.RCX
	Load(Param("dst"), dst)
	Load(Param("ldd"), ldd)
	Load(Param("src"), src)
	Load(Param("lds"), lds)
	Load(Param("rows"), rows)
	Load(Param("cols"), cols)

	// bound sets count to the smaller of n and side, and a mask to as many ones.
	bound := func(n reg.GPPhysical, k reg.OpmaskPhysical) {
		MOVQ(operand.U32(side), count)
		CMPQ(n, count)
		CMOVQLT(n, count)
		if s.wide {
			MOVQ(count, shift)
			MOVQ(operand.U32(1), from)
			SHLQ(reg.CL, from)
			DECQ(from)
			KMOVW(from.As32(), k)
		}
	}
	Label("rows")
	bound(rows, reg.K2)
	MOVQ(count, reg.R13)
	MOVQ(cols, left)
	MOVQ(src, reg.R14)
	MOVQ(dst, reg.R15)
	Label("cols")
	bound(left, reg.K1)
	MOVQ(reg.R14, from)
	MOVQ(reg.R13, shift)
	for i := range side {
		if s.wide {
			VMOVUPS_Z(mem(from, 0), reg.K1, s.regs[i])
		} else {
			VMOVUPS(mem(from, 0), s.regs[i])
		}
		if i == side-1 {
			break
		}
		ADDQ(lds, from)
		if s.wide { // registers past the last row hold what they held, which ends behind the mask of the stores
			DECQ(shift)
			JEQ(operand.LabelRef("loaded"))
		}
	}
	Label("loaded")
	s.network()
	MOVQ(reg.R15, to)
	for c := range side {
		if s.wide {
			VMOVUPS(s.column(c), reg.K2, mem(to, 0))
		} else {
			VMOVUPS(s.column(c), mem(to, 0))
		}
		ADDQ(ldd, to)
		if s.wide && c < side-1 {
			DECQ(count)
			JEQ(operand.LabelRef("stored"))
		}
	}
	Label("stored")
	MOVQ(to, reg.R15)
	ADDQ(operand.U8(s.bytes), reg.R14)
	SUBQ(operand.U8(side), left)
	JGT(operand.LabelRef("cols"))
	MOVQ(lds, from)
	SHLQ(operand.U8(map[int]uint8{8: 3, 16: 4}[side]), from)
	ADDQ(from, src)
	ADDQ(operand.U8(s.bytes), dst)
	SUBQ(operand.U8(side), rows)
	JGT(operand.LabelRef("rows"))
	s.end()
}

// column is the register that network leaves a column in.
func (s set) column(c int) reg.VecPhysical {
	if s.wide {
		return s.regs[c]
	}
	return s.regs[8+c]
}

// network transposes the first side registers: 4 by 4 in every 128-bit lane, and then lanes.
func (s set) network() {
	side := s.floats()
	low, high := s.regs[:side], s.regs[side:2*side]
	for i := 0; i < side; i += 2 {
		VUNPCKLPS(low[i+1], low[i], high[i])
		VUNPCKHPS(low[i+1], low[i], high[i+1])
	}
	for g := 0; g < side; g += 4 {
		VUNPCKLPD(high[g+2], high[g], low[g])
		VUNPCKHPD(high[g+2], high[g], low[g+1])
		VUNPCKLPD(high[g+3], high[g+1], low[g+2])
		VUNPCKHPD(high[g+3], high[g+1], low[g+3])
	}
	for q := range 4 {
		if !s.wide {
			VPERM2F128(operand.U8(0x20), low[4+q], low[q], high[q])
			VPERM2F128(operand.U8(0x31), low[4+q], low[q], high[4+q])
			continue
		}
		const even, odd = operand.U8(0x88), operand.U8(0xdd)
		t := high[4*q:]
		VSHUFF32X4(even, low[4+q], low[q], t[0])
		VSHUFF32X4(odd, low[4+q], low[q], t[1])
		VSHUFF32X4(even, low[12+q], low[8+q], t[2])
		VSHUFF32X4(odd, low[12+q], low[8+q], t[3])
		VSHUFF32X4(even, t[2], t[0], low[q])
		VSHUFF32X4(even, t[3], t[1], low[4+q])
		VSHUFF32X4(odd, t[2], t[0], low[8+q])
		VSHUFF32X4(odd, t[3], t[1], low[12+q])
	}
}

// copyPanel copies rows of up to 32 elements to rows of exactly 32.
func (s set) copyPanel() {
	doc := fmt.Sprintf("copyPanel%s copies k rows, k above 0, of n elements to rows of 32; the stride lds is in bytes.", s.name)
	if !s.wide {
		doc += " n is 32."
	}
	s.begin("copyPanel", "(dst, src *float32, lds, k, n int)", doc)
	dst, src, lds, k := reg.RDI, reg.RSI, reg.R8, reg.R9
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("lds"), lds)
	Load(Param("k"), k)
	if s.wide {
		Load(Param("n"), reg.RCX)
		s.masks()
	}
	Label("loop")
	for v := range 128 / s.bytes {
		if s.wide {
			VMOVUPS_Z(mem(src, v*s.bytes), mask(v), s.regs[v])
		} else {
			VMOVUPS(mem(src, v*s.bytes), s.regs[v])
		}
	}
	for v := range 128 / s.bytes {
		VMOVUPS(s.regs[v], mem(dst, v*s.bytes))
	}
	ADDQ(lds, src)
	ADDQ(operand.U32(128), dst)
	DECQ(k)
	JNE(operand.LabelRef("loop"))
	s.end()
}

// widen makes floats of rows of 32 bytes; the factors of the columns stay in registers.
func (s set) widen() {
	s.begin("widen", "(dst *float32, src *int8, scales *float32, k int)", "widen"+s.name+" is widen for k rows, k above 0.")
	dst, src, scales, k := reg.RDI, reg.RSI, reg.R8, reg.R9
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("scales"), scales)
	Load(Param("k"), k)
	vecs := 128 / s.bytes
	for v := range vecs {
		VMOVUPS(mem(scales, v*s.bytes), s.regs[vecs+v])
	}
	Label("loop")
	for v := range vecs {
		VPMOVSXBD(mem(src, v*s.floats()), s.regs[v])
		VCVTDQ2PS(s.regs[v], s.regs[v])
		VMULPS(s.regs[vecs+v], s.regs[v], s.regs[v])
		VMOVUPS(s.regs[v], mem(dst, v*s.bytes))
	}
	ADDQ(operand.U32(128), dst)
	ADDQ(operand.U8(32), src)
	DECQ(k)
	JNE(operand.LabelRef("loop"))
	s.end()
}
