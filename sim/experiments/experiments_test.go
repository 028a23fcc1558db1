package experiments

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/node/manifest"
	"starling/sim/experiment"
	"starling/sim/walk"
)

func load(t *testing.T, name string, overrides ...string) *experiment.File {
	t.Helper()
	text, filename, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "source: text") { // which text, its user says
		overrides = append([]string{"data.path=some.txt"}, overrides...)
	}
	if strings.Contains(string(text), "pretrain: {source: text") {
		overrides = append([]string{"pretrain.path=other.txt"}, overrides...)
	}
	f, err := experiment.Load(text, filename, overrides, experiment.Owners())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEveryFileIsAnExperiment(t *testing.T) {
	points := map[string]int{
		"async-heterogeneous": 5, "byzantine": 21, "cells-10000": 2, "churn": 4, "codec-frontier": 17, "diloco-8": 6, "fragments": 5, "noloco-32": 4,
		"slow-and-gone": 3, "demo-8": 1, "diloco-16000": 3, "mlp-1000": 1, "partition": 2, "pegasos-1000": 1, "scafcom": 4, "scalar-1000": 1, "scalar-byzantine": 20, "scalar-lm": 3, "scalar-mnist": 5, "scalar-partition": 1, "scalar-pools": 45, "srrw-churn": 4, "srrw-mnist": 4, "srrw-many-tokens": 6, "thin-4": 1, "topologies": 7, "vanishing-variance": 14,
	}
	for _, name := range Names() {
		if name == "srrw-variance" { // the one study of walks
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := load(t, name)
			if f.Name != name || f.Points[0].Experiment.About == "" {
				t.Errorf("name %q, about %q", f.Name, f.Points[0].Experiment.About)
			}
			if len(f.Points) != points[name] {
				t.Errorf("%d points, want %d", len(f.Points), points[name])
			}
			text, _, _ := Read(name)
			if !strings.HasPrefix(string(text), "# ") || !strings.Contains(string(text), "xpect") && !strings.Contains(string(text), "Compare") {
				t.Error("does not begin with a comment that says what to expect")
			}
		})
		delete(points, name)
	}
	if len(points) > 0 {
		t.Errorf("missing are %v", points)
	}
}

func TestUnknownNamesAreAnswered(t *testing.T) {
	_, _, err := Read("chrun")
	if err == nil || !strings.HasSuffix(err.Error(), `vanishing-variance; did you mean "churn"?`) {
		t.Error(err)
	}
	if text, filename, err := Read("churn.yaml"); err != nil || filename != "churn.yaml" || len(text) == 0 {
		t.Error(filename, err)
	}
	for _, name := range []string{"", "../experiments/churn", "/etc/passwd", "experiments.go"} {
		if _, _, err := Read(name); err == nil {
			t.Errorf("%q is read", name)
		}
	}
}

func TestTheStudyOfWalksIsOne(t *testing.T) {
	text, filename, err := Read("srrw-variance")
	if err != nil {
		t.Fatal(err)
	}
	s, err := walk.Load(text, filename, nil)
	if err != nil || s.Name != "srrw-variance" || s.About == "" || s.Seeds != 100 || !slices.Equal(s.Alphas, []float64{0, 1, 5, 10, 20}) {
		t.Errorf("%+v, %v", s, err)
	}
	if !strings.HasPrefix(string(text), "# ") || !strings.Contains(string(text), "Expect") {
		t.Error("does not begin with a comment that says what to expect")
	}
}

// The demo's manifest is the default one but for its start, and has a shard for each node: see the command.
func TestDemo8IsTheDemo(t *testing.T) {
	want := manifest.Default()
	want.Name, want.Init = "demo-8", "independent"
	have, err := load(t, "demo-8").Points[0].Experiment.Manifest()
	if err != nil || have != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, have))
	}
}

func TestTheServerOfVanishingVarianceRunsOnceForEachSplit(t *testing.T) {
	var have []string
	for _, p := range load(t, "vanishing-variance").Points {
		if p.Experiment.Reference.Name == experiment.FedAvg {
			have = append(have, p.Label)
		}
	}
	if want := "[split=iid,reference.name=fedavg split=dirichlet:0.1,reference.name=fedavg]"; fmt.Sprint(have) != want {
		t.Errorf("have %v, want %s", have, want)
	}
}

func TestPegasosAlsoRunsWithMoreNodesThanRows(t *testing.T) {
	if e := load(t, "pegasos-1000", "nodes=10000").Points[0].Experiment; e.Nodes != 10000 {
		t.Error(e.Nodes)
	}
}
