package compute

import (
	"testing"

	"starling/node"
)

func TestArenasKeepWhatIsHeldAndReuseTheRest(t *testing.T) {
	p := NewPool(4)
	a := NewArena(p)
	a.Put(1, p.Of([]float32{1}))
	v := a.Alloc(2, 8)
	held := a.Hold(1)
	a.Release(1)
	if a.Live() != 2 || held[0] != 1 || a.Vec(1)[0] != 1 {
		t.Error("a held vector is gone")
	}
	a.Drop(1)
	a.Drop(2)
	a.Release(2)
	if a.Live() != 0 || p.Live() != (Usage{}) || p.Peak() != (Usage{2, 9}) {
		t.Errorf("%d vectors are left; %+v, at most %+v", a.Live(), p.Live(), p.Peak())
	}
	if w := a.Alloc(3, 8); &w[0] != &v[0] {
		t.Error("memory is not used again")
	}
	gone, lost := p.New(20), p.New(30)
	gone.Drop()
	lost.Drop()
	for what, misuse := range map[string]func(){
		"unknown": func() { a.Hold(99) }, "twice": func() { a.Put(3, nil) }, "not held": func() { a.Drop(3); a.Drop(3) },
		"released twice": func() { a.Put(4, p.New(0)); a.Hold(4); a.Release(4); a.Release(4) },
		"not in a job":   func() { Held{}.Vec(3) }, "dropped twice": func() { gone.Drop() }, "shared when gone": func() { lost.Share() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			misuse()
		}()
	}
}

func TestASharedVectorLivesAsLongAsItsLastReader(t *testing.T) {
	p := NewPool(1)
	a, b := NewArena(p), NewArena(p)
	a.Alloc(1, 3)[0] = 7
	b.Put(9, a.Share(1))
	a.Drop(1)
	a.Release(1)
	if b.Vec(9)[0] != 7 || p.Live().Vectors != 1 || a.Live() != 0 {
		t.Errorf("%v, %+v", b.Vec(9), p.Live())
	}
	b.Alloc(10, 3)
	b.Clear()
	if p.Live() != (Usage{}) || b.Live() != 0 || len(p.classes[0].unused) != 1 {
		t.Errorf("%+v are left, and %d kept", p.Live(), len(p.classes[0].unused))
	}
}

func TestArenasCostNoMemoryInTheLongRun(t *testing.T) {
	p := NewPool(8)
	a := NewArena(p)
	ref := node.VecRef(0)
	if n := testing.AllocsPerRun(100, func() {
		for range 4 {
			ref++
			a.Alloc(ref, 57)
			a.Release(ref)
			a.Drop(ref)
		}
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkArena(b *testing.B) {
	p := NewPool(8)
	a := NewArena(p)
	for i := range node.VecRef(4) {
		a.Alloc(i, 57)
	}
	ref := node.VecRef(10)
	b.ReportAllocs()
	for b.Loop() {
		ref++
		a.Alloc(ref, 57)
		a.Hold(ref)
		a.Drop(ref)
		a.Drop(ref)
		a.Release(ref)
	}
}
