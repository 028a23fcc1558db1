package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// adam follows Adam.Step operation by operation; nothing is fused. The nine settings stand in the order of the struct.
func (s set) adam() {
	per := s.floats()
	s.begin("adam", "(settings *float32, w, grad, first, second *float32, n int)",
		fmt.Sprintf("adam%s is Adam.Step for n elements, a multiple of %d and above 0.", s.name, per))
	settings, wp, gp, mp, vp := reg.RDX, reg.RDI, reg.RSI, reg.R8, reg.R9
	s.pointers("settings", settings, "w", wp, "grad", gp, "first", mp, "second", vp)
	c := s.regs[7:16]
	for i := range c {
		VBROADCASTSS(mem(settings, 4*i), c[i])
	}
	scale, b1, a1, b2, a2, decay, rate, root, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]
	g, m, v, w, t := s.regs[0], s.regs[1], s.regs[2], s.regs[3], s.regs[4]
	s.each(per, func(_, i int) {
		VMULPS(at(gp, i), scale, g)
		VMULPS(at(mp, i), b1, m)
		VMULPS(g, a1, t)
		VADDPS(t, m, m)
		VMOVUPS(m, at(mp, i))
		VMULPS(g, g, t)
		VMULPS(t, a2, t)
		VMULPS(at(vp, i), b2, v)
		VADDPS(t, v, v)
		VMOVUPS(v, at(vp, i))
		VMOVUPS(at(wp, i), w)
		VMULPS(w, decay, t)
		VSUBPS(t, w, w)
		VSQRTPS(v, v)
		VMULPS(v, root, v)
		VADDPS(v, eps, v)
		VMULPS(m, rate, m)
		VDIVPS(v, m, m)
		VSUBPS(m, w, w)
		VMOVUPS(w, at(wp, i))
	})
	s.end()
}
