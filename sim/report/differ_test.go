package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func runOf(file string, seed uint64, kv ...string) Run {
	r := Run{Result: Result{File: file, Seed: seed, Nodes: 1}}
	for i := 0; i < len(kv); i += 2 {
		r.Result.Settings = append(r.Result.Settings, Setting{kv[i], kv[i+1]})
	}
	return r
}

const someFile = "name: x\nabout: |\n  two\n  lines\nnodes: 8\nnetwork:\n  loss: 0.1\n  latency: 40ms\nlist: [1, 2]\nempty:\n"

func TestSettingsAreFlattenedInTheirOrder(t *testing.T) {
	r := runOf(someFile, 7, "network.loss", "0.2", "method", "walk").Result
	want := []Setting{{"name", "x"}, {"about", "two\nlines\n"}, {"nodes", "8"}, {"network.loss", "0.2"}, {"network.latency", "40ms"},
		{"list", "[1, 2]"}, {"empty", missing}, {"method", "walk"}, {"seed", "7"}, {"data_seed", "0"}}
	if diff := cmp.Diff(want, settings(&r, false)); diff != "" {
		t.Error(diff)
	}
	r.Resolved = []Setting{{"nodes", "8"}, {"seed", "1"}}
	if diff := cmp.Diff([]Setting{{"nodes", "8"}, {"seed", "7"}, {"data_seed", "0"}}, settings(&r, true)); diff != "" {
		t.Errorf("resolved: %s", diff)
	}
	r.File = "a: [\n"
	if diff := cmp.Diff([]Setting{{"network.loss", "0.2"}, {"method", "walk"}, {"seed", "7"}, {"data_seed", "0"}}, settings(&r, false)); diff != "" {
		t.Errorf("a file that is no YAML: %s", diff)
	}
}

func TestOnlyWhatDiffersIsShown(t *testing.T) {
	for _, test := range []struct {
		name       string
		runs       []Run
		keys, axes string
		labels     []string
	}{
		{"one setting", []Run{runOf(someFile, 1), runOf(someFile, 1, "network.loss", "0.3")}, "network.loss", "network.loss", []string{"0.1", "0.3"}},
		{"two settings", []Run{runOf(someFile, 1, "method", "walk"), runOf(someFile, 1, "network.loss", "0.3")}, "network.loss method", "network.loss method",
			[]string{"loss 0.1, method walk", "loss 0.3, method –"}},
		{"seeds", []Run{runOf(someFile, 1), runOf(someFile, 2)}, "seed", "", []string{"seed 1", "seed 2"}},
		{"setting and seeds", []Run{runOf("a: 1", 1), runOf("a: 2", 2)}, "a seed", "a", []string{"1, seed 1", "2, seed 2"}},
		{"names alone", []Run{runOf("name: a", 1), runOf("name: b", 1)}, "", "", []string{"run", "run (2)"}},
		{"nothing", []Run{{Dir: "out/a"}, {Dir: "out/b"}, {Dir: "b"}}, "", "", []string{"a", "b", "b (2)"}},
		{"many settings", []Run{{Dir: "x/a", Result: Result{File: "a: 1\nb: 1\nc: 1\nd: 1"}}, {Dir: "x/b", Result: Result{File: "a: 2\nb: 2\nc: 2\nd: 2"}}},
			"a b c d", "a b c d", []string{"a", "b"}},
		{"a label that is taken", []Run{runOf("a: x", 1), runOf("a: x (2)", 1), runOf("a: x", 1)}, "a", "a", []string{"x", "x (2)", "x (3)"}},
	} {
		d := compareSettings(test.runs)
		if have := strings.Join(d.keys, " "); have != test.keys {
			t.Errorf("%s: keys %q, want %q", test.name, have, test.keys)
		}
		if have := strings.Join(d.axes, " "); have != test.axes {
			t.Errorf("%s: axes %q, want %q", test.name, have, test.axes)
		}
		if diff := cmp.Diff(test.labels, d.labels); diff != "" {
			t.Errorf("%s: labels %s", test.name, diff)
		}
	}
}

func TestLevelsAscendIfTheyAreNumbers(t *testing.T) {
	d := compareSettings([]Run{runOf("a: 10\nb: x", 1), runOf("a: 9\nb: y", 1), runOf("a: 0.5\nb: nan", 1), runOf("a: 0.5\nb: x", 1)})
	if names, numbers := d.levels("a"); !slices.Equal(numbers, []float64{0.5, 9, 10}) || strings.Join(names, " ") != "0.5 9 10" {
		t.Errorf("have %q and %v", names, numbers)
	}
	if names, numbers := d.levels("b"); numbers != nil || strings.Join(names, " ") != "x y NaN" && strings.Join(names, " ") != "x y nan" {
		t.Errorf("have %q and %v", names, numbers)
	}
}

