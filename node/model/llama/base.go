package llama

import (
	"fmt"

	"starling/mixing/kernel"
	"starling/node/model/hf"
)

// A Base is the weights of a model as they were published, packed for products. It does not change and is safe for concurrent use
// by any number of models.
type Base struct {
	config    hf.Config
	embedding *kernel.Packed // columns are tokens; also the head, if they are tied
	head      *kernel.Packed
	positions []float32 // of GPT-2, row-major
	layers    []layer
	norm      norm
	turns     []float32 // angles by which pairs of elements of a head turn from one position to the next
	names     names
}

// A layer is two norms and four linear maps: of the normed stream to queries, keys and values, of what attention mixes back to the
// stream, and the same pair around the activation.
type layer struct {
	norms [2]norm
	maps  [4]linear
}

// The linear maps of a layer, in the order of their use.
const (
	attentionIn = iota
	attentionOut
	mlpIn
	mlpOut
	maps
)

// A linear is one or more projections of the same input, whose outputs lie behind each other.
type linear struct {
	in, out     int
	projections []projection
}

// A projection is y = x·Wᵀ + b.
type projection struct {
	name    string // of the module, such as model.layers.3.self_attn.q_proj
	at, out int    // outputs: where they begin in those of the linear map, and how many
	weights *kernel.Packed
	bias    []float32 // nil if there is none
}

// A norm is RMSNorm, or LayerNorm if there is a bias.
type norm struct {
	name       string
	gain, bias []float32
}

// Config returns the configuration.
func (b *Base) Config() hf.Config { return b.config }

// Bytes returns how much memory the weights take.
func (b *Base) Bytes() int64 {
	n := b.embedding.Bytes() + 4*int64(len(b.positions)+len(b.norm.gain)+len(b.norm.bias))
	if b.head != b.embedding {
		n += b.head.Bytes()
	}
	for i := range b.layers {
		l := &b.layers[i]
		for _, v := range l.norms {
			n += 4 * int64(len(v.gain)+len(v.bias))
		}
		for _, m := range l.maps {
			for _, p := range m.projections {
				n += p.weights.Bytes() + 4*int64(len(p.bias))
			}
		}
	}
	return n
}

// gpt2 reports whether layers are those of GPT-2.
func (b *Base) gpt2() bool { return b.config.Family == hf.GPT2 }

// widths returns how many queries, and how many keys or values, there are for a token.
func (b *Base) widths() (queries, keys int) {
	return b.config.Heads * b.config.HeadDim, b.config.KVHeads * b.config.HeadDim
}

// units returns how many inputs the last map of a layer has, and how many outputs the one before it.
func (b *Base) units() (hidden, wide int) {
	if b.gpt2() {
		return b.config.MLP, b.config.MLP
	}
	return b.config.MLP, 2 * b.config.MLP
}

// names are those of the tensors in files.
type names struct {
	embedding, positions, norm, head string
	layer                            string // with the number of the layer
	norms                            [2]string
	maps                             [maps][]string
}

func namesOf(c hf.Config) names {
	if c.Family == hf.GPT2 {
		return names{
			embedding: "transformer.wte", positions: "transformer.wpe", norm: "transformer.ln_f", head: "lm_head",
			layer: "transformer.h.%d.", norms: [2]string{"ln_1", "ln_2"},
			maps: [maps][]string{{"attn.c_attn"}, {"attn.c_proj"}, {"mlp.c_fc"}, {"mlp.c_proj"}},
		}
	}
	return names{
		embedding: "model.embed_tokens", norm: "model.norm", head: "lm_head",
		layer: "model.layers.%d.", norms: [2]string{"input_layernorm", "post_attention_layernorm"},
		maps: [maps][]string{
			{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, {"self_attn.o_proj"},
			{"mlp.gate_proj", "mlp.up_proj"}, {"mlp.down_proj"},
		},
	}
}

// shape returns a layer without weights.
func (b *Base) shape(number int) layer {
	c := b.config
	queries, keys := b.widths()
	_, wide := b.units()
	prefix := fmt.Sprintf(b.names.layer, number)
	outs := [maps][]int{{queries, keys, keys}, {c.Hidden}, {c.MLP, c.MLP}, {c.Hidden}}
	if b.gpt2() {
		outs[attentionIn], outs[mlpIn] = []int{queries + 2*keys}, []int{wide}
	}
	var l layer
	for i, in := range [maps]int{c.Hidden, queries, c.Hidden, c.MLP} {
		m := linear{in: in}
		for j, out := range outs[i] {
			name := b.names.maps[i][j]
			m.projections = append(m.projections, projection{name: prefix + name, at: m.out, out: out})
			m.out += out
		}
		l.maps[i] = m
	}
	for i, name := range b.names.norms {
		l.norms[i].name = prefix + name
	}
	return l
}

// A tensor is one of a base, by its name in files.
type tensor struct {
	name   string
	shape  []int          // rows of outputs, whatever files have
	vector []float32      // nil for a matrix
	matrix *kernel.Packed // columns are rows of the tensor
	lies   bool           // files have it as inputs×outputs
}

// tensors calls f with all tensors, in the order of their use.
func (b *Base) tensors(f func(tensor)) {
	c := b.config
	packed := func(name string, p *kernel.Packed, lies bool) {
		n, k := p.Dims()
		f(tensor{name: name, shape: []int{n, k}, matrix: p, lies: lies})
	}
	vector := func(name string, v []float32) {
		if v != nil {
			f(tensor{name: name, shape: []int{len(v)}, vector: v})
		}
	}
	packed(b.names.embedding+".weight", b.embedding, false)
	if b.positions != nil {
		f(tensor{name: b.names.positions + ".weight", shape: []int{c.Context, c.Hidden}, vector: b.positions})
	}
	for i := range b.layers {
		l := &b.layers[i]
		for j, m := range l.maps {
			if j%2 == 0 {
				vector(l.norms[j/2].name+".weight", l.norms[j/2].gain)
				vector(l.norms[j/2].name+".bias", l.norms[j/2].bias)
			}
			for _, p := range m.projections {
				packed(p.name+".weight", p.weights, b.gpt2())
				vector(p.name+".bias", p.bias)
			}
		}
	}
	vector(b.norm.name+".weight", b.norm.gain)
	vector(b.norm.name+".bias", b.norm.bias)
	if !c.Tied {
		packed(b.names.head+".weight", b.head, false)
	}
}
