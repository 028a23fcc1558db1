package trial

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"starling/node"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/experiments"
	"starling/sim/report"
)

var (
	update = flag.Bool("update", false, "rewrite testdata/traces.json")
	whole  = flag.Bool("whole", false, "run the shipped experiments as they are, not made small")
)

// worlds are small experiments that between them use everything, on data that costs nothing to load.
func worlds() map[string]string {
	const head = "name: trace\nnodes: 24\n"
	const rest = "data: {source: pegasos}\nevaluate: {every: 1s, nodes: 50%}\n"
	return map[string]string{
		"push": head + `
evaluate: {every: 1s, nodes: 50%}
overlay: complete
data: {source: pegasos, split: iid}
model: svm
optimizer: pegasos:lambda=0.01
codec: fp32
network: {jitter: "uniform:0ms-10ms"}
compute: {step: 0s, other: 0s}
method: {exchange: push, mix: mean, steps: epoch, batch: 1, wake: {period: 100ms, deviation: 10ms}}
stop: {rounds: 20}
`,
		"mesh": head + rest + `
overlay: mesh
model: mlp:12
network: {latency: "lognormal:median=40ms,sigma=0.5", jitter: "exponential:mean=2ms", loss: "0.05", bandwidth: "constant:up=2Mbit,down=8Mbit"}
churn: {sessions: "exponential:online=8s,offline=2s,crash=0.5", speeds: "lognormal:sigma=0.3"}
adversaries: ["alie:count=2", "equivocation:count=1"]
method: {steps: 5, degree: 4}
stop: {time: 12s}
`,
		"cells": head + rest + `
overlay: mesh
cells: {size: 8, epoch: 4s}
model: softmax
init: independent
optimizer: adamw:lr=0.01
codec: int8
network: {latency: regions, nat: "public=0.5,cone=0.5", partitions: [{from: 3s, until: 6s, groups: halves}]}
method: {mix: age, steps: 5, degree: 4}
stop: {time: 12s}
`,
		"push-sum": head + rest + `
overlay: ring
model: softmax
codec: fp32
network: {latency: "constant:20ms"}
churn: {speeds: "lognormal:sigma=0.1"}
method: {mix: push-sum, steps: 5, degree: 2}
stop: {rounds: 12}
`,
		"fedavg": head + `
data: {source: pegasos}
model: softmax
evaluate: {every: 1, nodes: all}
reference: {name: fedavg, clients: 8}
method: {steps: 5}
stop: {rounds: 5}
`,
	}
}

func world(t *testing.T, name string) experiment.Experiment {
	t.Helper()
	f, err := experiment.Load([]byte(worlds()[name]), name+".yaml", nil, experiment.Owners())
	if err != nil {
		t.Fatal(err)
	}
	return f.Points[0].Experiment
}

