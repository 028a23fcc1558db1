package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node/model/llama"
	"starling/node/model/safetensors"
)

// Two sites share the A of their adapters. The B stays with each: it differs, survives a restart, and is in what is exported.
func TestWhatSitesKeepOfAnAdapterStaysWithThem(t *testing.T) {
	model := filepath.Join("..", "model", "hf", "testdata", "llama")
	m, err := FineTuning{Model: model, Train: "lora:r=2,share=a", Context: 32}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Method.Steps.Count, m.Codec, m.Optimizer = 2, "fp32", "adamw:lr=0.01,wd=0"
	var link string
	var daemons []*Daemon
	var stops []func() error
	configs := make([]Config, 2)
	for i := range configs {
		cfg := local(t.TempDir())
		cfg.Model = model
		file := filepath.Join(cfg.Home, "own.jsonl")
		var lines strings.Builder
		for j := range 20 {
			fmt.Fprintf(&lines, `{"prompt": "Why %d?", "completion": "%s"}`+"\n", j, []string{"The wings.", "At dusk, in a flock."}[i])
		}
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Data = "jsonl:" + file
		configs[i] = cfg
		if i == 0 {
			l, err := CreateRun(cfg.Home, m, []string{"/ip4/127.0.0.1/tcp/1"})
			if err != nil {
				t.Fatal(err)
			}
			d, stop := serve(t, l.String(), cfg)
			daemons, stops = append(daemons, d), append(stops, stop)
			l.Bootstrap = d.Addrs()
			link = l.String()
			continue
		}
		d, stop := serve(t, link, cfg)
		daemons, stops = append(daemons, d), append(stops, stop)
	}
	for _, d := range daemons {
		reports(t, d, "rounds that others mix in", func(r Report) bool { return r.Round > 3 && r.Counted > 0 && r.EvalAt > 0 })
		if have, all := d.program.Len(), d.program.Len()+keptLen(d); d.program.MaxPayload() > uint64(4*have+100) || have >= all {
			t.Errorf("payloads of up to %d bytes carry %d of %d numbers", d.program.MaxPayload(), have, all)
		}
	}
	for _, stop := range stops {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	first, second := keptBy(t, daemons[0], model), keptBy(t, daemons[1], model)
	if slices.Equal(first, second) || slices.Max(first) == 0 || slices.Max(second) == 0 {
		t.Errorf("the sites keep %v... and %v...", first[:4], second[:4])
	}
	d, stop := serve(t, link, configs[0])
	r := reports(t, d, "the node after the restart", func(r Report) bool { return r.Resumed > 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if again := keptBy(t, d, model); slices.Max(again) == 0 {
		t.Errorf("after the restart at round %d nothing is kept", r.Resumed)
	}
}

func keptLen(d *Daemon) (n int) {
	for _, t := range d.program.Kept() {
		n += t.Len()
	}
	return n
}

// keptBy exports the adapter of a site, and returns its B.
func keptBy(t *testing.T, d *Daemon, model string) (b []float32) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := ExportPublished(t.Context(), d.dir, 0, FormatPEFT, model, dir); err != nil {
		t.Fatal(err)
	}
	adapter, err := llama.OpenPEFT(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer adapter.Close()
	f, err := safetensors.Open(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range f.Names() {
		if !strings.Contains(name, "lora_B") {
			continue
		}
		w, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, v...)
	}
	if len(b) == 0 {
		t.Fatal("the adapter has no B")
	}
	return b
}
