package report_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/sim/report"
)

func TestResultHasTheKeysThatToolsReadByName(t *testing.T) {
	text, err := largeRun().Result.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var have map[string]json.RawMessage
	if err := json.Unmarshal(text, &have); err != nil {
		t.Fatal(err)
	}
	keys := func(name string) (out []string) {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(have[name], &m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for k := range m { // order-free: sorted below
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	for _, k := range strings.Fields(`seed nodes trace_hash virtual_seconds wall_seconds cpu_seconds train_cpu_seconds eval_cpu_seconds events messages bytes
		bytes_received_per_node_round duplicate_factor accuracy loss consensus_distance peak_rss_bytes`) {
		if _, ok := have[k]; !ok {
			t.Errorf("the key %s is missing", k)
		}
	}
	for _, k := range []string{"messages", "bytes"} {
		if diff := cmp.Diff([]string{"delivered", "dropped", "in_flight", "lost", "sent"}, keys(k)); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
	for _, k := range []string{"accuracy", "loss"} {
		if diff := cmp.Diff([]string{"best", "mean", "std", "worst"}, keys(k)); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
}

func TestNumbersThatAreNotFiniteAreNull(t *testing.T) {
	r := report.Result{Nodes: 1, ConsensusDistance: report.Real(math.NaN()), Loss: report.Spread{Mean: report.Real(math.Inf(1)), Worst: report.Real(math.Inf(-1)), Best: 1e300}}
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"consensus_distance": null`, `"mean": null`, `"worst": null`, `"best": 1e+300`, `"targets": []`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	back, err := report.ParseResult(text)
	if err != nil || back.ConsensusDistance.Finite() || back.Loss.Mean.Finite() || back.Loss.Best != 1e300 {
		t.Errorf("have %+v and %v", back.Loss, err)
	}
}

func TestWhatIsNoResultIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "not the result of a simulation",
		"{}":                       "nodes is 0",
		"[]":                       "not the result of a simulation",
		`{"nodes": "many"}`:        "nodes",
		`{"nodes": 1} {}`:          "not the result of a simulation",
		`{"nodes":1,"loss":"low"}`: "loss",
	} {
		if _, err := report.ParseResult([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: have %v, want an error with %q", text, err, want)
		}
	}
	if _, err := report.ParseResult([]byte(`{"nodes": 1, "of_a_later_version": [1]}`)); err != nil {
		t.Errorf("a later version is refused: %v", err)
	}
}

func TestRunComesBackFromItsDirectory(t *testing.T) {
	for name, run := range map[string]report.Run{"large": largeRun(), "small": smallRun()} {
		dir := filepath.Join(t.TempDir(), "a", "b")
		if err := report.Write(dir, run); err != nil {
			t.Fatal(err)
		}
		have, err := report.Read(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		run.Dir = dir
		if diff := cmp.Diff(run, have, sameReal()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDirectoryHoldsWholeFilesOnly(t *testing.T) {
	dir := t.TempDir()
	if err := report.Write(dir, largeRun()); err != nil {
		t.Fatal(err)
	}
	want := []string{"accuracy-bytes.svg", "accuracy-rounds.svg", "accuracy-time.svg", "consensus-rounds.svg", "experiment.yaml", "loss-bytes.svg",
		"loss-rounds.svg", "loss-time.svg", "online-time.svg", "report.html", "result.json", "series.csv", "topology.json", "topology.svg"}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	if have, err := os.ReadFile(filepath.Join(dir, report.ExperimentFile)); err != nil || string(have) != fakeFile {
		t.Errorf("the experiment is changed: %q, %v", have, err)
	}
	again := largeRun()
	again.Topology, again.Series = nil, nil
	if err := report.Write(dir, again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"experiment.yaml", "report.html", "result.json", "series.csv"}, names(t, dir)); diff != "" {
		t.Errorf("a former run shows through: %s", diff)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// A run that cannot be written as a whole leaves no result, and no half of a file.
func TestFailedWriteLeavesNoResult(t *testing.T) {
	dir := t.TempDir()
	if err := report.Write(dir, smallRun()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, report.PageFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, report.PageFile, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir, smallRun()); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	for _, n := range names(t, dir) {
		if n == report.ResultFile || strings.HasPrefix(n, ".tmp") {
			t.Errorf("%s is left", n)
		}
	}
}

func TestBrokenDirectoriesAreNamed(t *testing.T) {
	for _, test := range []struct{ name, file, text, want string }{
		{"no result", report.ResultFile, "", "not the directory of a simulation that ended"},
		{"half a result", report.ResultFile, `{"nodes":`, "result.json: not the result"},
		{"no series", report.SeriesFile, "", "series.csv"},
		{"bad series", report.SeriesFile, "x\n", "series.csv: line 1"},
		{"bad link", report.TopologyFile, `{"nodes":2,"links":[[0,2]]}`, "topology.json"},
		{"bad role", report.TopologyFile, `{"nodes":1,"links":[],"roles":"x"}`, `role 'x' of node 0`},
		{"too few roles", report.TopologyFile, `{"nodes":2,"links":[[0,1]],"roles":"h"}`, "1 roles for 2 nodes"},
		{"too many accuracies", report.TopologyFile, `{"nodes":1,"links":[],"accuracy":[1,null]}`, "2 accuracies for 1 nodes"},
		{"endless graph", report.TopologyFile, `{"nodes":1000000000,"links":[]}`, "nodes is 1000000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := report.Write(dir, smallRun()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, test.file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if test.text != "" {
				if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := report.Read(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestTalliesAddUp(t *testing.T) {
	a, b := fakeTally(1_000_003), fakeTally(7)
	if !a.Balanced() || !b.Balanced() || !a.Plus(b).Balanced() || a.Plus(b).Sent != 1_000_010 {
		t.Errorf("%+v and %+v make %+v", a, b, a.Plus(b))
	}
	a.Lost++
	if a.Balanced() {
		t.Errorf("%+v is taken for balanced", a)
	}
}
