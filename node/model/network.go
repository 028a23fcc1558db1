package model

import (
	"fmt"
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
)

// chunk is the number of rows that go through a network at a time. It bounds the scratch memory. It is part of the definition
// of a gradient: the sums of larger batches are added chunk by chunk.
const chunk = 256

// network is a fully connected network with rectifiers between its layers and a softmax at its end. Without hidden layers it
// is softmax regression. Layer l has weights W of sizes[l+1]×sizes[l] and a bias b, and computes h ← relu(W·h + b), the last
// one without the rectifier.
type network struct {
	sizes  []int // of the input, the hidden layers, the output
	layout *mixing.Layout

	acts   [][]float32 // outputs of the layers for one chunk; the last are the logits, and then their gradient
	deltas [][]float32 // gradients of the outputs of all layers but the last
	exps   []float64   // of the logits of one chunk, less the largest of their row
	right  []float64   // logits of the labels, less the same
}

func newNetwork(sizes []int) (*network, error) {
	var tensors []mixing.Tensor
	for l, out := range sizes[1:] {
		tensors = append(tensors,
			mixing.Tensor{Name: fmt.Sprintf("layers.%d.weight", l), Shape: []int{out, sizes[l]}, Kind: mixing.Weight},
			mixing.Tensor{Name: fmt.Sprintf("layers.%d.bias", l), Shape: []int{out}, Kind: mixing.Bias})
	}
	layout, err := mixing.NewLayout(tensors...)
	if err != nil {
		return nil, fmt.Errorf("is not possible: %w", err)
	}
	if layout.Len() > maxParams {
		return nil, fmt.Errorf("has %d parameters, more than %d", layout.Len(), maxParams)
	}
	return &network{sizes: sizes, layout: layout}, nil
}

func (n *network) Layout() *mixing.Layout    { return n.layout }
func (n *network) Row() (inputs, labels int) { return n.sizes[0], 1 }
func (n *network) Clone() Model              { return &network{sizes: n.sizes, layout: n.layout} }

// Init draws weights from uniform distributions on ±√(6/in) before a rectifier (He et al. 2015) and on ±√(6/(in+out)) in the
// last layer (Glorot and Bengio 2010). Biases are zero.
func (n *network) Init(params []float32, seed uint64) {
	n.check(params, nil, nil)
	clear(params)
	for l := range len(n.sizes) - 1 {
		in, out := n.sizes[l], n.sizes[l+1]
		bound := math.Sqrt(6 / float64(in))
		if l == len(n.sizes)-2 {
			bound = math.Sqrt(6 / float64(in+out))
		}
		w, _ := n.layer(params, l)
		uniform(w, bound, seed, uint32(l))
	}
}

func (n *network) Gradient(grad, params, x []float32, y []int32) float64 {
	n.check(params, x, y)
	if len(grad) != len(params) || len(y) == 0 {
		panic(fmt.Sprintf("model: internal error: gradient of %d for %d parameters and %d rows", len(grad), len(params), len(y)))
	}
	in, scale := n.sizes[0], float32(1/float64(len(y)))
	var loss float64
	for first := 0; first < len(y); first += chunk {
		rows := min(chunk, len(y)-first)
		xs, ys := x[first*in:][:rows*in], y[first:][:rows]
		n.forward(params, xs, rows)
		n.softmax(ys)
		logits, classes := n.acts[len(n.acts)-1], n.sizes[len(n.sizes)-1]
		for i, label := range ys {
			e, z := n.exps[i*classes:][:classes], logits[i*classes:][:classes]
			total := sum(e)
			loss += kernel.Log(total) - n.right[i]
			for j, v := range e {
				p := v / total
				if j == int(label) {
					p--
				}
				z[j] = float32(p) * scale
			}
		}
		n.backward(first > 0, grad, params, xs, rows)
	}
	return loss / float64(len(y))
}

