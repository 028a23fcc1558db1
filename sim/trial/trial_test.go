package trial

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"starling/node"
	"starling/node/optim"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/experiments"
	"starling/sim/report"
	"starling/sim/walk"
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
		"text": `
name: trace
nodes: 6
overlay: complete
data: {source: "babble:bytes=20000", split: contiguous}
model: gpt:layers=1,width=16,heads=2,context=8
optimizer: adamw:lr=0.01,clip=1,schedule=cosine,warmup=5,total=40
network: {latency: "constant:20ms"}
churn: {speeds: "constant:1*5,10", sessions: "exponential:online=2s,offline=300ms,crash=0.5"}
compute: {step: 20ms}
method: {mix: mean, steps: 5, batch: 4, degree: 5}
evaluate: {every: tokens:1000, nodes: 2, rows: 20}
stop: {tokens: 6000}
`,
		"scalar": `
name: trace
nodes: 12
overlay: mesh
data: {source: pegasos}
model: mlp:12
pretrain: {source: "pegasos:seed=3", steps: 20}
network: {latency: "lognormal:median=40ms,sigma=0.5", jitter: "exponential:mean=2ms", loss: "0.3", partitions: [{from: 3s, until: 6s, groups: halves}]}
churn: {sessions: "exponential:online=8s,offline=1s,crash=0.5", speeds: "lognormal:sigma=0.3"}
compute: {step: 50ms}
method: {name: scalar, scalar: "structured:pool=256,epoch=32,rotate=2,lr=0.002,peers=16", batch: 16, repair_every: 1s}
evaluate: {every: 2s, nodes: 2}
stop: {time: 12s}
`,
		"allreduce": `
name: trace
nodes: 6
data: {source: "babble:bytes=20000", split: iid}
model: gpt:layers=1,width=16,heads=2,context=8
optimizer: adamw:lr=0.01,clip=1
codec: int8
method: {steps: 5, batch: 4}
reference: {name: allreduce}
stop: {rounds: 3}
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

// recorded is the trace of a run and, if its nodes end with one model, the hash of that.
func recorded(t *testing.T, e experiment.Experiment, workers int) string {
	t.Helper()
	r := run(t, e, Options{Workers: workers}).Result
	if p := r.Replicas; p != nil {
		if !p.Equal || p.Least < 1000 {
			t.Errorf("the nodes end with %+v", *p)
		}
		return r.TraceHash + " " + p.Model
	}
	return r.TraceHash
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
			got[name] = recorded(t, e, 1)
			if !*update && got[name] != want[name] {
				t.Errorf("trace %s on %s, recorded %s", got[name], runtime.GOARCH, want[name])
			}
			if testing.Short() {
				return // on an emulated machine
			}
			if again := recorded(t, e, 3); again != got[name] {
				t.Errorf("trace %s with three workers, %s with one", again, got[name])
			}
			e.Seed++
			if other := recorded(t, e, 1); other == got[name] {
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
			if walk.Is(text) {
				return // it has no nodes; package walk runs it
			}
			var sets []string
			if !*whole {
				sets = []string{"nodes=16", "stop.rounds=4", "stop.time=20s", "evaluate.nodes=4", "evaluate.rows=100", "data.source=pegasos"}
				if strings.Contains(string(text), "gpt:") {
					sets = []string{"nodes=4", "model='gpt:layers=1,width=16,heads=2,context=16'", "data.source='babble:bytes=20000'", "data.path=''",
						"method.steps=5", "stop.rounds=3", "stop.tokens=0", "stop.time=20s", "evaluate.every=1", "evaluate.nodes=2", "evaluate.rows=16"}
				}
				if strings.Contains(string(text), "pretrain:") {
					sets = append(sets, "pretrain.source='babble:bytes=20000,seed=2'", "pretrain.path=''", "pretrain.steps=5")
				}
				switch name {
				case "scalar-pools":
					sets = append(sets, "nodes=2", "evaluate.nodes=2", "seed=1", "stop.time=4s", "stop.rounds=0")
				case "fragments": // of which each needs its steps
					sets = append(sets, "method.steps=100", "method.batch=1", "compute.step=10ms")
				case "cells-10000":
					sets = append(sets, "nodes=[12, 36]", "cells.size=12", "cells.epoch=4s", "stop.rounds=0")
				case "churn", "partition", "scalar-partition", "demo-8": // at first, few nodes or none are there to count rounds
					sets = append(sets, "stop.rounds=0")
				}
			} else if name == "thin-4" {
				sets = []string{"data.source=text:" + opticks(t)}
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
				if q := r.Replicas; (q != nil) != (p.Experiment.Method.Name == "scalar") || q != nil && !q.Equal {
					t.Errorf("%s: replicas are %+v", p.Label, q)
				}
				t.Logf("%-60s accuracy %.3f after %.1f rounds, %d messages, %.1f CPU s", p.Label, r.Accuracy.Mean, r.Rounds, r.Messages.Sent, r.CPUSeconds)
			}
		})
	}
}

// wordy is an experiment on text that takes a moment.
func wordy(t *testing.T, sets ...string) experiment.Experiment {
	t.Helper()
	const text = `
