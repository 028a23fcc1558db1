package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"starling/node/model/llama"

	"github.com/google/go-cmp/cmp"
)

func TestOwnersJudgeTheirOwnSettings(t *testing.T) {
	refuse := func(who string) func(string) error {
		return func(spec string) error { return errors.New(who + " refuses " + spec + "\nfor good") }
	}
	by := owners{
		model: func(spec string, inputs, classes int) error {
			return fmt.Errorf("%s of %d to %d", spec, inputs, classes)
		},
		mix:       refuse("mixing"),
		optimizer: refuse("optim"),
		codec:     refuse("codec"),
	}
	want := Problems{
		{Field: "model", Text: "mlp:64 of 784 to 10"},
		{Field: "method.mix", Text: "mixing refuses variance-corrected for good"},
		{Field: "optimizer", Text: "optim refuses sgd:lr=0.05,momentum=0.9 for good"},
		{Field: "codec", Text: "codec refuses bf16 for good"},
	}
	if diff := cmp.Diff(want, Default().problems(by)); diff != "" {
		t.Error(diff)
	}
	m := Default()
	m.Method.Mix = PushSum
	for _, p := range m.problems(by) {
		if p.Field == "method.mix" {
			t.Errorf("push-sum is not a rule of package mixing: %s", p)
		}
	}
}

func TestSourcesAndSplitsAreChecked(t *testing.T) {
	for spec, good := range map[string]bool{
		"mnist": true, "own": true, "idx:a b": true, "csv:/x.csv": true, "pegasos": true, "pegasos:seed=7": true, "pegasos:7": false, "pegasos:seed=-1": false,
		"": false, "Mnist": false, "mnist:x": false, "own:x": false, "idx": false, "idx: ": false, "csv:": false, "http://x": false,
		"text:/a b.txt": true, "text:held=0.05:x": true, "text": false, "text: ": false, "text:held=2:x": false, "text:held=0.1": false,
	} {
		if err := checkSource(spec); (err == nil) != good {
			t.Errorf("source %q: %v", spec, err)
		}
	}
	for spec, good := range map[string]bool{
		"iid": true, "contiguous": true, "dirichlet:0.3": true, "dirichlet:1e-3": true, "shards:1": true, "shards:65535": true,
		"iid:3": false, "dirichlet": false, "dirichlet:0": false, "dirichlet:-1": false, "dirichlet:NaN": false, "dirichlet:Inf": false,
		"shards": false, "shards:0": false, "shards:1.5": false, "shards:65536": false, "random": false,
	} {
		if err := checkSplit(spec); (err == nil) != good {
			t.Errorf("split %q: %v", spec, err)
		}
	}
}

func TestAPublishedModelStartsFromItsWeights(t *testing.T) {
	m := Default()
	m.Model, m.Data.Source = "hf:lora:r=4", "own"
	if err := m.Validate(); err == nil || !strings.Contains(err.Error(), "init: ") || !strings.Contains(err.Error(), "starling model inspect") {
		t.Errorf("without weights: %v", err)
	}
}

func TestOnlySomeMethodsLeaveAPartOfTheModelWithItsNode(t *testing.T) {
	for method, works := range map[string]bool{"average": true, "outer": true, "scalar": false, "walk": false} {
		m := Default()
		m.Model, m.Data.Source, m.Init, m.Method.Name = "hf:lora:r=4,share=a", "own", WeightsInit([32]byte{1}), method
		if err := m.Validate(); works != (err == nil || !strings.Contains(err.Error(), "share=a")) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestModelsAndSourcesMustFitEachOther(t *testing.T) {
	for _, test := range []struct{ model, source, want string }{
		{"gpt", "text:x", ""},
		{"gpt:layers=2,width=64", "own", ""},
		{"mlp:64", "own", ""},
		{"gpt", "mnist", "reads text"},
		{"gpt", "csv:x", "reads text"},
		{"softmax", "text:x", "wants rows of features"},
		{"gpt:width=7", "text:x", "cannot be divided"},
		{"hf:lora:r=4", "jsonl:x", ""},
		{"hf", "own", ""},
		{"hf", "mnist", "read text"},
		{"hf:lora:r=x", "text:x", "r is"},
	} {
		m := Default()
		m.Model, m.Data.Source = test.model, test.source
		if llama.Published(test.model) {
			m.Init = WeightsInit([32]byte{1})
		}
		err := m.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), "model: ") || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s with %s: %v, want %q", test.model, test.source, err, test.want)
		}
	}
}
