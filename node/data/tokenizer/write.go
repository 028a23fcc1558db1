package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"starling/mixing/spelling"
)

// step is a part of a tokenizer.json as it is written: parts of different kinds have different fields.
type step map[string]any

// JSON returns s as a tokenizer.json, which [Parse] and Hugging Face's tokenizers read. It returns an error for what such a file cannot
// say. Added tokens that do not lie right behind the vocabulary are written into it as well: the reference numbers others anew.
//
// [Encoder.Encode] of the tokenizer that is read gives the same as that of s. [Tokenizer.Digest] is the same too, unless added tokens
// had to be written into the vocabulary, where digests note them, or the last IDs of s have no token, so that there is no trace of them.
func (s *Spec) JSON() ([]byte, error) {
	added := slices.Clone(s.Added)
	slices.SortStableFunc(added, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	tokens, err := s.vocabulary(added)
	if err != nil {
		return nil, fmt.Errorf("write tokenizer: %w", err)
	}
	cutter, err := s.cutter()
	if err != nil {
		return nil, fmt.Errorf("write tokenizer: %w", err)
	}
	framer, err := s.framer(tokens)
	if err != nil {
		return nil, fmt.Errorf("write tokenizer: %w", err)
	}
	model := step{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": s.FuseUnknown, "byte_fallback": false, "ignore_merges": s.WholeWords,
		"vocab": vocabulary(tokens), "merges": s.merges(),
	}
	if s.Unknown >= 0 {
		if s.Unknown >= len(tokens) || tokens[s.Unknown] == "" {
			return nil, fmt.Errorf("write tokenizer: the token for unknown bytes, %d, is not in the vocabulary", s.Unknown)
		}
		model["unk_token"] = tokens[s.Unknown]
	}
	list := []step{}
	for _, a := range added {
		list = append(list, step{
			"id": a.ID, "content": a.Text, "single_word": false, "lstrip": a.Left, "rstrip": a.Right, "normalized": a.Within, "special": a.Special,
		})
	}
	file := step{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": list, "normalizer": nil, "pre_tokenizer": cutter,
		"post_processor": framer, "decoder": bytewise(true, true), "model": model,
	}
	if s.NFC {
		file["normalizer"] = step{"type": "NFC"}
	}
	return compact(file)
}

// compact writes JSON without spaces, in which marks such as <s> stay readable.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// bytewise is the step that writes bytes as visible characters, or reads them.
func bytewise(prefixSpace, regex bool) step {
	return step{"type": "ByteLevel", "add_prefix_space": prefixSpace, "trim_offsets": true, "use_regex": regex}
}

// vocabulary returns the tokens of the model by ID, with those of added, which are sorted, that readers would not find otherwise.
func (s *Spec) vocabulary(added []Added) ([]string, error) {
	tokens := slices.Clone(s.Tokens)
	ids := map[string]int{}
	for id, token := range tokens {
		if !utf8.ValidString(token) {
			return nil, fmt.Errorf("token %d, %s, is no UTF-8", id, spelling.Quote(token))
		}
		if token != "" {
			ids[token] = id
		}
	}
	next, behind := len(ids), true
	for _, a := range added {
		id, found := ids[a.Text]
		switch {
		case !utf8.ValidString(a.Text):
			return nil, fmt.Errorf("added token %d, %s, is no UTF-8", a.ID, spelling.Quote(a.Text))
		case found && id != a.ID:
			return nil, fmt.Errorf("tokens %d and %d are both %s, which a tokenizer.json cannot say", id, a.ID, spelling.Quote(a.Text))
		case !found:
			behind = behind && a.ID == next
			next++
		}
	}
	if behind {
		return tokens, nil
	}
	for _, a := range added {
		for a.ID >= len(tokens) {
			tokens = append(tokens, "")
		}
		if other := tokens[a.ID]; other != "" && other != a.Text {
			return nil, fmt.Errorf("token %d is both %s and %s, which a tokenizer.json cannot say", a.ID, spelling.Quote(other), spelling.Quote(a.Text))
		}
		tokens[a.ID] = a.Text
	}
	return tokens, nil
}

// vocabulary is an object of tokens and IDs in the order of these.
type vocabulary []string

// MarshalJSON writes the tokens that there are.
func (v vocabulary) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for id, token := range v {
		if token == "" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := compact(token)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, "%s:%d", bytes.TrimSpace(name), id)
	}
	return append(out, '}'), nil
}

// merges returns the merges in the form that all readers know: no token has a space.
func (s *Spec) merges() []string {
	out := make([]string, len(s.Merges))
	for i, m := range s.Merges {
		out[i] = m[0] + " " + m[1]
	}
	return out
}

// cutter returns the steps that cut texts.
func (s *Spec) cutter() (step, error) {
	regex, rest := false, s.Split
	if n := len(rest); n > 0 && rest[n-1] == GPT2 { // which ByteLevel brings along
		regex, rest = true, rest[:n-1]
	}
	if s.PrefixSpace && len(rest) > 0 {
		return nil, errors.New("spaces go before texts that are cut already")
	}
	var steps []step
	for _, split := range rest {
		switch split {
		case Digits, Numbers:
			steps = append(steps, step{"type": "Digits", "individual_digits": split == Digits})
			continue
		}
		found := false
		for pattern, of := range patterns { // one of them at most
			if of == split {
				found = true
				steps = append(steps, step{"type": "Split", "pattern": step{"Regex": pattern}, "behavior": "Isolated", "invert": false})
			}
		}
		if !found {
			return nil, fmt.Errorf("step %d of cutting is not known", split)
		}
	}
	last := bytewise(s.PrefixSpace, regex)
	if len(steps) == 0 {
		return last, nil
	}
	return step{"type": "Sequence", "pretokenizers": append(steps, last)}, nil
}

// framer returns the step that puts tokens around a text, or around two that go together; nil if there are none.
func (s *Spec) framer(tokens []string) (any, error) {
	if len(s.Prefix)+len(s.Suffix) == 0 {
		return nil, nil
	}
	specials := step{}
	around := func(ids []int, kind int) (out []step, err error) {
		for _, id := range ids {
			text := ""
			if id >= 0 && id < len(tokens) {
				text = tokens[id]
			}
			if i := slices.IndexFunc(s.Added, func(a Added) bool { return a.ID == id }); i >= 0 {
				text = s.Added[i].Text
			}
			if text == "" {
				return nil, fmt.Errorf("token %d goes around texts, and is not in the vocabulary", id)
			}
			specials[text] = step{"id": text, "ids": []int{id}, "tokens": []string{text}}
			out = append(out, step{"SpecialToken": step{"id": text, "type_id": kind}})
		}
		return out, nil
	}
	var both [2][]step
	for kind, name := range []string{"A", "B"} {
		before, err := around(s.Prefix, kind)
		if err != nil {
			return nil, err
		}
		behind, err := around(s.Suffix, kind)
		if err != nil {
			return nil, err
		}
		both[kind] = slices.Concat(before, []step{{"Sequence": step{"id": name, "type_id": kind}}}, behind)
	}
	return step{"type": "TemplateProcessing", "single": both[0], "pair": slices.Concat(both[0], both[1]), "special_tokens": specials}, nil
}
