package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starling/node/daemon"
)

// documents writes a file of documents about one thing.
func documents(t *testing.T, about string) string {
	t.Helper()
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, `{"messages": [{"role": "user", "content": "%s %d?"}, {"role": "assistant", "content": "%s"}]}`+"\n", about, i, strings.Repeat(about+". ", 1+i%4))
	}
	file := filepath.Join(t.TempDir(), about+".jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAFineTuningOutlivesASiteThatIsKilled(t *testing.T) {
	model := filepath.Join("..", "..", "model", "hf", "testdata", "smollm2")
	m, err := daemon.FineTuning{Model: model, Train: "lora:r=2;full:norms", Context: 32}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Optimizer, m.Method.Steps.Count = "adamw:lr=2e-3,wd=0,clip=1,schedule=cosine,warmup=5,total=200,final=0", 20
	var files []string
	for _, about := range []string{"wings", "dusk", "flocks"} {
		files = append(files, documents(t, about))
	}
	s, err := Start(Config{Nodes: 3, Manifest: m, Home: t.TempDir(), Program: program, Own: func(i int) []string {
		return []string{"--model", model, "--data", "jsonl:held=0.2:" + files[i]}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	until := func(what string, enough func(*Node) bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; {
			if err := s.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := true
			for _, n := range s.Nodes() {
				all = all && n.Seen && enough(n)
			}
			switch {
			case all:
				return
			case time.Now().After(deadline):
				t.Fatalf("%s: not in time", what)
			}
			if err := sleep(t.Context(), pollEvery); err != nil {
				t.Fatal(err)
			}
		}
	}
	until("the first rounds", func(n *Node) bool { return n.Report.Round >= 3 })
	killed := s.Nodes()[1].Report.Round
	if err := s.Kill(1); err != nil {
		t.Fatal(err)
	}
	if err := s.Launch(1); err != nil {
		t.Fatal(err)
	}
	until("the rounds after", func(n *Node) bool {
		return n.Report.Round >= killed+4 && n.Report.EvalAt > killed && n.Report.Counted > 0
	})
	if resumed := s.Nodes()[1].Report.Resumed; resumed+1 < killed {
		t.Errorf("the killed site was in round %d and went on from %d", killed, resumed)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Nodes() {
		dir := daemon.RunDir(n.Home, s.Run())
		if bad, err := daemon.VerifyCheckpoints(t.Context(), dir); err != nil || len(bad) > 0 {
			t.Errorf("checkpoints of site %d: %v %v", n.Index, bad, err)
		}
	}
	adapter := filepath.Join(t.TempDir(), "merged")
	if _, err := daemon.ExportPublished(t.Context(), daemon.RunDir(s.Nodes()[1].Home, s.Run()), 0, daemon.FormatMerged, model, adapter); err != nil {
		t.Fatal(err)
	}
	if _, err := (daemon.FineTuning{Model: adapter}).Manifest(); err != nil {
		t.Errorf("what was exported is no model: %v", err)
	}
}
