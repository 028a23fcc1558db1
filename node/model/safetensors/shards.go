package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"starling/mixing/spelling"
	"starling/node/model/weights"
)

const (
	// IndexName is the file that lists the parts of a model in several files.
	IndexName = "model.safetensors.index.json"
	// FileName is the file of a model in one.
	FileName = "model.safetensors"

	maxIndex  = 256 << 20 // bytes
	maxShards = 1 << 12
)

type index struct {
	Metadata map[string]any    `json:"metadata,omitempty"`
	Weights  map[string]string `json:"weight_map"`
}

// An Index is a model in several open files. It is a [weights.Source].
type Index struct {
	names []string
	files []*File
	of    map[string]*File
}

var _ weights.Source = (*Index)(nil)

// OpenIndex reads an index, such as model.safetensors.index.json, and opens the files that it lists, which are in the same directory. It
// returns an error if one of them breaks the format or misses a tensor that the index promises. Tensors that the index does not name
// are left out.
func OpenIndex(path string) (*Index, error) {
	text, err := weights.ReadSmall(path, maxIndex)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(text, func(name string) (*File, error) { return Open(filepath.Join(filepath.Dir(path), name)) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return x, nil
}

func parseIndex(text []byte, open func(name string) (*File, error)) (_ *Index, err error) {
	var raw index
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("index of safetensors: %w", err)
	}
	if len(raw.Weights) == 0 {
		return nil, errors.New("index of safetensors: weight_map is missing or empty")
	}
	x := &Index{names: slices.Sorted(maps.Keys(raw.Weights)), of: map[string]*File{}}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	files := map[string]*File{}
	for _, name := range x.names {
		file := raw.Weights[name]
		if files[file] == nil {
			if !plain(file) {
				return nil, fmt.Errorf("index of safetensors: %s is not the name of a file beside it", spelling.Quote(file))
			}
			if len(files) == maxShards {
				return nil, fmt.Errorf("index of safetensors: more than %d files", maxShards)
			}
			f, err := open(file)
			if err != nil {
				return nil, err
			}
			files[file] = f
			x.files = append(x.files, f)
		}
		if _, err := files[file].Tensor(name); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		x.of[name] = files[file]
	}
	return x, nil
}

// plain reports whether name is that of a file in the same directory, on every operating system.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && filepath.IsLocal(name) && !strings.ContainsAny(name, `/\:`+"\x00")
}

// Names returns the names of all tensors, sorted. The slice must not be changed.
func (x *Index) Names() []string { return x.names }

// Tensor returns a tensor, whose bytes are those of its file; or an error if it is not there.
func (x *Index) Tensor(name string) (weights.Tensor, error) {
	f := x.of[name]
	if f == nil {
		return weights.Tensor{}, weights.Missing(name, x.names)
	}
	return f.Tensor(name)
}

// Close unmaps all files; see [weights.Source].
func (x *Index) Close() error {
	var all []error
	for _, f := range x.files {
		all = append(all, f.Close())
	}
	return errors.Join(all...)
}
