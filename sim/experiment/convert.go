package experiment

import (
	"errors"
	"fmt"
	"strings"

	"starling/node/manifest"
)

// Manifest returns the manifest of a run of real nodes that trains as the experiment does, without creator and date, and
// with the goal of [Stop.Worst]. The error names all settings that such a run cannot have.
func (e Experiment) Manifest() (manifest.Manifest, error) {
	var cannot []string
	no := func(is bool, format string, args ...any) {
		if is {
			cannot = append(cannot, fmt.Sprintf(format, args...))
		}
	}
	no(e.Reference.Name == FedAvg, "reference.name: fedavg")
	no(len(e.Adversaries) > 0, "adversaries")
	no(e.Overlay != Mesh, "overlay: %s", e.Overlay)
	no(e.Cells.Size != 0, "cells.size: %d", e.Cells.Size)
	no(e.Evaluate.Every.Time != 0, "evaluate.every: %s", e.Evaluate.Every)
	if len(cannot) > 0 {
		return manifest.Manifest{}, errors.New("a run of real nodes cannot have " + strings.Join(cannot, ", "))
	}
	e = e.effective() // what has no effect does not tell runs apart
	m := e.Shared()
	m.Method.Wake = e.Method.Wake
	if e.Data.Shards == 0 {
		m.Data.Shards = e.Nodes
	}
	m.Evaluate = manifest.Evaluate{Every: e.Evaluate.Every.Rounds, Target: e.Stop.Worst}
	if err := m.Validate(); err != nil {
		return manifest.Manifest{}, err
	}
	return m, nil
}
