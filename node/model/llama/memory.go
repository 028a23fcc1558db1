package llama

import (
	"fmt"

	"starling/mixing/kernel"
	"starling/node/model/hf"
)

// A Use is what a model is used for.
type Use struct {
	Context   int  // tokens of the longest sequence
	Sequences int  // of a batch
	Workers   int  // goroutines
	Frugal    bool // see [Model.Frugal]
	Train     bool // gradients are computed, not losses alone
	Generate  bool // a [Generator] of one text of that context runs
}

// A Part is some of the memory of a model.
type Part struct {
	Name  string
	Bytes int64
}

// Memory estimates what the parts of a model take, in the order of their names here: the weights, which all models of a process
// share; and of each model what it keeps of the way through the layers, the memory of its workers, and that of a generator. The
// trainable vector, its gradient and the state of an optimizer are the caller's: they take 4 bytes a number each, of which there
// are as many as the last result says.
func Memory(c hf.Config, t Training, o Options, u Use) (parts []Part, trainable int, err error) {
	if err := c.Validate(); err != nil {
		return nil, 0, err
	}
	if u.Context < 1 || u.Context > c.Context {
		return nil, 0, fmt.Errorf("sequences of %d tokens are not possible: the context of this model is %d", u.Context, c.Context)
	}
	b := &Base{config: c, names: namesOf(c)}
	for i := range c.Layers {
		b.layers = append(b.layers, b.shape(i))
	}
	p, err := b.plan(t)
	if err != nil {
		return nil, 0, err
	}
	m := &Model{base: b, training: t, plan: p, workers: max(1, u.Workers), frugal: u.Frugal}
	n := u.Context
	for n+u.Context <= min(chunkTokens, u.Context*u.Sequences) {
		n += u.Context
	}
	if u.Generate {
		n = max(n, min(u.Context, chunkTokens))
	}
	parts = []Part{{"weights", b.estimate(o)}, {"layers", m.layerBytes(n, u)}, {"workers", m.workerBytes(n, u)}}
	if u.Generate {
		_, keys := b.widths()
		parts = append(parts, Part{"generator", 4 * (int64(c.Layers)*int64(u.Context)*2*int64(keys) + int64(c.Vocab)*4)})
	}
	return parts, p.layout.Len(), nil
}

// estimate is what Bytes will return.
func (b *Base) estimate(o Options) int64 {
	c := b.config
	w := int64(c.Hidden)
	norm := w
	if b.gpt2() {
		norm *= 2
	}
	total := kernel.PackedBytes(c.Vocab, c.Hidden, o.Int8)
	if !c.Tied {
		total *= 2
	}
	total += 4 * norm
	if b.gpt2() {
		total += 4 * int64(c.Context) * w
	}
	for i := range b.layers {
		total += 8 * norm
		for j, l := range b.layers[i].maps {
			for _, p := range l.projections {
				total += kernel.PackedBytes(p.out, l.in, o.Int8)
				if biased(c, j) {
					total += 4 * int64(p.out)
				}
			}
		}
	}
	return total
}

// layerBytes is what reserve takes for n tokens.
func (m *Model) layerBytes(n int, u Use) int64 {
	s, layers := m.sizes(), len(m.base.layers)
	low := 0
	for _, r := range s.low {
		low += r
	}
	stream := s.stream
	trace := s.qkv + s.mixed + s.wide + 2*s.heads + low + stream // with the stream in its midst
	floats := stream + trace
	if u.Train {
		floats += layers * stream // before each
		if !u.Frugal {
			floats += (layers - 1) * trace
		}
		floats += 7*stream + s.units + 3*s.mixed + s.qkv + low
	}
	half := m.base.config.HeadDim / 2
	if m.base.gpt2() {
		half = 0
	}
	return 4*int64(n)*int64(floats) + 28*int64(n) + 8*int64(u.Context)*int64(half)
}

// workerBytes is what benches grow to at most; which worker does the longest piece is a matter of chance.
func (m *Model) workerBytes(n int, u Use) int64 {
	s, c := m.sizes(), m.base.config
	rows := m.piece(n)
	block := min(vocabTokens, c.Vocab)
	floats := rows*(s.stream+s.units+block) + min(n, queryTokens)*u.Context
	if u.Train {
		floats += rows*s.stream + min(n, queryTokens)*u.Context
	} else {
		floats += rows * s.stream
	}
	return 4 * int64(m.workers) * int64(floats+max(block, u.Context, s.stream)+s.units+s.stream)
}
