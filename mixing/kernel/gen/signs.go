package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// signsAdd writes both ways to add the sums of seeds. AVX-512 looks up the sums of four seeds at a time in a pair of registers,
// AVX2 has to add a coefficient or zero.
func (s set) signsAdd() {
	if s.wide {
		s.signsLookup()
	} else {
		s.signsChoose()
	}
}

// The group of seeds whose bits make a byte, and the most groups for whose tables there are registers.
const (
	signsGroup  = 8
	signsGroups = 4
)

// signsLookup collects the bits of eight seeds in a byte for every one of 64 parameters. Each of its halves chooses one of 16
// sums.
func (s set) signsLookup() {
	s.begin("signsLookup", "(theta, sums *int64, bits *uint32, skip, stride, groups, n int)",
		"signsLookup"+s.name+" adds to n elements, a multiple of 64 and above 0, the sums of 8 seeds or of 32, groups being 1 or 4. There are two",
		"tables of 16 sums for a group. The rows of bits of seeds are stride bytes apart; skip bytes come before the first bits.")
	theta, sums, bits, stride, n := reg.RDI, reg.RSI, reg.RDX, reg.R8, reg.RCX
	s.pointers("theta", theta, "sums", sums, "bits", bits, "skip", reg.RAX, "stride", stride)
	ADDQ(reg.RAX, bits)
	for i := range signsGroup {
		MOVL(operand.U32(1<<i), reg.EAX)
		VPBROADCASTB(reg.EAX, s.regs[16+i])
	}
	bytes := AllocLocal(64 * signsGroups)
	Load(Param("groups"), reg.RAX)
	CMPQ(reg.RAX, operand.U8(1))
	JEQ(operand.LabelRef("groups1"))
	for _, groups := range []int{signsGroups, 1} {
		name := fmt.Sprintf("groups%d", groups)
		Label(name)
		for i := range 4 * groups {
			VMOVDQU64(mem(sums, 64*i), s.regs[i])
		}
		Label(name + "loop")
		s.collect(groups, bits, stride, bytes)
		for v := range 8 {
			sum := s.regs[24+v%2]
			PREFETCHT1(mem(theta, 64*v+ahead))
			VMOVDQU64(mem(theta, 64*v), sum)
			for g := range groups {
				low, high := s.regs[26+(v*groups+g)%3*2], s.regs[27+(v*groups+g)%3*2]
				VPMOVZXBQ(bytes.Offset(64*g+8*v), low)
				VPSRLQ(operand.U8(4), low, high)
				VPERMI2Q(s.regs[4*g+1], s.regs[4*g], low)
				VPERMI2Q(s.regs[4*g+3], s.regs[4*g+2], high)
				VPADDQ(low, sum, sum)
				VPADDQ(high, sum, sum)
			}
			VMOVDQU64(sum, mem(theta, 64*v))
		}
		ADDQ(operand.U32(8*64), theta)
		ADDQ(operand.U8(8), bits)
		SUBQ(operand.U32(64), n)
		JNE(operand.LabelRef(name + "loop"))
		VZEROUPPER()
		RET()
	}
}

// collect stores the bytes of 64 parameters for all groups.
func (s set) collect(groups int, bits, stride reg.GPPhysical, to operand.Mem) {
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}
	MOVQ(bits, reg.RAX)
	for i := range groups * signsGroup {
		k, bytes := masks[i%len(masks)], s.regs[24+i/signsGroup]
		KMOVQ(mem(reg.RAX, 0), k)
		if bit := s.regs[16+i%signsGroup]; i%signsGroup == 0 {
			VMOVDQU8_Z(bit, k, bytes)
		} else {
			VPADDB(bit, bytes, k, bytes)
		}
		if i < groups*signsGroup-1 {
			ADDQ(stride, reg.RAX)
		}
	}
	for g := range groups {
		VMOVDQU64(s.regs[24+g], to.Offset(64*g))
	}
}

// signsChoose keeps parameters in registers while it goes through the seeds. A sum begins with all signs negative; twice the
// coefficient is added where one is not.
func (s set) signsChoose() {
	const vectors, per = 8, 32
	s.begin("signsChoose", "(theta, twice *int64, bits *uint32, skip, stride, seeds int, minus int64, n int)",
		fmt.Sprintf("signsChoose%s adds to n elements, n a multiple of %d and above 0, twice[s] where bit is 1 and takes off minus, for all of the", s.name, per),
		"seeds, above 0. Their rows of bits are stride bytes apart; skip bytes come before the first bits.")
	theta, twice, bits, stride, seeds, n := reg.RDI, reg.RSI, reg.RDX, reg.R8, reg.R9, reg.RCX
	row, c, left := reg.R10, reg.R11, reg.R12
	s.pointers("theta", theta, "twice", twice, "bits", bits, "skip", row, "stride", stride, "seeds", seeds)
	ADDQ(row, bits)
	minus, coef := s.regs[15], s.regs[14]
	VPBROADCASTQ(operand.NewParamAddr("minus", 48), minus)
	shifts := GLOBL("bitShifts", attr.RODATA|attr.NOPTR)
	for i := range per {
		DATA(8*i, operand.U64(63-i))
	}
	LEAQ(shifts, reg.RBX)
	s.zero(s.regs[13])
	Label("loop")
	for v := range vectors {
		VMOVDQU(mem(theta, s.bytes*v), s.regs[v])
		VPSUBQ(minus, s.regs[v], s.regs[v])
	}
	MOVQ(bits, row)
	MOVQ(twice, c)
	MOVQ(seeds, left)
	Label("seed")
	VPBROADCASTQ(mem(c, 0), coef)
	s.blended(vectors, row, coef)
	ADDQ(stride, row)
	ADDQ(operand.U8(8), c)
	DECQ(left)
	JNE(operand.LabelRef("seed"))
	for v := range vectors {
		VMOVDQU(s.regs[v], mem(theta, s.bytes*v))
	}
	ADDQ(operand.U32(8*per), theta)
	ADDQ(operand.U8(per/8), bits)
	SUBQ(operand.U32(per), n)
	JNE(operand.LabelRef("loop"))
	s.end()
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
