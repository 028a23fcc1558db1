package model

import (
	"fmt"
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/mixing/philox"
)

const (
	// chunkTokens is about how many tokens go through a gpt at a time: whole sequences, one at least. It bounds the scratch
	// memory and is part of the definition of a gradient: the sums of larger batches are added chunk by chunk.
	chunkTokens = 512

	// headTokens is the number of tokens whose logits exist at a time: with their gradient they stay in the second-level
	// cache. queryTokens is the same for the queries whose scores exist. Both are part of the definition of a gradient.
	headTokens  = 64
	queryTokens = 64

	// epsilon keeps norms from dividing by zero. It is far below the mean square of any sensible activation.
	epsilon = 1e-6
)

// gpt is a decoder that predicts every token of a sequence from those before it: L blocks of causal attention and of a fully
// connected layer with GELU, each added to the stream x after it has read a normed copy of it,
//
//	x ← E[token] + P[position];  x ← x + Wo·attention(Wqkv·norm(x)),  x ← x + Wd·gelu(Wu·norm(x));  logits = E·norm(x)
//
// with norm(x) = gain·x/√(mean x² + ε). The norm is RMSNorm (Zhang and Sennrich 2019): it trains like LayerNorm, takes one
// statistic in place of two, and has no bias. No layer has one: what is averaged between nodes is matrices and gains. Positions
// are learned, since the context is short and fixed and rotations would cost time in every layer of every step. The
// embedding E of the tokens is also the last layer (Press and Wolf 2017).
type gpt struct {
	gptShape
	layout *mixing.Layout
	gptScratch
}

// gptShape is what a specification says, and the number of tokens that there are.
type gptShape struct{ layers, width, heads, context, tokens int }

// Where tensors are in the layout: of the whole, and from the first of a layer on.
const (
	embedding = iota
	positions
	firstLayer

	attentionGain = iota - 3
	attentionIn   // queries, keys and values below each other
	attentionOut
	mlpGain
	mlpUp
	mlpDown
	layerTensors
)

// mlpFactor is the width of the hidden layer of a block in widths of the stream.
const mlpFactor = 4

func newGPT(s gptShape) (*gpt, error) {
	w := s.width
	tensors := []mixing.Tensor{
		{Name: "tokens.weight", Shape: []int{s.tokens, w}, Kind: mixing.Weight},
		{Name: "positions.weight", Shape: []int{s.context, w}, Kind: mixing.Weight},
	}
	for l := range s.layers {
		add := func(name string, kind mixing.TensorKind, shape ...int) {
			tensors = append(tensors, mixing.Tensor{Name: fmt.Sprintf("layers.%d.%s", l, name), Shape: shape, Kind: kind})
		}
		add("attention.gain", mixing.Gain, w)
		add("attention.in.weight", mixing.Weight, 3*w, w)
		add("attention.out.weight", mixing.Weight, w, w)
		add("mlp.gain", mixing.Gain, w)
		add("mlp.up.weight", mixing.Weight, mlpFactor*w, w)
		add("mlp.down.weight", mixing.Weight, w, mlpFactor*w)
	}
	tensors = append(tensors, mixing.Tensor{Name: "gain", Shape: []int{w}, Kind: mixing.Gain})
	layout, err := mixing.NewLayout(tensors...)
	if err != nil {
		return nil, fmt.Errorf("is not possible: %w", err)
	}
	if layout.Len() > maxParams {
		return nil, fmt.Errorf("has %d parameters, more than %d", layout.Len(), maxParams)
	}
	if n := s.scratch(s.context); n > maxScratch {
		return nil, fmt.Errorf("needs %d floats of memory for a row, more than %d", n, maxScratch)
	}
	return &gpt{gptShape: s, layout: layout}, nil
}

func (g *gpt) Layout() *mixing.Layout    { return g.layout }
func (g *gpt) Row() (inputs, labels int) { return g.context, g.context }
func (g *gpt) Clone() Model              { return &gpt{gptShape: g.gptShape, layout: g.layout} }

