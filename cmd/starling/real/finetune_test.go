package real

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starling/node/compute"
	"starling/node/daemon"
	"starling/node/daemon/thin"
	"starling/node/data"
	"starling/node/manifest"
	"starling/node/model/llama"
)

// The long form, some quarter of an hour of two cores, with the real model:
//
//	STARLING_SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf go test ./cmd/starling/real -run Sites -timeout 1h -v
//
// and the same with -method scalar.
var (
	rounds = flag.Int("rounds", 6, "rounds of the fine-tuning in TestSitesLearnFromEachOtherBehindThinLinks")
	method = flag.String("method", "outer", "its method: outer, scalar or average")
)

// A topic is documents of one kind.
type topic struct {
	name      string
	documents []string
}

// topics are three kinds of text among the sources of Go: physics of 1704, programs, and programs for one processor.
func topics(t *testing.T) []topic {
	t.Helper()
	opticks := text(t)
	root := filepath.Dir(filepath.Dir(filepath.Dir(opticks)))
	out := []topic{{name: "opticks"}, {name: "programs"}, {name: "assembly"}}
	for i, from := range []struct{ file, cut string }{
		{opticks, "\n\n\n"}, {filepath.Join(root, "src", "net", "http", "server.go"), "\nfunc "}, {filepath.Join(root, "src", "runtime", "asm_amd64.s"), "\nTEXT "},
	} {
		b, err := os.ReadFile(from.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range strings.Split(string(b), from.cut) {
			if len(d) > 300 && len(out[i].documents) < 200 {
				out[i].documents = append(out[i].documents, d[:min(len(d), 1500)])
			}
		}
	}
	return out
}

// write writes documents of some topics as JSONL.
func write(t *testing.T, file string, topics ...topic) string {
	t.Helper()
	var lines bytes.Buffer
	for i := range 200 {
		for _, of := range topics {
			if i < len(of.documents) {
				if err := json.NewEncoder(&lines).Encode(map[string]string{"text": of.documents[i]}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Three sites, each with documents of its own topic, fine-tune a language model behind links of 1 Mbit/s, 100 ms from each other. What they
// have learned together is better, over all topics, than what any of them learns alone in as many rounds.
func TestSitesLearnFromEachOtherBehindThinLinks(t *testing.T) {
	if cmd := thin.Again(t.Context()); cmd != nil {
		cmd.Args = append(cmd.Args, "-test.run=^TestSitesLearnFromEachOtherBehindThinLinks$")
		if err := cmd.Run(); err != nil && strings.Contains(err.Error(), "fork/exec") {
			t.Skipf("neither network namespaces nor user namespaces are permitted: %v", err)
		} else if err != nil {
			t.Error(err)
		}
		return
	}
	program := filepath.Join(t.TempDir(), "starling")
	if out, err := exec.Command("go", "build", "-o", program, "starling/cmd/starling").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	f := fineTuning{t: t, program: program, model: os.Getenv("STARLING_SMOLLM2"), train: "lora:r=8", context: 128, steps: 5, rate: 5e-4, format: daemon.FormatPEFT}
	if f.model == "" {
		// The same with a tiny model of random weights: it learns which tokens there are, which takes more than adapters.
		f.model, f.train, f.context, f.steps = filepath.Join("..", "..", "..", "node", "model", "hf", "testdata", "llama"), "lora:r=4;full:norms+lm_head.weight", 32, 20
		f.rate = 2e-2
		f.format = daemon.FormatMerged
	}
	sites := topics(t)
	all := write(t, filepath.Join(t.TempDir(), "all.jsonl"), sites...)
	before := f.loss("", all)
	together := f.run(sites, all)
	t.Logf("loss over all topics: %.4f before, %.4f after %d rounds together", before, together, *rounds)
	if together >= before {
		t.Errorf("together the sites have learned nothing: loss %.4f before, %.4f after", before, together)
	}
	for _, site := range sites {
		alone := f.run([]topic{site}, all)
		t.Logf("%s alone: %.4f", site.name, alone)
		if together >= alone {
			t.Errorf("%s alone gets to a loss of %.4f, all together to %.4f", site.name, alone, together)
		}
	}
}

type fineTuning struct {
	t              *testing.T
	program, model string
	train, format  string
	context, steps int
	rate           float64
}

func (f fineTuning) manifest() manifest.Manifest {
	m, err := daemon.FineTuning{Model: f.model, Train: f.train, Context: f.context, Method: *method}.Manifest()
	if err != nil {
		f.t.Fatal(err)
	}
	if m.Method.Name != "scalar" {
		// A site alone may do more rounds than asked for before it is stopped: they change nothing.
		m.Method.Steps.Count = f.steps
		m.Optimizer = fmt.Sprintf("adamw:lr=%g,wd=0,clip=1,schedule=cosine,warmup=5,total=%d,final=0", f.rate, *rounds*f.steps)
	}
	return m
}

// run has the sites train and returns the loss over all topics of what the first of them has in the end.
func (f fineTuning) run(sites []topic, all string) float64 {
	t := f.t
	home := t.TempDir()
	files := make([]string, len(sites))
	for i, s := range sites {
		files[i] = write(t, filepath.Join(home, s.name+".jsonl"), s)
	}
	var out bytes.Buffer
	links := make([]thin.Link, len(sites))
	for i := range links {
		links[i] = thin.Link{Up: 1_000_000, Down: 1_000_000}
	}
	trial := thin.Trial{
		Config:   thin.Config{Links: links, Delay: func(int, int) time.Duration { return 100 * time.Millisecond }},
		Manifest: f.manifest(), Rounds: uint64(*rounds), Timeout: time.Hour, Home: home, Program: f.program, Out: &out,
		Own: func(i int) []string { return []string{"--model", f.model, "--data", "jsonl:" + files[i]} },
	}
	r, err := trial.Run(t.Context())
	if errors.Is(err, thin.ErrNotPermitted) {
		t.Skip(err)
	} else if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Logf("%d sites: %.0f s, %d bytes sent by the first\n%s", len(sites), r.Seconds, r.ByNode[0].Training.Sent, out.String())
	run, err := daemon.FindRun(filepath.Join(home, "node-0"), "")
	if err != nil {
		t.Fatal(err)
	}
	learned := filepath.Join(home, "learned")
	if _, err := daemon.ExportPublished(t.Context(), run, 0, f.format, f.model, learned); err != nil {
		t.Fatal(err)
	}
	return f.loss(learned, all)
}

// loss measures what a run has made of the model, or the model itself.
func (f fineTuning) loss(learned, texts string) float64 {
	model, adapter := f.model, learned
	if f.format == daemon.FormatMerged && learned != "" {
		model, adapter = learned, ""
	}
	l, err := compute.OpenLanguage(model, [32]byte{}, llama.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := l.Speaker(adapter, 2)
	if err != nil {
		f.t.Fatal(err)
	}
	source, err := data.Open("jsonl:held=0.1:" + texts)
	if err != nil {
		f.t.Fatal(err)
	}
	loss, _, tokens, err := s.Evaluate(f.t.Context(), source, f.context, 64)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Logf("loss %.4f over %d tokens", loss, tokens)
	return loss
}
