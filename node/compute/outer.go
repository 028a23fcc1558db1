package compute

import (
	"starling/mixing/outer"
	"starling/node"
)

// Outer returns the configuration of the method outer that the manifest names; the zero value with other methods.
func (p *Program) Outer() (node.OuterConfig, error) {
	m := p.manifest
	if m.Method.Name != "outer" {
		return node.OuterConfig{}, nil
	}
	s, err := outer.Parse(m.Method.Outer)
	if err != nil {
		return node.OuterConfig{}, err
	}
	c := node.OuterConfig{
		Settings: s, Steps: uint64(m.Method.Steps.Count), Degree: m.Method.Degree,
		SaveEvery: uint64(m.Checkpoint.Every), EvaluateEvery: uint64(m.Evaluate.Every),
	}
	if s.Fragments > 1 {
		c.Fragments, err = outer.Fragments(p.Layout(), s.Fragments)
	}
	return c, err
}
