package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func labels(f *File) []string {
	var out []string
	for _, p := range f.Points {
		out = append(out, p.Label)
	}
	return out
}

func TestListsAreAlternatives(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string
	}{
		{"none", "", []string{""}},
		{"one value", "method: {mix: [mean]}\n", []string{"mix=mean"}},
		{
			"the last key changes quickest", "method: {mix: [mean, age]}\ndata: {split: [iid, 'dirichlet:0.1']}\n",
			[]string{"mix=mean,split=iid", "mix=mean,split=dirichlet:0.1", "mix=age,split=iid", "mix=age,split=dirichlet:0.1"},
		},
		{
			"the order is that of the file", "data: {split: [iid, 'dirichlet:0.1']}\nmethod: {mix: [mean, age]}\n",
			[]string{"split=iid,mix=mean", "split=iid,mix=age", "split=dirichlet:0.1,mix=mean", "split=dirichlet:0.1,mix=age"},
		},
		{"whole sections", "method: [{mix: mean}, {mix: age, steps: 3}]\n", []string{"mix=mean", "mix=age,steps=3"}},
		{
			"lists in whole sections", "method: [{mix: [mean, age]}, {steps: epoch, batch: [1, 2]}]\n",
			[]string{"mix=mean", "mix=age", "steps=epoch,batch=1", "steps=epoch,batch=2"},
		},
		{"words that two keys have", "evaluate: {every: [1, 2s]}\ncheckpoint: {every: [3]}\n", []string{"evaluate.every=1,checkpoint.every=3", "evaluate.every=2s,checkpoint.every=3"}},
		{"lists by nature", "adversaries: [a, b]\nthresholds: [0.5, 0.6]\nnetwork: {partitions: [{until: 1s}]}\n", []string{""}},
		{
			"lists of lists", "adversaries: [[], [a], [a, b]]\nthresholds: [[0.5, 0.6]]\n",
			[]string{"adversaries=,thresholds=0.5+0.6", "adversaries=a,thresholds=0.5+0.6", "adversaries=a+b,thresholds=0.5+0.6"},
		},
		{
			"lists of partitions", "network: {partitions: [[], [{until: 1s}, {from: 2s}]]}\n",
			[]string{"partitions=", "partitions=until=1s+from=2s"},
		},
		{
			"a server is the same whatever the graph", "method: {mix: [mean, age]}\noverlay: [ring, star]\nreference: {name: [none, fedavg]}\n",
			[]string{
				"mix=mean,overlay=ring,reference.name=none", "reference.name=fedavg", "mix=mean,overlay=star,reference.name=none",
				"mix=age,overlay=ring,reference.name=none", "mix=age,overlay=star,reference.name=none",
			},
		},
		{"what is before the run", "pretrain: {source: pegasos, steps: [1, 2]}\nmethod: {steps: [3]}\n", []string{"pretrain.steps=1,steps=3", "pretrain.steps=2,steps=3"}},
		{"what is said twice", "nodes: [3, 3, 4]\n", []string{"nodes=3", "nodes=4"}},
		{"what an override says", "nodes: 3\n", []string{"nodes=3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var overrides []string
			if strings.Contains(test.name, "override") {
				overrides = []string{"nodes=[3]"}
			}
			f := load(t, head+test.src, overrides...)
			if diff := cmp.Diff(test.want, labels(f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPointsHaveTheirValues(t *testing.T) {
	f := load(t, head+"nodes: [2, 3]\nmethod: [{mix: mean}, {steps: 7}]\nadversaries: [[a], [b, a]]\n")
	i := 0
	for _, nodes := range []int{2, 3} {
		for _, method := range []Method{{Mix: "mean", Steps: Default().Method.Steps}, {Mix: Default().Method.Mix, Steps: Steps{Count: 7}}} {
			for _, adversaries := range [][]string{{"a"}, {"b", "a"}} {
				e := f.Points[i].Experiment
				if e.Nodes != nodes || e.Method.Mix != method.Mix || e.Method.Steps != method.Steps || !cmp.Equal(e.Adversaries, adversaries) {
					t.Errorf("point %d is %+v", i, e)
				}
				i++
			}
		}
	}
}

func TestDirectoriesNameSettings(t *testing.T) {
	plain := load(t, head+"data: {split: 'dirichlet:0.1'}\n").Points[0]
	swept := load(t, head+"data: {split: ['dirichlet:0.1']}\n").Points[0]
	if want := "x-" + plain.Hash[:10]; plain.Dir() != want {
		t.Errorf("directory %s, want %s", plain.Dir(), want)
	}
	if want := "split=dirichlet-0.1-" + plain.Hash[:10]; swept.Dir() != want {
		t.Errorf("directory %s, want %s", swept.Dir(), want)
	}
	same := load(t, "about: >\n  two\n  lines\nstop: {rounds: 1}\nname: y\ndata: {split: 'dirichlet:0.1'}\nmethod: {wake: {period: 3s}}\n").Points[0]
	if same.Hash != plain.Hash {
		t.Error("name, text, order, or a setting without effect changes the hash")
	}
	for _, arg := range []string{"seed=2", "network.loss=0.1", "thresholds=[0.5]", "stop.rounds=2", "network.partitions=[{until: 1s}]", "evaluate.rows=3"} {
		if load(t, head, arg).Points[0].Hash == load(t, head).Points[0].Hash {
			t.Errorf("%s does not change the hash", arg)
		}
	}
	for _, path := range []string{"../../etc", "a/b", "con", ".", "é"} {
		if dir := (Point{Label: path, Hash: plain.Hash}).Dir(); strings.ContainsAny(dir, `/\é`) || strings.HasPrefix(dir, ".") || filepath.Base(dir) != dir {
			t.Errorf("%q makes the directory %q", path, dir)
		}
	}
}

// finish writes the result of a point.
func finish(p Point, dir string) error {
	return os.WriteFile(filepath.Join(dir, ResultFile), []byte(`{"settings_hash": "`+p.Hash+`", "seed": 1}`), 0o644)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestASweepGoesOnWhereItStopped(t *testing.T) {
	points := load(t, head+"nodes: [1, 2, 3, 4]\n").Points
	out := filepath.Join(t.TempDir(), "deep", "sweep")
	var ran []string
	failing := true
	s := Sweep{Points: points, Out: out, Run: func(_ context.Context, p Point, dir string) error {
		ran = append(ran, p.Label)
		if err := os.WriteFile(filepath.Join(dir, "series.csv"), []byte("x"), 0o644); err != nil {
			return err
		}
		switch {
		case failing && p.Label == "nodes=2":
			return errors.New("no room")
		case failing && p.Label == "nodes=3":
			panic("broken")
		case failing && p.Label == "nodes=4":
			return nil // without a result
		}
		return finish(p, dir)
	}}
	outcomes, err := s.Go(t.Context())
	if err != nil || len(ran) != 4 {
		t.Fatal(err, ran)
	}
	for i, want := range []string{"", "no room", "internal error: broken\n*", "internal error: the point was carried out, but there is no result.json with its settings_hash"} {
		o := outcomes[i]
		if (o.Err == nil) != (want == "") || o.Err != nil && !like(want, o.Err.Error()) || o.Skipped || o.Point.Label != points[i].Label {
			t.Errorf("outcome %d: %+v", i, o)
		}
		if o.Err != nil {
			text, err := os.ReadFile(filepath.Join(o.Dir, "error.txt"))
			if err != nil || string(text) != o.Err.Error()+"\n" || len(names(t, o.Dir)) != 1 {
				t.Errorf("recorded is %q, %v, in %v", text, err, names(t, o.Dir))
			}
		}
	}
	ran, failing = nil, false
	outcomes, err = s.Go(t.Context())
	if err != nil || fmt.Sprint(ran) != "[nodes=2 nodes=3 nodes=4]" || !outcomes[0].Skipped || outcomes[1].Skipped {
		t.Error(err, ran, outcomes)
	}
	for _, o := range outcomes {
		if o.Err != nil || fmt.Sprint(names(t, o.Dir)) != "[result.json series.csv]" {
			t.Errorf("%+v has %v", o, names(t, o.Dir))
		}
	}
	ran = nil
	if _, err := s.Go(t.Context()); err != nil || ran != nil || len(names(t, out)) != 4 {
		t.Error("a finished sweep is carried out again", err, ran, names(t, out))
	}
}

func TestResultsOfOtherSettingsAreNotTaken(t *testing.T) {
	p := load(t, head).Points[0]
	for name, text := range map[string]string{"other": `{"settings_hash":"00"}`, "half": `{"settings_hash":"` + p.Hash, "none": `{}`, "list": `[]`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ResultFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if Finished(dir, p.Hash) {
			t.Errorf("the result that is %s is taken", name)
		}
	}
}

func TestAnInterruptedSweepLeavesNothingHalf(t *testing.T) {
	points := load(t, head+"nodes: [1, 2, 3]\n").Points
	ctx, cancel := context.WithCancel(t.Context())
	s := Sweep{Points: points, Out: t.TempDir(), Run: func(ctx context.Context, p Point, dir string) error {
		if p.Label == "nodes=2" {
			if err := os.WriteFile(filepath.Join(dir, "series.csv"), []byte("half"), 0o644); err != nil {
				return err
			}
			cancel()
			return ctx.Err()
		}
		return finish(p, dir)
	}}
	outcomes, err := s.Go(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(outcomes[1].Err, context.Canceled) || !errors.Is(outcomes[2].Err, context.Canceled) {
		t.Error(err, outcomes)
	}
	if have := names(t, s.Out); len(have) != 1 || have[0] != points[0].Dir() {
		t.Errorf("left are %v", have)
	}
}

func TestNoMorePointsAtATimeThanAsked(t *testing.T) {
	points := load(t, head+"nodes: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n").Points
	var now, most atomic.Int32
	var both sync.WaitGroup
	both.Add(3)
	var first atomic.Int32
	done := 0
	s := Sweep{
		Points: points, Out: t.TempDir(), Parallel: 3,
		Run: func(_ context.Context, p Point, dir string) error {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if first.Add(1) <= 3 { // three are at work together, or this never ends
				both.Done()
				both.Wait()
			}
			return finish(p, dir)
		},
		Done: func(Outcome) { done++ },
	}
	outcomes, err := s.Go(t.Context())
	if err != nil || most.Load() != 3 || done != len(points) {
		t.Errorf("%v, %d at a time, told of %d", err, most.Load(), done)
	}
	for i, o := range outcomes {
		if o.Point.Hash != points[i].Hash || o.Err != nil {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
}

func TestVariantsAreSettingsThatGoTogether(t *testing.T) {
	const text = `
name: x
codec: fp32
method: {name: outer, outer: diloco, steps: 100}
variants:
  - {reference: {name: allreduce}}
  - {method: {steps: [50, 100]}}
  - {method.steps: 500, codec: int4}
stop: {rounds: 3}
`
	f, err := Load([]byte(text), "x.yaml", nil, Owners())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"reference.name=allreduce", "steps=50", "steps=100", "steps=500,codec=int4"}
	var got []string
	for _, p := range f.Points {
		got = append(got, p.Label)
	}
	if !slices.Equal(got, want) {
		t.Errorf("points %q, want %q", got, want)
	}
	if set, err := Load([]byte(text), "x.yaml", []string{"method.steps=7"}, Owners()); err != nil || len(set.Points) != 3 || set.Points[2].Experiment.Method.Steps.Count != 7 {
		t.Errorf("--set method.steps=7: %v, %d points", err, len(set.Points))
	}
	if last := f.Points[3].Experiment; last.Method.Steps.Count != 500 || last.Codec != "int4" || last.Method.Name != "outer" {
		t.Errorf("the last point is %+v", last)
	}
	for text, want := range map[string]string{
		"name: x\nvariants: 3\nstop: {rounds: 1}\n":               "x.yaml:2:11: variants: want a list of settings",
		"name: x\nvariant: [{codec: int8}]\nstop: {rounds: 1}\n":  `x.yaml:2:1: unknown key "variant"; did you mean "variants"?`,
		"name: x\nvariants: []\nstop: {rounds: 1}\n":              "x.yaml:2:11: variants: want a list of settings, such as [{codec: fp32}, {codec: int8}], have an empty list",
		"name: x\nvariants: [int8]\nstop: {rounds: 1}\n":          "x.yaml:2:12: variants: want settings",
		"name: x\nvariants: [{codek: int8}]\nstop: {rounds: 1}\n": `x.yaml:2:13: unknown key "codek"; did you mean "codec"?`,
	} {
		if _, err := Load([]byte(text), "x.yaml", nil, Owners()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
