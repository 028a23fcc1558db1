package tokenizer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"starling/node/data/tokenizer"
)

// specOf reads a tokenizer of testdata the way that a GGUF file has it: added tokens are not in the vocabulary.
func specOf(t *testing.T, name string) tokenizer.Spec {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Added []struct {
			ID                                  int
			Content                             string
			Special, Normalized, Lstrip, Rstrip bool
		} `json:"added_tokens"`
		Model struct {
			Vocab     map[string]int
			Merges    []any
			Unknown   *string `json:"unk_token"`
			Fuse      bool    `json:"fuse_unk"`
			WholeWord bool    `json:"ignore_merges"`
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	s := tokenizer.Spec{Unknown: -1, FuseUnknown: f.Model.Fuse, WholeWords: f.Model.WholeWord}
	s.Tokens = make([]string, len(f.Model.Vocab))
	for token, id := range f.Model.Vocab {
		s.Tokens[id] = token
	}
	for _, m := range f.Model.Merges {
		a, b, _ := strings.Cut(fmt.Sprint(m), " ")
		s.Merges = append(s.Merges, [2]string{strings.TrimPrefix(a, "["), strings.TrimSuffix(b, "]")})
	}
	if f.Model.Unknown != nil {
		s.Unknown = f.Model.Vocab[*f.Model.Unknown]
	}
	for _, a := range f.Added {
		if a.ID < len(s.Tokens) && a.ID != s.Unknown {
			s.Tokens[a.ID] = ""
		}
		s.Added = append(s.Added, tokenizer.Added{ID: a.ID, Text: a.Content, Special: a.Special, Within: a.Normalized, Left: a.Lstrip, Right: a.Rstrip})
	}
	return s
}

func written(t *testing.T, s tokenizer.Spec) (made, read *tokenizer.Tokenizer) {
	t.Helper()
	text, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if read, err = tokenizer.Parse(text); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if made, err = tokenizer.New(s); err != nil {
		t.Fatal(err)
	}
	return made, read
}

func TestWrittenTokenizersEncodeAsByTheReference(t *testing.T) {
	for name, set := range map[string]func(*tokenizer.Spec){
		"gpt2":    func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.GPT2} },
		"llama3":  func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.Llama3} },
		"qwen2":   func(s *tokenizer.Spec) { s.Split, s.NFC = []tokenizer.Split{tokenizer.Qwen2}, true },
		"smollm2": func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.Digits, tokenizer.GPT2} },
	} {
		t.Run(name, func(t *testing.T) {
			s := specOf(t, name)
			set(&s)
			_, read := written(t, s)
			compare(t, name, read)
		})
	}
}

func TestWrittenTokenizersHaveTheSameDigest(t *testing.T) {
	plain := tokenizer.Spec{
		Tokens: []string{"a", "b", "ab", "Ġ", "<"}, Merges: [][2]string{{"a", "b"}}, Unknown: -1, Split: []tokenizer.Split{tokenizer.GPT2},
		Added: []tokenizer.Added{{ID: 6, Text: "<t>"}, {ID: 5, Text: "<s> & é", Special: true}},
	}
	seen := map[[32]byte]bool{}
	for i, change := range []func(*tokenizer.Spec){
		func(*tokenizer.Spec) {},
		func(s *tokenizer.Spec) { s.Added = nil },
		func(s *tokenizer.Spec) { s.Merges = nil },
		func(s *tokenizer.Spec) {
			s.Added = []tokenizer.Added{{ID: 5, Text: "x", Left: true, Right: true, Within: true}}
		},
		func(s *tokenizer.Spec) { s.Split = nil },
		func(s *tokenizer.Spec) { s.Split, s.PrefixSpace = nil, true },
		func(s *tokenizer.Spec) { s.PrefixSpace = true },
		func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.Llama3} },
		func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.Qwen2} },
		func(s *tokenizer.Spec) { s.Split = []tokenizer.Split{tokenizer.GPT2, tokenizer.Numbers} },
		func(s *tokenizer.Spec) {
			s.Split = []tokenizer.Split{tokenizer.Digits, tokenizer.GPT2, tokenizer.GPT2, tokenizer.Qwen2}
		},
		func(s *tokenizer.Spec) { s.NFC = true },
		func(s *tokenizer.Spec) { s.WholeWords = true },
		func(s *tokenizer.Spec) { s.Unknown, s.FuseUnknown = 4, true },
		func(s *tokenizer.Spec) { s.Prefix, s.Suffix = []int{5, 0, 5}, []int{6} },
		func(s *tokenizer.Spec) { s.Suffix = []int{6} },
		func(s *tokenizer.Spec) { s.Tokens = append(s.Tokens, "<s> & é", "<t>") }, // added tokens in the vocabulary stay there
	} {
		s := plain
		s.Tokens, s.Added = slices.Clone(s.Tokens), slices.Clone(s.Added)
		change(&s)
		made, read := written(t, s)
		if made.Digest() != read.Digest() {
			t.Errorf("change %d: the digest of what is read is another", i)
		}
		if seen[made.Digest()] {
			t.Errorf("change %d changes nothing", i)
		}
		seen[made.Digest()] = true
	}
}

