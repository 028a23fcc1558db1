package demo

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"starling/gossip"
	"starling/node/daemon"
)

// TestTheTableFitsASmallTerminal draws swarms of all sizes with the longest of notes: a line that wraps or scrolls could not be
// drawn over.
func TestTheTableFitsASmallTerminal(t *testing.T) {
	for _, nodes := range []int{1, 8, tableRows, tableRows + 1, tableRows + 2, MaxNodes} {
		s := &Swarm{}
		for i := range nodes {
			s.nodes = append(s.nodes, &Node{Index: i, Seen: true, Report: daemon.Report{
				Peer: "p", Round: 123456, EvalAt: 1, Accuracy: 1 - float64(i)/1000, Loss: 1234.5, Sent: 1 << 40, Received: 1 << 40,
				Trouble: []string{strings.Repeat("disk full · ", 50)},
			}})
		}
		var out bytes.Buffer
		lines := table(&out, s, 12345)
		got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(got) != lines || lines > 23 {
			t.Errorf("%d nodes: %d lines, said to be %d, of a terminal of 24", nodes, len(got), lines)
		}
		for _, l := range got {
			if n := utf8.RuneCountInString(l); n > 79 {
				t.Errorf("%d nodes: a line of %d: %q", nodes, n, l)
			}
		}
		if worst := percent(1 - float64(nodes-1)/1000); !strings.Contains(out.String(), worst) {
			t.Errorf("%d nodes: the worst, %s, is not shown", nodes, worst)
		}
	}
}

func TestTrainingIsTimedFromTheFirstNodeOn(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &Swarm{polled: first.Add(4 * time.Second), nodes: []*Node{
		{Report: daemon.Report{Began: first.Add(time.Second), Steps: 100, Work: map[string]daemon.Work{"train": {Done: 2, Seconds: 0.5}}}},
		{Report: daemon.Report{Began: first, Steps: 300, Work: map[string]daemon.Work{"train": {Done: 6, Seconds: 0.3}, "mix": {Done: 1, Seconds: 2}}}},
	}}
	var r Result
	r.measure(s)
	if r.TrainingSeconds != 4 || r.Steps != 200 || !slices.Equal(r.BeganAfter, []float64{1, 0}) {
		t.Errorf("%g s, %g steps, began after %v; want 4, 200, [1 0]", r.TrainingSeconds, r.Steps, r.BeganAfter)
	}
	if want := (jobDuration{"train": 0.1, "mix": 2}); !maps.Equal(r.JobSeconds, want) {
		t.Errorf("jobs last %v, want %v", r.JobSeconds, want)
	}
	r.measure(&Swarm{nodes: []*Node{{}}})
	if r.TrainingSeconds != 0 || r.Steps != 0 || r.BeganAfter != nil || len(r.JobSeconds) != 0 {
		t.Errorf("nobody has begun, and there are figures: %+v", r)
	}
}

func TestRowsSayWhatANodeDoes(t *testing.T) {
	at := daemon.Report{Peer: "p", EvalAt: 3, Accuracy: 0.97, Reached: true}
	for want, n := range map[string]Node{
		"starting":    {},
		"restarting":  {Report: at},
		"97.00 %":     {Report: at, Seen: true},
		"  reached":   {Report: at, Seen: true},
		"  no answer": {Report: at, Seen: true, Silent: true},
		"       –":    {Report: daemon.Report{Peer: "p"}, Seen: true},
	} {
		if got := n.row(); !strings.Contains(got, want) || utf8.RuneCountInString(got) > tableWidth-8 {
			t.Errorf("%q does not say %q, or is too long", got, want)
		}
	}
}

// TestANodeThatDoesNotAnswerIsNotCountedAsReached gives a node a control file that leads to a port where nobody reads.
func TestANodeThatDoesNotAnswerIsNotCountedAsReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	home := t.TempDir()
	run := gossip.RunID{1}
	dir := daemon.RunDir(home, run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	control := `{"addr":"` + l.Addr().String() + `","token":"x","pid":1}`
	if err := os.WriteFile(filepath.Join(dir, "control.json"), []byte(control), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &Node{
		Home: home, Seen: true, Report: daemon.Report{Peer: "p", Reached: true},
		cmd: &exec.Cmd{Process: &os.Process{Pid: 1}}, done: make(chan struct{}),
	}
	s := &Swarm{run: run, nodes: []*Node{n}}
	if !reached(s) {
		t.Fatal("not reached to begin with")
	}
	if err := s.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !n.Silent || reached(s) || !strings.Contains(shortfall(s), "node 0 does not answer") {
		t.Errorf("silent %v, reached %v, %q", n.Silent, reached(s), shortfall(s))
	}
}

func TestTheEndOfALogBeginsWithAWholeLine(t *testing.T) {
	n := &Node{Home: t.TempDir()}
	log := strings.Repeat(strings.Repeat("x", 700)+"\n", 20) + "error: the last line\n"
	if err := os.WriteFile(n.logFile(), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(n.logTail(), "\n")
	if len(lines) != 8 || len(lines[0]) != 700 || lines[7] != "error: the last line" {
		t.Errorf("%d lines, the first of %d bytes, the last %q", len(lines), len(lines[0]), lines[len(lines)-1])
	}
}

func TestADemoThatIsStoppedBeforeItBeganSaysOnlyThat(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := Demo{Config: Config{Nodes: 2, Manifest: small(2), Home: t.TempDir(), Program: program}, Timeout: 1, Out: &bytes.Buffer{}}
	if _, err := d.Run(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
