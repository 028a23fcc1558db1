// Package safetensors reads and writes models in the safetensors format, which Python and most other tools use too.
//
// Start with [Open] for a file and [OpenIndex] for a model in several, both of them mapped into memory; and with [Write] for the
// parameters of a layout, which [ReadFile] reads back, or [NewWriter] for tensors of any origin. The package knows nothing of what the names of tensors mean, and it
// changes no file in place.
//
// Any package of node may import it; it imports package mixing for layouts and package weights for tensors.
package safetensors

import (
	"fmt"
	"io"

	"starling/mixing"
	"starling/node/model/weights"
)

type entry struct {
	DType   string     `json:"dtype"`
	Shape   []int      `json:"shape"`
	Offsets *[2]uint64 `json:"data_offsets"`
}

const (
	// metadataKey is reserved by the format for a map of text.
	metadataKey = "__metadata__"

	maxHeader  = 100_000_000 // bytes, as in the reference
	maxTensors = 1 << 20
	maxName    = 1 << 10 // bytes
)

// Write writes the tensors of params, laid out as l says, as one safetensors file of float32 numbers. It returns an error if params
// does not fit the layout, if a tensor has the reserved name __metadata__, or if w fails.
func Write(w io.Writer, l *mixing.Layout, params []float32, metadata map[string]string) error {
	if len(params) != l.Len() {
		return fmt.Errorf("write safetensors: %d parameters do not fit a layout of %d", len(params), l.Len())
	}
	specs := make([]Spec, len(l.Tensors))
	for i, t := range l.Tensors {
		specs[i] = Spec{Name: t.Name, Type: weights.F32, Shape: t.Shape}
	}
	out, err := NewWriter(w, specs, metadata)
	if err != nil {
		return err
	}
	if err := out.Floats(params); err != nil { // layouts have no gaps
		return err
	}
	return out.Close()
}