// The reference numbers added tokens that are not in the vocabulary from its length on, whatever the file says.
func TestAddedTokensAmongOthersAreWrittenIntoTheVocabulary(t *testing.T) {
	s := tokenizer.Spec{
		Tokens: []string{"", "a", "b", "", ""}, Unknown: -1, Split: []tokenizer.Split{tokenizer.GPT2},
		Added: []tokenizer.Added{{ID: 0, Text: "<s>", Special: true}, {ID: 7, Text: "<t>"}},
	}
	text, err := s.JSON()
	if err != nil || !strings.Contains(string(text), `"vocab":{"<s>":0,"a":1,"b":2,"<t>":7}`) {
		t.Errorf("%s %v", text, err)
	}
	made, read := written(t, s)
	for _, line := range []string{"ab<s>a<t>b", "<s", ""} {
		if a, b := made.NewEncoder().Encode(nil, line), read.NewEncoder().Encode(nil, line); !slices.Equal(a, b) {
			t.Errorf("%q is encoded to %v, and to %v when read again", line, a, b)
		}
	}
	if a, b := made.Decode([]int32{0, 1, 7}, true), read.Decode([]int32{0, 1, 7}, true); a != b {
		t.Errorf("decoded to %q and %q", a, b)
	}
}

func TestWhatATokenizerFileCannotSayIsNotWritten(t *testing.T) {
	for _, test := range []struct {
		want string
		s    tokenizer.Spec
	}{
		{"token 0, \"\\xff\", is no UTF-8", tokenizer.Spec{Tokens: []string{"\xff"}, Unknown: -1}},
		{"added token 0, \"\\xff\", is no UTF-8", tokenizer.Spec{Added: []tokenizer.Added{{Text: "\xff"}}, Unknown: -1}},
		{`tokens 0 and 1 are both "a"`, tokenizer.Spec{Tokens: []string{"a"}, Added: []tokenizer.Added{{ID: 1, Text: "a"}}, Unknown: -1}},
		{`token 0 is both "a" and "x"`, tokenizer.Spec{Tokens: []string{"a"}, Added: []tokenizer.Added{{ID: 0, Text: "x"}}, Unknown: -1}},
		{"unknown bytes, 1,", tokenizer.Spec{Tokens: []string{"a"}, Unknown: 1}},
		{"unknown bytes, 0,", tokenizer.Spec{Tokens: []string{"", "a"}, Unknown: 0}},
		{"cut already", tokenizer.Spec{Tokens: []string{"a"}, Unknown: -1, PrefixSpace: true, Split: []tokenizer.Split{tokenizer.Qwen2}}},
		{"step 9 of cutting", tokenizer.Spec{Tokens: []string{"a"}, Unknown: -1, Split: []tokenizer.Split{9}}},
		{"token 3 goes around texts", tokenizer.Spec{Tokens: []string{"a"}, Unknown: -1, Prefix: []int{3}}},
		{"token -1 goes around texts", tokenizer.Spec{Tokens: []string{"a"}, Unknown: -1, Suffix: []int{-1}}},
	} {
		if text, err := test.s.JSON(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v, want %q", text, err, test.want)
		}
	}
}
