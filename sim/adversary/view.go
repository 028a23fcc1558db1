package adversary

import (
	"fmt"
	"math"
	"slices"
)

// A View is what attackers see of the honest nodes: the newest vector that each has announced, and what it said of it.
// Mean and deviation over the nodes are kept up to date as vectors come, at a cost that does not grow with the number of
// nodes, and only while an attacker asks for them. A View must not be used concurrently.
type View struct {
	heard []heard // by node
	nodes []int   // those with a vector, ascending

	// Sums over the nodes of d = x - pivot and of d², by coordinate, valid while summed.
	summed      bool
	changes     int // since the sums were made anew
	pivot       []float64
	sum, square []float64

	scratch []uint64
	losses  []float64
}

type heard struct {
	vec     []float32
	samples uint64
	loss    float64
}

// NewView returns the view of a run with so many nodes before any has announced.
func NewView(nodes int) *View { return &View{heard: make([]heard, nodes)} }

// Put says that an honest node has announced a vector, with the number of samples and the loss that it gave. The view
// reads the vector until another Put for the node returns it as old. A nil vector forgets the node, which has left.
func (v *View) Put(node int, samples uint64, loss float64, vec []float32) (old []float32) {
	h := &v.heard[node]
	old = h.vec
	at, known := slices.BinarySearch(v.nodes, node)
	if vec != nil && len(v.nodes) > 0 && len(vec) != v.Len() {
		panic(fmt.Sprintf("adversary: internal error: a vector of %d elements among those of %d", len(vec), v.Len()))
	}
	*h = heard{vec: vec, samples: samples, loss: loss}
	switch {
	case vec != nil && !known:
		v.nodes = slices.Insert(v.nodes, at, node)
	case vec == nil && known:
		v.nodes = slices.Delete(v.nodes, at, at+1)
	}
	// Adding and subtracting wears the sums out, and models move away from the pivot: from time to time they are made
	// anew, if anybody still asks.
	if v.changes++; v.changes >= renewal*len(v.nodes) {
		v.summed = false
	}
	switch {
	case !v.summed:
	case old != nil && vec != nil:
		v.replace(old, vec)
	case vec != nil:
		v.add(vec, 1)
	case old != nil:
		v.add(old, -1)
	}
	return old
}

// renewal is how many times each node announces, on average, before sums are made anew: then that is a small part of the
// cost.
const renewal = 4

// Len returns the length of the vectors, 0 before the first.
func (v *View) Len() int {
	if len(v.nodes) == 0 {
		return 0
	}
	return len(v.heard[v.nodes[0]].vec)
}

// Nodes returns the honest nodes that have announced a vector, ascending. It is valid until the next Put.
func (v *View) Nodes() []int {
	if v == nil {
		return nil
	}
	return v.nodes
}

// Of returns the newest vector of an honest node, nil if there is none.
func (v *View) Of(node int) []float32 {
	if v == nil || node < 0 || node >= len(v.heard) {
		return nil
	}
	return v.heard[node].vec
}

// Samples returns the lower median of what the honest nodes said of their samples; ok is false before the first.
func (v *View) Samples() (samples uint64, ok bool) {
	v.scratch = v.scratch[:0]
	for _, n := range v.nodes {
		v.scratch = append(v.scratch, v.heard[n].samples)
	}
	return lowerMedian(v.scratch)
}

// Loss returns the lower median of what the honest nodes said of their loss; ok is false before the first.
func (v *View) Loss() (loss float64, ok bool) {
	v.losses = v.losses[:0]
	for _, n := range v.nodes {
		v.losses = append(v.losses, v.heard[n].loss)
	}
	return lowerMedian(v.losses)
}

func lowerMedian[T uint64 | float64](x []T) (T, bool) {
	if len(x) == 0 {
		return 0, false
	}
	slices.Sort(x)
	return x[(len(x)-1)/2], true
}

// add takes a vector into the sums, or out of them with sign -1.
func (v *View) add(vec []float32, sign float64) {
	pivot, sum, square := v.pivot[:len(vec)], v.sum[:len(vec)], v.square[:len(vec)]
	for j, x := range vec {
		d := float64(x) - pivot[j]
		sum[j] += float64(sign * d)
		square[j] += float64(sign * float64(d*d))
	}
}

// replace takes one vector out of the sums and another in, in one pass.
func (v *View) replace(old, vec []float32) {
	pivot, sum, square, old := v.pivot[:len(vec)], v.sum[:len(vec)], v.square[:len(vec)], old[:len(vec)]
	for j, x := range vec {
		in, out := float64(x)-pivot[j], float64(old[j])-pivot[j]
		sum[j] += in - out
		square[j] += float64((in - out) * (in + out))
	}
}

// sums makes the sums valid. The pivot is the mean, so that squares stay as small as the spread of the models.
func (v *View) sums() {
	if v.summed {
		return
	}
	d := v.Len()
	if len(v.sum) != d {
		v.pivot, v.sum, v.square = make([]float64, d), make([]float64, d), make([]float64, d)
	}
	clear(v.pivot)
	for _, n := range v.nodes {
		for j, x := range v.heard[n].vec {
			v.pivot[j] += float64(x)
		}
	}
	for j := range v.pivot {
		v.pivot[j] /= float64(len(v.nodes))
	}
	clear(v.sum)
	clear(v.square)
	for _, n := range v.nodes {
		v.add(v.heard[n].vec, 1)
	}
	v.summed, v.changes = true, 0
}

// mean returns coordinate j of the mean of the honest vectors. sums must have been called.
func (v *View) mean(j int) float64 { return v.pivot[j] + v.sum[j]/float64(len(v.nodes)) }

// deviation returns the standard deviation of coordinate j over the honest vectors, with the number of nodes less one as
// divisor; 0 for a single node.
func (v *View) deviation(j int) float64 {
	n := float64(len(v.nodes))
	if n < 2 {
		return 0
	}
	return math.Sqrt(max(0, (v.square[j]-float64(v.sum[j]*(v.sum[j]/n)))/(n-1)))
}

// ready reports whether there is a mean of vectors as long as own, and makes it.
func (v *View) ready(own []float32) bool {
	if v == nil || len(v.nodes) == 0 || v.Len() != len(own) {
		return false
	}
	v.sums()
	return true
}
