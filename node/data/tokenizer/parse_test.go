package tokenizer_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"starling/node/data/tokenizer"
)

// small is a tokenizer.json whose parts tests exchange.
func small(t testing.TB, change func(m map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(`{
		"added_tokens": [{"id": 4, "content": "<s>", "special": true}],
		"normalizer": null,
		"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
		"post_processor": {"type": "ByteLevel"},
		"decoder": {"type": "ByteLevel"},
		"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}
	}`), &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokenizersThatAreNotMatchedAreRefused(t *testing.T) {
	model := func(key string, x any) func(map[string]any) {
		return func(m map[string]any) { m["model"].(map[string]any)[key] = x }
	}
	top := func(key, text string) func(map[string]any) {
		return func(m map[string]any) {
			var x any
			if err := json.Unmarshal([]byte(text), &x); err != nil {
				t.Fatal(err)
			}
			m[key] = x
		}
	}
	for _, test := range []struct {
		want   string
		change func(map[string]any)
	}{
		{`model is "WordPiece"`, model("type", "WordPiece")},
		{"BPE on characters", model("byte_fallback", true)},
		{"BPE on characters", model("end_of_word_suffix", "</w>")},
		{"BPE on characters", model("continuing_subword_prefix", "##")},
		{"dropout", model("dropout", 0.1)},
		{"is empty", model("vocab", map[string]int{})},
		{"not a JSON object", model("vocab", []int{1})},
		{"not a JSON object", model("vocab", nil)},
		{"both have ID 0", model("vocab", map[string]int{"a": 0, "b": 0})},
		{"too far", model("vocab", map[string]int{"a": 1 << 20})},
		{"too far", model("vocab", map[string]int{"a": -1})},
		{"token 0 is empty", model("vocab", map[string]int{"": 0})},
		{`the vocabulary has no "ba"`, model("merges", []string{"b a"})},
		{"no space", model("merges", []string{"ba"})},
		{"a merge of 3 tokens", model("merges", [][]string{{"a", "b", "c"}})},
		{`unk_token "<unk>"`, model("unk_token", "<unk>")},
		{`normalizer "Lowercase"`, top("normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}`)},
		{"no pre-tokenizer ByteLevel", top("pre_tokenizer", "null")},
		{`pre-tokenizer "Metaspace"`, top("pre_tokenizer", `{"type": "Metaspace"}`)},
		{"must be the last", top("pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]}`)},
		{"puts spaces between", top("pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": true}]}`)},
		{`pattern "\\d+"`, top("pre_tokenizer", `{"type": "Split", "pattern": {"Regex": "\\d+"}, "behavior": "Isolated"}`)},
		{"no pattern Regex", top("pre_tokenizer", `{"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"}`)},
		{`behavior "MergedWithNext"`, top("pre_tokenizer", `{"type": "Split", "behavior": "MergedWithNext", "pattern": {"Regex": `+
			`"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}}`)},
		{`post-processor "Roberta"`, top("post_processor", `{"type": "Roberta"}`)},
		{"leaves the text out", top("post_processor", `{"type": "TemplateProcessing", "single": []}`)},
		{"does not say what it is", top("post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}`)},
		{"neither the text nor", top("post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}]}`)},
		{"token 99 goes around texts", top("post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
			"special_tokens": {"<s>": {"ids": [99]}}}`)},
		{`decoder "WordPiece"`, top("decoder", `{"type": "WordPiece"}`)},
		{"word of its own", top("added_tokens", `[{"id": 4, "content": "x", "single_word": true}]`)},
		{"added token 4 is empty", top("added_tokens", `[{"id": 4, "content": ""}]`)},
		{"far from the vocabulary", top("added_tokens", `[{"id": 400000, "content": "x"}]`)},
		{`are both "x"`, top("added_tokens", `[{"id": 4, "content": "x"}, {"id": 5, "content": "x"}]`)},
		{"cannot unmarshal", top("added_tokens", `{}`)},
	} {
		if _, err := tokenizer.Parse(small(t, test.change)); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("have %v, want %q", err, test.want)
		}
	}
	if _, err := tokenizer.Parse([]byte("{")); err == nil {
		t.Error("half a file is read")
	}
	if _, err := tokenizer.New(tokenizer.Spec{Tokens: []string{"a", "a"}, Unknown: -1}); err == nil || !strings.Contains(err.Error(), `tokens 0 and 1 are both "a"`) {
		t.Errorf("have %v", err)
	}
	if _, err := tokenizer.New(tokenizer.Spec{Tokens: []string{"a"}, Unknown: 7}); err == nil || !strings.Contains(err.Error(), "unknown bytes, 7") {
		t.Errorf("have %v", err)
	}
}

func TestTokensAreFoundByName(t *testing.T) {
	tok, err := tokenizer.Parse(small(t, func(map[string]any) {}))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int32{"<s>": 4, "ab": 2, " ": 3} {
		if id, ok := tok.ID(text); !ok || id != want || tok.Token(id) != text {
			t.Errorf("%q is %d %t, want %d", text, id, ok, want)
		}
	}
	if _, ok := tok.ID("ba"); ok || tok.Token(-1) != "" || tok.Token(5) != "" || tok.Special(-1) || tok.Special(5) || !tok.Special(4) || tok.Size() != 5 {
		t.Error("tokens are there that are not")
	}
	if got := tok.Decode([]int32{2, 4, -1, 99, 3, 0}, false); got != "ab a" {
		t.Errorf("decoded to %q", got)
	}
	e := tok.NewEncoder()
	if got := e.Encode([]int32{9}, "<s>ab b"); !slices.Equal(got, []int32{9, 4, 2, 3, 1}) {
		t.Errorf("encoded to %v", got)
	}
	if got := e.Plain(nil, "<s>ab"); !slices.Equal(got, []int32{2}) { // the rest has no tokens
		t.Errorf("encoded to %v", got)
	}
}

func TestDigestsTellTokenizersApart(t *testing.T) {
	model := func(key string, x any) func(map[string]any) {
		return func(m map[string]any) { m["model"].(map[string]any)[key] = x }
	}
	added := func(key string, x any) func(map[string]any) {
		return func(m map[string]any) { m["added_tokens"].([]any)[0].(map[string]any)[key] = x }
	}
	seen := map[[32]byte]int{}
	for i, change := range []func(map[string]any){
		func(map[string]any) {},
		model("merges", []string{}),
		model("vocab", map[string]int{"b": 0, "a": 1, "ab": 2, "Ġ": 3}),
		model("ignore_merges", true),
		model("fuse_unk", true),
		model("unk_token", "Ġ"),
		added("special", false),
		added("lstrip", true),
		added("rstrip", true),
		added("normalized", true),
		added("content", "<t>"),
		added("id", 5),
		func(m map[string]any) { m["normalizer"] = map[string]any{"type": "NFC"} },
		func(m map[string]any) { m["pre_tokenizer"].(map[string]any)["use_regex"] = false },
		func(m map[string]any) { m["pre_tokenizer"].(map[string]any)["add_prefix_space"] = true },
	} {
		for range 2 {
			tok, err := tokenizer.Parse(small(t, change))
			if err != nil {
				t.Fatal(i, err)
			}
			d := tok.Digest()
			if other, ok := seen[d]; ok && other != i {
				t.Errorf("change %d has the digest of change %d", i, other)
			}
			seen[d] = i
		}
		if len(seen) != i+1 {
			t.Errorf("%d digests after change %d", len(seen), i)
		}
	}
}

func TestTextsAreFramed(t *testing.T) {
	tok := load(t, "llama3")
	start, _ := tok.ID("<|im_start|>")
	end, _ := tok.ID("<|im_end|>")
	if !slices.Equal(tok.Prefix, []int32{start}) || !slices.Equal(tok.Suffix, []int32{end}) {
		t.Errorf("frame is %v %v, want %d %d", tok.Prefix, tok.Suffix, start, end)
	}
}

func TestMemoryOfWordsChangesNothing(t *testing.T) {
	tok := load(t, "qwen2")
	old := tok.NewEncoder()
	for _, text := range texts(t)[:1000] {
		if want, got := tok.NewEncoder().Encode(nil, text), old.Encode(nil, text); !slices.Equal(got, want) {
			t.Fatalf("%q is %v after other texts, and %v before", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small(f, func(map[string]any) {}))
	text, err := os.ReadFile("testdata/unknown.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := tokenizer.Parse(data)
		if err != nil {
			return
		}
		for _, id := range tok.NewEncoder().Encode(nil, "it's <s> 12 ab\u00e9\n\xff") {
			if id < 0 || int(id) >= tok.Size() {
				t.Fatalf("token %d of %d", id, tok.Size())
			}
		}
	})
}

// FuzzEncode: any text comes back, in one go and token by token.
func FuzzEncode(f *testing.F) {
	for _, text := range texts(f)[:20] {
		f.Add(text)
	}
	tok := load(f, "smollm2")
	e := tok.NewEncoder()
	f.Fuzz(func(t *testing.T, text string) {
		ids := e.Encode(nil, text)
		want, got, s := tok.Decode(ids, true), "", tok.NewStream(true)
		for _, id := range ids {
			got += s.Add(id)
		}
		if got += s.End(); got != want || utf8.ValidString(text) && got != text {
			t.Fatalf("%q comes back as %q and %q", text, want, got)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	text := strings.Join(texts(b), "\n")
	for _, name := range []string{"gpt2", "llama3", "qwen2", "smollm2"} {
		b.Run(name, func(b *testing.B) {
			tok := load(b, name)
			e := tok.NewEncoder()
			var ids []int32
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				ids = e.Encode(ids[:0], text)
			}
		})
	}
}
