// Package gguf reads GGUF files, in which llama.cpp keeps models: metadata and tensors, versions 2 and 3, little-endian.
//
// Start with [Open], which maps a file into memory, then [File.Text] and its like for metadata and [File.Tensor] for tensors, by the
// names that llama.cpp has for them. The package does not write such files, and it does not know what metadata mean; package hf does.
//
// Packages of node/model and above may import it.
package gguf

import (
	"fmt"
	"maps"
	"slices"

	"starling/node/model/weights"
)

// A File is an open GGUF file. It is a [weights.Source].
type File struct {
	Version int

	keys    []string // sorted
	values  map[string]value
	names   []string // sorted
	tensors map[string]weights.Tensor
	mapping *weights.Mapping // nil for a file that was in memory
}

var _ weights.Source = (*File)(nil)

// Open maps a file into memory and reads its tables. It returns an error for every file that breaks the format.
func Open(path string) (*File, error) {
	m, err := weights.Map(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(m.Data)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.mapping = m
	return f, nil
}

// Parse reads the tables of a file in memory. It keeps data, which must not be changed.
func Parse(data []byte) (*File, error) {
	r := &reader{data: data}
	f := &File{values: map[string]value{}, tensors: map[string]weights.Tensor{}}
	f.read(r)
	if r.err != nil {
		return nil, fmt.Errorf("GGUF file: %w", r.err)
	}
	f.keys = slices.Sorted(maps.Keys(f.values))
	f.names = slices.Sorted(maps.Keys(f.tensors))
	return f, nil
}

// Names returns the names of all tensors, sorted. The slice must not be changed.
func (f *File) Names() []string { return f.names }

// Tensor returns a tensor, whose bytes are those of the file; or an error if it is not there. Its shape begins with the rows, the
// reverse of what the file has.
func (f *File) Tensor(name string) (weights.Tensor, error) {
	t, ok := f.tensors[name]
	if !ok {
		return t, weights.Missing(name, f.names)
	}
	return t, nil
}

// Close unmaps the file; see [weights.Source].
func (f *File) Close() error {
	if f.mapping == nil {
		return nil
	}
	return f.mapping.Close()
}
