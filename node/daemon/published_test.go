package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node/compute"
	"starling/node/data"
	"starling/node/model/hf"
	"starling/node/model/llama"
	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

// fineTuned has a site alone train whole tensors of a model, and returns the directory of the run and the site's data.
func fineTuned(t *testing.T, model string) (run, documents string) {
	t.Helper()
	m, err := FineTuning{Model: model, Train: "full:norms", Context: 32}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Method.Steps.Count = 2
	var lines strings.Builder
	for i := range 20 {
		fmt.Fprintf(&lines, `{"messages": [{"role": "user", "content": "Why %d?"}, {"role": "assistant", "content": "The wings."}]}`+"\n", i)
	}
	file := filepath.Join(t.TempDir(), "documents.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := local(t.TempDir())
	cfg.Model, cfg.Data = model, "jsonl:"+file
	link, err := CreateRun(cfg.Home, m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	d, stop := serve(t, link.String(), cfg)
	reports(t, d, "rounds", func(r Report) bool { return r.Round > 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return d.dir, cfg.Data
}

// What whole tensors have learned from a GGUF file comes out as a directory that is a model like others.
func TestAModelFromAGGUFFileIsExportedAsADirectory(t *testing.T) {
	model := filepath.Join("..", "model", "hf", "testdata", "llama.gguf")
	run, documents := fineTuned(t, model)
	out := t.TempDir()
	dir, file := filepath.Join(out, "merged"), filepath.Join(out, "learned.safetensors")
	if _, err := ExportPublished(t.Context(), run, 0, FormatPEFT, model, filepath.Join(out, "adapter")); err == nil || !strings.Contains(err.Error(), "save the merged weights") {
		t.Errorf("an adapter of whole tensors: %v", err)
	}
	info, err := ExportPublished(t.Context(), run, 0, FormatMerged, model, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ExportCheckpoint(t.Context(), run, info.Number, file); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(out); err != nil || len(list) != 2 {
		t.Errorf("there are %v %v, want the directory and the file", list, err)
	}
	sameWeights(t, model, file, dir)

	// As `starling model` opens it.
	l, err := compute.OpenLanguage(dir, [32]byte{}, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Speaker("", 1)
	if err != nil {
		t.Fatal(err)
	}
	source, err := data.Open(documents)
	if err != nil {
		t.Fatal(err)
	}
	if loss, _, tokens, err := s.Evaluate(t.Context(), source, 32, 4); err != nil || !(loss > 0) || tokens == 0 {
		t.Errorf("the loss is %v over %d tokens: %v", loss, tokens, err)
	}
	prompt, err := l.Prompt("Why?", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Say(t.Context(), prompt, 4, llama.Sampling{}, nil, func(string) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, err := (FineTuning{Model: dir}).Manifest(); err != nil {
		t.Errorf("what was exported cannot be trained: %v", err)
	}
	if _, err := ExportPublished(t.Context(), run, 0, FormatMerged, model, dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over another export: %v", err)
	}
}

// sameWeights wants the tensors of a directory to be those that were learned, and else those of the model.
func sameWeights(t *testing.T, model, learned, dir string) {
	t.Helper()
	was, err := hf.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer was.Close()
	now, err := hf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	trained, err := safetensors.Open(learned)
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Close()
	changed := 0
	for _, s := range now.Config.Tensors() {
		var from weights.Source = was
		if slices.Contains(trained.Names(), s.Name) {
			from = trained
		}
		want, err1 := from.Tensor(s.Name)
		got, err2 := now.Tensor(s.Name)
		old, err3 := was.Tensor(s.Name)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		x, _ := want.Floats()
		z, _ := old.Floats()
		rounded, err := weights.Append(nil, weights.BF16, x)
		if err != nil || !slices.Equal(got.Bytes(), rounded) {
			t.Errorf("tensor %s is not what was learned: %v", s.Name, err)
		}
		if !slices.Equal(x, z) {
			changed++
		}
	}
	if changed != len(trained.Names()) || changed == 0 {
		t.Errorf("%d tensors have changed, want all %d that were trained", changed, len(trained.Names()))
	}
}
