package compute

import (
	"fmt"

	"starling/node"
)

// An Arena holds the vectors that a core names. A released vector stays as long as a job holds it, then its memory is
// used again for the next one of its length.
//
// An Arena must not be used concurrently; it belongs to whoever calls the core. The slices it hands out may be read by
// jobs on other goroutines until they are dropped.
type Arena struct {
	vecs map[node.VecRef]*vector
	free map[int][][]float32
	live int
}

type vector struct {
	data     []float32
	holds    int
	released bool
}

// maxFree bounds the memory kept for reuse, in vectors of each length: a round turns over about that many.
const maxFree = 4

// NewArena returns an empty arena.
func NewArena() *Arena {
	return &Arena{vecs: make(map[node.VecRef]*vector), free: make(map[int][][]float32)}
}

// Put makes v the vector of that name.
func (a *Arena) Put(ref node.VecRef, v []float32) {
	if a.vecs[ref] != nil {
		panic(fmt.Sprintf("compute: internal error: vector %d exists", ref))
	}
	a.vecs[ref] = &vector{data: v}
	a.live++
}

// Alloc makes a vector of n floats of that name, with undefined content, and holds it.
func (a *Arena) Alloc(ref node.VecRef, n int) []float32 {
	var v []float32
	if l := a.free[n]; len(l) > 0 {
		v, a.free[n] = l[len(l)-1], l[:len(l)-1]
	} else {
		v = make([]float32, n)
	}
	a.Put(ref, v)
	return a.Hold(ref)
}

// Hold returns the vector and keeps it until Drop.
func (a *Arena) Hold(ref node.VecRef) []float32 {
	v := a.vecs[ref]
	if v == nil {
		panic(fmt.Sprintf("compute: internal error: vector %d does not exist", ref))
	}
	v.holds++
	return v.data
}

// Drop ends one Hold.
func (a *Arena) Drop(ref node.VecRef) {
	v := a.vecs[ref]
	if v == nil || v.holds == 0 {
		panic(fmt.Sprintf("compute: internal error: vector %d is not held", ref))
	}
	v.holds--
	a.collect(ref, v)
}

// Release says that the core will not name the vector again.
func (a *Arena) Release(ref node.VecRef) {
	v := a.vecs[ref]
	if v == nil || v.released {
		panic(fmt.Sprintf("compute: internal error: vector %d is released twice", ref))
	}
	v.released = true
	a.collect(ref, v)
}

func (a *Arena) collect(ref node.VecRef, v *vector) {
	if !v.released || v.holds > 0 {
		return
	}
	delete(a.vecs, ref)
	a.live--
	if l := a.free[len(v.data)]; len(l) < maxFree {
		a.free[len(v.data)] = append(l, v.data)
	}
}

// Live returns the number of vectors that exist.
func (a *Arena) Live() int { return a.live }
