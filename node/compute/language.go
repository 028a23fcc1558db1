package compute

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"

	"starling/node/data"
	"starling/node/model/hf"
	"starling/node/model/llama"
)

// A Language is a published language model that was opened: its weights, packed, and its tokenizer. It does not change and is safe
// for concurrent use.
type Language struct {
	path  string
	base  *llama.Base
	words *words
}

// OpenLanguage opens the model in a directory or GGUF file. Unless want is zero, it refuses one of another digest, see
// [hf.Checkpoint.Digest], before it reads anything else.
func OpenLanguage(path string, want [32]byte, o llama.Options) (*Language, error) {
	c, err := hf.Open(path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if want != [32]byte{} {
		have, err := c.Digest()
		if err != nil {
			return nil, err
		}
		if have != want {
			return nil, fmt.Errorf("the run starts from a model with the digest %x, and %s has %x: take the one that the run was made for, in the same format",
				want, path, have)
		}
	}
	l := &Language{path: path}
	if l.words, err = newWords(c); err != nil {
		return nil, err
	}
	if l.base, err = llama.Load(*c.Config, c, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// Config returns the configuration of the model.
func (l *Language) Config() hf.Config { return l.base.Config() }

// Model returns a model that trains what t says, computed by so many goroutines.
func (l *Language) Model(t llama.Training, threads int) (*llama.Model, error) {
	return llama.New(l.base, t, max(1, threads))
}

// A Speaker is a language model, with an adapter or without, that texts can be measured with and that continues them. It must not be
// used concurrently.
type Speaker struct {
	language *Language
	model    *llama.Model
	params   []float32
	other    error
}

// Other says, if the adapter was trained on another model than this one, or on the same one in another number format, so: what it has
// learned may not fit. It is nil if it was not, or if the adapter does not tell.
func (s *Speaker) Other() error { return s.other }

// Speaker returns the model as it was published, or with an adapter in a directory that PEFT or an export wrote, computed by so many
// goroutines.
func (l *Language) Speaker(adapter string, threads int) (*Speaker, error) {
	s := &Speaker{language: l}
	training, err := llama.ParseTraining("full:norms") // of which nothing changes
	if err != nil {
		return nil, err
	}
	var peft *llama.PEFT
	if adapter != "" {
		if peft, err = llama.OpenPEFT(adapter); err != nil {
			return nil, err
		}
		defer peft.Close()
		training = peft.Training
	}
	if s.model, err = llama.New(l.base, training, max(1, threads)); err != nil {
		return nil, err
	}
	s.params = make([]float32, s.model.Layout().Len())
	s.model.Init(s.params, 0)
	if peft == nil {
		return s, nil
	}
	if err := peft.Params(s.model, s.params); err != nil || peft.Digest == "" {
		return s, err
	}
	c, err := hf.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	digest, err := c.Digest()
	if have := hex.EncodeToString(digest[:]); have != peft.Digest {
		s.other = fmt.Errorf("adapter %s was trained on a model with the digest %s, and %s has %s: what it has learned may not fit, even if only the number format differs",
			adapter, peft.Digest, l.path, have)
	}
	return s, err
}

// Evaluate returns the mean loss of the held-out tokens of a source, see [data.Open], in nats, the share that is predicted right, and
// how many tokens count. Its exponential is the perplexity. It reads rows of so many tokens, at most so many rows, from all of the
// source evenly; 0 is all. It ends early with the error of ctx.
func (s *Speaker) Evaluate(ctx context.Context, source *data.Source, length, rows int) (loss, accuracy float64, tokens int, err error) {
	if source, err = source.Tokens(s.language.words, length); err != nil {
		return 0, 0, 0, err
	}
	set, err := source.Test()
	if err != nil {
		return 0, 0, 0, err
	}
	set = spread(set, rows)
	m, err := s.model.Windows(length)
	if err != nil {
		return 0, 0, 0, err
	}
	x, y := make([]float32, length), make([]int32, length)
	right := 0
	for row := range set.Len() {
		if err := ctx.Err(); err != nil {
			return 0, 0, 0, err
		}
		set.FillRange(x, y, row, 1)
		sum, correct := m.Evaluate(s.params, x, y)
		loss, right = loss+sum, right+correct
		for _, label := range y {
			if label >= 0 {
				tokens++
			}
		}
	}
	return loss / float64(tokens), float64(right) / float64(tokens), tokens, nil
}

// spread returns so many rows of a set, evenly from all of them; 0 is all.
func spread(set *data.Set, rows int) *data.Set {
	n := set.Len()
	if rows <= 0 || rows >= n {
		return set
	}
	some := make([]int32, rows)
	for i := range some {
		some[i] = int32(i * n / rows)
	}
	return set.Subset(some)
}

// Say continues a text with at most so many tokens, and tells each piece of text as it is complete. It ends at a token that ends a text or
// a turn, when say returns an error, which it returns, or when ctx ends.
func (s *Speaker) Say(ctx context.Context, prompt []int32, most int, how llama.Sampling, rng *rand.Rand, say func(text string) error) error {
	if len(prompt) == 0 {
		return fmt.Errorf("the prompt is empty, and model %s has no token that begins a text: give it some text", s.language.path)
	}
	room := s.language.Config().Context
	if len(prompt) >= room {
		return fmt.Errorf("the prompt has %d tokens, and model %s was made for %d with the answer", len(prompt), s.language.path, room)
	}
	g, err := s.model.Generator(s.params, min(room, len(prompt)+most))
	if err != nil {
		return err
	}
	next := prompt
	stream := s.language.words.NewStream(false)
	for range min(most, room-len(prompt)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.Feed(next...); err != nil {
			return err
		}
		token := g.Next(how, rng)
		if slices.Contains(s.language.Config().EOS, int(token)) {
			break
		}
		if err := say(stream.Add(token)); err != nil {
			return err
		}
		next = []int32{token}
	}
	return say(stream.End())
}

// Prompt returns the tokens of a text that a model is to continue; with chat, those of a dialogue in which a user has said it and the
// assistant is to answer.
func (l *Language) Prompt(text string, chat bool) ([]int32, error) {
	if !chat {
		return append(slices.Clone(l.words.Begin()), l.words.Encode(text)...), nil
	}
	return l.words.question(text)
}

// MemoryOf estimates how many bytes it takes to train a published model with so many goroutines: its weights, what a step keeps, which is
// less if it is frugal, and the vectors of a node; and how many numbers are trained.
func MemoryOf(c hf.Config, s llama.Spec, threads int, frugal bool) (bytes int64, trained int, err error) {
	parts, trained, err := llama.Memory(c, s.Training, llama.Options{Int8: s.Int8},
		llama.Use{Context: s.Context, Sequences: max(1, evalTokens/s.Context), Workers: threads, Train: true, Frugal: frugal})
	for _, p := range parts {
		bytes += p.Bytes
	}
	return bytes + 4*nodeVectors*int64(trained), trained, err
}

// nodeVectors is how many vectors of the trained length a node has at most times, about: the model, the gradient, two moments, a
// delta, what is sent, what arrives, and a checkpoint.
const nodeVectors = 8
