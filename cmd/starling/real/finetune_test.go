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

// The long form, a quarter of an hour of two cores, with the real model:
//
//	STARLING_SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf go test ./cmd/starling/real -run Sites -timeout 1h -v
var (
	rounds  = flag.Int("rounds", 6, "rounds of the fine-tuning in TestSitesLearnFromEachOtherBehindThinLinks")
	records = flag.Int("records", 120, "records of each site there with the method scalar, which has no rounds")
	smollm2 = os.Getenv("STARLING_SMOLLM2")
)

// A topic is documents of one kind.
type topic struct {
	name      string
	documents []document
}

// A document is a line of JSONL: a text; or a question and what is to be answered, which alone counts.
type document struct {
	Text       string `json:"text,omitempty"`
	Prompt     string `json:"prompt,omitempty"`
	Completion string `json:"completion,omitempty"`
}

// asked makes questions of texts: each part of one is asked what it is of. Slopes, one byte each, learn how to answer within some hundred records;
// to write as the texts do takes them ten times as many and more.
func (t topic) asked(answer string) topic {
	const part, most = 200, 200
	of := topic{name: t.name}
	for _, d := range t.documents {
		for text := d.Text; len(text) >= part && len(of.documents) < most; text = text[min(len(text), 3*part/2):] {
			of.documents = append(of.documents, document{Prompt: text[:part] + "\n\nWhat is this?", Completion: answer})
		}
	}
	return of
}

// topics are three kinds of text among the sources of Go: physics of 1704, programs, and programs for one processor; or questions about them.
func topics(t *testing.T, questions bool) []topic {
	t.Helper()
	opticks := text(t)
	root := filepath.Dir(filepath.Dir(filepath.Dir(opticks)))
	out := []topic{{name: "opticks"}, {name: "programs"}, {name: "assembly"}}
	for i, from := range []struct{ file, cut, answer string }{
		{opticks, "\n\n\n", " Physics: from a book about light, of 1704."},
		{filepath.Join(root, "src", "net", "http", "server.go"), "\nfunc ", " Program: Go, of the package net/http."},
		{filepath.Join(root, "src", "runtime", "asm_amd64.s"), "\nTEXT ", " Assembly: of Go's runtime, for amd64."},
	} {
		b, err := os.ReadFile(from.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range strings.Split(string(b), from.cut) {
			if len(d) > 300 && len(out[i].documents) < 200 {
				out[i].documents = append(out[i].documents, document{Text: d[:min(len(d), 1500)]})
			}
		}
		if questions {
			out[i] = out[i].asked(from.answer)
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
				if err := json.NewEncoder(&lines).Encode(of.documents[i]); err != nil {
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
	for _, method := range []string{"outer", "scalar"} {
		t.Run(method, func(t *testing.T) {
			f := fineTuning{t: t, program: program, method: method, model: smollm2, context: 128, steps: 5, records: *records}
			switch {
			case method == "scalar":
				f.train, f.rate, f.format = "full:norms", 1e-4, daemon.FormatMerged
			default:
				f.train, f.rate, f.format = "lora:r=8", 5e-4, daemon.FormatPEFT
			}
			if f.model == "" {
				// The same with a tiny model of random weights: it learns which tokens there are, which takes more than adapters.
				f.model, f.context, f.steps = filepath.Join("..", "..", "..", "node", "model", "hf", "testdata", "llama"), 32, 20
				f.train, f.format, f.rate = "lora:r=4;full:norms+lm_head.weight", daemon.FormatMerged, 2e-2
				if method == "scalar" {
					f.rate, f.records = 1.5e-3, 2000
				}
			}
			f.compare()
		})
	}
}

type fineTuning struct {
	t                      *testing.T
	program, model, method string
	train, format          string
	context, steps         int
	records                int // of each site, with the method scalar
	rate                   float64
}

// compare has the sites train together, and then each alone.
func (f fineTuning) compare() {
	t := f.t
	sites := topics(t, f.method == "scalar")
	all := write(t, filepath.Join(t.TempDir(), "all.jsonl"), sites...)
	before := f.loss("", all)
	together := f.run(sites, all)
	t.Logf("loss over all topics: %.4f before, %.4f after training together", before, together)
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

func (f fineTuning) manifest() manifest.Manifest {
	m, err := daemon.FineTuning{Model: f.model, Train: f.train, Context: f.context, Method: f.method}.Manifest()
	if err != nil {
		f.t.Fatal(err)
	}
	if m.Method.Name == "scalar" {
		m.Method.Scalar = fmt.Sprintf("structured:pool=4096,epoch=%d,records=%d,peers=3,lr=%g,eps=1e-3", f.records, f.records, f.rate)
		m.Evaluate.Every = 100
	} else {
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
	if f.method == "scalar" {
		trial.Records = uint64(f.records * len(sites))
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
