package tokenizer

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/text/unicode/norm"

	"starling/mixing/spelling"
)

// A Spec is what a tokenizer is made from.
type Spec struct {
	Tokens []string    // by ID, in the alphabet of visible characters that vocabularies write bytes in; "" where there is none
	Merges [][2]string // of tokens in the same alphabet, the first ones before the others
	Added  []Added     // what is found as a whole; may be in Tokens or beyond

	Split       []Split // steps of cutting, each applied to the words of the last
	PrefixSpace bool    // a space goes before texts that do not begin with one
	NFC         bool    // texts are brought to Unicode's composed normal form
	WholeWords  bool    // a word that is a token is that token, whatever the merges say

	Unknown     int  // the token for bytes that have none; -1 to leave them out
	FuseUnknown bool // several of them in a row give one token

	Prefix, Suffix []int // tokens that go before and behind a text, as with add_special_tokens
}

// A Tokenizer holds a vocabulary. It does not change, and is safe for concurrent use.
type Tokenizer struct {
	Prefix, Suffix []int32 // tokens that models expect before and behind a text; must not be changed

	tokens  []string         // by ID: the text that a token decodes to; "" where there is none
	special []bool           // by ID
	ids     map[string]int32 // of added tokens by their text
	words   map[string]int32 // of others by their bytes
	single  [256]int32       // of bytes; -1 for those without
	merges  map[uint64]merge

	before, within *finder // added tokens, before and after normalisation
	splitter       splitter
	split          []Split
	prefixSpace    bool
	nfc            bool
	wholeWords     bool
	unknown        int32
	fuseUnknown    bool
}

// maxTokens is more than any vocabulary has.
const maxTokens = 1 << 22

// New checks a specification and makes a tokenizer. It keeps parts of it.
func New(s Spec) (*Tokenizer, error) {
	t := &Tokenizer{
		tokens: make([]string, len(s.Tokens)), special: make([]bool, len(s.Tokens)), ids: map[string]int32{}, words: make(map[string]int32, len(s.Tokens)),
		merges: make(map[uint64]merge, len(s.Merges)), splitter: classes(),
		split: s.Split, prefixSpace: s.PrefixSpace, nfc: s.NFC, wholeWords: s.WholeWords, unknown: int32(s.Unknown), fuseUnknown: s.FuseUnknown,
	}
	if len(s.Tokens) > maxTokens {
		return nil, fmt.Errorf("tokenizer: %d tokens, and at most %d are read", len(s.Tokens), maxTokens)
	}
	if err := t.addWords(s); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := t.addMerges(s.Merges); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := t.addAdded(s); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	var err error
	if t.Prefix, err = t.frame(s.Prefix); err != nil {
		return nil, err
	}
	t.Suffix, err = t.frame(s.Suffix)
	return t, err
}

func (t *Tokenizer) frame(ids []int) ([]int32, error) {
	var out []int32
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) {
			return nil, fmt.Errorf("tokenizer: token %d goes around texts, and is not in the vocabulary of %d", id, len(t.tokens))
		}
		out = append(out, int32(id))
	}
	return out, nil
}

// addWords fills in what is made of bytes. What the alphabet cannot write is never found in a text, but decodes to itself.
func (t *Tokenizer) addWords(s Spec) error {
	for id, token := range s.Tokens {
		text, ok := raw(token)
		if !ok {
			text = token
		} else if token != "" {
			if other, twice := t.words[text]; twice {
				return fmt.Errorf("tokens %d and %d are both %s", other, id, spelling.Quote(token))
			}
			t.words[text] = int32(id)
		}
		t.tokens[id] = text
	}
	for b := range t.single {
		id, ok := t.words[string([]byte{byte(b)})]
		if !ok {
			id = -1
		}
		t.single[b] = id
	}
	if s.Unknown < -1 || s.Unknown >= len(s.Tokens) {
		return fmt.Errorf("the token for unknown bytes, %d, is not in the vocabulary of %d", s.Unknown, len(s.Tokens))
	}
	return nil
}

func (t *Tokenizer) addMerges(merges [][2]string) error {
	if len(merges) > maxTokens {
		return fmt.Errorf("%d merges, and at most %d are read", len(merges), maxTokens)
	}
	for rank, m := range merges {
		var ids [3]int32
		for i, token := range [3]string{m[0], m[1], m[0] + m[1]} {
			text, ok := raw(token)
			id, known := t.words[text]
			if !ok || !known {
				return fmt.Errorf("merge %d, of %s and %s: the vocabulary has no %s", rank, spelling.Quote(m[0]), spelling.Quote(m[1]), spelling.Quote(token))
			}
			ids[i] = id
		}
		t.merges[pair(ids[0], ids[1])] = merge{int32(rank), ids[2]}
	}
	return nil
}

