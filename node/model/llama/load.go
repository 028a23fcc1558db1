package llama

import (
	"errors"
	"fmt"
	"strings"

	"starling/mixing/kernel"
	"starling/node/model/hf"
	"starling/node/model/weights"
)

// A Source holds the tensors of a model, by the names that they have in Hugging Face's models; a [weights.Source] is one.
type Source interface {
	// Tensor returns a tensor, or an error that says what there is instead.
	Tensor(name string) (weights.Tensor, error)
}

// Options say how weights are held.
type Options struct {
	// Int8 holds matrices as bytes with a factor for 64 elements of a row, which takes a little more than a quarter of the
	// memory of float32. Losses then differ in the third digit or so.
	Int8 bool
}

// rowsAtOnce is how many rows of a matrix are decoded at a time: few, so that they need little memory.
const rowsAtOnce = 256

// Load reads the weights of a model. It reports everything that is missing or has another shape than the configuration says.
// Weights that are not finite are refused.
func Load(c hf.Config, s Source, o Options) (*Base, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	if c.Family == hf.GPT2 && c.Activation != "gelu_new" {
		return nil, fmt.Errorf("load model: activation %s of GPT-2 is not built in: use a model with gelu_new", c.Activation)
	}
	b := &Base{config: c, names: namesOf(c)}
	l := loader{source: s, bytes: o.Int8, transposed: b.gpt2()}
	b.embedding = l.rows(b.names.embedding+".weight", c.Vocab, c.Hidden)
	if b.head = b.embedding; !c.Tied {
		b.head = l.rows(b.names.head+".weight", c.Vocab, c.Hidden)
	}
	if b.gpt2() {
		b.positions = l.vector(b.names.positions+".weight", c.Context, c.Hidden)
	} else {
		b.turns = c.Rope.Frequencies(c.HeadDim)
	}
	for i := range c.Layers {
		next := b.shape(i)
		for j := range next.norms {
			next.norms[j] = l.norm(next.norms[j].name, c)
		}
		for j := range next.maps {
			for k := range next.maps[j].projections {
				p := &next.maps[j].projections[k]
				p.weights = l.matrix(p.name+".weight", p.out, next.maps[j].in)
				if biased(c, j) {
					p.bias = l.vector(p.name+".bias", p.out)
				}
			}
		}
		b.layers = append(b.layers, next)
		if len(l.errs) > 0 {
			break // all layers would say the same
		}
	}
	b.norm = l.norm(b.names.norm, c)
	if len(l.errs) > 0 {
		return nil, fmt.Errorf("load model: %w", errors.Join(l.errs...))
	}
	return b, nil
}

// biased reports whether projections of a map of a layer have a bias.
func biased(c hf.Config, m int) bool {
	switch m {
	case attentionIn:
		return c.Family == hf.GPT2 || c.QKVBias
	case attentionOut:
		return c.Family == hf.GPT2 || c.OutBias
	}
	return c.Family == hf.GPT2 || c.MLPBias
}

// last returns what follows the last point of a name.
func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// A loader collects what is wrong.
type loader struct {
	source     Source
	bytes      bool
	transposed bool // matrices of layers lie as inputs×outputs
	room       []float32
	errs       []error
}

// tensor returns a tensor if it has the wanted shape.
func (l *loader) tensor(name string, shape ...int) (t weights.Tensor, ok bool) {
	t, err := l.source.Tensor(name)
	if err == nil {
		err = t.Want(shape...)
	}
	if err != nil {
		l.errs = append(l.errs, err)
	}
	return t, err == nil
}

// read decodes rows of a tensor.
func (l *loader) read(dst []float32, t weights.Tensor, first int) bool {
	if err := t.Decode(dst, first); err != nil {
		l.errs = append(l.errs, fmt.Errorf("tensor %s: %w", t.Name, err))
		return false
	}
	if !kernel.Finite(dst) {
		l.errs = append(l.errs, fmt.Errorf("tensor %s has numbers that are not finite: the file is damaged", t.Name))
		return false
	}
	return true
}

// vector returns a tensor as floats.
func (l *loader) vector(name string, shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	t, ok := l.tensor(name, shape...)
	if !ok {
		return nil
	}
	v := make([]float32, n)
	l.read(v, t, 0)
	return v
}

func (l *loader) norm(name string, c hf.Config) norm {
	v := norm{name: name, gain: l.vector(name+".weight", c.Hidden)}
	if c.Family == hf.GPT2 {
		v.bias = l.vector(name+".bias", c.Hidden)
	}
	return v
}

func (l *loader) take(n int) []float32 {
	if cap(l.room) < n {
		l.room = make([]float32, n)
	}
	return l.room[:n]
}

// rows packs a tensor of out×in.
func (l *loader) rows(name string, out, in int) *kernel.Packed {
	t, ok := l.tensor(name, out, in)
	if !ok {
		return nil
	}
	p := kernel.NewPacked(out, in, l.bytes)
	for first := 0; first < out; first += rowsAtOnce {
		n := min(rowsAtOnce, out-first)
		piece := l.take(n * in)
		if !l.read(piece, t, first) {
			return nil
		}
		p.FillNT(first, n, piece, in)
	}
	return p
}

// matrix packs the weights of a projection.
func (l *loader) matrix(name string, out, in int) *kernel.Packed {
	if !l.transposed {
		return l.rows(name, out, in)
	}
	t, ok := l.tensor(name, in, out)
	if !ok {
		return nil
	}
	room := l.take(2 * in * out)
	lying, v := room[:in*out], room[in*out:]
	if !l.read(lying, t, 0) {
		return nil
	}
	for i := range in {
		for o, x := range lying[i*out:][:out] {
			v[o*in+i] = x
		}
	}
	p := kernel.NewPacked(out, in, l.bytes)
	p.FillNT(0, out, v, in)
	return p
}
