package report_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/sim/report"
)

var update = flag.Bool("update", false, "rewrite the pages and figures in testdata")

// exactRun has four evaluations of numbers that are the same on every machine.
func exactRun(seed uint64, loss, method string, speed float64) report.Run {
	var s report.Series
	for k := range 4 {
		a := 0.125 + speed*float64(k)
		s = append(s, report.Tick{
			Seconds: report.Real(40 * k), Rounds: report.Real(k), Events: uint64(1000 * k), SentPerNode: report.Real(4096 * k), ReceivedPerNode: report.Real(4000 * k),
			Accuracy: report.Accuracies([]float64{a, a + 0.0625, a + 0.125, a - 0.0625}), Loss: report.Losses([]float64{2 - 2*a, 2.25 - 2*a}),
			ConsensusDistance: report.Real(1 / float64(k+1)), Online: 4 - k%2, Evaluated: 4,
		})
	}
	last := s[3]
	half := report.Tally{Sent: 100, Delivered: 90, Lost: 5, Dropped: 3, InFlight: 2}
	bytes := report.Tally{Sent: 20480, Delivered: 18000, Lost: 1480, Dropped: 600, InFlight: 400}
	return report.Run{Series: s, Dir: "out/" + method + "-" + loss, Result: report.Result{
		Name: "tiny", Version: "1.2.3", Method: method, Seed: seed, DataSeed: 5, Nodes: 4, TraceHash: "abc123", Rounds: 3, Stopped: "3 rounds are over",
		VirtualSeconds: 120, WallSeconds: 0.25, CPUSeconds: 0.5, TrainCPUSeconds: 0.25, EvalCPUSeconds: 0.125, Events: 3000,
		Messages: half.Plus(half), Bytes: bytes.Plus(bytes), BytesSentPerNode: 12288, BytesReceivedPerNodeRound: 4000, DuplicateFactor: 1.5,
		Traffic:  []report.Traffic{{Kind: "update", Messages: half, Bytes: bytes}, {Kind: "control", Messages: half, Bytes: bytes}},
		Accuracy: last.Accuracy.Spread, Loss: last.Loss.Spread, ConsensusDistance: last.ConsensusDistance,
		Targets: []report.Target{s.Reach(0.5), s.Reach(0.99)}, Adversaries: []report.Group{{Kind: "sign-flip", Nodes: 1}},
		Churn: report.Churn{Joins: 2, Leaves: 1, Crashes: 1, MeanOnline: 3.5}, PeakRSSBytes: 64 << 20,
		File: "name: tiny\nnodes: 4\nnetwork:\n  loss: 0\n", Settings: []report.Setting{{Key: "network.loss", Value: loss}, {Key: "method", Value: method}},
	}}
}

// embedded is the style and script of a page, which have no place in a comparison of pages.
var embedded = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>`)

func TestPagesAndFiguresAreAsReviewed(t *testing.T) {
	run := exactRun(1, "0", "average", 0.1875)
	run.Topology = &report.Picture{Graph: graphOf(t, "ring", 4), Roles: []report.Role("haho"), Accuracy: []report.Real{0.75, report.Real(math.NaN()), 0.5, 0.25}}
	one, many := t.TempDir(), t.TempDir()
	if err := report.Write(one, run); err != nil {
		t.Fatal(err)
	}
	runs := []report.Run{run, exactRun(1, "0.1", "average", 0.125), exactRun(1, "0", "walk", 0.25), exactRun(2, "0", "walk", 0.125)}
	if err := report.WriteCompare(many, runs); err != nil {
		t.Fatal(err)
	}
	var graphs bytes.Buffer
	if err := report.Topologies(&graphs, 6, 1, []string{"ring", "star", "base:k=1", "hypercube"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(many, "topologies.html"), graphs.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(one, "report.html"), filepath.Join(one, "accuracy-time.svg"), filepath.Join(one, "topology.svg"), filepath.Join(one, "result.json"),
		filepath.Join(one, "series.csv"), filepath.Join(many, "compare.html"), filepath.Join(many, "compare-heat-accuracy.svg"),
		filepath.Join(many, "compare-loss-bytes.svg"), filepath.Join(many, "topologies.html"),
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Base(path), embedded.ReplaceAll(text, []byte("<$1></$1>")))
	}
}

func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// One element a line, so that a difference is short.
	lines := func(b []byte) string { return strings.ReplaceAll(string(b), "><", ">\n<") }
	if diff := cmp.Diff(lines(want), lines(have)); diff != "" {
		t.Errorf("%s is not as reviewed; look at it, and if it is right run\n\tgo test ./sim/report -run TestPagesAndFiguresAreAsReviewed -update\n%s", name, diff)
	}
}

func TestEqualRunsMakeEqualFiles(t *testing.T) {
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := report.Page(b, largeRun()); err != nil {
			t.Fatal(err)
		}
		if err := report.Compare(b, comparisons()[3].runs); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two pages of equal runs differ")
	}
}

// Figures are XML, however odd the run, and nothing in them or in the pages is markup that came from a name.
func TestNoNameBecomesMarkup(t *testing.T) {
	dir := t.TempDir()
	var runs []report.Run
	for _, n := range oddRuns() {
		if err := report.Write(filepath.Join(dir, n.name), n.run); err != nil {
			t.Fatalf("%s: %v", n.name, err)
		}
		runs = append(runs, n.run)
		n.run.Result.Settings = []report.Setting{{Key: hostile, Value: fmt.Sprint(hostile, len(runs))}}
		n.run.Dir = hostile
		runs = append(runs, n.run)
	}
	for name, some := range map[string][]report.Run{"few": runs[:4], "all": runs} {
		if err := report.WriteCompare(filepath.Join(dir, "compare", name), some); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".svg":
			count++
			if n, err := wellFormed(string(text), "script"); n > 0 || err != nil {
				t.Errorf("%s: %d scripts, %v", path, n, err)
			}
		case ".html":
			count++
			if s := string(text); strings.Contains(s, "<img") || strings.Contains(s, "<script>window") || strings.ContainsAny(s, "\x00\x1b\u202e") {
				t.Errorf("%s: a name is not escaped", path)
			}
		}
		return nil
	})
	if err != nil || count < 40 {
		t.Errorf("%d files, %v", count, err)
	}
}
