package manifest

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func golden(t *testing.T, name, have string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("%s differs (-want +have); run go test -update if the change is meant\n%s", path, diff)
	}
}

// full is a manifest in which every setting differs from its default and from its neighbours.
func full() Manifest {
	m := Manifest{
		Version: 1, Name: "wide-run-7", Seed: 1<<64 - 1, Model: "mlp:128,64", Init: "independent",
		Data: Data{Source: "csv:my data/räume #1: \"a\".csv", Split: "shards:2", Shards: 17},
		Method: Method{
			Name: "average", Mix: "age", Exchange: Push, Steps: Steps{Epoch: true}, Batch: 33, Degree: 9,
			Wake: Wake{Period: 90 * time.Second, Deviation: 250 * time.Millisecond}, Outer: "diloco", Scalar: "structured", Public: Public{Correct: NoCorrection},
		},
		Cells:     Cells{Count: 300, Epoch: 36 * time.Hour},
		Optimizer: "sgd:lr=0.05", Codec: "fp32",
		Checkpoint: Checkpoint{Every: 2, Keep: 4}, Evaluate: Evaluate{Every: 5, Target: 0.875},
		Limits:    Limits{Inline: 1000, Blob: 3 * GiB, Peers: 65},
		Admission: "open", Created: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
	for i := range m.Creator {
		m.Creator[i] = byte(i)
	}
	return m
}

// outerRun is a manifest with what only another method than that of full has.
func outerRun() Manifest {
	m := Default()
	m.Method.Name, m.Method.Outer, m.Codec = "outer", "noloco:gamma=0.3", "topk:0.01,int4,rice"
	return m
}

// scalarRun likewise.
func scalarRun() Manifest {
	m := Default()
	m.Method.Name, m.Method.Scalar = "scalar", "rademacher:pool=64,lr=0.01"
	return m
}

// checkedRun is one whose nodes measure each other's records again.
func checkedRun() Manifest {
	m := scalarRun()
	m.Data.Split, m.Method.Scalar, m.Method.Check = "iid", "structured", 0.01
	return m
}

// copiesRun is a manifest with what only another exchange than that of full has.
func copiesRun() Manifest {
	m := Default()
	m.Method.Mix, m.Method.Exchange, m.Codec, m.Optimizer = "metropolis", Copies, "randk:0.1,int8,unbiased", "sgd:lr=0.1"
	m.Method.Public = Public{Correct: Scallion, Gamma: 0.25, Beta: 0.125}
	return m
}

func TestYAMLRoundTripKeepsEverySetting(t *testing.T) {
	for name, m := range map[string]Manifest{"default": Default(), "full": full(), "outer": outerRun(), "scalar": scalarRun(), "checked": checkedRun(), "copies": copiesRun()} {
		t.Run(name, func(t *testing.T) {
			have, err := ParseYAML(m.YAML(), name+".yaml")
			if err != nil {
				t.Fatalf("%v\n%s", err, m.YAML())
			}
			if have != m {
				t.Error(cmp.Diff(m, have))
			}
			golden(t, name+".yaml", string(m.YAML()))
		})
	}
}

func TestFullDiffersFromDefaultEverywhere(t *testing.T) {
	a, b := full(), Default()
	a.Method.Outer, a.Method.Public, a.Method.Scalar = outerRun().Method.Outer, copiesRun().Method.Public, scalarRun().Method.Scalar
	a.Method.Check = checkedRun().Method.Check
	all := settings(&b)
	for i, s := range settings(&a) {
		// These have one value in this version.
		if s.path == "version" || s.path == "method.name" || s.path == "admission" {
			continue
		}
		if render(s.to) == render(all[i].to) {
			t.Errorf("%s is %s in both, so that the tests do not notice if it is lost", s.path, render(s.to))
		}
	}
}

func TestKeysLeftOutTakeTheirDefaults(t *testing.T) {
	have, err := ParseYAML([]byte("version: 1\nname: tiny\nmethod: {steps: 7}\n"), "run.yaml")
	want := Default()
	want.Name, want.Method.Steps.Count = "tiny", 7
	if err != nil || have != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, have))
	}
}

