package compute

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node/manifest"
)

// Digest is the SHA-256 of weights, float32 and little-endian: what a manifest names a base model by, see [manifest.WeightsInit], and
// what nodes call the hash of their model.
func Digest(weights []float32) [32]byte {
	h := sha256.New()
	var form [4096]byte
	for len(weights) > 0 {
		n := min(len(weights), len(form)/4)
		for i, x := range weights[:n] {
			binary.LittleEndian.PutUint32(form[4*i:], math.Float32bits(x))
		}
		h.Write(form[:4*n])
		weights = weights[n:]
	}
	return [32]byte(h.Sum(nil))
}

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
