package safetensors

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"starling/mixing"
)

// maxHeader bounds the header that is read into memory: a thousand times what the largest layout here needs.
const maxHeader = 16 << 20

// ReadFile is [Read] of a file, which errors name.
func ReadFile(path string, l *mixing.Layout) ([]float32, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	v, err := Read(f, info.Size(), l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// Read reads the parameters of a layout from a file of size bytes, which [Write] or another program has made: it has the tensors of the
// layout under their names and with their shapes, in float32, in any order, and no others. The error says what is wrong first.
func Read(r io.ReaderAt, size int64, l *mixing.Layout) ([]float32, error) {
	entries, data, err := header(r, size)
	if err != nil {
		return nil, err
	}
	if have := size - data; have != 4*int64(l.Len()) {
		return nil, fmt.Errorf("has %d bytes of numbers, and the model's %d parameters take %d: it is that of another model", have, l.Len(), 4*int64(l.Len()))
	}
	params := make([]float32, l.Len())
	for _, t := range l.Tensors {
		e, ok := entries[t.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("has no tensor %s: it is that of another model", t.Name)
		case e.DType != "F32":
			return nil, fmt.Errorf("has tensor %s in %.10q: want F32", t.Name, e.DType)
		case !slices.Equal(e.Shape, t.Shape):
			return nil, fmt.Errorf("has tensor %s of shape %v, and the model has it of %v: it is that of another model", t.Name, e.Shape, t.Shape)
		case e.Offsets[1] > uint64(size-data) || e.Offsets[0] > e.Offsets[1] || e.Offsets[1]-e.Offsets[0] != 4*uint64(t.Len()):
			return nil, fmt.Errorf("is damaged: tensor %s of %d numbers is said to be from byte %d to %d", t.Name, t.Len(), e.Offsets[0], e.Offsets[1])
		}
		delete(entries, t.Name)
		if err := numbers(r, data+int64(e.Offsets[0]), t.Of(params)); err != nil {
			return nil, fmt.Errorf("read tensor %s: %w", t.Name, err)
		}
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("has %d tensors more than the model: it is that of another model", len(entries))
	}
	return params, nil
}

// Digest returns the SHA-256 of the numbers in a file that [Write] has made: that of the weights, float32 and little-endian, in the order
// of their layout.
func Digest(path string) (digest [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return digest, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return digest, err
	}
	_, data, err := header(f, info.Size())
	if err != nil {
		return digest, fmt.Errorf("%s: %w", path, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, data, info.Size()-data)); err != nil {
		return digest, err
	}
	return [32]byte(h.Sum(nil)), nil
}

// header returns what the file says of its tensors, and where the numbers begin.
func header(r io.ReaderAt, size int64) (map[string]entry, int64, error) {
	var word [8]byte
	if _, err := r.ReadAt(word[:], 0); err != nil {
		return nil, 0, fmt.Errorf("is no safetensors file: it is too short")
	}
	n := binary.LittleEndian.Uint64(word[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, 0, fmt.Errorf("is no safetensors file, or is cut off: its header would take %d bytes", n)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, 0, fmt.Errorf("read header: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, 0, fmt.Errorf("is no safetensors file: its header is no JSON: %w", err)
	}
	delete(fields, metadataKey)
	entries := make(map[string]entry, len(fields))
	for name, field := range fields {
		var e entry
		if err := json.Unmarshal(field, &e); err != nil {
			return nil, 0, fmt.Errorf("has a header that says of tensor %.60q what no tensor can be: %w", name, err)
		}
		entries[name] = e
	}
	return entries, 8 + int64(n), nil
}

// numbers reads dst from its place in the file.
func numbers(r io.ReaderAt, at int64, dst []float32) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r, at, 4*int64(len(dst))), 1<<16)
	var word [4]byte
	for i := range dst {
		if _, err := io.ReadFull(in, word[:]); err != nil {
			return err
		}
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(word[:]))
	}
	return nil
}
