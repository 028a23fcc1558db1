package compute

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node"
	"starling/node/data"
	"starling/node/manifest"
	"starling/node/model/hf"
	"starling/node/model/llama"
)

// tiny is a model of random weights, with a tokenizer of its own.
func tiny(family string) string { return filepath.Join("..", "model", "hf", "testdata", family) }

// talk writes documents and returns the source.
func talk(t testing.TB) string {
	t.Helper()
	var lines strings.Builder
	for i := range 40 {
		text := strings.Repeat([]string{"the starling sings. ", "a flock turns at dusk! "}[i%2], 1+i%3)
		b, err := json.Marshal(map[string]string{"prompt": text, "completion": text})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(b, '\n'))
	}
	file := filepath.Join(t.TempDir(), "talk.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return "jsonl:" + file
}

// tuning is the manifest of a run that fine-tunes a model.
func tuning(t testing.TB, path, trained string) manifest.Manifest {
	t.Helper()
	c, err := hf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	digest, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	words, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Default()
	m.Model = "hf:context=16;tokenizer=" + llama.TokenizerOf(words.Digest()) + ";" + trained
	m.Init, m.Data = manifest.WeightsInit(digest), manifest.Data{Source: "own", Split: "iid", Shards: 1}
	m.Evaluate.Target, m.Optimizer = 0, "adamw:lr=0.01,wd=0"
	return m
}

func TestPublishedModelsAreTunedOnRows(t *testing.T) {
	for _, family := range []string{"llama", "qwen2", "gpt2"} {
		s := build(t, tuning(t, tiny(family), "full:norms"), Options{Model: tiny(family), Source: talk(t), Threads: 2}, 7, 0)
		params, opt := s.init()
		_, before := s.Evaluate(t.Context(), params)
		out, outOpt := slices.Clone(params), slices.Clone(opt)
		if trained := s.Train(t.Context(), s.node, node.TrainJob{Steps: 30}, params, opt, nil, out, outOpt); math.IsNaN(trained.Loss) {
			t.Fatalf("%s: training diverged", family)
		}
		if _, after := s.Evaluate(t.Context(), out); !(after < before-0.1) {
			t.Errorf("%s: the loss is %.4f before training and %.4f after", family, before, after)
		}
	}
}

func TestWhatIsNotTheRunsModelIsRefused(t *testing.T) {
	m, source := tuning(t, tiny("llama"), "lora:r=2"), talk(t)
	damaged, swapped := t.TempDir(), t.TempDir()
	for _, dir := range []string{damaged, swapped} {
		if err := os.CopyFS(dir, os.DirFS(tiny("llama"))); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(damaged, "model-00003-of-00003.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	words, err := os.ReadFile(filepath.Join(tiny("smollm2"), "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(damaged, "model-00003-of-00003.safetensors"), b, 0o600), os.WriteFile(filepath.Join(swapped, "tokenizer.json"), words, 0o600)); err != nil {
		t.Fatal(err)
	}
	long := m
	long.Model = "hf:context=4096"
	for _, test := range []struct {
		m            manifest.Manifest
		model, words string
	}{
		{m, "", "say with --model"},
		{m, "nowhere", "nowhere"},
		{m, tiny("smollm2"), "take the one that the run was made for"},
		{m, damaged, "take the one that the run was made for"},
		{m, tiny("llama.gguf"), "in the same format"},
		{m, swapped, "tokenizer"},
		{long, tiny("llama"), "was made for"},
	} {
		_, err := New(test.m, Options{Model: test.model, Source: source})
		if err == nil || !strings.Contains(err.Error(), test.words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("model %q: %v, want %q on one line", test.model, err, test.words)
		}
	}
	if _, err := New(m, Options{Model: tiny("llama"), Source: "mnist"}); err == nil || !strings.Contains(err.Error(), "no text") {
		t.Errorf("images for a language model: %v", err)
	}
}

func TestASpeakerSaysWhatIsMostProbable(t *testing.T) {
	l, err := OpenLanguage(tiny("smollm2"), [32]byte{}, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Speaker("", 1)
	if err != nil {
		t.Fatal(err)
	}
	say := func(how llama.Sampling, seed uint64) string {
		t.Helper()
		prompt, err := l.Prompt("the starling", false)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := s.Say(t.Context(), prompt, 12, how, rand.New(rand.NewPCG(seed, 0)), func(piece string) error {
			text.WriteString(piece)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	if a, b := say(llama.Sampling{}, 1), say(llama.Sampling{}, 2); a == "" || a != b {
		t.Errorf("without temperature the model says %q and %q", a, b)
	}
	if a, b := say(llama.Sampling{Temperature: 1}, 1), say(llama.Sampling{Temperature: 1}, 2); a == b {
		t.Errorf("with other seeds the model says the same, %q", a)
	}
	if err := s.Say(t.Context(), nil, 5, llama.Sampling{}, nil, nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("without a prompt: %v", err)
	}
	source, err := data.Open(talk(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, tokens, err := s.Evaluate(t.Context(), source, 16, 0); err != nil || tokens == 0 {
		t.Errorf("%d tokens: %v", tokens, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := s.Evaluate(ended, source, 16, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("evaluation of a command that was ended: %v", err)
	}
	if _, _, _, err := s.Evaluate(t.Context(), source, 1<<20, 0); err == nil {
		t.Error("rows longer than the model's context are evaluated")
	}
}

func TestAnAdapterOfAnotherModelIsNoted(t *testing.T) {
	l, err := OpenLanguage(tiny("llama"), [32]byte{}, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	training, err := llama.ParseTraining("lora:r=2")
	if err != nil {
		t.Fatal(err)
	}
	m, err := l.Model(training, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, named := tuning(t, tiny("llama"), "lora:r=2").Weights()
	if !named {
		t.Fatal("the manifest names no model")
	}
	for what, wrong := range map[string]struct {
		digest [32]byte
		noted  bool
	}{"of this model": {digest, false}, "of another one": {[32]byte{1}, true}, "that does not tell": {[32]byte{}, false}} {
		dir := t.TempDir()
		if err := m.SavePEFT(dir, make([]float32, m.Layout().Len()), "", wrong.digest); err != nil {
			t.Fatal(err)
		}
		s, err := l.Speaker(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		if noted := s.Other() != nil && strings.Contains(s.Other().Error(), "may not fit"); noted != wrong.noted {
			t.Errorf("adapter %s: %v", what, s.Other())
		}
	}
}