name: wordy
nodes: 4
overlay: complete
network: {latency: "constant:5ms"}
compute: {step: 10ms, other: 1ms}
data: {source: "babble:bytes=40000", split: iid}
model: gpt:layers=1,width=16,heads=2,context=16
optimizer: adamw:lr=0.01,warmup=5
codec: fp32
method: {mix: mean, steps: 10, batch: 4, degree: 3, announce_every: 0s}
evaluate: {every: tokens:5120, rows: 32}
stop: {tokens: 25600}
`
	f, err := experiment.Load([]byte(text), "wordy.yaml", sets, experiment.Owners())
	if err != nil {
		t.Fatal(err)
	}
	return f.Points[0].Experiment
}

// TestTokensAreCountedAndEndTheRun goes by what four nodes do in ten rounds of ten steps of four windows of 16 bytes.
func TestTokensAreCountedAndEndTheRun(t *testing.T) {
	r := run(t, wordy(t), Options{})
	res := &r.Result
	if res.Tokens != 25600 || res.Samples != 1600 || res.Rounds != 10 {
		t.Errorf("%d tokens in %d samples after %v rounds: %s", res.Tokens, res.Samples, res.Rounds, res.Stopped)
	}
	if want := math.Exp(float64(res.Loss.Mean)); math.Abs(float64(res.Perplexity)/want-1) > 1e-12 || want > 40 {
		t.Errorf("perplexity %v of a loss of %v", res.Perplexity, res.Loss.Mean)
	}
	if want := report.Real(float64(res.Bytes.Sent) / 4); res.BytesSentPerNode != want {
		t.Errorf("%v bytes sent by a node, want %v", res.BytesSentPerNode, want)
	}
	for i, tick := range r.Series[:4] {
		if want := uint64(5120 * (i + 1)); tick.Tokens < want || tick.Tokens >= want+5120 || tick.Samples*16 != tick.Tokens {
			t.Errorf("evaluation %d is after %d tokens, %d samples; want %d or little more", i, tick.Tokens, tick.Samples, want)
		}
	}
	k := res.Work
	if k == nil || len(k.Nodes) != 4 || k.From != 0 || k.Until >= res.VirtualSeconds {
		t.Fatalf("work %+v in %v s", k, res.VirtualSeconds)
	}
	for _, n := range k.Nodes {
		if n.Samples != 400 || n.UsefulSamples < 200 || n.UsefulSamples > 400 || n.OnlineSeconds != k.Until {
			t.Errorf("node %+v until %v", n, k.Until)
		}
	}
}

func TestTextEndsAtALossOrAPerplexity(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"stop.loss=4.5", "the mean loss had come down to 4.5"}, {"stop.perplexity=100", "the perplexity had come down to 100"},
	} {
		r := run(t, wordy(t, c.set), Options{}).Result
		if r.Stopped != c.want || r.Loss.Mean > 4.7 || r.Tokens >= 25600 {
			t.Errorf("%s: stopped because %q at a loss of %v after %d tokens", c.set, r.Stopped, r.Loss.Mean, r.Tokens)
		}
	}
}

// TestAllReduceIsOneNodeWithAllBatches compares with one node that makes the steps itself, by hand.
func TestAllReduceIsOneNodeWithAllBatches(t *testing.T) {
	e := wordy(t, "reference.name=allreduce", "stop.tokens=5120", "churn.speeds='constant:1,1,3'", "network.bandwidth='constant:1Mbit'")
	got := run(t, e, Options{}).Result
	again := run(t, e, Options{Workers: 3}).Result
	if again.TraceHash != got.TraceHash {
		t.Error("three workers give another model")
	}
	s, err := Build(t.Context(), e, 1)
	if err != nil {
		t.Fatal(err)
	}
	task, worker, rule := s.Config.Task, s.Config.Task.Worker(), s.Program.Optimizer()
	model, opt := make([]float32, task.Len()), make([]float32, task.OptLen())
	task.Init(0, model, opt)
	grad, mean := make([]float32, task.Len()), make([]float32, task.Len())
	for step := range uint64(20) {
		sum := make([]float64, task.Len())
		for n := range e.Nodes {
			worker.Gradient(n, step, model, grad)
			for j, g := range grad {
				sum[j] += float64(g) / float64(e.Nodes)
			}
		}
		for j := range mean {
			mean[j] = float32(sum[j])
		}
		if err := rule.Step(model, mean, opt, optim.Context{Step: step, Age: step, LR: rule.Rate(step)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, loss := worker.Evaluate(model); math.Abs(loss-float64(got.Loss.Mean)) > 1e-4 {
		t.Errorf("loss %.6f, by hand %.6f", got.Loss.Mean, loss)
	}
	// Each sends 2·3/4 of a gradient in a step, in six hops, and waits for the slowest node.
	payload := uint64(4*task.Len()) + overhead(t, s)
	if want := report.Real(20 * (6 * payload / 4)); got.BytesSentPerNode != want || got.Messages.Sent != 20*6*4 || got.Tokens != 5120 {
		t.Errorf("%v bytes sent by a node in %d messages for %d tokens, want %v bytes", got.BytesSentPerNode, got.Messages.Sent, got.Tokens, want)
	}
	if want := 20 * (0.031 + 6*0.005 + float64(6*payload/4)*8/1e6); math.Abs(float64(got.VirtualSeconds)-want) > 1e-4 {
		t.Errorf("takes %v s, want %v", got.VirtualSeconds, want)
	}
}

// TestUsefulWorkIsWhatOthersMixedIn has a node that nobody hears: all that it does is of no use.
func TestUsefulWorkIsWhatOthersMixedIn(t *testing.T) {
	e := wordy(t, "network.partitions=[{groups: 'nodes:3'}]", "stop.tokens=0", "stop.time=3s", "work={from: 1s, until: 2500ms}", "churn.speeds='constant:1,2'")
	k := run(t, e, Options{}).Result.Work
	if k.From != 1 || k.Until != 2.5 {
		t.Errorf("work from %v to %v", k.From, k.Until)
	}
	for i, n := range k.Nodes {
		useful := float64(n.UsefulSamples) / float64(n.Samples)
		if i == 3 && n.UsefulSamples != 0 || i < 3 && (useful < 0.7 || useful > 1.3) || n.OnlineSeconds != 1.5 || n.Slowness != report.Real(1+i%2) {
			t.Errorf("%+v", n)
		}
	}
	// A local step takes 10 ms, and 20 on the slow nodes, who do less.
	if fast, slow := k.Nodes[0].Samples, k.Nodes[1].Samples; float64(fast) < 1.5*float64(slow) {
		t.Errorf("%d samples of a fast node, %d of a slow one", fast, slow)
	}
}

// opticks is a text on every machine that has Go.
func opticks(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src", "testdata", "Isaac.Newton-Opticks.txt")
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
	s, err := Build(t.Context(), world(t, "mesh"), 1)
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

func TestNarrationTellsOfRecords(t *testing.T) {
	text, filename, err := experiments.Read("scalar-partition")
	if err != nil {
		t.Fatal(err)
	}
	f, err := experiment.Load(text, filename, []string{"data.source=pegasos", "nodes=8", "checkpoint.every=1"}, experiment.Owners())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(t.Context(), f.Points[0].Experiment, 1)
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
	w.Run(30e9, nil)
	for _, part := range []string{
		"probes direction", "has measured a slope of", "→ publishes records", "hears records", "hears digest of", "hears list of", "sends the digest of", "asks", "saves",
	} {
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

	s, err := Build(t.Context(), e, 1)
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