// Init sets gains to 1 and draws weights from uniform distributions of a deviation of ½/√in, so that no activation is large at
// first and logits are small; those that add to the stream are smaller by the root of how often that happens (Radford et al.
// 2019), so that its size does not depend on the number of layers.
func (g *gpt) Init(params []float32, seed uint64) {
	g.check(params, nil, nil)
	for i, t := range g.layout.Tensors {
		v := t.Of(params)
		if t.Kind == mixing.Gain {
			for j := range v {
				v[j] = 1
			}
			continue
		}
		bound := math.Sqrt(3/float64(t.Shape[1])) / 2
		if place := (i - firstLayer) % layerTensors; i >= firstLayer && (place == attentionOut || place == mlpDown) {
			bound /= math.Sqrt(float64(2 * g.layers))
		}
		uniform(v, bound, seed, uint32(i))
	}
}

// uniform fills v with numbers from -bound to bound, a function of the seed and the number of the tensor.
func uniform(v []float32, bound float64, seed uint64, tensor uint32) {
	var words [4]uint32
	for i := range v {
		if i%4 == 0 {
			words = philox.Block(seed, [4]uint32{uint32(i / 4), 0, tensor, philox.Init})
		}
		v[i] = float32((float64(float64(words[i%4])/(1<<31)) - 1) * bound)
	}
}

func (g *gpt) Gradient(grad, params, x []float32, y []int32) float64 {
	g.check(params, x, y)
	if len(grad) != len(params) || len(y) == 0 {
		panic(fmt.Sprintf("model: internal error: gradient of %d for %d parameters and %d labels", len(grad), len(params), len(y)))
	}
	clear(grad)
	var loss float64
	counted := float64(max(1, Counted(y)))
	for first := 0; first < len(y); first += g.chunk() {
		n := min(g.chunk(), len(y)-first)
		g.forward(params, x[first:][:n])
		loss += g.head(grad, params, y[first:][:n], 1/counted)
		g.backward(grad, params, x[first:][:n])
	}
	return loss / counted
}

func (g *gpt) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	g.check(params, x, y)
	for first := 0; first < len(y); first += g.chunk() {
		n := min(g.chunk(), len(y)-first)
		g.forward(params, x[first:][:n])
		l, r := g.score(params, y[first:][:n])
		loss, right = loss+l, right+r
	}
	return loss, right
}

func (g *gpt) check(params, x []float32, y []int32) {
	if len(params) != g.layout.Len() || len(x) != len(y) || len(y)%g.context != 0 {
		panic(fmt.Sprintf("model: internal error: %d parameters, want %d; %d tokens and %d labels for sequences of %d",
			len(params), g.layout.Len(), len(x), len(y), g.context))
	}
}

// chunk returns how many tokens go through at a time.
func (g *gpt) chunk() int { return max(1, chunkTokens/g.context) * g.context }

// outer returns a tensor that is not of a layer.
func (g *gpt) outer(v []float32, tensor int) []float32 { return g.layout.Tensors[tensor].Of(v) }

// lastGain returns that of the norm before the head.
func (g *gpt) lastGain(v []float32) []float32 { return g.outer(v, len(g.layout.Tensors)-1) }

// inner returns a tensor of a layer.
func (g *gpt) inner(v []float32, layer, tensor int) []float32 {
	return g.outer(v, firstLayer+layer*layerTensors+tensor)
}

// token returns the token that a feature is. Its row is one text to a gpt, whatever begins in it.
func (g *gpt) token(v float32) int {
	v = Token(v)
	if !(v >= 0 && v < float32(g.tokens)) {
		panic(fmt.Sprintf("model: internal error: %v is not a token below %d", v, g.tokens))
	}
	return int(v)
}

