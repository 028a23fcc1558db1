package hf

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"starling/node/data/tokenizer"
	"starling/node/model/weights"
)

func TestConfigsComeBackFromTheirJSON(t *testing.T) {
	for _, name := range tiny {
		a, b := both(t, name)
		for _, c := range []*Checkpoint{a, b} {
			text, err := c.Config.JSON(weights.F16)
			if err != nil || !strings.Contains(string(text), `"torch_dtype": "float16"`) {
				t.Fatalf("%s: %s %v", c.path, text, err)
			}
			// Also Llama 3's scaling, of which a GGUF file has the factors alone.
			if again, err := ParseConfig(text); err != nil || !reflect.DeepEqual(again, a.Config) {
				t.Errorf("%s of %s is read as %+v %v, want %+v", text, c.path, again, err, a.Config)
			}
		}
	}
}

// factors are what a converter to GGUF leaves of a scaling.
func factors(r Rope, dim int) Rope {
	scaled, plain := r.Frequencies(dim), Rope{Theta: r.Theta}.Frequencies(dim)
	out := Rope{Theta: r.Theta, Scaling: "factors"}
	for i := range scaled {
		out.Factors = append(out.Factors, plain[i]/scaled[i])
	}
	return out
}

func TestLlama3ScalingIsFoundFromItsFactors(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dim := 2 * (8 + rng.IntN(120))
		want := Rope{Theta: 1e5 + 1e6*rng.Float64(), Scaling: "llama3", Factor: float64(2 + rng.IntN(63)), Low: 1, High: 4, Original: 256 << rng.IntN(8)}
		got, ok := factors(want, dim).llama3Scaling(dim)
		if !ok {
			t.Fatalf("seed %d: the scaling %+v of heads of %d is not found", seed, want, dim)
		}
		// Of several scalings that give the same frequencies any will do.
		f, g := got.Frequencies(dim), want.Frequencies(dim)
		for i := range f {
			if d := (f[i] - g[i]) / g[i]; d > 2e-5 || d < -2e-5 {
				t.Fatalf("seed %d: frequency %d is %v with %+v, want %v of %+v", seed, i, f[i], got, g[i], want)
			}
		}
	}
	published := Rope{Theta: 500000, Scaling: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192}
	if got, ok := factors(published, 64).llama3Scaling(64); !ok || !reflect.DeepEqual(got, published) {
		t.Errorf("have %+v %t, want that of Llama 3.2", got, ok)
	}
	for _, f := range []float32{0.5, 3} {
		odd := Rope{Theta: 10000, Scaling: "factors", Factors: slices.Repeat([]float32{f, 1}, 16)}
		if got, ok := odd.llama3Scaling(64); ok {
			t.Errorf("factors %v are taken for %+v", odd.Factors, got)
		}
	}
}

func TestConfigsThatFilesCannotDescribeAreNotWritten(t *testing.T) {
	for _, test := range []struct {
		want    string
		family  string
		numbers weights.Type
		change  func(*Config)
	}{
		{"weights in Q4_0", "llama", weights.Q4_0, func(*Config) {}},
		{"not those of Llama 3", "llama", weights.BF16, func(c *Config) { c.Rope.Factors = []float32{7, 1} }},
		{"a Llama model with biases", "llama", weights.BF16, func(c *Config) { c.OutBias = !c.OutBias }},
		{"a Qwen2 model with other biases", "qwen2", weights.BF16, func(c *Config) { c.QKVBias = false }},
		{"a Qwen2 model with other biases", "qwen2", weights.BF16, func(c *Config) { c.MLPBias = true }},
	} {
		c := *open(t, filepath.Join("testdata", test.family+".gguf")).Config
		test.change(&c)
		if text, err := c.JSON(test.numbers); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v, want %q", text, err, test.want)
		}
	}
}

func TestTokensThatAModelHasNotAreNull(t *testing.T) {
	c := *open(t, "testdata/smollm2.gguf").Config
	c.BOS, c.EOS, c.Pad = -1, nil, -1
	text, err := c.JSON(weights.BF16)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"bos", "eos", "pad"} { // Llama's are 1 and 2 in transformers where the file says nothing
		if !strings.Contains(string(text), `"`+key+`_token_id": null`) {
			t.Errorf("%s has no %s", text, key)
		}
	}
	if again, err := ParseConfig(text); err != nil || !reflect.DeepEqual(*again, c) {
		t.Errorf("%+v %v", again, err)
	}
}

