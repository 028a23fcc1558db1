package compute

import (
	"fmt"
	"sync"

	"starling/node/data"
	"starling/node/data/tokenizer"
	"starling/node/model/hf"
)

// words is the tokenizer of a published model, as package data wants it.
type words struct {
	*tokenizer.Tokenizer
	vocabulary int
	end        int32
	encoders   sync.Pool // of *tokenizer.Encoder
}

var _ data.Tokenizer = (*words)(nil)

// newWords reads the tokenizer of a model.
func newWords(c *hf.Checkpoint) (*words, error) {
	t, err := c.Tokenizer()
	if err != nil {
		return nil, err
	}
	w := &words{Tokenizer: t, vocabulary: c.Config.Vocab}
	if len(c.Config.EOS) == 0 {
		return nil, fmt.Errorf("the model does not say which token ends a text: its config has no eos_token_id")
	}
	w.end = int32(c.Config.EOS[0])
	w.encoders.New = func() any { return t.NewEncoder() }
	return w, nil
}

// Tokens implements [data.Tokenizer].
func (w *words) Tokens() int { return w.vocabulary }

// Begin implements [data.Tokenizer].
func (w *words) Begin() []int32 { return w.Prefix }

// End implements [data.Tokenizer].
func (w *words) End() int32 { return w.end }

// Encode implements [data.Tokenizer].
func (w *words) Encode(text string) []int32 {
	e := w.encoders.Get().(*tokenizer.Encoder)
	defer w.encoders.Put(e)
	return e.Plain(nil, text)
}

// Dialogue implements [data.Tokenizer].
func (w *words) Dialogue(turns []data.Turn) (tokens []int32, learn []bool, err error) {
	return nil, nil, fmt.Errorf("the model has no chat template that is known here; use prompt and completion")
}

// question returns the tokens of a dialogue in which a user has said something, up to where the assistant answers.
func (w *words) question(text string) ([]int32, error) {
	return nil, fmt.Errorf("the model has no chat template that is known here; leave out --chat")
}
