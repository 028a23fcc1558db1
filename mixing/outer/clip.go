package outer

import (
	"math"
	"slices"
)

const (
	clipFactor = 3 // in medians of the norms before
	clipLeast  = 4 // norms that tell what is usual
)

// Norms remembers the last norms of pseudo-gradients, to bound those that are far out of the ordinary (spec 03, 3.11). Equal
// norms in equal order give equal factors. It must not be used concurrently.
type Norms struct {
	last []float64
	next int
	size int
}

// NewNorms remembers size norms, at least 4.
func NewNorms(size int) *Norms { return &Norms{size: max(clipLeast, size)} }

// Clip returns what to multiply a pseudo-gradient of a norm by, so that it is not longer than 3 times the median of the norms
// remembered, and remembers its norm as it was. It is 1 as long as there are fewer than 4 to compare with, or most were zero. It is
// 0, for a pseudo-gradient to be dropped, if the norm is not a finite number; that is not remembered.
func (n *Norms) Clip(norm float64) float64 {
	if !(norm >= 0 && norm <= math.MaxFloat64) {
		return 0
	}
	factor := 1.0
	if most := clipFactor * n.Median(); len(n.last) >= clipLeast && most > 0 && norm > most {
		factor = most / norm
	}
	if len(n.last) < n.size {
		n.last = append(n.last, norm)
	} else {
		n.last[n.next] = norm
		n.next = (n.next + 1) % n.size
	}
	return factor
}

// Median is that of the norms remembered, of an even number the lower one; 0 if there are none.
func (n *Norms) Median() float64 {
	if len(n.last) == 0 {
		return 0
	}
	sorted := slices.Clone(n.last)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/2]
}