// described makes the files for a model beside weights that are those of its tiny directory.
func described(t *testing.T, c *Checkpoint) *Checkpoint {
	t.Helper()
	dir := t.TempDir()
	if err := c.Describe(dir, weights.BF16); err != nil {
		t.Fatal(err)
	}
	save(t, c, dir)
	return open(t, dir)
}

// mixed are texts of many scripts, with marks in between.
func mixed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../data/tokenizer/testdata/pieces.json")
	if err != nil {
		t.Fatal(err)
	}
	var pieces []string
	if err := json.Unmarshal(text, &pieces); err != nil {
		t.Fatal(err)
	}
	out := slices.Clone(pieces)
	for seed := range uint64(500) {
		rng, line := rand.New(rand.NewPCG(seed, 2)), ""
		for range 8 {
			line += pieces[rng.IntN(len(pieces))]
			if rng.IntN(4) == 0 {
				line += []string{"<|im_start|>", "<tool>", "<|im_end|>", "<|endoftext|>"}[rng.IntN(4)]
			}
		}
		out = append(out, line)
	}
	return out
}

func sameTokens(t *testing.T, want, got *tokenizer.Tokenizer) {
	t.Helper()
	if !slices.Equal(want.Prefix, got.Prefix) || !slices.Equal(want.Suffix, got.Suffix) {
		t.Errorf("the frame is %v %v, want %v %v", got.Prefix, got.Suffix, want.Prefix, want.Suffix)
	}
	e, f := want.NewEncoder(), got.NewEncoder()
	for _, text := range mixed(t) {
		a, b := e.Encode(nil, text), f.Encode(nil, text)
		if !slices.Equal(a, b) || !slices.Equal(e.Plain(nil, text), f.Plain(nil, text)) {
			t.Fatalf("%q is encoded to %v, want %v", text, b, a)
		}
		for _, special := range []bool{true, false} {
			if x, y := want.Decode(a, special), got.Decode(a, special); x != y {
				t.Fatalf("%v is decoded to %q, want %q", a, y, x)
			}
		}
	}
}

func TestModelsOfGGUFFilesAreDescribed(t *testing.T) {
	for _, name := range tiny {
		directory, file := both(t, name)
		made := described(t, file)
		if !reflect.DeepEqual(made.Config, directory.Config) {
			t.Errorf("%s is %+v, want %+v", name, made.Config, directory.Config)
		}
		want, err1 := directory.Tokenizer()
		old, err2 := file.Tokenizer()
		got, err3 := made.Tokenizer()
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		// As published by the reference, to the bit; the file itself has two IDs without tokens more.
		if want.Digest() != got.Digest() || old.Size() != got.Size()+2 {
			t.Errorf("%s: the tokenizer is not the one that was published", name)
		}
		sameTokens(t, old, got)
		a, err1 := file.Template()
		b, err2 := made.Template()
		if err1 != nil || err2 != nil || a != b {
			t.Errorf("%s: the template is %+v, want %+v: %v %v", name, b, a, err1, err2)
		}
	}
}

func TestModelsOfDirectoriesAreDescribedByTheirFiles(t *testing.T) {
	c, dir := open(t, "testdata/qwen2"), t.TempDir()
	if err := c.Describe(dir, weights.BF16); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v %v", list, err)
	}
	for _, f := range list {
		got, err1 := os.ReadFile(filepath.Join(dir, f.Name()))
		want, err2 := os.ReadFile(filepath.Join("testdata/qwen2", f.Name()))
		if err1 != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s is another: %v %v", f.Name(), err1, err2)
		}
	}
	for _, c := range []*Checkpoint{c, open(t, "testdata/qwen2.gguf")} {
		if err := c.Describe(filepath.Join(dir, "gone"), weights.BF16); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("describe model %s: ", c.path)) {
			t.Errorf("into a directory that is not there: %v", err)
		}
	}
}
