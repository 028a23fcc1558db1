package hf

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

var tiny = []string{"llama", "smollm2", "qwen2", "gpt2"}

func open(t testing.TB, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err1, err2 := c.Close(), c.Close(); err1 != nil || err2 != nil {
			t.Error(err1, err2)
		}
	})
	return c
}

func both(t testing.TB, name string) (directory, file *Checkpoint) {
	t.Helper()
	return open(t, filepath.Join("testdata", name)), open(t, filepath.Join("testdata", name+".gguf"))
}

func TestBothFormatsGiveTheSameConfig(t *testing.T) {
	for _, name := range tiny {
		a, b := both(t, name)
		x, y := *a.Config, *b.Config
		if name == "llama" { // the scaling of Llama 3 is factors in GGUF files
			if x.Rope.Scaling != "llama3" || y.Rope.Scaling != "factors" {
				t.Errorf("scaling is %q and %q", x.Rope.Scaling, y.Rope.Scaling)
			}
			f, g := x.Rope.Frequencies(x.HeadDim), y.Rope.Frequencies(y.HeadDim)
			for i := range f {
				if math.Abs(float64(f[i]-g[i])) > 1e-6*float64(f[i]) {
					t.Errorf("frequency %d is %g and %g", i, f[i], g[i])
				}
			}
			x.Rope, y.Rope = Rope{}, Rope{}
		}
		one, err1 := json.Marshal(x)
		two, err2 := json.Marshal(y)
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Errorf("%s is %s and %s", name, one, two)
		}
	}
}

func TestBothFormatsGiveTheSameWeights(t *testing.T) {
	for _, name := range tiny {
		a, b := both(t, name)
		for _, s := range a.Config.Tensors() {
			x, err1 := a.Tensor(s.Name)
			y, err2 := b.Tensor(s.Name)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if x.Name != s.Name || y.Name != s.Name {
				t.Errorf("%s is called %q and %q", s.Name, x.Name, y.Name)
			}
			f, err1 := x.Floats()
			g, err2 := y.Floats()
			if err1 != nil || err2 != nil || !slices.Equal(f, g) {
				t.Errorf("%s of %s differs: %v %v", s.Name, name, err1, err2)
			}
			row := make([]float32, x.Width())
			for i := range x.Rows() {
				if err := y.Decode(row, i); err != nil || !slices.Equal(row, f[i*len(row):(i+1)*len(row)]) {
					t.Fatalf("row %d of %s of %s differs: %v", i, s.Name, name, err)
				}
			}
		}
		for _, c := range []*Checkpoint{a, b} {
			for _, s := range c.Config.Tensors() {
				if !slices.Contains(c.Names(), s.Name) {
					t.Errorf("%s is not among the names of %s", s.Name, c.path)
				}
			}
			for _, gone := range []string{"model.layers.9.mlp.up_proj.weight", "blk.0.attn_q.weight", "x", "lm_head.bias"} {
				if _, err := c.Tensor(gone); err == nil || !strings.Contains(err.Error(), "no tensor") {
					t.Errorf("%s of %s: %v", gone, c.path, err)
				}
			}
		}
	}
}

