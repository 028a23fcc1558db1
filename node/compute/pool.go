package compute

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A Pool is the memory of the vectors of a process. Whoever wants to read a vector for longer shares it instead of copying
// it; when the last one drops it, the next vector of its length takes its memory. A Pool is safe for concurrent use.
type Pool struct {
	keep int

	// mu guards the fields below.
	mu         sync.Mutex
	free       []class // few: a process has few lengths
	live, peak Usage
}

// Usage is an amount of vectors.
type Usage struct {
	Vectors int
	Floats  int64 // 4 bytes each
}

// A class is the unused vectors of one length.
type class struct {
	length int
	list   []*Vector
}

// A Vector is memory of a pool with those who use it counted. It must not be written to once it is shared.
type Vector struct {
	data []float32
	pool *Pool
	uses atomic.Int32
}

// NewPool returns an empty pool. It keeps at most so many unused vectors of each length for later.
func NewPool(keep int) *Pool { return &Pool{keep: keep} }

// New returns a vector of n floats with undefined content and one use, the caller's.
func (p *Pool) New(n int) *Vector {
	p.mu.Lock()
	v := p.class(n).pop()
	p.add(n, 1)
	p.mu.Unlock()
	if v == nil {
		v = &Vector{data: make([]float32, n), pool: p}
	}
	v.uses.Store(1)
	return v
}

// Of makes data, which now belongs to the pool, a vector with one use, the caller's.
func (p *Pool) Of(data []float32) *Vector {
	p.mu.Lock()
	p.add(len(data), 1)
	p.mu.Unlock()
	v := &Vector{data: data, pool: p}
	v.uses.Store(1)
	return v
}

// Data returns the floats. They are there until the caller's use ends.
func (v *Vector) Data() []float32 { return v.data }

// Share adds a use and returns v.
func (v *Vector) Share() *Vector {
	if v.uses.Add(1) < 2 {
		panic("compute: internal error: a vector without uses is shared")
	}
	return v
}

// Drop ends a use.
func (v *Vector) Drop() {
	switch uses := v.uses.Add(-1); {
	case uses < 0:
		panic(fmt.Sprintf("compute: internal error: a vector is dropped %d times too often", -uses))
	case uses > 0:
		return
	}
	p := v.pool
	p.mu.Lock()
	p.add(len(v.data), -1)
	if c := p.class(len(v.data)); len(c.list) < p.keep {
		c.list = append(c.list, v)
	}
	p.mu.Unlock()
}

// Live returns what is in use.
func (p *Pool) Live() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

// Peak returns the largest number of vectors that were in use at a time, and the largest number of floats.
func (p *Pool) Peak() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

func (p *Pool) add(length, count int) {
	p.live.Vectors += count
	p.live.Floats += int64(count) * int64(length)
	p.peak.Vectors = max(p.peak.Vectors, p.live.Vectors)
	p.peak.Floats = max(p.peak.Floats, p.live.Floats)
}

func (p *Pool) class(length int) *class {
	for i := range p.free {
		if p.free[i].length == length {
			return &p.free[i]
		}
	}
	p.free = append(p.free, class{length: length})
	return &p.free[len(p.free)-1]
}

// pop takes a vector out of the list, or returns nil.
func (c *class) pop() *Vector {
	last := len(c.list) - 1
	if last < 0 {
		return nil
	}
	v := c.list[last]
	c.list[last] = nil
	c.list = c.list[:last]
	return v
}
