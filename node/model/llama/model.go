package llama

import (
	"fmt"

	"starling/mixing"
)

// chunkTokens is about how many tokens go through a model at a time: whole sequences, one at least. It bounds the scratch memory
// and is part of the definition of a gradient: the sums of larger batches are added chunk by chunk.
const chunkTokens = 512

// A Batch is sequences of tokens, one behind the other, none of which sees another.
type Batch struct {
	Tokens []int32
	// Targets holds for every token the one that is to be predicted after it, which need not be the next one; a target below 0
	// does not count.
	Targets []int32
	Lengths []int // of the sequences, each from 1 to the context of the model
}

// A Model computes losses, and gradients of a trainable vector. It reuses its scratch memory, so that a value must be used by one
// goroutine at a time; [Model.Clone] makes another. The vector is the caller's.
type Model struct {
	base     *Base
	training Training
	plan     *plan
	workers  int
	scale    float32 // of adapters
	frugal   bool
	scratch
}

// New returns a model that trains what t says on top of a base, with as many goroutines as workers says, 1 at least.
func New(b *Base, t Training, workers int) (*Model, error) {
	p, err := b.plan(t)
	if err != nil {
		return nil, fmt.Errorf("training %s: %w", t, err)
	}
	return &Model{base: b, training: t, plan: p, workers: max(1, workers), scale: float32(t.Scale())}, nil
}

// Frugal has the model keep only the stream between layers on the way there, and compute the rest of each layer again on the way
// back. That takes a step of training about a third longer and a fraction of the memory; results are the same bits.
func (m *Model) Frugal(on bool) {
	m.frugal = on
	m.scratch = scratch{}
}

// Layout describes the trainable vector. It is the same for all clones.
func (m *Model) Layout() *mixing.Layout { return m.plan.layout }

// Base returns the weights below.
func (m *Model) Base() *Base { return m.base }

// Training returns what is trained.
func (m *Model) Training() Training { return m.training }

// Clone returns a model with scratch memory of its own.
func (m *Model) Clone() *Model {
	c := *m
	c.scratch = scratch{}
	return &c
}

// Gradient writes the gradient of the mean loss over the targets that count to grad, as long as params, and returns that loss in
// nats, and how many targets there were. Without any the gradient is zero. The loss is not finite when parameters are not, or
// are far too large.
func (m *Model) Gradient(grad, params []float32, b Batch) (loss float64, targets int) {
	m.check(params)
	m.check(grad)
	targets = m.examine(b)
	clear(grad)
	if targets == 0 {
		return 0, 0
	}
	for c := range m.chunks(b) {
		m.reserve(c, true)
		m.forward(params, c, true)
		l, _ := m.head(grad, params, c, 1/float64(targets))
		m.backward(grad, params, c)
		loss += l
	}
	return loss / float64(targets), targets
}

// Evaluate returns the sum of the losses over the targets that count, how many of them have the largest logit, and their number.
func (m *Model) Evaluate(params []float32, b Batch) (loss float64, right, targets int) {
	m.check(params)
	targets = m.examine(b)
	for c := range m.chunks(b) {
		m.reserve(c, false)
		m.forward(params, c, false)
		l, r := m.head(nil, params, c, 0)
		loss, right = loss+l, right+r
	}
	return loss, right, targets
}

// Logits writes those of the token after each token of one sequence to dst, in rows as long as the vocabulary.
func (m *Model) Logits(dst, params []float32, tokens []int32) {
	m.check(params)
	vocab := m.base.config.Vocab
	if len(dst) != len(tokens)*vocab {
		panic(fmt.Sprintf("llama: internal error: room for %d logits of %d tokens", len(dst), len(tokens)))
	}
	c := chunk{tokens: tokens, sequences: []sequence{{length: len(tokens)}}}
	m.examine(Batch{Tokens: tokens, Lengths: []int{len(tokens)}, Targets: tokens})
	m.reserve(c, false)
	m.forward(params, c, false)
	m.logits(dst, params, m.stream[:len(tokens)*m.base.config.Hidden])
}

func (m *Model) check(v []float32) {
	if n := m.plan.layout.Len(); len(v) != n {
		panic(fmt.Sprintf("llama: internal error: a vector of %d floats, want %d", len(v), n))
	}
}

// examine returns how many targets count. A batch that is none is a bug of the caller.
func (m *Model) examine(b Batch) (targets int) {
	c, sum := m.base.config, 0
	for _, n := range b.Lengths {
		if n < 1 || n > c.Context {
			panic(fmt.Sprintf("llama: internal error: a sequence of %d tokens, want 1 to %d", n, c.Context))
		}
		sum += n
	}
	if sum != len(b.Tokens) || sum != len(b.Targets) {
		panic(fmt.Sprintf("llama: internal error: %d tokens and %d targets in sequences of %d", len(b.Tokens), len(b.Targets), sum))
	}
	for i, token := range b.Tokens {
		if token < 0 || int(token) >= c.Vocab || int(b.Targets[i]) >= c.Vocab {
			panic(fmt.Sprintf("llama: internal error: token %d or target %d is not below %d", token, b.Targets[i], c.Vocab))
		}
		if b.Targets[i] >= 0 {
			targets++
		}
	}
	return targets
}

// A chunk is what goes through at a time.
type chunk struct {
	tokens, targets []int32
	sequences       []sequence
	cache           *cache // of a generator, with the keys and values of earlier tokens
}

// A sequence is some tokens of a chunk.
type sequence struct {
	first, length int
	past          int // tokens before it, whose keys and values are in a cache
}

// chunks calls yield with the chunks of a batch.
func (m *Model) chunks(b Batch) func(yield func(chunk) bool) {
	return func(yield func(chunk) bool) {
		for at, i := 0, 0; i < len(b.Lengths); {
			var c chunk
			n := 0
			for ; i < len(b.Lengths) && (n == 0 || n+b.Lengths[i] <= chunkTokens); i++ {
				c.sequences = append(c.sequences, sequence{first: n, length: b.Lengths[i]})
				n += b.Lengths[i]
			}
			c.tokens, c.targets = b.Tokens[at:][:n], b.Targets[at:][:n]
			at += n
			if !yield(c) {
				return
			}
		}
	}
}