func run(t *testing.T, e experiment.Experiment, o Options) report.Run {
	t.Helper()
	r, err := Run(t.Context(), e, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTracesAreTheSameEverywhere compares with what was recorded once: run it on another machine, another architecture, with
// the race detector or on one processor, and it is the same test. Run with -update to record what the traces are now.
func TestTracesAreTheSameEverywhere(t *testing.T) {
	const file = "testdata/traces.json"
	want, got := make(map[string]string), make(map[string]string)
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
	}
	for name := range worlds() {
		t.Run(name, func(t *testing.T) {
			e := world(t, name)
			got[name] = run(t, e, Options{Workers: 1}).Result.TraceHash
			if !*update && got[name] != want[name] {
				t.Errorf("trace %s on %s, recorded %s", got[name], runtime.GOARCH, want[name])
			}
			if testing.Short() {
				return // on an emulated machine
			}
			if again := run(t, e, Options{Workers: 3}).Result.TraceHash; again != got[name] {
				t.Errorf("trace %s with three workers, %s with one", again, got[name])
			}
			e.Seed++
			if other := run(t, e, Options{Workers: 1}).Result.TraceHash; other == got[name] {
				t.Error("another seed gives the same trace")
			}
		})
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShippedExperimentsRunAndConserve makes every experiment of the program small enough for a test, and runs all its points.
// Run returns an error if a message got lost from the accounts.
func TestShippedExperimentsRunAndConserve(t *testing.T) {
	for _, name := range experiments.Names() {
		t.Run(name, func(t *testing.T) {
			text, filename, err := experiments.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			var sets []string
			if !*whole {
				sets = []string{"nodes=16", "stop.rounds=4", "stop.time=20s", "evaluate.nodes=4", "evaluate.rows=100", "data.source=pegasos"}
				switch name {
				case "cells-10000":
					sets = append(sets, "nodes=[12, 36]", "cells.size=12", "cells.epoch=4s", "stop.rounds=0")
				case "churn", "partition", "demo-8": // at first, few nodes or none are there to count rounds
					sets = append(sets, "stop.rounds=0")
				}
			}
			f, err := experiment.Load(text, filename, sets, experiment.Owners())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range f.Points {
				r := run(t, p.Experiment, Options{Hash: p.Hash}).Result
				if !r.Messages.Balanced() || !r.Bytes.Balanced() {
					t.Errorf("%s: %+v, %+v are not conserved", p.Label, r.Messages, r.Bytes)
				}
				if r.Messages.Sent == 0 || r.Rounds == 0 || !r.Accuracy.Mean.Finite() {
					t.Errorf("%s: nothing happened: %+v", p.Label, r)
				}
				t.Logf("%-60s accuracy %.3f after %.1f rounds, %d messages, %.1f CPU s", p.Label, r.Accuracy.Mean, r.Rounds, r.Messages.Sent, r.CPUSeconds)
			}
		})
	}
}

func TestRunsStopForTheirReason(t *testing.T) {
	for _, c := range []struct{ sets, want string }{
		{"stop.rounds=3", "half of the nodes had finished 3 rounds"},
		{"stop.time=2s", "its time was over"},
		{"stop.events=500", "500 events were over"},
		{"stop.accuracy=0.6", "the mean accuracy had reached 0.6"},
		{"stop.worst=0.55", "every node that was evaluated had reached 0.55"},
	} {
		text := "name: stop\nnodes: 6\ndata: {source: pegasos}\nmodel: softmax\nmethod: {steps: 5}\nstop: {time: 60s}\n"
		f, err := experiment.Load([]byte(text), "stop.yaml", []string{c.sets}, experiment.Owners())
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, f.Points[0].Experiment, Options{})
		if r.Result.Stopped != c.want {
			t.Errorf("%s: stopped because %q, want %q", c.sets, r.Result.Stopped, c.want)
		}
		if len(r.Series) == 0 {
			t.Errorf("%s: nothing was evaluated", c.sets)
		}
	}
}

// goal runs until the worst node is good enough.
func goal(t *testing.T, sets ...string) report.Result {
	t.Helper()
	text := "name: goal\nnodes: 6\ndata: {source: pegasos}\nmodel: softmax\nmethod: {steps: 5}\nstop: {time: 60s, worst: 0.55}\n"
	f, err := experiment.Load([]byte(text), "goal.yaml", sets, experiment.Owners())
	if err != nil {
		t.Fatal(err)
	}
	return run(t, f.Points[0].Experiment, Options{}).Result
}

func TestAGoalIsKnownWhenItHasBeenEvaluated(t *testing.T) {
	at, later := goal(t), goal(t, "compute.evaluate=700ms")
	if got := float64(later.VirtualSeconds - at.VirtualSeconds); math.Abs(got-0.7) > 1e-9 || later.Stopped != at.Stopped {
		t.Errorf("the run goes on for %g s of evaluating and stops because %q, want 0.7 and %q", got, later.Stopped, at.Stopped)
	}
}

func TestWhoHasYetToComeHasNotReachedTheGoal(t *testing.T) {
	if r := goal(t, "churn.sessions=arrive:from=20s,until=30s"); float64(r.VirtualSeconds) < 20 {
		t.Errorf("the run stops after %v s because %q, and most of its nodes come after 20 s", r.VirtualSeconds, r.Stopped)
	}
}

func TestImpossibleExperimentsSayWhy(t *testing.T) {
	for _, c := range []struct{ sets, want string }{
		{"overlay=matching", "choose a graph"},
		{"overlay=hypercube", "hypercube"},
		{"nodes=20000", "too many links"},
		{"data.source=csv:none.csv", "none.csv"},
		{"model=svm", "2 classes"},
	} {
		text := "name: wrong\nnodes: 6\noverlay: complete\ndata: {source: mnist, split: iid}\nmodel: softmax\nstop: {rounds: 1}\n"
		f, err := experiment.Load([]byte(text), "wrong.yaml", []string{c.sets}, experiment.Owners())
		if err == nil {
			_, err = Run(t.Context(), f.Points[0].Experiment, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: error %v, want one line with %q", c.sets, err, c.want)
		}
	}
}

func TestInterruptedRunsEndSoon(t *testing.T) {
	e := world(t, "mesh")
	ctx, cancel := contextAfter(t, 200)
	defer cancel()
	e.Stop.Time = 1 << 40
	if _, err := Run(ctx, e, Options{Progress: func(Progress) { cancel() }}); !errors.Is(err, ctx.Err()) {
		t.Errorf("error %v, want %v", err, ctx.Err())
	}
}

func TestNarrationSaysWhatHappened(t *testing.T) {
	s, err := Build(world(t, "mesh"), 1)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var all strings.Builder
	w.Observe = observer(w, &all)
	w.Run(5e9, nil)
	for _, part := range []string{"wakes", "hears update", "has trained: loss", "→ publishes update", "fetches from", "mixes", "meets", "loses", "sends a digest to"} {
		if !strings.Contains(all.String(), part) {
			t.Errorf("nobody %s in\n%.2000s", part, all.String())
		}
	}
}

// TestSpreadIsTheDistanceFromTheMean has a case that can be done by hand.
func TestSpreadIsTheDistanceFromTheMean(t *testing.T) {
	if got := spread([][]float32{{0, 3}, {4, 3}, {2, 0}, {2, 6}}); math.Abs(got-math.Sqrt((4+4+9+9)/4.0)) > 1e-12 {
		t.Errorf("spread %g", got)
	}
	if got := spread(nil); !math.IsNaN(got) {
		t.Errorf("spread of nothing: %g", got)
	}
}

func ExampleRun() {
	f, err := experiment.Load([]byte("name: tiny\nnodes: 4\ndata: {source: pegasos}\nmodel: softmax\nmethod: {steps: 20}\nstop: {rounds: 5}\n"), "tiny.yaml", nil, experiment.Owners())
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := Run(exampleContext(), f.Points[0].Experiment, Options{})
	fmt.Println(err, r.Result.Stopped, r.Result.Messages.Balanced())
	// Output: <nil> half of the nodes had finished 5 rounds true
}

// TestTheReferenceIsTheWeightedMeanOfWhatClientsTrained does one round by hand.
func TestTheReferenceIsTheWeightedMeanOfWhatClientsTrained(t *testing.T) {
	e := world(t, "fedavg")
	e.Stop.Rounds, e.Codec = 1, "fp32"
	e.Reference.Clients = experiment.All()
	got := run(t, e, Options{}).Result

	s, err := Build(e, 1)
	if err != nil {
		t.Fatal(err)
	}
	task := s.Config.Task
	start, opt := make([]float32, task.Len()), make([]float32, task.OptLen())
	task.Init(0, start, opt)
	mean, weights := make([]float64, task.Len()), 0.0
	worker := task.Worker()
	for n := range e.Nodes {
		out, outOpt := make([]float32, task.Len()), make([]float32, task.OptLen())
		samples := float64(worker.Train(n, node.TrainJob{Steps: 5}, start, opt, nil, out, outOpt).Samples)
		for j, x := range out {
			mean[j] += samples * float64(x)
		}
		weights += samples
	}
	model := make([]float32, task.Len())
	for j := range model {
		model[j] = float32(mean[j] / weights)
	}
	accuracy, loss := worker.Evaluate(model)
	if math.Abs(loss-float64(got.Loss.Mean)) > 1e-5 || math.Abs(accuracy-float64(got.Accuracy.Mean)) > 0.005 {
		t.Errorf("loss %.6f and accuracy %.4f, by hand %.6f and %.4f", got.Loss.Mean, got.Accuracy.Mean, loss, accuracy)
	}
	if want := uint64(2 * e.Nodes); got.Messages.Sent != want || got.Bytes.Sent != want*uint64(4*task.Len())+want*overhead(t, s) {
		t.Errorf("%d messages of %d bytes, want %d models", got.Messages.Sent, got.Bytes.Sent, want)
	}
}

// overhead is what the codec adds to the floats of a model.
func overhead(t *testing.T, s *Setup) uint64 {
	b, _, err := s.Config.Task.Worker().Encode(0, make([]float32, s.Config.Task.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return uint64(len(b) - 4*s.Config.Task.Len())
}

// TestAttackersHaveNoPartInTheReference compares with the run without them, and looks for them in the result.
func TestAttackersHaveNoPartInTheReference(t *testing.T) {
	e := world(t, "fedavg")
	want := run(t, e, Options{}).Result
	e.Adversaries = []string{"label-flip:share=0.3", "silence:count=1"}
	got := run(t, e, Options{}).Result
	if got.TraceHash != want.TraceHash || len(got.Adversaries) > 0 {
		t.Errorf("trace %s with attackers %v, %s without", got.TraceHash, got.Adversaries, want.TraceHash)
	}
}

func TestRunsThatTakeNoTimeSayThatTheirTimeNeverComes(t *testing.T) {
	const text = "name: still\nnodes: 6\ndata: {source: pegasos}\nmodel: softmax\ncompute: {step: 0s, other: 0s}\nmethod: {steps: 5, announce_every: 0s}\nstop: {time: 5s}\n"
	for _, sets := range [][]string{nil, {"reference.name=fedavg"}} {
		f, err := experiment.Load([]byte(text), "still.yaml", sets, experiment.Owners())
		if err == nil {
			_, err = Run(t.Context(), f.Points[0].Experiment, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), "never comes") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: error %v", sets, err)
		}
	}
}