func TestBothFormatsGiveTheSameTokens(t *testing.T) {
	const text = "<|im_start|>the 12345 the<tool> the Åre A\u030are it'S\n\n  x<|im_end|>"
	for _, name := range tiny {
		a, b := both(t, name)
		x, err1 := a.Tokenizer()
		y, err2 := b.Tokenizer()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, plain := range []string{text, "the th", ""} {
			if f, g := x.NewEncoder().Encode(nil, plain), y.NewEncoder().Encode(nil, plain); !slices.Equal(f, g) {
				t.Errorf("%s encodes %q to %v and %v", name, plain, f, g)
			}
			if f, g := x.NewEncoder().Plain(nil, plain), y.NewEncoder().Plain(nil, plain); !slices.Equal(f, g) {
				t.Errorf("%s encodes %q as plain text to %v and %v", name, plain, f, g)
			}
		}
		if !slices.Equal(x.Prefix, y.Prefix) || len(x.Prefix) != map[string]int{"llama": 1}[name] {
			t.Errorf("%s has prefixes %v and %v", name, x.Prefix, y.Prefix)
		}
		for _, c := range []*Checkpoint{a, b} {
			template, err := c.Template()
			if err != nil || template.BOS != "<|begin|>" || template.EOS != "<|im_end|>" || !strings.HasPrefix(template.Text, "{% for m in messages %}") {
				t.Errorf("%s: %+v %v", c.path, template, err)
			}
		}
		if (a.GGUF() == nil) == (b.GGUF() == nil) {
			t.Error("the GGUF file is in the wrong place")
		}
	}
}

// A run is named by the digest of its model: it is the same in all versions.
func TestDigestsStayAsTheyAre(t *testing.T) {
	for name, want := range map[string]string{"llama": "7ec961d00b1801cdf54d0739beb8af2d6489ab642b7aa1c33c16800c1f6634c4", "smollm2.gguf": "e5ef55fe9e28eb0bbc8cd0e634020363beb621f0070524badf75ccb69e35e44e"} {
		d, err := open(t, filepath.Join("testdata", name)).Digest()
		if got := hex.EncodeToString(d[:]); err != nil || got != want {
			t.Errorf("%s has the digest %s, want %s (%v)", name, got, want, err)
		}
	}
}

func TestDigestsTellModelsApart(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, name := range tiny {
		a, b := both(t, name)
		for _, c := range []*Checkpoint{a, b} {
			d, err := c.Digest()
			if err != nil || seen[d] != "" && seen[d] != "qwen2" { // whose two files have the same numbers in the same order
				t.Errorf("%s has the digest of %q, %v", c.path, seen[d], err)
			}
			seen[d] = name
		}
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS("testdata/qwen2")); err != nil {
		t.Fatal(err)
	}
	d, err := open(t, copied).Digest()
	if err != nil || seen[d] != "qwen2" {
		t.Errorf("a copy has another digest: %v", err)
	}
	path := filepath.Join(copied, safetensors.FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.Rename(path, path+".old"); err != nil { // the old one stays mapped
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := open(t, copied).Digest(); err != nil || seen[e] != "" {
		t.Errorf("one bit changes nothing: %v", err)
	}
}

// change copies a tiny model and calls edit with the directory.
func change(t *testing.T, name string, edit func(dir string)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	edit(dir)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenModelsAreRefusedWithOneLine(t *testing.T) {
	set := func(old, now string) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, "config.json")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), old) {
				t.Fatalf("config.json has no %s", old)
			}
			write(t, path, strings.Replace(string(text), old, now, 1))
		}
	}
	remove := func(name string) func(string) {
		return func(dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		want string
		edit func(dir string)
	}{
		{"no config.json", remove("config.json")},
		{"neither model.safetensors nor", remove("model.safetensors")},
		{"pytorch_model.bin", func(dir string) {
			remove("model.safetensors")(dir)
			write(t, filepath.Join(dir, "pytorch_model.bin"), "")
		}},
		{"no safetensors file", func(dir string) { write(t, filepath.Join(dir, "model.safetensors"), "") }},
		{"unexpected end of JSON", func(dir string) { write(t, filepath.Join(dir, "config.json"), "{") }},
		{`there is no tensor "model.layers.2.`, set(`"num_hidden_layers": 2`, `"num_hidden_layers": 3`)},
		{`"model.layers.0.mlp.gate_proj.weight" has shape [12 8], want [13 8]`, set(`"intermediate_size": 12`, `"intermediate_size": 13`)},
		{`there is no tensor "lm_head.weight"`, set(`"tie_word_embeddings": true`, `"tie_word_embeddings": false`)},
		{`vocab_size is 0, want 1 to 4194304; special token`, set(`"vocab_size": 266`, `"vocab_size": 0`)},
		{"more than 1048576 bytes", func(dir string) { write(t, filepath.Join(dir, "config.json"), strings.Repeat(" ", 1<<20+1)) }},
	} {
		dir := change(t, "qwen2", test.edit)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("have %v, want %q", err, test.want)
		}
	}
	for path, want := range map[string]string{"testdata/gone": "no such file", "testdata/models.py": "neither a directory nor a .gguf file"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWrongTokenizersAreRefused(t *testing.T) {
	for _, test := range []struct {
		want string
		edit func(dir string)
	}{
		{"no tokenizer.json", func(dir string) {
			if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
				t.Fatal(err)
			}
		}},
		{"belongs to another model", func(dir string) {
			text, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "tokenizer.json"), strings.Replace(string(text), `{"id":263,`, `{"id":280,`, 1))
		}},
	} {
		c := open(t, change(t, "qwen2", test.edit))
		if _, err := c.Tokenizer(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("have %v, want %q", err, test.want)
		}
	}
}

