package compute

import (
	"fmt"
	"sync"

	"starling/node/data"
	"starling/node/data/chat"
	"starling/node/data/tokenizer"
	"starling/node/model/hf"
)

// words is the tokenizer of a published model, as package data wants it.
type words struct {
	*tokenizer.Tokenizer
	vocabulary int
	end        int32
	chat       *chat.Template // nil: the model was made for no dialogues, or for none that is known here,
	mute       error          // which this says
	encoders   sync.Pool      // of *tokenizer.Encoder
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
	w.chat, w.mute = c.Chat()
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
	if w.chat == nil {
		return nil, nil, w.mute
	}
	messages := make([]chat.Message, len(turns))
	for i, t := range turns {
		messages[i] = chat.Message(t)
	}
	parts, err := w.chat.Turns(messages)
	if err != nil {
		return nil, nil, err
	}
	for _, part := range parts {
		tokens = w.written(tokens, part.Text)
		for len(learn) < len(tokens) {
			learn = append(learn, part.Learn)
		}
	}
	return tokens, learn, nil
}

// question returns the tokens of a dialogue in which a user has said something, up to where the assistant answers.
func (w *words) question(text string) ([]int32, error) {
	if w.chat == nil {
		return nil, w.mute
	}
	rendered, err := w.chat.Render([]chat.Message{{Role: "user", Content: text}}, true)
	if err != nil {
		return nil, err
	}
	return w.written(nil, rendered), nil
}

// written appends the tokens of a text as a template writes it, with its marks.
func (w *words) written(tokens []int32, text string) []int32 {
	e := w.encoders.Get().(*tokenizer.Encoder)
	defer w.encoders.Put(e)
	return e.Encode(tokens, text)
}
