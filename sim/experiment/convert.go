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
	no(e.Reference.Name != None, "reference.name: %s", e.Reference.Name)
	no(len(e.Adversaries) > 0, "adversaries")
	no(e.Pretrain.Source != None, "pretrain.source: %s (train first, and name the outcome in init)", e.Pretrain.Source)
	no(e.Overlay != Mesh, "overlay: %s", e.Overlay)
	no(e.Evaluate.Every.Time != 0 || e.Evaluate.Every.Tokens != 0, "evaluate.every: %s", e.Evaluate.Every)
	if len(cannot) > 0 {
		return manifest.Manifest{}, errors.New("a run of real nodes cannot have " + strings.Join(cannot, ", "))
	}
	e = e.effective() // what has no effect does not tell runs apart
	m := e.Shared()
	m.Method.Wake = e.Method.Wake
	if size := e.Cells.Size; size > 0 && size < e.Nodes {
		m.Cells.Count = max(1, (e.Nodes+size/2)/size) // as many as the simulator makes of so many nodes
	}
	if m.Cells.Count > 1 {
		m.Cells.Epoch = e.Cells.Epoch
	}
	if e.Data.Shards == 0 {
		m.Data.Shards = e.Nodes
	}
	m.Evaluate = manifest.Evaluate{Every: e.Evaluate.Every.Rounds, Target: e.Stop.Worst}
	if err := m.Validate(); err != nil {
		return manifest.Manifest{}, err
	}
	return m, nil
}
