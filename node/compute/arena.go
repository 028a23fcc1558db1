package compute

import (
	"fmt"

	"starling/node"
)

// An Arena holds the vectors that one core names, in the memory of a pool. A released vector stays as long as a job holds it.
//
// An Arena must not be used concurrently; it belongs to whoever calls the core. The slices it hands out may be read by
// jobs on other goroutines until they are dropped.
type Arena struct {
	pool  *Pool
	named []named // a core has a handful at a time: cheaper to search than a map, and small
}

type named struct {
	ref      node.VecRef
	vec      *Vector
	holds    int32
	released bool
}

// NewArena returns an empty arena over a pool.
func NewArena(p *Pool) *Arena { return &Arena{pool: p} }

// Put makes v the vector of that name and takes over one use of it.
func (a *Arena) Put(ref node.VecRef, v *Vector) {
	if a.find(ref) >= 0 {
		panic(fmt.Sprintf("compute: internal error: vector %d exists", ref))
	}
	a.named = append(a.named, named{ref: ref, vec: v})
}

// Alloc makes a vector of n floats of that name, with undefined content, and holds it.
func (a *Arena) Alloc(ref node.VecRef, n int) []float32 {
	a.Put(ref, a.pool.New(n))
	return a.Hold(ref)
}

// Hold returns the vector and keeps it until Drop.
func (a *Arena) Hold(ref node.VecRef) []float32 {
	n := a.at(ref)
	n.holds++
	return n.vec.data
}

// Vec returns the vector, which must be held, or not released, while it is in use.
func (a *Arena) Vec(ref node.VecRef) []float32 { return a.at(ref).vec.data }

// Share returns the vector with a use more, for somebody else.
func (a *Arena) Share(ref node.VecRef) *Vector { return a.at(ref).vec.Share() }

// Drop ends one Hold.
func (a *Arena) Drop(ref node.VecRef) {
	i := a.find(ref)
	if i < 0 || a.named[i].holds == 0 {
		panic(fmt.Sprintf("compute: internal error: vector %d is not held", ref))
	}
	a.named[i].holds--
	a.collect(i)
}

// Release says that the core will not name the vector again.
func (a *Arena) Release(ref node.VecRef) {
	i := a.find(ref)
	if i < 0 || a.named[i].released {
		panic(fmt.Sprintf("compute: internal error: vector %d is released twice", ref))
	}
	a.named[i].released = true
	a.collect(i)
}

// Clear drops all vectors, whoever holds them: the core is gone. No job may be at work on them.
func (a *Arena) Clear() {
	for i := range a.named {
		a.named[i].vec.Drop()
	}
	clear(a.named)
	a.named = a.named[:0]
}

// Live returns the number of vectors that exist.
func (a *Arena) Live() int { return len(a.named) }

func (a *Arena) collect(i int) {
	if n := a.named[i]; !n.released || n.holds > 0 {
		return
	}
	a.named[i].vec.Drop()
	last := len(a.named) - 1
	a.named[i] = a.named[last]
	a.named[last] = named{}
	a.named = a.named[:last]
}

func (a *Arena) find(ref node.VecRef) int {
	for i := range a.named {
		if a.named[i].ref == ref {
			return i
		}
	}
	return -1
}

func (a *Arena) at(ref node.VecRef) *named {
	i := a.find(ref)
	if i < 0 {
		panic(fmt.Sprintf("compute: internal error: vector %d does not exist", ref))
	}
	return &a.named[i]
}
