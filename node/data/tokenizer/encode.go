package tokenizer

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

const (
	cacheWords  = 1 << 16 // words whose tokens are remembered, before all are forgotten
	cacheLength = 64      // bytes of the longest of them
)

// An Encoder turns text into tokens. It remembers words, and must not be used concurrently; results do not depend on what it remembers.
type Encoder struct {
	t     *Tokenizer
	cache map[string][]int32
	ids   []int32
	dst   []int32
}

// NewEncoder returns an encoder.
func (t *Tokenizer) NewEncoder() *Encoder { return &Encoder{t: t, cache: map[string][]int32{}} }

// Encode appends the tokens of a text to dst. Added tokens that are written in the text are found, special ones too: texts of others
// are better given to [Encoder.Plain]. The prefix and suffix of the tokenizer are not added.
func (e *Encoder) Encode(dst []int32, text string) []int32 { return e.encode(dst, text, false) }

// Plain is Encode for text whose special tokens are mere text, such as what users say in a conversation.
func (e *Encoder) Plain(dst []int32, text string) []int32 { return e.encode(dst, text, true) }

func (e *Encoder) encode(dst []int32, text string, plain bool) []int32 {
	e.dst = dst
	token := func(id int32) { e.dst = append(e.dst, id) }
	e.t.before.cut(e.t.splitter, text, plain, func(s string) {
		if e.t.nfc {
			s = norm.NFC.String(s)
		}
		e.t.within.cut(e.t.splitter, s, plain, func(s string) {
			if e.t.prefixSpace && !strings.HasPrefix(s, " ") {
				s = " " + s
			}
			e.words(s, e.t.split)
		}, token)
	}, token)
	dst, e.dst = e.dst, nil
	return dst
}

// words cuts a text by all steps and encodes the words.
func (e *Encoder) words(text string, steps []Split) {
	if len(steps) == 0 {
		e.word(text)
		return
	}
	for len(text) > 0 {
		n := e.t.splitter.next(steps[0], text)
		e.words(text[:n], steps[1:])
		text = text[n:]
	}
}

func (e *Encoder) word(word string) {
	if ids, ok := e.cache[word]; ok {
		e.dst = append(e.dst, ids...)
		return
	}
	from := len(e.dst)
	if id, ok := e.t.words[word]; ok && e.t.wholeWords {
		e.dst = append(e.dst, id)
	} else {
		e.dst = e.bpe(e.dst, word)
	}
	if len(word) > cacheLength {
		return
	}
	if len(e.cache) == cacheWords {
		clear(e.cache)
	}
	e.cache[strings.Clone(word)] = append([]int32(nil), e.dst[from:]...) // the text may be large and short-lived
}