// evaluated is a run with two evaluations.
func evaluated(seed uint64, a string, first, last, bytes Real) Run {
	r := runOf("a: "+a, seed)
	tick := func(k, acc Real) Tick {
		return Tick{Seconds: k * 10, Rounds: k, ReceivedPerNode: k * bytes, Accuracy: Accuracies([]float64{float64(acc)}), Loss: Losses([]float64{1 - float64(acc)})}
	}
	r.Series = Series{tick(1, first), tick(2, last)}
	r.Result.Accuracy, r.Result.Loss = r.Series[1].Accuracy.Spread, r.Series[1].Loss.Spread
	return r
}

func TestTheWinnersAreNamed(t *testing.T) {
	runs := []Run{evaluated(1, "slow", 0.4, 0.9, 10), evaluated(1, "fast", 0.7, 0.8, 100)}
	for i := range runs {
		runs[i].Result.Targets = []Target{runs[i].Series.Reach(0.7), runs[i].Series.Reach(0.99)}
	}
	page, _, err := compare(runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"The highest mean accuracy at the end is 0.9000: slow.",
		"2 of 2 runs reach 0.7. Fewest rounds: fast. Least virtual time: fast. Fewest bytes: slow."}
	if diff := cmp.Diff(want, page.Lead); diff != "" {
		t.Error(diff)
	}
	var row []string
	for _, c := range page.Targets.Rows[0].Cells {
		row = append(row, c.Text)
	}
	if diff := cmp.Diff([]string{"slow", "2", "20 s", "20 B", "not reached", missing, missing}, row); diff != "" {
		t.Error(diff)
	}
}

func TestSeedsAreSummedUp(t *testing.T) {
	runs := []Run{evaluated(1, "x", 0.4, 0.8, 1), evaluated(2, "x", 0.6, 0.9, 1), evaluated(3, "x", 0.1, 0.2, 1), evaluated(1, "y", 0.5, 0.7, 1)}
	for i := range runs {
		runs[i].Result.Targets = []Target{runs[i].Series.Reach(0.6)}
	}
	page, _, err := compare(runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, r := range page.Seeds.Rows {
		line := ""
		for _, c := range r.Cells {
			line += c.Text + "|"
		}
		have = append(have, line)
	}
	want := []string{
		"x|3|0.6333 ± 0.3786|0.6333 ± 0.3786|0.3667 ± 0.3786|2 of 3|1.5 ± 0.7071|15 s ± 7.071 s|1.5 B ± 0.7071 B|",
		"y|1|0.7000|0.7000|0.3|1 of 1|2|20 s|2 B|",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestThresholdsAreFoundIfNobodyAskedForAny(t *testing.T) {
	if have := fmt.Sprint(thresholds([]Run{evaluated(1, "x", 0.4, 0.93, 1)})); have != "[0.45 0.7 0.85]" {
		t.Errorf("have %s", have)
	}
	if have := thresholds([]Run{{}}); have != nil {
		t.Errorf("have %v of a run without evaluations", have)
	}
}

func TestHeatMapShowsTheMeanOfRunsWithTheSameValues(t *testing.T) {
	var runs []Run
	for i, acc := range []Real{0.5, 0.7, 0.9, 0.25} {
		r := evaluated(uint64(i), "x", 0, acc, 1)
		r.Result.File = "a: " + []string{"1", "1", "1", "2"}[i] + "\nb: " + []string{"x", "x", "y", "y"}[i]
		runs = append(runs, r)
	}
	_, figures, err := compare(runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(figures, func(f *figure) bool { return f.name == "heat-accuracy" })
	if i < 0 {
		t.Fatal("there is no heat map")
	}
	svg := figures[i].alone()
	for _, want := range []string{">0.600<", ">0.900<", ">0.250<", ">" + missing + "<", ">worst 0.250<", ">best 0.900<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is missing in\n%s", want, svg)
		}
	}
}

func TestNoRunsAreNoComparison(t *testing.T) {
	if err := Compare(nil, nil); err == nil {
		t.Error("a page of nothing is made")
	}
}

// TestTagsTellRunsApartByTheirValues has names that begin alike, so that cut off they would be the same.
func TestTagsTellRunsApartByTheirValues(t *testing.T) {
	var runs []Run
	for _, a := range []string{"[]", `["sign-flip:share=0.2"]`, `["stale:share=0.2"]`} {
		for _, mix := range []string{"mean", "age"} {
			runs = append(runs, Run{Result: Result{Name: "x", Resolved: []Setting{{"method.mix", mix}, {"adversaries", a}}}})
		}
	}
	d := compareSettings(runs)
	seen := map[string]bool{}
	for i, tag := range d.tags {
		if tag == "" || len(tag) >= len(d.labels[i]) || seen[tag[:min(len(tag), 9)]] {
			t.Errorf("run %q has the tag %q", d.labels[i], tag)
		}
		seen[tag[:min(len(tag), 9)]] = true
	}
}
