package compute

import (
	"starling/mixing/srrw"
	"starling/node"
)

// Walk returns the configuration of the method walk that the manifest names; the zero value with other methods. Tokens take the
// optimizer's state along if it has one.
func (p *Program) Walk() (node.WalkConfig, error) {
	m := p.manifest
	if m.Method.Name != "walk" {
		return node.WalkConfig{}, nil
	}
	w, err := srrw.Parse(m.Method.Walk)
	if err != nil {
		return node.WalkConfig{}, err
	}
	return node.WalkConfig{
		Config: w, Tokens: uint32(m.Method.Tokens), Steps: uint64(m.Method.Steps.Count), Carry: p.OptLen() > 0, Degree: min(m.Method.Degree, 32),
		SaveEvery: uint64(m.Checkpoint.Every), EvaluateEvery: uint64(m.Evaluate.Every),
	}, nil
}
