package data

import (
	"fmt"
	"io"
	"os"
)

// A Tokenizer makes tokens of text, as the model does that is trained. It is safe for concurrent use.
type Tokenizer interface {
	// Tokens returns how many tokens there are; all that Encode and Dialogue return are from 0 to one less.
	Tokens() int
	// Encode returns the tokens of a text. What looks like a special token in it is text.
	Encode(text string) []int32
	// Begin returns the tokens that go before a document, which are not learnt; often none.
	Begin() []int32
	// End returns the token that ends a document.
	End() int32
	// Dialogue returns the tokens of a dialogue in the form that the model knows, and which of them the model is to say: the words of
	// the assistant, with the token that ends its turn.
	Dialogue(turns []Turn) (tokens []int32, learn []bool, err error)
}

// A Turn is what one side of a dialogue says: "system", "user" or "assistant".
type Turn struct{ Role, Content string }

// Bytes is the tokenizer of models whose tokens are bytes. A dialogue is lines "role: content", and a byte of zero ends a document.
type Bytes struct{}

// Tokens implements [Tokenizer].
func (Bytes) Tokens() int { return textClasses }

// Encode implements [Tokenizer].
func (Bytes) Encode(text string) []int32 {
	tokens := make([]int32, len(text))
	for i := range len(text) {
		tokens[i] = int32(text[i])
	}
	return tokens
}

// Begin implements [Tokenizer].
func (Bytes) Begin() []int32 { return nil }

// End implements [Tokenizer].
func (Bytes) End() int32 { return 0 }

// Dialogue implements [Tokenizer].
func (b Bytes) Dialogue(turns []Turn) (tokens []int32, learn []bool, err error) {
	var d document
	for _, t := range turns {
		d.add(b.Encode(t.Role+": "), false)
		d.add(b.Encode(t.Content+"\n"), t.Role == assistant)
	}
	return d.tokens, d.learn, nil
}

const assistant = "assistant"

// A document is tokens that belong together, and which of them are to be learnt.
type document struct {
	tokens []int32
	learn  []bool
}

func (d *document) add(tokens []int32, learn bool) {
	d.tokens = append(d.tokens, tokens...)
	for range tokens {
		d.learn = append(d.learn, learn)
	}
}

// Tokens returns the source of a text or of a file of documents as rows of so many tokens of a tokenizer, and as many labels, each the
// token after one, or −1 where there is nothing to learn. It reads and tokenizes all of it. A text becomes windows as
// [Source.Windows] says. Documents are put side by side into rows, in the order of the file, each into the first row with room for it;
// what is longer than a row is cut into pieces. The feature of a token with which a document begins, elsewhere than at the begin of a
// row, is −1 less the token, so that a model can tell documents apart.
func (s *Source) Tokens(t Tokenizer, length int) (*Source, error) {
	switch {
	case s.tokens == nil:
		return nil, fmt.Errorf("data %s: has no text for a language model; use text:FILE or jsonl:FILE", s.name)
	case length < 1 || length > maxInputs:
		return nil, fmt.Errorf("data %s: rows of %d tokens; they must have from 1 to %d", s.name, length, maxInputs)
	}
	train, test, err := s.tokens(t, length)
	if err != nil {
		return nil, fmt.Errorf("data %s: %w", s.name, err)
	}
	set := func(q sequences) *Set { return &Set{inputs: length, classes: t.Tokens(), sequences: q} }
	return &Source{
		name: s.name, inputs: length, classes: t.Tokens(), labels: make([]int32, train.rows()), load: subsets(set(train), set(test)),
	}, nil
}

// sequences are rows of tokens, each with what comes next or −1.
type sequences struct {
	tokens, labels []int32
	length         int
}

func (s *sequences) rows() int { return len(s.tokens) / max(1, s.length) }

// tokens returns the windows of both parts of a text.
func (t text) tokens(by Tokenizer, length int) (train, test sequences, err error) {
	parts := [2]sequences{}
	for i, part := range []struct{ from, size int64 }{{0, t.train}, {t.train, t.held}} {
		b, err := t.part(part.from, part.size)
		if err != nil {
			return train, test, err
		}
		tokens := by.Encode(string(b))
		rows := (len(tokens) - 1) / length
		if rows < 1 {
			return train, test, fmt.Errorf("%d bytes for %s are %d tokens: too few for a row of %d", part.size, [2]string{"training", "evaluation"}[i], len(tokens), length)
		}
		parts[i] = sequences{tokens: tokens[:rows*length], labels: tokens[1:][:rows*length], length: length}
	}
	return parts[0], parts[1], nil
}

// part returns a piece of the text.
func (t text) part(from, size int64) ([]byte, error) {
	if t.bytes != nil {
		return t.bytes[from:][:size], nil
	}
	f, err := os.Open(t.name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, from, size), b); err != nil {
		return nil, changed(err)
	}
	return b, nil
}

// openRows is how many of the newest rows a document is tried to be put into: enough that rows end nearly full, few enough that packing
// takes no time beside tokenizing.
const openRows = 64

// pack puts documents into rows.
func pack(documents []document, length int, filler int32) sequences {
	s := sequences{length: length}
	var room []int // of the rows
	put := func(tokens, labels []int32) {
		row := max(0, len(room)-openRows)
		for row < len(room) && room[row] < len(tokens) {
			row++
		}
		if row == len(room) {
			room = append(room, length)
			for range length {
				s.tokens, s.labels = append(s.tokens, filler), append(s.labels, -1)
			}
		}
		at := (row+1)*length - room[row]
		copy(s.tokens[at:], tokens)
		copy(s.labels[at:], labels)
		if room[row] < length {
			s.tokens[at] = -1 - tokens[0]
		}
		room[row] -= len(tokens)
	}
	for _, d := range documents {
		n := len(d.tokens) - 1
		labels := make([]int32, max(0, n))
		for i := range labels {
			if labels[i] = -1; d.learn[i+1] {
				labels[i] = d.tokens[i+1]
			}
		}
		for from := 0; from < n; from += length {
			to := min(n, from+length)
			put(d.tokens[from:to], labels[from:to])
		}
	}
	return s
}
