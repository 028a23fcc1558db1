package compute

import (
	"crypto/sha256"
	"fmt"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node/manifest"
	"starling/node/model/weights"
)

// Digest is the SHA-256 of weights, float32 and little-endian: what a manifest names a base model by, see [manifest.WeightsInit], and
// what nodes call the hash of their model.
func Digest(x []float32) [32]byte { return sha256.Sum256(weights.LittleEndian(x)) }

// baseOf returns the weights that a run starts from, if they are those that its manifest names; nil if it names none.
func baseOf(m manifest.Manifest, l *mixing.Layout, weights func(*mixing.Layout) ([]float32, error)) ([]float32, error) {
	want, named := m.Weights()
	switch {
	case !named:
		return nil, nil
	case weights == nil:
		return nil, fmt.Errorf("this run starts from weights with the SHA-256 %x: say with --model in which file they are", want)
	}
	base, err := weights(l)
	switch {
	case err != nil:
		return nil, fmt.Errorf("weights that the run starts from: %w", err)
	case len(base) != l.Len():
		return nil, fmt.Errorf("the weights are of %d parameters, and model %s has %d: take those that the run was made for", len(base), m.Model, l.Len())
	case !kernel.Finite(base):
		return nil, fmt.Errorf("among the weights that the run is to start from are some that are no finite numbers")
	}
	if have := Digest(base); have != want {
		return nil, fmt.Errorf("the run starts from weights with the SHA-256 %x, and these have %x: take those that the run was made for", want, have)
	}
	return base, nil
}

// Base returns the weights of the base model that all nodes start from; nil if weights are drawn. They must not be changed.
func (p *Program) Base() []float32 { return p.base }