func (n *network) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	n.check(params, x, y)
	in, classes := n.sizes[0], n.sizes[len(n.sizes)-1]
	for first := 0; first < len(y); first += chunk {
		rows := min(chunk, len(y)-first)
		n.forward(params, x[first*in:][:rows*in], rows)
		ys, logits := y[first:][:rows], n.acts[len(n.acts)-1]
		n.softmax(ys)
		for i, label := range ys {
			if largest(logits[i*classes:][:classes]) == int(label) {
				right++
			}
			loss += kernel.Log(sum(n.exps[i*classes:][:classes])) - n.right[i]
		}
	}
	return loss, right
}

func (n *network) check(params, x []float32, y []int32) {
	if len(params) != n.layout.Len() || len(x) != len(y)*n.sizes[0] {
		panic(fmt.Sprintf("model: internal error: %d parameters, want %d; %d features for %d rows of %d", len(params), n.layout.Len(), len(x), len(y), n.sizes[0]))
	}
}

// layer returns weights and bias of a layer in a vector.
func (n *network) layer(v []float32, l int) (w, b []float32) {
	return n.layout.Tensors[2*l].Of(v), n.layout.Tensors[2*l+1].Of(v)
}

// reserve makes room for so many rows.
func (n *network) reserve(rows int) {
	last := len(n.sizes) - 2
	if len(n.acts) > 0 && len(n.acts[0]) >= rows*n.sizes[1] {
		return
	}
	n.acts, n.deltas = make([][]float32, last+1), make([][]float32, last)
	for l := range n.acts {
		n.acts[l] = make([]float32, rows*n.sizes[l+1])
	}
	n.exps, n.right = make([]float64, rows*n.sizes[last+1]), make([]float64, rows)
}

// forward fills acts.
func (n *network) forward(params, x []float32, rows int) {
	n.reserve(rows)
	h := x
	for l, act := range n.acts {
		in, out := n.sizes[l], n.sizes[l+1]
		w, b := n.layer(params, l)
		for i := range rows {
			copy(act[i*out:][:out], b)
		}
		kernel.MulNT(true, rows, out, in, h, in, w, in, act, out)
		if l < len(n.acts)-1 {
			kernel.ReLU(act[:rows*out])
		}
		h = act
	}
}

// backward writes the gradient, or adds to it, from the gradient of the logits that stands in their place.
func (n *network) backward(add bool, grad, params, x []float32, rows int) {
	delta := n.acts[len(n.acts)-1]
	for l := len(n.acts) - 1; l >= 0; l-- {
		in, out := n.sizes[l], n.sizes[l+1]
		gw, gb := n.layer(grad, l)
		h := x
		if l > 0 {
			h = n.acts[l-1]
		}
		kernel.MulTN(add, out, in, rows, delta, out, h, in, gw, in)
		if !add {
			clear(gb)
		}
		for i := range rows {
			kernel.Add(delta[i*out:][:out], gb)
		}
		if l == 0 {
			return
		}
		if len(n.deltas[l-1]) < len(h) {
			n.deltas[l-1] = make([]float32, len(h))
		}
		w, _ := n.layer(params, l)
		below := n.deltas[l-1]
		kernel.MulNN(false, rows, in, out, delta, out, w, in, below, in)
		kernel.Gate(below[:rows*in], h[:rows*in])
		delta = below
	}
}

// softmax fills exps and right from the logits: the loss of a row is the logarithm of the sum of its exps less its right.
func (n *network) softmax(y []int32) {
	logits, classes := n.acts[len(n.acts)-1], n.sizes[len(n.sizes)-1]
	for i, label := range y {
		z, e := logits[i*classes:][:classes], n.exps[i*classes:][:classes]
		top := z[0]
		for _, v := range z[1:] {
			top = max(top, v) // NaN if any of them is
		}
		for j, v := range z {
			e[j] = float64(v) - float64(top)
		}
		n.right[i] = e[label]
	}
	e := n.exps[:len(y)*classes]
	kernel.Exps(e, e)
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

// largest returns the index of the largest element, the first of equals, and -1 if nothing is above minus infinity.
func largest(z []float32) int {
	best, at := float32(math.Inf(-1)), -1
	for i, v := range z {
		if v > best {
			best, at = v, i
		}
	}
	return at
}
