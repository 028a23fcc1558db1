// Command gen writes the assembly of package kernel. For amd64 that is every function twice, for processors with AVX-512 and
// for those with AVX2 and FMA, and their declarations; for arm64 it is the two functions that plain Go is slowest at.
//
// Start with main, which lists the functions, and panel, the inner loop of all matrix products. It is a module of its own, so
// that nobody who builds the project needs its one dependency; go generate in the parent directory runs it. The Go functions
// that define what the assembly computes, bit for bit, are not here but in package kernel.
package main

import (
	"log"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A set is an instruction set: what differs between the two versions of a function.
type set struct {
	name  string // suffix of the names of functions
	wide  bool   // 64-byte registers and masks
	bytes int    // of a vector
	regs  []reg.VecPhysical
	half  []reg.VecPhysical // their lower halves
}

func sets() []set {
	z := []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	y := []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	x := []reg.VecPhysical{
		reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
	}
	return []set{{"512", true, 64, z, y}, {"2", false, 32, y, x}}
}

// floats and doubles are the numbers of elements of a vector.
func (s set) floats() int  { return s.bytes / 4 }
func (s set) doubles() int { return s.bytes / 8 }

// begin opens a function of the set; doc has one line per argument.
func (s set) begin(name, signature string, doc ...string) {
	TEXT(name+s.name, NOSPLIT, "func"+signature)
	Pragma("noescape")
	Doc(doc...)
}

// end closes it. Upper halves of registers are cleared, or code that uses the lower ones alone becomes slow.
func (s set) end() {
	VZEROUPPER()
	RET()
}

func (s set) zero(v reg.VecPhysical) {
	if s.wide {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
}

func mem(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func index(base, index reg.Register, scale uint8) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: scale}
}

func main() {
	ConstraintExpr("amd64")
	for _, s := range sets() {
		s.panel()
		s.transpose()
		s.copyPanel()
		s.widen()
		s.elementwise()
		s.dot()
		s.finite()
		s.largest()
		s.weighted()
		s.grey()
		s.exp()
		s.adam()
		s.activations()
		s.words()
		s.pool()
		s.poolPerturb()
		s.thetaFloats()
		s.signsAdd()
		s.signsPerturb()
	}
	Generate()
	if err := neon("../kernel_arm64.s"); err != nil {
		log.Fatal(err)
	}
}