func TestTemplatesAreFoundWhereverTheyAre(t *testing.T) {
	for _, test := range []struct {
		config, jinja string
		want          Template
	}{
		{`{"chat_template": "a", "bos_token": null}`, "", Template{Text: "a"}},
		{`{"chat_template": [{"name": "tool_use", "template": "b"}, {"name": "default", "template": "c"}], "eos_token": "E"}`, "", Template{Text: "c", EOS: "E"}},
		{`{"chat_template": "a", "bos_token": {"content": "B"}}`, "d", Template{Text: "d", BOS: "B"}},
		{"", "d", Template{Text: "d"}},
		{"", "", Template{}},
	} {
		c := open(t, change(t, "qwen2", func(dir string) {
			if err := os.Remove(filepath.Join(dir, "tokenizer_config.json")); err != nil {
				t.Fatal(err)
			}
			if test.config != "" {
				write(t, filepath.Join(dir, "tokenizer_config.json"), test.config)
			}
			if test.jinja != "" {
				write(t, filepath.Join(dir, "chat_template.jinja"), test.jinja)
			}
		}))
		if got, err := c.Template(); err != nil || got != test.want {
			t.Errorf("%s %q: %+v %v", test.config, test.jinja, got, err)
		}
		conversation, err := c.Chat()
		if test.want.Text == "" {
			if err == nil || !strings.Contains(err.Error(), "no chat template") {
				t.Errorf("without a template: %v", err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
		} else if text, err := conversation.Render(nil, false); err != nil || text != test.want.Text {
			t.Errorf("%q is rendered to %q %v", test.want.Text, text, err)
		}
	}
}

// save writes the weights of a model to a directory.
func save(t *testing.T, c *Checkpoint, dir string) {
	t.Helper()
	var specs []safetensors.Spec
	for _, s := range c.Config.Tensors() {
		specs = append(specs, safetensors.Spec{Name: s.Name, Type: weights.BF16, Shape: s.Shape})
	}
	err := safetensors.Save(dir, specs, 4000, nil, func(s safetensors.Spec, w *safetensors.Writer) error {
		tensor, err := c.Tensor(s.Name)
		if err != nil {
			return err
		}
		x, err := tensor.Floats()
		if err != nil {
			return err
		}
		return w.Floats(x)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSavedModelsAreReadAgain(t *testing.T) {
	for _, name := range tiny {
		c := open(t, filepath.Join("testdata", name+".gguf"))
		again := described(t, c)
		for _, s := range c.Config.Tensors() {
			x, _ := c.Tensor(s.Name)
			y, _ := again.Tensor(s.Name)
			f, _ := x.Floats()
			g, _ := y.Floats()
			if !slices.Equal(f, g) { // a few bits, exact in all formats
				t.Errorf("%s of %s is not what it was", s.Name, name)
			}
		}
	}
}
