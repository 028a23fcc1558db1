package data

import (
	"fmt"
	"math"
)

// Gaussians returns a source of two classes, rows for training and a quarter as many for evaluation: each class is a normal
// cloud of deviation 1 in so many dimensions, and the centres are distance apart. The best possible classifier is right with
// the probability that a standard normal number is below distance/2.
func Gaussians(rows, inputs int, distance float64, seed uint64) (*Source, error) {
	shift := distance / 2 / math.Sqrt(float64(inputs))
	return synthetic("gaussians", rows, inputs, seed, func(c chance, x []float32) int32 {
		label := int32(c.Uint64() >> 63)
		for i := range x {
			x[i] = float32(c.normal() + float64((float64(2*label)-1)*shift))
		}
		return label
	})
}

// Linear returns a source of two classes that a hyperplane through the origin divides, rows for training and a quarter as
// many for evaluation: the sets on which linear gossip learners such as Pegasos are compared. A share of the labels,
// flipped, is wrong. No row is closer to the plane than 0.1.
func Linear(rows, inputs int, flipped float64, seed uint64) (*Source, error) {
	plane := make([]float64, max(0, min(inputs, maxInputs)))
	c := draw(seed, forSynthetic, 1, 0)
	var norm float64
	for i := range plane {
		plane[i] = c.normal()
		norm += float64(plane[i] * plane[i])
	}
	norm = math.Sqrt(norm)
	return synthetic("linear", rows, inputs, seed, func(c chance, x []float32) int32 {
		var side float64
		for math.Abs(side) < float64(0.1*norm) {
			side = 0
			for i := range x {
				x[i] = float32(c.normal())
				side += float64(float64(x[i]) * plane[i])
			}
		}
		label := int32(0)
		if side > 0 {
			label = 1
		}
		if c.unit() < flipped {
			label = 1 - label
		}
		return label
	})
}

func synthetic(name string, rows, inputs int, seed uint64, row func(c chance, x []float32) int32) (*Source, error) {
	if rows < 4 || rows > maxRows || inputs < 1 || inputs > maxInputs {
		return nil, fmt.Errorf("data %s: %d rows of %d features; there must be from 4 to %d of 1 to %d", name, rows, inputs, maxRows, maxInputs)
	}
	c := draw(seed, forSynthetic, 0, 0)
	sets := [2]*Set{}
	for i, n := range []int{rows, rows / 4} {
		s := &Set{inputs: inputs, classes: 2, numbers: newPages[float32](inputs)}
		for range n {
			s.labels = append(s.labels, row(c, s.numbers.add(n)))
		}
		sets[i] = s
	}
	return &Source{name: name, inputs: inputs, classes: 2, labels: sets[0].labels, load: subsets(sets[0], sets[1])}, nil
}
