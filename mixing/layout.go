package mixing

import (
	"errors"
	"fmt"
	"math"
)

// A TensorKind says what role a tensor has, which decides how variance correction treats it (spec 01, 1.5).
type TensorKind uint8

const (
	Weight      TensorKind = iota // a weight matrix, convolution or embedding
	Bias                          // a bias, or the bias of a norm
	Gain                          // the gain of a norm
	RunningMean                   // a statistic: averaged, not corrected
	RunningVar                    // a statistic: pooled with the RunningMean before it
	Counter                       // a statistic: averaged, not corrected
	LowRank                       // one factor of a low-rank pair: never corrected by itself
)

// A Tensor is a named part of a vector.
type Tensor struct {
	Name    string
	Shape   []int
	Offset  int // of its first float in the vector
	Kind    TensorKind
	Private bool // stays with its node: mixing leaves it as it is
}

// Len returns the number of elements; 1 for a scalar, whose shape is empty.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// A Layout lists the tensors of a vector, contiguous and in order. It must not be changed.
type Layout struct {
	Tensors []Tensor
}

// NewLayout lays out tensors one after the other; their offsets are filled in.
func NewLayout(tensors ...Tensor) (*Layout, error) {
	l := &Layout{Tensors: append([]Tensor(nil), tensors...)}
	names := make(map[string]bool, len(tensors))
	offset := 0
	for i := range l.Tensors {
		t := &l.Tensors[i]
		switch {
		case t.Name == "":
			return nil, fmt.Errorf("tensor %d has no name", i)
		case names[t.Name]:
			return nil, fmt.Errorf("two tensors are called %q", t.Name)
		}
		names[t.Name] = true
		n := 1
		for _, d := range t.Shape {
			if d < 0 || (d > 0 && n > math.MaxInt32/d) {
				return nil, fmt.Errorf("tensor %q has shape %v, which is not possible", t.Name, t.Shape)
			}
			n *= d
		}
		if offset > math.MaxInt32-n {
			return nil, errors.New("the tensors have more than 2^31 elements")
		}
		t.Offset = offset
		offset += n
	}
	return l, nil
}

// Len returns the length of the vectors in floats.
func (l *Layout) Len() int {
	if len(l.Tensors) == 0 {
		return 0
	}
	t := l.Tensors[len(l.Tensors)-1]
	return t.Offset + t.Len()
}

// Of returns a tensor's part of a vector.
func (t Tensor) Of(v []float32) []float32 { return v[t.Offset : t.Offset+t.Len() : t.Offset+t.Len()] }

// Stats returns mean and variance of each tensor of a vector.
func (l *Layout) Stats(v []float32) []Stat {
	out := make([]Stat, len(l.Tensors))
	for i, t := range l.Tensors {
		out[i] = Moments(t.Of(v))
	}
	return out
}