func (t *Tokenizer) addAdded(s Spec) error {
	var before, within []Added
	for _, a := range s.Added {
		switch {
		case a.Text == "":
			return fmt.Errorf("added token %d is empty", a.ID)
		case a.ID < 0 || a.ID >= maxTokens || a.ID > 2*len(s.Tokens)+len(s.Added)+1024:
			return fmt.Errorf("added token %s has ID %d, far from the vocabulary of %d", spelling.Quote(a.Text), a.ID, len(s.Tokens))
		}
		if id, ok := t.ids[a.Text]; ok && int(id) != a.ID {
			return fmt.Errorf("added tokens %d and %d are both %s", id, a.ID, spelling.Quote(a.Text))
		}
		for a.ID >= len(t.tokens) {
			t.tokens, t.special = append(t.tokens, ""), append(t.special, false)
		}
		t.ids[a.Text] = int32(a.ID)
		t.special[a.ID] = a.Special
		t.tokens[a.ID] = a.Text
		if text, ok := raw(a.Text); ok { // as the reference has it, whose decoder cannot tell
			t.tokens[a.ID] = text
		}
		if a.Within {
			if t.nfc {
				a.Text = norm.NFC.String(a.Text)
			}
			within = append(within, a)
		} else {
			before = append(before, a)
		}
	}
	t.before, t.within = newFinder(before), newFinder(within)
	return nil
}

// Size returns the number of IDs: one more than the highest.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// ID returns the token that is written so, such as "<|im_end|>"; ok is false if there is none. Tokens of bytes are found by these.
func (t *Tokenizer) ID(text string) (id int32, ok bool) {
	if id, ok = t.ids[text]; !ok {
		id, ok = t.words[text]
	}
	return id, ok
}

// Token returns the text of a token, which may be a part of a character; "" for an ID that has none.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// Special reports whether a token is a mark, rather than text.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// Decode returns the text of tokens. Special ones are left out unless special is set, as are IDs without a token, which models may have
// more of than their tokenizer. What is no UTF-8 becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32, special bool) string {
	var text []byte
	for _, id := range ids {
		if special || !t.Special(id) {
			text = append(text, t.Token(id)...)
		}
	}
	return valid(text)
}

// Digest returns a hash of all that decides which tokens a text has: nodes with the same digest encode alike.
func (t *Tokenizer) Digest() [32]byte {
	h := sha256.New()
	number := func(n int) { h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	text := func(s string) {
		number(len(s))
		h.Write([]byte(s))
	}
	number(len(t.tokens))
	for id, token := range t.tokens {
		text(token)
		made, ok := t.words[token]
		text(fmt.Sprint(t.special[id], ok && int(made) == id))
	}
	pairs := slices.Collect(maps.Keys(t.merges))
	slices.SortFunc(pairs, func(a, b uint64) int { return cmp.Compare(t.merges[a].rank, t.merges[b].rank) })
	number(len(pairs))
	for _, p := range pairs { // in the order of their ranks, whose gaps do not matter
		number(int(p >> 32))
		number(int(uint32(p)))
	}
	for _, f := range []*finder{t.before, t.within} {
		text(fmt.Sprintf("%+v", f.tokens))
	}
	text(fmt.Sprint(t.split, t.prefixSpace, t.nfc, t.wholeWords, t.unknown, t.fuseUnknown, t.Prefix, t.Suffix))
	return [32]byte(h.Sum(nil))
}

// A Stream decodes tokens one by one. Characters that several tokens make up come with the last of them.
type Stream struct {
	t       *Tokenizer
	special bool
	rest    []byte
}

// NewStream returns a stream; special is as for [Tokenizer.Decode].
func (t *Tokenizer) NewStream(special bool) *Stream { return &Stream{t: t, special: special} }

// Add returns the text that is complete with one more token; it may be empty.
func (s *Stream) Add(id int32) string {
	if !s.special && s.t.Special(id) {
		return ""
	}
	s.rest = append(s.rest, s.t.Token(id)...)
	n := len(s.rest) - unfinished(s.rest)
	text := valid(s.rest[:n])
	s.rest = slices.Delete(s.rest, 0, n)
	return text
}

// End returns what is left: nothing, or U+FFFD for a character that was not completed.
func (s *Stream) End() string {
	text := valid(s.rest)
	s.rest = s.rest[:0]
	return text
}
