package compute

import "fmt"

// A Pool is the memory of the vectors of a driver. Whoever wants to read a vector for longer shares it instead of copying
// it; when the last one drops it, the next vector of its length takes its memory. A Pool and its vectors must not be used
// concurrently, but for the floats of a vector that somebody keeps meanwhile: those any goroutine may read.
type Pool struct {
	keep       int
	classes    []*class // few: a process has few lengths
	live, peak Usage
}

// Usage is an amount of vectors.
type Usage struct {
	Vectors int
	Floats  int64 // 4 bytes each
}

// A class is the vectors of one length.
type class struct {
	pool   *Pool
	length int
	unused []*Vector
}

// A Vector is memory of a pool with those who use it counted. It must not be written to once it is shared.
type Vector struct {
	data  []float32
	class *class
	uses  int
}

// NewPool returns an empty pool. It keeps at most so many unused vectors of each length for later.
func NewPool(keep int) *Pool { return &Pool{keep: keep} }

// New returns a vector of n floats with undefined content and one use, the caller's.
func (p *Pool) New(n int) *Vector {
	c := p.class(n)
	last := len(c.unused) - 1
	if last < 0 {
		return c.begin(&Vector{data: make([]float32, n), class: c})
	}
	v := c.unused[last]
	c.unused[last] = nil
	c.unused = c.unused[:last]
	return c.begin(v)
}

// Of makes data, which now belongs to the pool, a vector with one use, the caller's.
func (p *Pool) Of(data []float32) *Vector {
	c := p.class(len(data))
	return c.begin(&Vector{data: data, class: c})
}

// Data returns the floats. They are there until the caller's use ends.
func (v *Vector) Data() []float32 { return v.data }

// Share adds a use and returns v.
func (v *Vector) Share() *Vector {
	if v.uses < 1 {
		panic("compute: internal error: a vector without uses is shared")
	}
	v.uses++
	return v
}

// Drop ends a use.
func (v *Vector) Drop() {
	switch v.uses--; {
	case v.uses < 0:
		panic(fmt.Sprintf("compute: internal error: a vector is dropped %d times too often", -v.uses))
	case v.uses == 0:
		v.class.end(v)
	}
}

// Live returns what is in use.
func (p *Pool) Live() Usage { return p.live }

// Peak returns the largest number of vectors that were in use at a time, and the largest number of floats.
func (p *Pool) Peak() Usage { return p.peak }

func (p *Pool) class(length int) *class {
	for _, c := range p.classes {
		if c.length == length {
			return c
		}
	}
	c := &class{pool: p, length: length}
	p.classes = append(p.classes, c)
	return c
}

// begin begins the first use of a vector.
func (c *class) begin(v *Vector) *Vector {
	p := c.pool
	v.uses = 1
	p.live.Vectors++
	p.live.Floats += int64(c.length)
	p.peak.Vectors = max(p.peak.Vectors, p.live.Vectors)
	p.peak.Floats = max(p.peak.Floats, p.live.Floats)
	return v
}

// end takes a vector back that nobody uses.
func (c *class) end(v *Vector) {
	p := c.pool
	p.live.Vectors--
	p.live.Floats -= int64(c.length)
	if len(c.unused) < p.keep {
		c.unused = append(c.unused, v)
	}
}
