package weights

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// A Table is the tensors of one file, for the packages of formats to put into what they open: all of a [Source]. The zero value is
// empty.
type Table struct {
	names   []string
	tensors map[string]Tensor
	mapping *Mapping // nil for a file that was in memory
}

// Fill sets the tensors, by their names. It keeps the map.
func (t *Table) Fill(tensors map[string]Tensor) {
	t.names, t.tensors = slices.Sorted(maps.Keys(tensors)), tensors
}

// Hold has Close give back the memory of a file.
func (t *Table) Hold(m *Mapping) { t.mapping = m }

// Names implements [Source].
func (t *Table) Names() []string { return t.names }

// Tensor implements [Source]: the bytes of a tensor are those of the file.
func (t *Table) Tensor(name string) (Tensor, error) {
	found, ok := t.tensors[name]
	if !ok {
		return found, Missing(name, t.names)
	}
	return found, nil
}

// Close implements [Source].
func (t *Table) Close() error {
	if t.mapping == nil {
		return nil
	}
	return t.mapping.Close()
}

// Open maps a file into memory and has it parsed; what comes out holds it. Errors name the file.
func Open[F interface{ Hold(*Mapping) }](path string, parse func(data []byte) (F, error)) (F, error) {
	var none F
	m, err := Map(path)
	if err != nil {
		return none, err
	}
	f, err := parse(m.Data)
	if err != nil {
		m.Close()
		return none, fmt.Errorf("%s: %w", path, err)
	}
	f.Hold(m)
	return f, nil
}

// ReadSmall reads a file beside the weights, such as an index, which has so many bytes at most.
func ReadSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes, which no such file has", path, limit)
	}
	return text, nil
}
