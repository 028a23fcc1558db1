package hf

import (
	"fmt"
	"strings"

	"starling/mixing/spelling"
	"starling/node/data/tokenizer"
	"starling/node/model/gguf"
)

// Kinds of tokens in GGUF files.
const (
	kindUnknown = 2
	kindControl = 3
	kindUser    = 4
	kindUnused  = 5
)

// A cutting is how llama.cpp's name for a pre-tokenizer cuts texts.
type cutting struct {
	split      []tokenizer.Split
	nfc        bool
	wholeWords bool
	bos        bool // texts begin with the BOS token unless the file says otherwise
}

var cuttings = map[string]cutting{
	"gpt-2":     {split: []tokenizer.Split{tokenizer.GPT2}},
	"llama-bpe": {split: []tokenizer.Split{tokenizer.Llama3}, wholeWords: true, bos: true},
	"qwen2":     {split: []tokenizer.Split{tokenizer.Qwen2}, nfc: true},
	"smollm":    {split: []tokenizer.Split{tokenizer.Digits, tokenizer.GPT2}},
}

// TokenizerFromGGUF returns the tokenizer in the metadata of a GGUF file. It returns an error for kinds that are not matched here.
func TokenizerFromGGUF(f *gguf.File) (*tokenizer.Tokenizer, error) {
	s, err := ggufTokenizer(f)
	if err != nil {
		return nil, err
	}
	return tokenizer.New(*s)
}

func ggufTokenizer(f *gguf.File) (*tokenizer.Spec, error) {
	model, err := f.Text("tokenizer.ggml.model")
	if err != nil {
		return nil, err
	}
	if model != "gpt2" {
		return nil, fmt.Errorf("tokenizer.ggml.model is %s, and only gpt2, BPE on bytes, is read", spelling.Quote(model))
	}
	name, err := f.Text("tokenizer.ggml.pre")
	if err != nil {
		return nil, fmt.Errorf("%w: it does not say how texts are cut", err)
	}
	how, ok := cuttings[name]
	if !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre is %s, which is not known here; gpt-2, llama-bpe, qwen2 and smollm are", spelling.Quote(name))
	}
	s := &tokenizer.Spec{Split: how.split, NFC: how.nfc, WholeWords: how.wholeWords, Unknown: -1}
	if err := ggufVocabulary(f, s); err != nil {
		return nil, err
	}
	return s, ggufFrame(f, s, how.bos)
}

func ggufVocabulary(f *gguf.File, s *tokenizer.Spec) error {
	tokens, err := f.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	kinds, err := f.Ints("tokenizer.ggml.token_type")
	if err != nil {
		return err
	}
	if len(kinds) != len(tokens) {
		return fmt.Errorf("tokenizer.ggml.token_type has %d entries for %d tokens", len(kinds), len(tokens))
	}
	for id, token := range tokens {
		switch kinds[id] {
		case kindUnknown, kindControl, kindUser:
			s.Added = append(s.Added, tokenizer.Added{ID: id, Text: token, Special: kinds[id] != kindUser})
			tokens[id] = ""
		case kindUnused:
			tokens[id] = ""
		}
	}
	s.Tokens = tokens
	merges, err := f.Texts("tokenizer.ggml.merges")
	if err != nil {
		return err
	}
	for i, line := range merges {
		a, b, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("merge %d, %s, has no space between its tokens", i, spelling.Quote(line))
		}
		s.Merges = append(s.Merges, [2]string{a, b})
	}
	return nil
}

// ggufFrame reads which tokens go around texts.
func ggufFrame(f *gguf.File, s *tokenizer.Spec, bos bool) error {
	for _, side := range []struct {
		name  string
		added bool
		to    *[]int
	}{{"bos", bos, &s.Prefix}, {"eos", false, &s.Suffix}} {
		if key := "tokenizer.ggml.add_" + side.name + "_token"; f.Has(key) {
			var err error
			if side.added, err = f.Bool(key); err != nil {
				return err
			}
		}
		if !side.added {
			continue
		}
		id, err := f.Int("tokenizer.ggml." + side.name + "_token_id")
		if err != nil {
			return err
		}
		*side.to = []int{id}
	}
	return nil
}