func TestProblemsHaveTheirPlace(t *testing.T) {
	const head = "version: 1\nname: x\n"
	tests := []struct{ name, src, want string }{
		{"near key", head + "method:\n  batchs: 3\n", `run.yaml:4:3: unknown key "batchs"; did you mean "batch"?`},
		{"swapped letters", head + "sede: 3\n", `run.yaml:3:1: unknown key "sede"; did you mean "seed"?`},
		{"key of another section", head + "batch: 3\n", `run.yaml:3:1: unknown key "batch"; did you mean "batch" inside "method"?`},
		{"key of the top level", head + "data: {admission: open}\n", `run.yaml:3:8: unknown key "admission"; did you mean "admission" at the top level?`},
		{"dotted key", head + "data.source: own\n", `run.yaml:3:1: unknown key "data.source"; did you mean "source" inside "data"?`},
		{"far key", head + "data: {zzzzzz: 1}\n", `run.yaml:3:8: unknown key "zzzzzz"; known are source, path, split, shards`},
		{"merge key", head + "<<: {seed: 2}\n", `run.yaml:3:1: unknown key "<<"; known are ` + "*"},
		{"number as key", head + "12: 3\n", `run.yaml:3:1: unknown key "12"; known are ` + "*"},
		{"repeated key", head + "seed: 3\nseed: 4\n", `run.yaml:4:1: key "seed" is given twice, first in line 3`},
		{"repeated section", head + "data: {shards: 3}\ndata: {shards: 4}\n", `run.yaml:4:1: key "data" is given twice, first in line 3`},
		{"text for number", head + "method: {steps: many}\n", `run.yaml:3:17: method.steps: want a whole number or epoch, have the text "many"`},
		{"fraction for whole number", head + "method: {steps: 1.5}\n", `run.yaml:3:17: method.steps: want a whole number or epoch, have the number 1.5`},
		{"number for text", head + "codec: 16\n", `run.yaml:3:8: codec: want text, have the number 16; if it is meant as text, put it in quotes`},
		{"truth value for text", head + "codec: true\n", `run.yaml:3:8: codec: want text, have the truth value true; if it is meant as text, put it in quotes`},
		{"list for text", head + "codec: [bf16]\n", `run.yaml:3:8: codec: want text, have a list`},
		{"mapping for text", head + "codec:\n  name: bf16\n", `run.yaml:4:3: codec: want text, have keys and values`},
		{"nothing for text", head + "codec:\nseed: 1\n", `run.yaml:3:*: codec: want text, have nothing`},
		{"lines for text", head + "codec: |\n  bf16\n  x\n", `run.yaml:3:8: codec: want text, have several lines of text`},
		{"text for section", head + "data: mnist\n", `run.yaml:3:7: data: want the keys source, path, split, shards, have the text "mnist"`},
		{"nothing for section", head + "data:\n", `run.yaml:3:*: data: want the keys source, path, split, shards, have nothing`},
		{"alias", head + "codec: &a bf16\noptimizer: *a\n", "run.yaml:3:8: codec: want text, have an anchor or an alias, which a manifest does not allow\nrun.yaml:4:12: optimizer: want text, have an anchor or an alias, which a manifest does not allow"},
		{"tag", head + "codec: !!str bf16\n", `run.yaml:3:8: codec: want text, have a tag, which a manifest does not allow`},
		{"negative seed", head + "seed: -1\n", `run.yaml:3:7: seed: -1 is negative`},
		{"seed above 64 bits", head + "seed: 18446744073709551616\n", `run.yaml:3:7: seed: *`},
		{"whole number above 32 bits", head + "method: {steps: 4294967297}\n", `run.yaml:3:17: method.steps: 4294967297 is too large`},
		{"size without unit", head + "limits: {inline: 32}\n", `run.yaml:3:18: limits.inline: 32 has no unit; write 32B, 32KiB or 32MiB`},
		{"size in powers of ten", head + "limits: {inline: 32kB}\n", `run.yaml:3:18: limits.inline: "32kB" is not a size; write a whole number with B, KiB, MiB or GiB, such as 32KiB`},
		{"size above 63 bits", head + "limits: {blob: 9999999999GiB}\n", `run.yaml:3:16: limits.blob: "9999999999GiB" is not a size; write a whole number with B, KiB, MiB or GiB, such as 32KiB`},
		{"out of range", head + "method:\n  steps: 0\n", `run.yaml:4:10: method.steps: is 0; want 1 to 1000000`},
		{"steps of another kind", head + "method: {steps: epochs}\n", `run.yaml:3:17: method.steps: want a whole number or epoch, have the text "epochs"`},
		{"key three levels deep", head + "method:\n  exchange: push\n  wake:\n    peroid: 1s\n", `run.yaml:6:5: unknown key "peroid"; did you mean "period"?`},
		{"key two levels too high", head + "period: 1s\n", `run.yaml:3:1: unknown key "period"; did you mean "period" inside "method.wake"?`},
		{"exchange that there is not", head + "method: {exchange: pul}\n", `run.yaml:3:20: method.exchange: "pul" is not known; did you mean "push"?`},
		{"pauses without pushes", head + "method: {wake: {period: 2s}}\n", `run.yaml:3:25: method.wake.period: is 2s, and has no effect with method.exchange: announce; leave it out, or choose push`},
		{"deviation without pushes", head + "method: {wake: {deviation: 1ms}}\n", `run.yaml:3:28: method.wake.deviation: is 1ms, and has no effect with method.exchange: announce; leave it out, or choose push`},
		{"a flood of pushes", head + "method: {exchange: push, wake: {period: 99ms}}\n", `run.yaml:3:41: method.wake.period: is 99ms; want 100ms to 24h`},
		{"pauses that vary too much", head + "method: {exchange: push, wake: {deviation: 2s}}\n", `run.yaml:3:44: method.wake.deviation: is 2s; want 0s to method.wake.period, which is 1s`},
		{"duration without unit", head + "method: {exchange: push, wake: {period: 2}}\n", `run.yaml:3:41: method.wake.period: 2 has no unit; write 2s, 2ms or 2m`},
		{"copies by another rule", head + "method: {exchange: copies}\n", `run.yaml: method.mix: is "variance-corrected", but public copies are mixed by Metropolis-Hastings weights; write mix: metropolis`},
		{"copies in cells", head + "method: {exchange: copies, mix: metropolis}\ncells: {count: 2}\n", `run.yaml:4:16: cells.count: is 2, but public copies are for neighbours that stay, which cells part; write count: 1`},
		{"a correction without copies", head + "method: {public: {correct: scafcom}}\n", `run.yaml:3:28: method.public.correct: is scafcom, and has no effect with method.exchange: announce; leave it out, or choose copies`},
		{"a correction of momentum", head + "method: {exchange: copies, mix: metropolis, public: {correct: scafcom}}\n", `run.yaml: optimizer: is "sgd:lr=0.05,momentum=0.9", but scafcom measures gradients by how far plain steps go; write sgd without momentum, such as sgd:lr=0.1`},
		{"scallion through a biased codec", head + "codec: 'topk:0.1,int4'\noptimizer: sgd\nmethod: {exchange: copies, mix: metropolis, public: {correct: scallion}}\n", `run.yaml:3:8: codec: is "topk:0.1,int4", which is biased, and scallion counts on errors that cancel out; add unbiased, or write correct: scafcom`},
		{"beta of nothing", head + "method: {exchange: copies, mix: metropolis, public: {beta: 0.5}}\n", `run.yaml:3:60: method.public.beta: is 0.5, and has no effect without a correction; leave it out, or write correct: scafcom`},
		{"gamma above 1", head + "method: {exchange: copies, mix: metropolis, public: {gamma: 1.5}}\n", `run.yaml:3:61: method.public.gamma: is 1.5; want 0 to 1`},
		{"unknown correction", head + "method: {exchange: copies, mix: metropolis, public: {correct: scafkom}}\n", `run.yaml:3:63: method.public.correct: "scafkom" is not known; did you mean "scafcom"?`},
		{"push-sum by push", head + "codec: fp32\nmethod: {mix: push-sum, exchange: push}\n", `run.yaml:4:35: method.exchange: is push, but push-sum sends to fixed neighbours; write exchange: announce`},
		{"no cells", head + "cells: {count: 0}\n", `run.yaml:3:16: cells.count: is 0; want 1 to 65536`},
		{"an epoch of one cell", head + "cells: {epoch: 1m}\n", `run.yaml:3:16: cells.epoch: is 1m, and has no effect with cells.count: 1; leave it out, or choose more cells`},
		{"a short epoch", head + "cells: {count: 2, epoch: 999ms}\n", `run.yaml:3:26: cells.epoch: is 999ms; want 1s to 720h`},
		{"the size of cells", head + "cells: {size: 20}\n", `run.yaml:3:9: unknown key "size"; known are count, epoch`},
		{"push-sum in cells", head + "codec: fp32\nmethod: {mix: push-sum}\ncells: {count: 2}\n", `run.yaml:5:16: cells.count: is 2, but push-sum sends to fixed neighbours, which cells part; write count: 1`},
		{"infinite target", head + "evaluate: {target: .inf}\n", `run.yaml:3:20: evaluate.target: want a number, have .inf`},
		{"negative zero target", head + "evaluate: {target: -0.0}\n", `run.yaml:3:20: evaluate.target: is -0; want an accuracy from 0 to 1, 0 for none`},
		{"target without evaluation", head + "evaluate: {every: 0}\n", `run.yaml: evaluate.target: is 0.95, but evaluate.every is 0, so that nothing is measured`},
		{"more neighbours than peers", head + "method: {degree: 9}\nlimits: {peers: 8}\n", `run.yaml:3:18: method.degree: is 9, more than limits.peers, which is 8`},
		{"blob below inline", head + "limits: {inline: 2KiB, blob: 1KiB}\n", `run.yaml:3:30: limits.blob: is 1KiB, less than limits.inline, which is 2KiB`},
		{"inline above an announcement", head + "limits: {inline: 64KiB}\n", `run.yaml:3:18: limits.inline: is 64KiB; want 0B to 48KiB`},
		{"method of a later build", head + "method: {name: walk}\n", `run.yaml:3:16: method.name: "walk" is not in this build yet; use average or outer or scalar`},
		{"scalar settings of another method", head + "method: {scalar: rademacher}\n", `run.yaml:3:18: method.scalar: is "rademacher", and has no effect with method.name: average; leave it out, or choose scalar`},
		{"vectors of the method scalar", head + "method: {name: scalar, mix: mean, outer: noloco, degree: 2}\ncodec: int4\n", "run.yaml:3:29: method.mix: is \"mean\", and has no effect with method.name: scalar; leave it out\nrun.yaml:3:42: method.outer: is \"noloco\", and has no effect with method.name: scalar; leave it out, or choose outer\nrun.yaml:3:58: method.degree: is \"2\", and has no effect with method.name: scalar; leave it out\nrun.yaml:4:8: codec: is \"int4\", and has no effect with method.name: scalar; leave it out"},
		{"scalar with copies", head + "method: {name: scalar, public: {gamma: 0.5}}\n", `run.yaml:3:40: method.public.gamma: is 0.5, and has no effect with method.name: scalar; leave it out`},
		{"sums that could overflow", head + "method: {name: scalar, scalar: 'structured:m=65535,peers=80'}\n", `run.yaml:3:32: method.scalar: scalar structured: sums could overflow: m 65535 times value 881744 times records 1048576 times peers 80 times entry 1 is 2^62 or more: lower records, peers or m`},
		{"records that cannot be checked", head + "data: {source: own}\nmethod: {name: scalar, check: 0.01}\n", `run.yaml:4:31: method.check: is 0.01, and with data.source: own the data of a node is its own: nobody else can measure its records again; leave it out`},
		{"checks of a file", head + "data: {source: 'text:FILE'}\nmodel: gpt:layers=1\nmethod: {name: scalar, check: 0.01}\n", `run.yaml:5:31: method.check: is 0.01, and with data.source: text:FILE the data of a node is its own: nobody else can measure its records again; leave it out`},
		{"checks of divided data", head + "method: {name: scalar, check: 0.01}\n", `run.yaml: data.split: is "dirichlet:0.3", but with method.check all nodes draw from all of the data; write iid`},
		{"checks of everything and more", head + "method: {name: scalar, check: 1.5}\ndata: {split: iid}\n", `run.yaml:3:31: method.check: is 1.5; want 0 to 1`},
		{"checks of another method", head + "method: {check: 0.01}\n", `run.yaml:3:17: method.check: is 0.01, and has no effect with method.name: average; leave it out, or choose scalar`},
		{"epochs of too many", head + "method: {name: scalar, scalar: 'structured:mode=closed,peers=600'}\n", `run.yaml:3:32: method.scalar: mode=closed with peers=600: more than two thirds of these close the first epoch, and there can be 512; say how many take part`},
		{"epochs that nobody can catch up with", head + "method: {name: scalar, scalar: 'structured:mode=closed,clock=seq'}\n", `run.yaml:3:32: method.scalar: mode=closed with clock=seq: who has missed an epoch could never add to the one that is open; leave clock out`},
		{"too few reports to combine", head + "method: {name: scalar, scalar: 'structured:mode=closed,combine=median,seeds=peer,peers=8'}\n", `run.yaml:3:32: method.scalar: scalar structured: combine=median gets about 0 reports for each direction and epoch (epoch 256 times peers 8 over pool 4096), want 8: set seeds=common, or a smaller pool`},
		{"models that differ", head + "init: independent\nmethod: {name: scalar}\n", `run.yaml:3:7: init: is independent, and with method.name: scalar records say how one and the same model changes; write common`},
		{"records in cells", head + "method: {name: scalar}\ncells: {count: 2}\n", `run.yaml:4:16: cells.count: is 2, but records have to come to all nodes, which cells keep apart; write count: 1`},
		{"copies of another method", head + "method: {name: outer, exchange: copies, public: {correct: scafcom}}\n", "run.yaml:3:33: method.exchange: is \"copies\", and has no effect with method.name: outer; leave it out\nrun.yaml:3:59: method.public.correct: is scafcom, and has no effect with method.name: outer; leave it out"},
		{"pauses of another method", head + "method: {name: outer, wake: {period: 2s}}\n", `run.yaml:3:38: method.wake.period: is 2s, and has no effect with method.name: outer; leave it out`},
		{"no steps between exchanges", head + "method: {name: outer, steps: 0}\n", `run.yaml:3:30: method.steps: is 0; want 1 to 1000000`},
		{"outer settings without quotes", head + "method: {name: outer, outer: diloco:lr=0.7,momentum=0.9}\n", `run.yaml:3:44: unknown key "momentum=0.9"; known are *; if it belongs to the text before it, put all of that into quotes`},
		{"outer optimizer of another method", head + "method: {outer: noloco}\n", `run.yaml:3:17: method.outer: is "noloco", and has no effect with method.name: average; leave it out, or choose outer`},
		{"unstable outer optimizer", head + "method: {name: outer, outer: \"noloco:alpha=0.9\"}\n", `run.yaml:3:30: method.outer: outer optimizer noloco: gamma 0.7 with alpha 0.9 in groups of 2: the momentum carries nodes past each other, and from 0.38 on they drift apart without end; want less than 0.342, or a smaller alpha`},
		{"local steps that differ", head + "method: {name: outer, steps: epoch}\n", `run.yaml:3:30: method.steps: is epoch, and with method.name: outer rounds are of a number of local steps that all share; write a number`},
		{"starts that differ", head + "init: independent\nmethod: {name: outer}\n", `run.yaml:3:7: init: is independent, and with method.name: outer nodes add up what they have changed of one and the same model; write common`},
		{"fragments that do not come out even", head + "method: {name: outer, steps: 50, outer: \"diloco:fragments=4\"}\n", `run.yaml:3:41: method.outer: 50 local steps do not divide into 4 fragments, so they would not come at even distances: take 48 or 52 steps`},
		{"near method", head + "method: {name: averaged}\n", `run.yaml:3:16: method.name: "averaged" is not known; did you mean "average"?`},
		{"unknown admission", head + "admission: vip\n", `run.yaml:3:12: admission: "vip" is not known; use open`},
		{"source without file", head + "data: {source: 'csv:'}\n", `run.yaml:3:16: data.source: csv: wants a file, csv:FILE, or in data.path`},
		{"unknown source", head + "data: {source: cifar}\n", `run.yaml:3:16: data.source: "cifar" is not known; use mnist, pegasos, babble, idx:DIR, csv:FILE, text:FILE, jsonl:FILE or own`},
		{"bad concentration", head + "data: {split: dirichlet:0}\n", `run.yaml:3:15: data.split: *`},
		{"bad model", head + "model: 'mlp:64;32'\n", `run.yaml:3:8: model: *`},
		{"bad mix", head + "method: {mix: Mean}\n", `run.yaml:3:15: method.mix: *`},
		{"bad optimizer", head + "optimizer: 'sgd:lr'\n", `run.yaml:3:12: optimizer: *`},
		{"coarse codec", head + "codec: sign\n", `run.yaml:3:8: codec: is sign, which keeps too little for the whole models that method average sends; write codec: bf16, int8 or int4, or exchange: copies`},
		{"bad codec", head + "codec: 'top k'\n", `run.yaml:3:8: codec: *`},
		{"escape sequence in text", head + `data: {source: "csv:\e[31m"}` + "\n", `run.yaml:3:16: data.source: "csv:\x1b[31m" holds characters that cannot be printed`},
		{"capital name", "version: 1\nname: Mnist\n", `run.yaml:2:7: name: "Mnist" may hold a to z, 0 to 9 and '-', at most 40 of them`},
		{"peer ID", head + "creator: 12D3KooW\n", `run.yaml:3:10: creator: "12D3KooW" is not the peer ID of an Ed25519 key, which begins with 12D3KooW`},
		{"date", head + "created: yesterday\n", `run.yaml:3:10: created: "yesterday" is not a time; write it as 2026-11-24T12:00:00Z`},
		{"fraction of a second", head + "created: 2026-11-24T12:00:00.5Z\n", `run.yaml:3:10: created: 2026-11-24T12:00:00.5Z is not a whole second in UTC`},
		{"newer version", "version: 2\nfleet: x\n", `run.yaml:1:10: version: this manifest has version 2, and this build reads versions up to 1; install a newer starling`},
		{"version zero", "version: 0\nname: x\n", `run.yaml:1:10: version: 0 is not a version of the format; write version: 1`},
		{"nothing required", "seed: 1\n", "run.yaml: version: is missing\nrun.yaml: name: is missing"},
		{"empty", "", `run.yaml: is empty; a manifest has at least version and name`},
		{"comment only", "# hello\n", `run.yaml: is empty; a manifest has at least version and name`},
		{"list", "- 1\n", `run.yaml:1:1: want keys and values, have a list`},
		{"two documents", head + "---\nname: y\n", `run.yaml:4:1: holds a second document; a manifest is one document`},
		{"not YAML", "version: [1\n", `run.yaml:1:*: not YAML: *`},
		{"too long", "#" + strings.Repeat("x", MaxBytes), `run.yaml: has 65537 bytes; a manifest has at most 65536`},
		{
			"several at once, in the order of the file",
			"version: 1\nname: A\nmethod: {steps: 0, batch: x}\nspeed: 1\n",
			`run.yaml:2:7: name: "A" may hold a to z, 0 to 9 and '-', at most 40 of them` + "\n" +
				`run.yaml:3:17: method.steps: is 0; want 1 to 1000000` + "\n" +
				`run.yaml:3:27: method.batch: want a whole number, have the text "x"` + "\n" +
				`run.yaml:4:1: unknown key "speed"; did you mean "seed"?`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseYAML([]byte(test.src), "run.yaml")
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("want Problems, have %v", err)
			}
			if !like(test.want, err.Error()) {
				t.Errorf("have\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

// like matches have with a pattern in which * stands for one or more characters.
func like(pattern, have string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 || strings.Contains(pattern, "optimizer: *a") {
		return have == pattern
	}
	rest, ok := strings.CutPrefix(have, parts[0])
	for _, p := range parts[1:] {
		if !ok || rest == "" {
			return false
		}
		if p == "" {
			rest = ""
			continue
		}
		i := strings.Index(rest[1:], p)
		ok = i >= 0
		rest = rest[1+max(i, 0)+min(len(p), len(rest)-1):]
	}
	return ok && rest == ""
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	for _, s := range []Size{0, 1, 1000, KiB, 1536, 32 * KiB, 64 * MiB, 3 * GiB, 1<<63 - 1} {
		have, err := ParseSize(s.String())
		if err != nil || have != s {
			t.Errorf("%d is written %s and read %d, %v", int64(s), s, int64(have), err)
		}
	}
	if s, err := ParseSize("2 MiB"); s != 2*MiB || err != nil {
		t.Errorf("2 MiB is read as %d, %v", int64(s), err)
	}
	for _, bad := range []string{"", "B", "KiB", "12", "-1B", "1.5MiB", "0x1B", "1_0B", "1 2B", "1KB", "1kib", "1KiB ago", "９B", "8589934592GiB"} {
		if s, err := ParseSize(bad); err == nil {
			t.Errorf("%q is read as %s", bad, s)
		}
	}
}

func TestDurationsAreReadAsTheyAreWritten(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0s", time.Minute: "1m", time.Hour: "1h", 90 * time.Minute: "1h30m", 3 * time.Microsecond: "3us", 3601 * time.Second: "1h0m1s",
		10 * time.Second: "10s", -time.Second: "-1s", 1<<63 - 1: "2562047h47m16.854775807s",
	} {
		have, err := ParseDuration(text)
		if DurationText(d) != text || have != d || err != nil {
			t.Errorf("%v is written %s and read %v, %v", d, DurationText(d), have, err)
		}
	}
	for _, bad := range []string{"", "0", "1", "+1s", "1 s", "1d", "s", "1e3s"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is read as %v", bad, d)
		}
	}
}

func TestStepsAreReadAsTheyAreWritten(t *testing.T) {
	for text, s := range map[string]Steps{"1": {Count: 1}, "1000000": {Count: 1000000}, "epoch": {Epoch: true}} {
		if have, err := ParseSteps(text); err != nil || have != s || s.String() != text {
			t.Errorf("%s is read as %+v, %v, and written %s", text, have, err, s)
		}
	}
	for _, bad := range []string{"", "epochs", "1.5", "many"} {
		if s, err := ParseSteps(bad); err == nil {
			t.Errorf("%q is read as %s", bad, s)
		}
	}
	m := Default()
	if m.Method.Steps.Epoch = true; m.Validate() == nil {
		t.Error("50 steps and one pass at once are valid")
	}
}

func TestPeerIDIsReadAsItIsWritten(t *testing.T) {
	want := full().Creator
	if have, err := parsePeerID(want.String()); err != nil || have != want {
		t.Errorf("%s is read as %s, %v", want, have, err)
	}
	for _, bad := range []string{"", "0", "Qm", want.String() + "1", want.String()[1:], strings.Repeat("2", 60000)} {
		if id, err := parsePeerID(bad); err == nil {
			t.Errorf("%q is read as %s", bad, id)
		}
	}
}

func TestFilesOnTheJoinersMachineAreToldApart(t *testing.T) {
	for source, want := range map[string]bool{"mnist": false, "own": false, "csv:/etc/passwd": true, "idx:x": true, "text:x": true, "text:held=0.5:/etc/passwd": true} {
		if have := (Data{Source: source}).NamesFiles(); have != want {
			t.Errorf("NamesFiles of %s is %v", source, have)
		}
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add(Default().YAML())
	f.Add(full().YAML())
	f.Add([]byte("version: 1\nname: x\nmethod: {mix: push-sum, batchs: 3}\n"))
	f.Add([]byte("version: 1\nname: \"x\"\ndata:\n  source: 'csv:a b'\n  shards: 0x10\n"))
	f.Add([]byte("a: &a [*a, !!x y, {<<: *a}]\n---\n- |\n x\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := ParseYAML(src, "fuzz.yaml")
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			for _, p := range problems {
				if p.Text == "" || strings.ContainsAny(p.String(), "\n\x1b") {
					t.Errorf("problem is not one printable line: %q", p)
				}
			}
			if m != (Manifest{}) {
				t.Error("a manifest comes with an error")
			}
			return
		}
		again, err := ParseYAML(m.YAML(), "again.yaml")
		if err != nil || again != m {
			t.Errorf("round trip: %v\n%s\n%s", err, m.YAML(), cmp.Diff(m, again))
		}
		decoded, err := Decode(m.Encode())
		if err != nil || decoded != m {
			t.Errorf("through CBOR: %v\n%s", err, cmp.Diff(m, decoded))
		}
	})
}

func TestAPathApartIsThatOfTheSource(t *testing.T) {
	const head = "version: 1\nname: x\nmodel: gpt\n"
	want, err := ParseYAML([]byte(head+"data: {source: 'text:held=0.05:a b.txt'}\n"), "run.yaml")
	if err != nil {
		t.Fatal(err)
	}
	have, err := ParseYAML([]byte(head+"data: {path: a b.txt, source: 'text:held=0.05'}\n"), "run.yaml")
	if err != nil || have != want || have.ID() != want.ID() {
		t.Errorf("%v: %q, want %q", err, have.Data.Source, want.Data.Source)
	}
}
