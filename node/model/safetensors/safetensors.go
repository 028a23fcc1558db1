// Package safetensors writes and reads models in the safetensors format, which Python and most other tools read.
//
// Start with [Write] and [ReadFile]. The package knows only float32 tensors, and reads only files that have the tensors of a layout.
//
// Any package may import it; it imports package mixing for layouts.
package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"starling/mixing"
)

type entry struct {
	DType   string    `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// metadataKey is reserved by the format for a map of text.
const metadataKey = "__metadata__"

// Write writes the tensors of params, laid out as l says, as one safetensors file: 8 bytes little-endian length of the
// header, the header in JSON padded with spaces to a multiple of 8 bytes, then the data, row-major little-endian
// float32. It returns an error if params does not fit the layout, if a tensor has the reserved name __metadata__, or if
// w fails.
func Write(w io.Writer, l *mixing.Layout, params []float32, metadata map[string]string) error {
	if len(params) != l.Len() {
		return fmt.Errorf("write safetensors: %d parameters do not fit a layout of %d", len(params), l.Len())
	}
	header := make(map[string]any, len(l.Tensors)+1)
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	var at uint64
	for _, t := range l.Tensors {
		if t.Name == metadataKey {
			return fmt.Errorf("write safetensors: tensor name %q is reserved", t.Name)
		}
		end := at + 4*uint64(t.Len())
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		header[t.Name] = entry{DType: "F32", Shape: shape, Offsets: [2]uint64{at, end}}
		at = end
	}
	text, err := json.Marshal(header) // keys of maps are sorted: equal models give equal files
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	b := bufio.NewWriterSize(w, 1<<16)
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(len(text)))
	b.Write(word[:])
	b.Write(text)
	for _, t := range l.Tensors {
		for _, x := range params[t.Offset : t.Offset+t.Len()] {
			binary.LittleEndian.PutUint32(word[:4], math.Float32bits(x))
			b.Write(word[:4])
		}
	}
	if err := b.Flush(); err != nil { // holds the first error of all writes
		return fmt.Errorf("write safetensors: %w", err)
	}
	return nil
}
