package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"starling/mixing/spelling"
)

// file is a tokenizer.json, as far as it matters here.
type file struct {
	Added []struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		Left       bool   `json:"lstrip"`
		Right      bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
		Special    bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer *part `json:"normalizer"`
	Cutter     *part `json:"pre_tokenizer"`
	Framer     *part `json:"post_processor"`
	Decoder    *part `json:"decoder"`
	Model      struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       []mergeText     `json:"merges"`
		Dropout      *float64        `json:"dropout"`
		Unknown      *string         `json:"unk_token"`
		FuseUnknown  bool            `json:"fuse_unk"`
		Continuing   *string         `json:"continuing_subword_prefix"`
		EndOfWord    *string         `json:"end_of_word_suffix"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
	} `json:"model"`
}

// A part is a step of any kind: the fields of all of them.
type part struct {
	Type string `json:"type"`

	Normalizers []part `json:"normalizers"` // of Sequence
	Cutters     []part `json:"pretokenizers"`
	Processors  []part `json:"processors"`
	Decoders    []part `json:"decoders"`

	Pattern struct { // of Split
		Regex  *string `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`

	Individual  bool  `json:"individual_digits"` // of Digits
	PrefixSpace bool  `json:"add_prefix_space"`  // of ByteLevel
	UseRegex    *bool `json:"use_regex"`         // of ByteLevel; true where it is missing

	Single []struct { // of TemplateProcessing
		Special *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
		Sequence *struct {
			ID string `json:"id"`
		} `json:"Sequence"`
	} `json:"single"`
	Specials map[string]struct {
		IDs []int `json:"ids"`
	} `json:"special_tokens"`
}

// mergeText is a merge, written "a b" or ["a", "b"].
type mergeText [2]string

func (m *mergeText) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		var both []string
		if err := json.Unmarshal(text, &both); err != nil {
			return err
		}
		if len(both) != 2 {
			return fmt.Errorf("a merge of %d tokens, want 2", len(both))
		}
		*m = mergeText(both)
		return nil
	}
	var line string
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	a, b, ok := strings.Cut(line, " ")
	if !ok {
		return fmt.Errorf("merge %s has no space between its tokens", spelling.Quote(line))
	}
	*m = mergeText{a, b}
	return nil
}

// Parse reads a tokenizer.json. It returns an error for files that are broken, and for tokenizers that are not matched here.
func Parse(text []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	s := Spec{WholeWords: f.Model.IgnoreMerges, FuseUnknown: f.Model.FuseUnknown, Unknown: -1}
	for _, step := range []func(*Spec) error{f.vocabulary, f.added, f.normalizer, f.cutter, f.framer, f.decoder} {
		if err := step(&s); err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
	}
	return New(s)
}

func (f *file) vocabulary(s *Spec) error {
	m := &f.Model
	filled := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("model is %s, and only BPE on bytes is read", spelling.Quote(m.Type))
	case m.ByteFallback || filled(m.Continuing) || filled(m.EndOfWord):
		return errors.New("model is BPE on characters, and only BPE on bytes is read")
	case m.Dropout != nil && *m.Dropout != 0:
		return errors.New("model has dropout: its tokens are a matter of chance")
	case len(m.Vocab) == 0:
		return errors.New("model has no vocabulary")
	}
	if err := readVocabulary(m.Vocab, s); err != nil {
		return err
	}
	if filled(m.Unknown) {
		for id, token := range s.Tokens {
			if token == *m.Unknown {
				s.Unknown = id
			}
		}
		if s.Unknown < 0 {
			return fmt.Errorf("unk_token %s is not in the vocabulary", spelling.Quote(*m.Unknown))
		}
	}
	for _, merge := range m.Merges {
		s.Merges = append(s.Merges, merge)
	}
	return nil
}

// readVocabulary reads an object of tokens and IDs, whose keys a map would not tell apart from broken ones.
func readVocabulary(text []byte, s *Spec) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return errors.New("the vocabulary of the model is not a JSON object")
	}
	most := bytes.Count(text, []byte{':'})*4 + 1024 // gaps are few
	set := 0
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		token := key.(string) // keys of objects are
		var id int
		if err := dec.Decode(&id); err != nil {
			return fmt.Errorf("token %s: %w", spelling.Quote(token), err)
		}
		switch {
		case token == "":
			return fmt.Errorf("token %d is empty", id)
		case id < 0 || id >= min(most, maxTokens):
			return fmt.Errorf("token %s has ID %d, which is too far from the others", spelling.Quote(token), id)
		}
		for id >= len(s.Tokens) {
			s.Tokens = append(s.Tokens, "")
		}
		if s.Tokens[id] != "" {
			return fmt.Errorf("tokens %s and %s both have ID %d", spelling.Quote(s.Tokens[id]), spelling.Quote(token), id)
		}
		s.Tokens[id] = token
		set++
	}
	if set == 0 {
		return errors.New("the vocabulary of the model is empty")
	}
	return nil
}

func (f *file) added(s *Spec) error {
	for _, a := range f.Added {
		if a.SingleWord {
			return fmt.Errorf("added token %s is only found as a word of its own, which is not done here", spelling.Quote(a.Content))
		}
		s.Added = append(s.Added, Added{ID: a.ID, Text: a.Content, Special: a.Special, Left: a.Left, Right: a.Right, Within: a.Normalized})
	}
	return nil
}

// flat returns the steps of a part, which may be a sequence of sequences.
func flat(p *part, of func(*part) []part) []part {
	if p == nil {
		return nil
	}
	if p.Type != "Sequence" {
		return []part{*p}
	}
	var out []part
	steps := of(p)
	for i := range steps {
		out = append(out, flat(&steps[i], of)...)
	}
	return out
}

func (f *file) normalizer(s *Spec) error {
	for _, p := range flat(f.Normalizer, func(p *part) []part { return p.Normalizers }) {
		if p.Type != "NFC" {
			return fmt.Errorf("normalizer %s is not known here; NFC is", spelling.Quote(p.Type))
		}
		s.NFC = true
	}
	return nil
}

func (f *file) cutter(s *Spec) error {
	bytewise := false
	for _, p := range flat(f.Cutter, func(p *part) []part { return p.Cutters }) {
		if bytewise {
			return fmt.Errorf("pre-tokenizer %s comes after ByteLevel, which must be the last", spelling.Quote(p.Type))
		}
		switch p.Type {
		case "ByteLevel":
			bytewise = true
			if p.PrefixSpace && len(s.Split) > 0 {
				return errors.New("pre-tokenizer ByteLevel puts spaces between words that are cut already")
			}
			s.PrefixSpace = p.PrefixSpace
			if p.UseRegex == nil || *p.UseRegex {
				s.Split = append(s.Split, GPT2)
			}
		case "Digits":
			if p.Individual {
				s.Split = append(s.Split, Digits)
			} else {
				s.Split = append(s.Split, Numbers)
			}
		case "Split":
			step, err := p.split()
			if err != nil {
				return err
			}
			s.Split = append(s.Split, step)
		default:
			return fmt.Errorf("pre-tokenizer %s is not known here; ByteLevel, Digits and Split are", spelling.Quote(p.Type))
		}
	}
	if !bytewise {
		return errors.New("there is no pre-tokenizer ByteLevel, and only BPE on bytes is read")
	}
	return nil
}

func (p *part) split() (Split, error) {
	if p.Pattern.Regex == nil {
		return 0, errors.New("pre-tokenizer Split has no pattern Regex")
	}
	step, ok := patterns[*p.Pattern.Regex]
	if !ok {
		return 0, fmt.Errorf("pre-tokenizer Split has pattern %s, which is not known here; those of GPT-2, Llama 3 and Qwen2 are", spelling.Quote(*p.Pattern.Regex))
	}
	// The patterns leave nothing between matches, so that keeping matches alone is the same.
	if p.Behavior == "Isolated" && !p.Invert || p.Behavior == "Removed" && p.Invert {
		return step, nil
	}
	return 0, fmt.Errorf("pre-tokenizer Split has behavior %s and invert %t, want Isolated and false", spelling.Quote(p.Behavior), p.Invert)
}

func (f *file) framer(s *Spec) error {
	for _, p := range flat(f.Framer, func(p *part) []part { return p.Processors }) {
		if p.Type == "ByteLevel" {
			continue // about offsets only
		}
		if p.Type != "TemplateProcessing" {
			return fmt.Errorf("post-processor %s is not known here; ByteLevel and TemplateProcessing are", spelling.Quote(p.Type))
		}
		seen := false
		for _, piece := range p.Single {
			switch {
			case piece.Sequence != nil && piece.Sequence.ID == "A" && !seen:
				seen = true
			case piece.Special != nil:
				special, ok := p.Specials[piece.Special.ID]
				if !ok {
					return fmt.Errorf("post-processor names special token %s, and does not say what it is", spelling.Quote(piece.Special.ID))
				}
				if seen {
					s.Suffix = append(s.Suffix, special.IDs...)
				} else {
					s.Prefix = append(s.Prefix, special.IDs...)
				}
			default:
				return errors.New("post-processor has a piece that is neither the text nor a special token")
			}
		}
		if !seen {
			return errors.New("post-processor leaves the text out")
		}
	}
	return nil
}

func (f *file) decoder(*Spec) error {
	for _, p := range flat(f.Decoder, func(p *part) []part { return p.Decoders }) {
		if p.Type != "ByteLevel" {
			return fmt.Errorf("decoder %s is not known here; ByteLevel is", spelling.Quote(p.Type))
		}
	}
	return nil
}