// forward computes the stream up to the norm before the head, for whole sequences.
func (g *gpt) forward(params, x []float32) {
	n, w := len(x), g.width
	g.reserve(n)
	stream, normed := g.stream[:n*w], g.normed[:n*w]
	e, p := g.outer(params, embedding), g.outer(params, positions)
	for i, v := range x {
		row := stream[i*w:][:w]
		copy(row, e[g.token(v)*w:])
		kernel.Add(p[i%g.context*w:][:w], row)
	}
	for l := range g.saved {
		s := &g.saved[l]
		s.attentionNorm.forward(normed, stream, g.inner(params, l, attentionGain))
		kernel.MulNT(false, n, 3*w, w, normed, w, g.inner(params, l, attentionIn), w, s.qkv, 3*w)
		g.attend(s, n)
		kernel.MulNT(true, n, w, w, s.mixed, w, g.inner(params, l, attentionOut), w, stream, w)

		s.mlpNorm.forward(normed, stream, g.inner(params, l, mlpGain))
		hidden := mlpFactor * w
		kernel.MulNT(false, n, hidden, w, normed, w, g.inner(params, l, mlpUp), w, s.slopes, hidden)
		kernel.GELU(s.units[:n*hidden], s.slopes[:n*hidden])
		kernel.MulNT(true, n, w, hidden, s.units, hidden, g.inner(params, l, mlpDown), hidden, stream, w)
	}
	g.last.forward(normed, stream, g.lastGain(params))
}

// backward adds to the gradient of the parameters, from that of the normed stream before the head, which head left in delta.
func (g *gpt) backward(grad, params, x []float32) {
	n, w := len(x), g.width
	stream, normed, delta := g.stream[:n*w], g.normed[:n*w], g.delta[:n*w]
	clear(stream) // from here on its gradient
	g.last.backward(stream, delta, g.lastGain(params), g.lastGain(grad), g.row)
	for l := len(g.saved) - 1; l >= 0; l-- {
		s, hidden, wide := &g.saved[l], mlpFactor*w, g.wide
		kernel.MulTN(true, w, hidden, n, stream, w, s.units, hidden, g.inner(grad, l, mlpDown), hidden)
		kernel.MulNN(false, n, hidden, w, stream, w, g.inner(params, l, mlpDown), hidden, wide, hidden)
		kernel.Mul(s.slopes[:n*hidden], wide[:n*hidden])
		s.mlpNorm.outputs(normed, g.inner(params, l, mlpGain))
		kernel.MulTN(true, hidden, w, n, wide, hidden, normed, w, g.inner(grad, l, mlpUp), w)
		kernel.MulNN(false, n, w, hidden, wide, hidden, g.inner(params, l, mlpUp), w, delta, w)
		s.mlpNorm.backward(stream, delta, g.inner(params, l, mlpGain), g.inner(grad, l, mlpGain), g.row)

		kernel.MulTN(true, w, w, n, stream, w, s.mixed, w, g.inner(grad, l, attentionOut), w)
		kernel.MulNN(false, n, w, w, stream, w, g.inner(params, l, attentionOut), w, delta, w)
		g.attendBack(s, wide, delta, n)
		s.attentionNorm.outputs(normed, g.inner(params, l, attentionGain))
		kernel.MulTN(true, 3*w, w, n, wide, 3*w, normed, w, g.inner(grad, l, attentionIn), w)
		kernel.MulNN(false, n, w, 3*w, wide, 3*w, g.inner(params, l, attentionIn), w, delta, w)
		s.attentionNorm.backward(stream, delta, g.inner(params, l, attentionGain), g.inner(grad, l, attentionGain), g.row)
	}
	e, p := g.outer(grad, embedding), g.outer(grad, positions)
	for i, v := range x {
		row := stream[i*w:][:w]
		kernel.Add(row, e[g.token(v)*w:][:w])
		kernel.Add(row, p[i%g.context*w:][:w])
	}
}
