package experiment

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"starling/node/manifest"
	"starling/node/manifest/strictyaml"
)

// head is a file with what is required.
const head = "name: x\nstop: {rounds: 1}\n"

// odd is a hook that refuses one word.
func odd(spec string, nodes int, _ uint64) error {
	if spec == "odd" {
		return fmt.Errorf("odd is not for %d nodes", nodes)
	}
	return nil
}

var hooks = Hooks{
	odd, odd, odd, odd, odd, odd, odd,
	func(groups, latency string, nodes int, seed uint64) error { return odd(groups, nodes, seed) },
	func(specs []string, nodes int, seed uint64, records bool) error {
		if records {
			return errors.New("not with records")
		}
		if len(specs) > 1 && specs[0] == specs[1] {
			return errors.New("the same twice")
		}
		return odd(specs[0], nodes, seed)
	},
}

func load(t *testing.T, src string, overrides ...string) *File {
	t.Helper()
	f, err := Load([]byte(src), "x.yaml", overrides, hooks)
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return f
}

func TestProblemsHaveTheirPlace(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"misspelt key", head + "method: {stpes: 3}\n", `x.yaml:3:10: unknown key "stpes"; did you mean "steps"?`},
		{"key of another section", head + "mix: mean\n", `x.yaml:3:1: unknown key "mix"; did you mean "mix" inside "method"?`},
		{"key three levels deep", head + "method:\n  wake:\n    perod: 1s\n", `x.yaml:5:5: unknown key "perod"; did you mean "period"?`},
		{"key that is like none", head + "cells: {colour: 3}\n", `x.yaml:3:9: unknown key "colour"; known are size, epoch`},
		{"key given twice", head + "nodes: 3\nnodes: 4\n", `x.yaml:4:1: key "nodes" is given twice, first in line 3`},
		{"section that is none", head + "network: fast\n", `x.yaml:3:10: network: want the keys latency, jitter, bandwidth, loss, nat, partitions, have the text "fast"`},
		{"text for a number", head + "nodes: many\n", `x.yaml:3:8: nodes: want a whole number, have the text "many"`},
		{"number for text", head + "model: 3\n", `x.yaml:3:8: model: want text, have the number 3; if it is meant as text, put it in quotes`},
		{"fraction of a node", head + "nodes: 2.5\n", `x.yaml:3:8: nodes: want a whole number, have the number 2.5`},
		{"no nodes", head + "nodes: 0\n", `x.yaml:3:8: nodes: is 0; want 1 to 1000000`},
		{"duration without unit", head + "compute: {other: 10}\n", `x.yaml:3:18: compute.other: 10 has no unit; write 10s, 10ms or 10m`},
		{"duration that is none", head + "compute: {other: soon}\n", `x.yaml:3:18: compute.other: "soon" is not a duration; write a number with ns, us, ms, s, m or h, such as 100ms or 1h30m`},
		{"negative duration", head + "compute: {other: -1s}\n", `x.yaml:3:18: compute.other: is -1s; want 0s to 10000h`},
		{"duration that is a list of lists", head + "compute: {other: [[1s]]}\n", `x.yaml:3:19: compute.other: want a duration such as 100ms or 1h, have a list`},
		{"goal above one", "name: x\nstop: {rounds: 1, worst: 1.5}\n", `x.yaml:2:26: stop.worst: is 1.5; want 0 to 1`},
		{"size without unit", head + "limits: {blob: 100}\n", `x.yaml:3:16: limits.blob: 100 has no unit; write 100B, 100KiB or 100MiB`},
		{"steps", head + "method: {steps: all}\n", `x.yaml:3:17: method.steps: want a whole number or epoch, have the text "all"`},
		{"no steps", head + "method: {steps: 0}\n", `x.yaml:3:17: method.steps: is 0; want 1 to 1000000`},
		{"fraction as a share", head + "evaluate: {nodes: 0.1}\n", `x.yaml:3:19: evaluate.nodes: want a whole number, a share such as 10%, or all, have the number 0.1; write a share in percent`},
		{"too much of all", head + "evaluate: {nodes: 101%}\n", `x.yaml:3:19: evaluate.nodes: "101%" is not a share; want above 0% to 100%`},
		{"more than there are", head + "nodes: 4\nevaluate: {nodes: 5}\n", `x.yaml:4:19: evaluate.nodes: is 5, more than nodes, which is 4`},
		{"cadence", head + "evaluate: {every: often}\n", `x.yaml:3:19: evaluate.every: "often" is not a duration; write a number with ns, us, ms, s, m or h, such as 100ms or 1h30m`},
		{"rule that there is not", head + "method: {mix: maen}\n", `x.yaml:3:15: method.mix: "maen" is not known; there are *; did you mean "mean"?`},
		{"graph that there is not", head + "overlay: rign\n", `x.yaml:3:10: overlay: unknown topology "rign": there are *; did you mean "ring"?`},
		{"graph of too few", "name: x\nstop: {rounds: 1}\nnodes: 3\noverlay: hypercube\n", `x.yaml:4:10: overlay: topology "hypercube": *`},
		{"word that there is not", head + "method: {exchange: pull}\n", `x.yaml:3:20: method.exchange: "pull" is not known; did you mean "push"?`},
		{"pauses that vary too much", head + "method: {wake: {deviation: 2s}}\n", `x.yaml:3:28: method.wake.deviation: is 2s, more than method.wake.period, which is 1s`},
		{"push-sum by push", head + "codec: fp32\nmethod: {mix: push-sum, exchange: push}\n", `x.yaml:4:35: method.exchange: is push, but push-sum sends to fixed neighbours; write exchange: announce`},
		{"other word", head + "reference: {name: sgd}\n", `x.yaml:3:19: reference.name: "sgd" is not known; use none or fedavg or allreduce`},
		{"data that a site has", head + "data: {source: own}\n", `x.yaml:3:16: data.source: own is data that sites of a real run bring; a simulation wants mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE or jsonl:FILE`},
		{"data that there is not", head + "data: {source: cifar}\n", `x.yaml:3:16: data.source: "cifar" is not known; use *`},
		{"text without a file", head + "model: gpt\ndata: {source: text}\n", `x.yaml:4:16: data.source: text: wants a file, text:FILE or text:held=SHARE:FILE, or in data.path, *; babble is a made one`},
		{"two files", head + "model: gpt\ndata: {source: 'text:a', path: b}\n", `x.yaml:4:32: data.path: is "b", but the source names a path already, "a"; give one of them`},
		{"path of nothing", head + "data: {path: b}\n", `x.yaml:3:14: data.path: is "b", but source "mnist" wants no path; write text, jsonl, csv or idx as the source`},
		{"split", head + "data: {split: dirichlet:0}\n", `x.yaml:3:15: data.split: dirichlet: wants a concentration above 0, such as dirichlet:0.3, not "0"`},
		{"what a hook refuses", head + "network: {latency: odd}\n", `x.yaml:3:20: network.latency: odd is not for 8 nodes`},
		{"adversary that a hook refuses", head + "adversaries: [fine, odd]\n", `x.yaml:3:21: adversaries[1]: odd is not for 8 nodes`},
		{"adversaries that do not go together", head + "adversaries: [fine, fine]\n", `x.yaml:3:14: adversaries: the same twice`},
		{"text that cannot be printed", head + `churn: {sessions: "\e[31m"}` + "\n", `x.yaml:3:19: churn.sessions: "\x1b[31m" holds characters that cannot be printed`},
		{"text with a tab", head + `about: "a\tb"` + "\n", `x.yaml:3:8: about: holds characters that cannot be printed`},
		{"both durations", head + "compute: {step: 1s, epoch: 1s}\n", `x.yaml:3:28: compute.epoch: is 1s, but compute.step is 1s; give one of them`},
		{"scalar records in cells", head + "method: {name: scalar}\ncells: {size: 4}\n", `x.yaml:4:15: cells.size: is 4, but records have to come to all nodes, which cells keep apart; write size: 0`},
		{"adversaries without vectors", head + "method: {name: scalar}\nadversaries: [fine]\n", `x.yaml:4:15: adversaries[0]: not with records`},
		{"epochs that are never closed", head + "method: {name: scalar, scalar: 'structured:mode=closed,peers=16'}\n", `x.yaml:3:32: method.scalar: is for 16 peers, of whom 11 close the first epoch, and there are 8 nodes; write peers=8`},
		{"scalar settings that are none", head + "method: {name: scalar, scalar: 'structured:pool=3'}\n", `x.yaml:3:32: method.scalar: scalar structured: pool=3: a structured pool has a power of two of directions, from 2 to 32768`},
		{"more nodes than peers", head + "nodes: 20\nmethod: {name: scalar, scalar: 'structured:peers=19'}\n", `x.yaml:4:32: method.scalar: is for 19 peers, and there are 20 nodes; write peers=20 or more`},
		{"starts that differ, by scalars", head + "method: {name: scalar}\ninit: independent\n", `x.yaml:4:7: init: is independent, and with method.name: scalar records say how one and the same model changes; write common`},
		{"cell of one", head + "cells: {size: 1}\n", `x.yaml:3:15: cells.size: is 1; want 0 for one cell of all, or 2 to 1000000`},
		{"cells on a graph", head + "cells: {size: 4}\noverlay: ring\n", `x.yaml:3:15: cells.size: is 4, but overlay is ring; cells are of no fixed size and want overlay: mesh or complete`},
		{"partition backwards", head + "network: {partitions: [{from: 2s, until: 1s}]}\n", `x.yaml:3:42: network.partitions[0].until: is 1s, which is not after from, 2s`},
		{"key of a partition", head + "network: {partitions: [{form: 1s, until: 2s}]}\n", `x.yaml:3:25: unknown key "form"; did you mean "from"?`},
		{"groups of a partition", head + "network: {partitions: [{until: 2s, groups: odd}]}\n", `x.yaml:3:44: network.partitions[0].groups: odd is not for 8 nodes`},
		{"partition that is none", head + "network: {partitions: [now]}\n", `x.yaml:3:24: network.partitions: want the keys from, until, groups, have the text "now"`},
		{"thresholds that fall", head + "thresholds: [0.9, 0.8]\n", `x.yaml:3:19: thresholds[1]: is 0.8, which is not above the one before, 0.9`},
		{"threshold of none", head + "thresholds: [0]\n", `x.yaml:3:14: thresholds[0]: is 0; want an accuracy above 0, to 1`},
		{"threshold that is no number", head + "thresholds: [0.9, good]\n", `x.yaml:3:19: thresholds: want a number, have the text "good"`},
		{"goal without evaluation", head + "evaluate: {every: 0}\nthresholds: [0.9]\n", `x.yaml:4:13: thresholds: are given, but evaluate.every is 0, so that nothing is measured`},
		{"no name", "stop: {rounds: 1}\n", `x.yaml: name: is missing`},
		{"no end", "name: x\nstop: {accuracy: 0.9}\n", `x.yaml: stop: wants rounds, time, events, received or, of text, tokens: goals may never be reached`},
		{"weights of no digest", head + "init: weights:12\n", `x.yaml:3:7: init: is "weights:12"; want weights: and the SHA-256 of the weights, 64 digits from 0 to 9 and a to f`},
		{"weights in no file", head + "init: weights:" + strings.Repeat("0a", 32) + "\n", `x.yaml: weights: is empty, and init names a base model; say in which file it is`},
		{"weights that init does not name", head + "weights: a.safetensors\n", `x.yaml:3:10: weights: is a file, but init is common; write init: weights: and the SHA-256 of the weights in the file`},
		{"two base models", head + "init: independent\npretrain: {source: pegasos}\n", `x.yaml:3:7: init: is independent, but all nodes start from what pretrain.source gives; write common, or source: none`},
		{"text before the run without a file", head + "model: gpt\ndata: {source: babble}\npretrain: {source: text}\n", `x.yaml:5:20: pretrain.source: text: wants a file, text:FILE or text:held=SHARE:FILE, or in pretrain.path, *`},
		{"path before the run of nothing", head + "pretrain: {path: b}\n", `x.yaml:3:18: pretrain.path: is given, but pretrain.source is none; write text, csv or idx as the source`},
		{"optimizer before the run", head + "pretrain: {source: pegasos, optimizer: adam}\n", `x.yaml:3:40: pretrain.optimizer: *`},
		{"steps before the run", head + "pretrain: {source: pegasos, steps: 0}\n", `x.yaml:3:36: pretrain.steps: is 0; want 1 to 1000000`},
		{"tokens of no text", head + "evaluate: {every: tokens:9}\n", `x.yaml:3:19: evaluate.every: is tokens:9, but only text has tokens, and model mlp:64 reads none; choose gpt`},
		{"no tokens", head + "evaluate: {every: 'tokens:0'}\n", `x.yaml:3:19: evaluate.every: "tokens:0" wants a whole number above 0, such as tokens:65536`},
		{"perplexity of no text", "name: x\nstop: {rounds: 1, perplexity: 5}\n", `x.yaml:2:31: stop.perplexity: is 5, but only text has tokens, and model mlp:64 reads none; choose gpt`},
		{"perplexity of nothing", "name: x\nmodel: gpt\ndata: {source: babble}\nstop: {tokens: 1, perplexity: 1}\n", `x.yaml:4:31: stop.perplexity: is 1; want 0 for none, or a number above 1`},
		{"work that ends first", head + "work: {from: 2s, until: 1s}\n", `x.yaml:3:25: work.until: is 1s, which is not after work.from, 2s`},
		{"baseline of no key", head + "baseline: [codek=fp32]\n", `x.yaml:3:12: baseline[0]: "codek" is not a key; did you mean "codec"?`},
		{"baseline without a value", head + "baseline: [codec]\n", `x.yaml:3:12: baseline[0]: is "codec"; want key=value, such as reference.name=allreduce`},
		{"version", head + "version: 2\n", `x.yaml:3:10: version: is 2; this build reads version 1`},
		{"coarse codec", head + "codec: 'topk:0.01,int4'\n", `x.yaml:3:8: codec: is topk:0.01,int4, which keeps too little for the whole models that method average sends; write codec: bf16, int8 or int4, or exchange: copies`},
		{"push-sum with loss", head + "method: {mix: push-sum}\n", `x.yaml: codec: is bf16, which loses some of a vector: with push-sum that would be mass; write codec: fp32`},
		{"anchor", head + "about: &a b\n", `x.yaml:3:8: about: want text, have an anchor or an alias, which an experiment does not allow`},
		{"two documents", head + "---\nname: y\n", `x.yaml:4:1: holds a second document; an experiment is one document`},
		{"empty", "", `x.yaml: is empty; an experiment has at least name and stop`},
		{"list", "- name\n", `x.yaml:1:1: want keys and values, have a list`},
		{"too deep", head + "about: " + strings.Repeat("[", 20) + strings.Repeat("]", 20), `x.yaml:3:20: is nested deeper than 12 levels; an experiment has no such values`},
		{"too long", "#" + strings.Repeat("x", MaxBytes), `x.yaml: has 262145 bytes; an experiment has at most 262144`},
		{"too many points", head + "nodes: [" + strings.Repeat("1,", 101) + "]\nseed: [" + strings.Repeat("1,", 100) + "]\n", `x.yaml: has more than 10000 combinations of its lists`},
		{"one bad value of a sweep, once", head + "nodes: [2, 0, 3]\nseed: [1, 2]\n", `x.yaml:3:12: nodes: is 0; want 1 to 1000000`},
		{
			"all at once, in the order of the file",
			"name: X\nnodes: 0\nmethod: {steps: 0, mxi: mean}\nstop: {time: 5}\n",
			`x.yaml:1:7: name: "X" may hold a to z, 0 to 9 and '-', at most 40 of them` + "\n" +
				`x.yaml:2:8: nodes: is 0; want 1 to 1000000` + "\n" +
				`x.yaml:3:17: method.steps: is 0; want 1 to 1000000` + "\n" +
				`x.yaml:3:20: unknown key "mxi"; did you mean "mix"?` + "\n" +
				`x.yaml:4:14: stop.time: 5 has no unit; write 5s, 5ms or 5m`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := Load([]byte(test.src), "x.yaml", nil, hooks)
			var problems strictyaml.Problems
			if !errors.As(err, &problems) || f != nil {
				t.Fatalf("want Problems, have %v", err)
			}
			if !like(test.want, err.Error()) {
				t.Errorf("have\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

// like matches have with a pattern whose only * stands for any characters.
func like(pattern, have string) bool {
	before, after, some := strings.Cut(pattern, "*")
	if !some {
		return have == pattern
	}
	rest, ok := strings.CutPrefix(have, before)
	return ok && len(rest) > len(after) && strings.HasSuffix(rest, after)
}

func TestOverridesAreReadLikeTheFile(t *testing.T) {
	tests := []struct{ name, arg, want string }{
		{"misspelt key", "method.stpes=3", `--set method.stpes=3: unknown key "stpes"; did you mean "steps"?`},
		{"misspelt section", "metod.steps=3", `--set metod.steps=3: unknown key "metod"; did you mean "method"?`},
		{"key without its section", "mix=mean", `--set mix=mean: unknown key "mix"; did you mean "mix" inside "method"?`},
		{"key of a value", "nodes.count=3", `--set nodes.count=3: nodes: want a whole number, have keys and values`},
		{"wrong type", "nodes=some", `--set nodes=some: nodes: want a whole number, have the text "some"`},
		{"out of range", "nodes=0", `--set nodes=0: nodes: is 0; want 1 to 1000000`},
		{"no value", "nodes", `--set nodes: want key=value, such as method.mix=mean`},
		{"empty value", "nodes=", `--set nodes=: has no value; write "" for empty text`},
		{"no key", "=3", `--set =3: want key=value, such as method.mix=mean`},
		{"not YAML", "nodes=[1", `--set nodes=[1: not YAML: *`},
		{"one of a sweep", "nodes=[2,0]", `--set nodes=[2,0]: nodes: is 0; want 1 to 1000000`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load([]byte(head), "x.yaml", []string{test.arg}, hooks)
			if err == nil || !like(test.want, err.Error()) {
				t.Errorf("have\n%v\nwant\n%s", err, test.want)
			}
		})
	}
	f := load(t, head+"nodes: 3\nmethod:\n  - {mix: mean}\n  - {mix: age}\n", "nodes=5", "network.loss=0.50", "network.partitions=[{until: 1s}]",
		"model=mlp:10,20", "optimizer=sgd:lr=0.1,momentum=0.5", "method.steps=epoch", "seed=1", "seed=7")
	if len(f.Points) != 2 {
		t.Fatalf("%d points", len(f.Points))
	}
	for _, p := range f.Points {
		e := p.Experiment
		if e.Nodes != 5 || e.Network.Loss != "0.50" || e.Model != "mlp:10,20" || e.Optimizer != "sgd:lr=0.1,momentum=0.5" || e.Seed != 7 ||
			!e.Method.Steps.Epoch || !cmp.Equal(e.Network.Partitions, []Partition{{Until: time.Second, Groups: "halves"}}) {
			t.Errorf("overrides are not in %+v", e)
		}
	}
}

// full is an experiment in which every setting differs from its default.
func full() Experiment {
	return Experiment{
		Version: 1, Name: "wide-7", About: "What is asked: \"how\"?\n\nMuch: 1\n",
		Nodes: 100, Seed: 1<<64 - 1, DataSeed: 3, Overlay: "complete", Cells: Cells{50, 90 * time.Second},
		Network: Network{
			"constant:1ms", "uniform:0ms-10ms", "fast", "0.125", "half",
			[]Partition{{0, time.Second, "regions"}, {time.Hour, 2 * time.Hour, "a, b: {}"}},
		},
		Churn:   Churn{"weibull:1,2", "slow"},
		Compute: Compute{0, 1500 * time.Microsecond, 7, 0},
		Data:    manifest.Data{Source: "csv:my data/räume #1.csv", Split: "shards:2", Shards: 17}, Model: "mlp:128,64", Optimizer: "adamw:lr=0.1",
		Init: "weights:" + strings.Repeat("0f", 32), Weights: "base.safetensors", Codec: "fp32",
		Pretrain: Pretrain{Source: None, Steps: 7, Batch: 3, Optimizer: "sgd:lr=0.1"},
		Method: Method{
			Name: "average", Mix: "mean", Exchange: Announce, Steps: Steps{Epoch: true}, Batch: 3, Degree: 9,
			Outer: "noloco", Scalar: "binom8", Check: 0.25, Wake: Wake{Period: time.Second}, AnnounceEvery: time.Minute, RepairEvery: time.Hour,
		},
		Limits:     manifest.Limits{Inline: 1000, Blob: 3 * manifest.GiB, Peers: 65},
		Checkpoint: Checkpoint{7},
		Reference:  Reference{None, All()},
		Adversaries: []string{
			"sign-flip:10%", "odd one: out",
		},
		Evaluate:   Evaluate{Cadence{Time: 3 * time.Second}, Portion{Share: 0.1}, 1000},
		Work:       Interval{time.Second, time.Minute},
		Stop:       Stop{Rounds: 10, Time: time.Hour, Events: 1 << 40, Accuracy: 0.9, Worst: 0.8, Loss: 0.25, Received: 3 * manifest.KiB},
		Thresholds: []float64{0.1, 1},
	}
}

func TestYAMLRoundTripKeepsEverySetting(t *testing.T) {
	small := Default()
	small.Name, small.Stop.Events = "small", 1
	text := small
	text.Model, text.Data.Source, text.DataPath, text.Evaluate.Every = "gpt:layers=1", "text", "a.txt", Cadence{Tokens: 1 << 16}
	text.Reference.Name, text.Stop = AllReduce, Stop{Tokens: 1 << 20, Perplexity: 5.5}
	tuned := text
	tuned.Pretrain = Pretrain{Source: "text", Path: "b.txt", Steps: 5, Batch: 2, Optimizer: "adamw:lr=0.1"}
	for _, e := range []Experiment{small, text, tuned, full()} {
		f := load(t, string(e.YAML()))
		e.About = strings.TrimSpace(e.About)
		if len(f.Points) != 1 {
			t.Fatalf("%d points", len(f.Points))
		}
		if diff := cmp.Diff(e, f.Points[0].Experiment); diff != "" {
			t.Errorf("%s\n%s", diff, e.YAML())
		}
	}
}

func TestPortionsAreWrittenAsTheyAreRead(t *testing.T) {
	for text, of := range map[string]int{"all": 30, "10%": 3, "33.3%": 10, "0.001%": 1, "7": 7, "1": 1, "1000": 30} {
		f := load(t, head+"nodes: 1000\nevaluate: {nodes: "+text+"}\n")
		p := f.Points[0].Experiment.Evaluate.Nodes
		if p.String() != text || p.Of(30) != of {
			t.Errorf("%s is written %s, and %d of 30", text, p, p.Of(30))
		}
	}
}

func TestManifestHasWhatTheExperimentSays(t *testing.T) {
	e := Default()
	e.Name, e.Nodes, e.Method.Steps.Count, e.Stop.Worst, e.Evaluate.Every.Rounds, e.Init = "x", 12, 77, 0.5, 3, "independent"
	m, err := e.Manifest()
	want := manifest.Default()
	want.Name, want.Data.Shards, want.Method.Steps.Count, want.Evaluate, want.Init = "x", 12, 77, manifest.Evaluate{Every: 3, Target: 0.5}, "independent"
	if err != nil || m != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, m))
	}
	e.Method.Wake = Wake{Period: time.Minute}
	if m, err := e.Manifest(); err != nil || m != want {
		t.Errorf("with pauses that have no effect: %v\n%s", err, cmp.Diff(want, m))
	}
	e.Method.Exchange, e.Method.Steps, e.Method.Degree = Push, Steps{Epoch: true}, 3
	m, err = e.Manifest()
	want.Method.Exchange, want.Method.Steps, want.Method.Wake, want.Method.Degree = Push, Steps{Epoch: true}, Wake{Period: time.Minute}, 3
	if err != nil || m != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, m))
	}
	e.Method.Wake.Period = time.Microsecond
	if _, err := e.Manifest(); err == nil || !strings.Contains(err.Error(), "method.wake.period: is 1us; want 100ms to 24h") {
		t.Error(err)
	}
	e.Method.Wake.Period, e.Cells = time.Minute, Cells{Size: 5, Epoch: time.Hour}
	m, err = e.Manifest()
	if want.Cells = (manifest.Cells{Count: 2, Epoch: time.Hour}); err != nil || m != want {
		t.Errorf("12 nodes in cells of 5: %v\n%s", err, cmp.Diff(want, m))
	}
	for _, size := range []int{8, 12, 20} {
		e.Cells.Size = size
		m, err = e.Manifest()
		if want.Cells = manifest.Default().Cells; size == 8 {
			want.Cells = manifest.Cells{Count: 2, Epoch: time.Hour}
		}
		if err != nil || m != want {
			t.Errorf("12 nodes in cells of %d: %v\n%s", size, err, cmp.Diff(want, m))
		}
	}
	e.Overlay, e.Adversaries = "complete", []string{"sign-flip:share=0.1"}
	if _, err := e.Manifest(); err == nil || err.Error() != "a run of real nodes cannot have adversaries, overlay: complete" {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	e := full()
	f.Add(e.YAML(), "nodes=3")
	f.Add([]byte(head), "method.mix=[mean, age]")
	f.Add([]byte(head+"method: [{mix: [mean, age]}, {steps: epoch}]\nadversaries: [[a], [b, c]]\n"), "method.wake.period=1s")
	f.Add([]byte(head+"network: {partitions: [{from: 1s, until: 2s}]}\nnodes: [1,2]"), "network.partitions=[[], [{until: 1h}]]")
	f.Add([]byte("a: &a [*a, !!x y, {<<: *a}]\n---\n- |\n x\n"), "=")
	f.Fuzz(func(t *testing.T, src []byte, arg string) {
		file, err := Load(src, "fuzz.yaml", []string{arg}, Hooks{})
		if err != nil {
			var problems strictyaml.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			for _, p := range problems {
				if p.Text == "" || strings.ContainsAny(p.String(), "\n\x1b") {
					t.Errorf("problem is not one printable line: %q", p)
				}
			}
			return
		}
		labels := map[string]bool{}
		for _, p := range file.Points[:min(len(file.Points), 20)] {
			again, err := Load(p.Experiment.YAML(), "again.yaml", nil, Hooks{})
			if err != nil || len(again.Points) != 1 || again.Points[0].Hash != p.Hash || again.Points[0].Experiment.About != p.Experiment.About {
				t.Fatalf("round trip: %v\n%s", err, p.Experiment.YAML())
			}
			if labels[p.Label] || labels[p.Dir()] || strings.ContainsAny(p.Dir(), "/\\: \n") {
				t.Errorf("label %q, directory %q", p.Label, p.Dir())
			}
			labels[p.Label], labels[p.Dir()] = true, true
		}
	})
}

func TestOneTextIsTheSameHoweverItIsNamed(t *testing.T) {
	whole := load(t, head+"model: gpt\ndata: {source: 'text:a.txt'}\n").Points[0]
	apart := load(t, head+"model: gpt\ndata: {source: text}\n", "data.path=a.txt").Points[0]
	if apart.Hash != whole.Hash || apart.Experiment.Shared().Data != whole.Experiment.Shared().Data {
		t.Errorf("data %+v and %+v", apart.Experiment.Shared().Data, whole.Experiment.Shared().Data)
	}
	again := load(t, string(apart.Experiment.YAML())).Points[0]
	if again.Hash != whole.Hash || again.Experiment.DataPath != "a.txt" {
		t.Errorf("the file of the experiment has other data: %+v, path %q", again.Experiment.Data, again.Experiment.DataPath)
	}
}
