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

// A File is an open GGUF file. It is a [weights.Source]; shapes of tensors begin with the rows, the reverse of what the file has.
type File struct {
	weights.Table
	Version int

	keys   []string // sorted
	values map[string]value
}

var _ weights.Source = (*File)(nil)

// Open maps a file into memory and reads its tables. It returns an error for every file that breaks the format.
func Open(path string) (*File, error) { return weights.Open(path, Parse) }

// Parse reads the tables of a file in memory. It keeps data, which must not be changed.
func Parse(data []byte) (*File, error) {
	r := &reader{data: data}
	f := &File{values: map[string]value{}}
	f.read(r)
	if r.err != nil {
		return nil, fmt.Errorf("GGUF file: %w", r.err)
	}
	f.keys = slices.Sorted(maps.Keys(f.values))
	return f, nil
}
