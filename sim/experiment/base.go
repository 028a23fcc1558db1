package experiment

import (
	"errors"
	"strings"

	"starling/node/manifest"
)

// PretrainManifest returns what the base model is trained by, in the words of a manifest: the model of the experiment, on all of the
// data of [Pretrain]. It is for experiments whose Pretrain.Source is not "none".
func (e Experiment) PretrainManifest() manifest.Manifest {
	m := manifest.Default()
	m.Name, m.Seed, m.Model = e.Name, e.Seed, e.Model
	m.Data = manifest.Data{Source: e.Pretrain.Source, Split: "iid", Shards: 1}
	m.Data, _ = m.Data.WithPath(e.Pretrain.Path) // a path that does not fit is a problem of its own
	m.Method.Batch, m.Optimizer = e.Pretrain.Batch, e.Pretrain.Optimizer
	return m
}

// base checks what the nodes start from.
func (c *checker) base() {
	e, p := c.e, c.e.Pretrain
	_, named := (manifest.Manifest{Init: e.Init}).Weights()
	switch {
	case named && e.Weights == "":
		c.add("weights", "is empty, and init names a base model; say in which file it is")
	case !named && e.Weights != "":
		c.add("weights", "is a file, but init is %s; write init: weights: and the SHA-256 of the weights in the file", e.Init)
	}
	c.count("pretrain.steps", p.Steps, 1, maxRounds)
	if p.Source == None {
		if p.Path != "" {
			c.add("pretrain.path", "is given, but pretrain.source is none; write text, csv or idx as the source")
		}
		return
	}
	if e.Init != "common" {
		c.add("init", "is %s, but all nodes start from what pretrain.source gives; write common, or source: none", e.Init)
	}
	if _, err := (manifest.Data{Source: p.Source}).WithPath(p.Path); err != nil {
		c.add("pretrain.path", "%s", err)
	}
	if p.Source == "own" {
		c.add("pretrain.source", "own is data that sites of a real run bring")
	}
	var problems manifest.Problems
	if !errors.As(e.PretrainManifest().Validate(), &problems) {
		return
	}
	places := map[string]string{"data.source": "pretrain.source", "method.batch": "pretrain.batch", "optimizer": "pretrain.optimizer"}
	for _, problem := range problems {
		if at := places[problem.Field]; at != "" {
			c.add(at, "%s", strings.ReplaceAll(problem.Text, "data.path", "pretrain.path"))
		}
	}
}
