package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"starling/node/model/weights"
)

// A Spec describes one tensor of a file.
type Spec struct {
	Name  string
	Type  weights.Type // F32, F16 or BF16
	Shape []int        // nil for a single number
}

// Len returns the number of elements.
func (s Spec) Len() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// A Writer writes a file from first to last: 8 bytes little-endian length of the header, the header in JSON padded with spaces to a
// multiple of 8 bytes, then the numbers, row-major and little-endian. Equal tensors and metadata give equal files.
type Writer struct {
	out     *bufio.Writer
	specs   []Spec
	at      int // the tensor that comes next
	left    int // elements of it that are missing
	scratch []byte
}

// NewWriter writes the header of a file with these tensors in this order. It returns an error for names that are reserved, too long or
// used twice, for formats that are not written here, and if w fails.
func NewWriter(w io.Writer, specs []Spec, metadata map[string]string) (*Writer, error) {
	header := make(map[string]any, len(specs)+1)
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	var at uint64
	for _, s := range specs {
		if err := checkName(s.Name); err != nil {
			return nil, fmt.Errorf("write safetensors: %w", err)
		}
		if header[s.Name] != nil {
			return nil, fmt.Errorf("write safetensors: two tensors are called %q", s.Name)
		}
		_, size, err := weights.Size(s.Type, s.Shape)
		if err == nil {
			_, err = weights.Append(nil, s.Type, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("write safetensors: tensor %q: %w", s.Name, err)
		}
		shape := s.Shape
		if shape == nil {
			shape = []int{}
		}
		end := at + uint64(size)
		header[s.Name] = entry{DType: s.Type.String(), Shape: shape, Offsets: &[2]uint64{at, end}}
		at = end
	}
	text, err := json.Marshal(header) // keys of maps are sorted: equal models give equal files
	if err != nil {
		return nil, fmt.Errorf("write safetensors: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	out := &Writer{out: bufio.NewWriterSize(w, 1<<16), specs: specs}
	out.out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
	if _, err := out.out.Write(text); err != nil {
		return nil, fmt.Errorf("write safetensors: %w", err)
	}
	if len(specs) > 0 {
		out.left = specs[0].Len()
	}
	return out, nil
}

func checkName(name string) error {
	switch {
	case name == metadataKey:
		return fmt.Errorf("tensor name %q is reserved", name)
	case name == "":
		return errors.New("a tensor has no name")
	case len(name) > maxName:
		return fmt.Errorf("tensor name of %d bytes, want at most %d", len(name), maxName)
	}
	return nil
}

// Floats writes the next numbers, of one tensor or of several or of parts, rounded to the format of theirs. It returns an error if the
// file has no place for them or cannot be written.
func (w *Writer) Floats(x []float32) error {
	for len(x) > 0 {
		for w.left == 0 && w.at < len(w.specs) {
			if w.at++; w.at < len(w.specs) {
				w.left = w.specs[w.at].Len()
			}
		}
		if w.at == len(w.specs) {
			return fmt.Errorf("write safetensors: %d numbers more than the tensors have", len(x))
		}
		n := min(len(x), w.left, 1<<14)
		w.scratch, _ = weights.Append(w.scratch[:0], w.specs[w.at].Type, x[:n]) // NewWriter has checked the format
		if _, err := w.out.Write(w.scratch); err != nil {
			return fmt.Errorf("write safetensors: %w", err)
		}
		x, w.left = x[n:], w.left-n
	}
	return nil
}

// Close ends the file; it does not close what it was written to. It returns an error if numbers are missing.
func (w *Writer) Close() error {
	missing := w.left
	for i := w.at + 1; i < len(w.specs); i++ {
		missing += w.specs[i].Len()
	}
	if missing > 0 {
		return fmt.Errorf("write safetensors: %d numbers are missing from tensor %q on", missing, w.specs[w.at].Name)
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	return nil
}
