package safetensors

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Save writes a model to a directory that exists: as [FileName], or, where a file would have more than limit bytes of numbers, as
// several with an [IndexName], cut between tensors. It calls fill once for each tensor, in order, to write its numbers. Files appear
// under their names when all are complete, the index last. Then the other of the two is removed, if it is
// there, because readers would not know which counts. Until all parts are on the disk an error leaves what was there as it was.
func Save(dir string, specs []Spec, limit int64, metadata map[string]string, fill func(s Spec, w *Writer) error) (err error) {
	parts := split(specs, limit)
	var done []string // temporary files, in the order of parts
	defer func() {
		for _, name := range done {
			os.Remove(name) // those that have their name are not there
		}
	}()
	for _, part := range parts {
		name, err := temporary(dir, func(b *bufio.Writer) error {
			w, err := NewWriter(b, part, metadata)
			if err != nil {
				return err
			}
			for _, s := range part {
				if err := fill(s, w); err != nil {
					return err
				}
			}
			return w.Close()
		})
		if err != nil {
			return fmt.Errorf("save to %s: %w", dir, err)
		}
		done = append(done, name)
	}
	names, other := []string{FileName}, IndexName
	if len(parts) > 1 {
		names = names[:0]
		for i := range parts {
			names = append(names, fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(parts)))
		}
		name, err := temporary(dir, func(b *bufio.Writer) error { return writeIndex(b, parts, names) })
		if err != nil {
			return fmt.Errorf("save to %s: %w", dir, err)
		}
		done, names, other = append(done, name), append(names, IndexName), FileName
	}
	for i, name := range done {
		if err := os.Rename(name, filepath.Join(dir, names[i])); err != nil {
			return fmt.Errorf("save to %s: %w", dir, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save to %s: %w", dir, err)
	}
	return nil
}

// split cuts a model into parts of at most limit bytes, or of one tensor.
func split(specs []Spec, limit int64) [][]Spec {
	parts := [][]Spec{nil}
	var size int64
	for _, s := range specs {
		n := s.bytes()
		if last := len(parts) - 1; len(parts[last]) > 0 && size+n > limit {
			parts, size = append(parts, nil), 0
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], s)
		size += n
	}
	return parts
}

func (s Spec) bytes() int64 {
	_, each := s.Type.Block()
	return int64(s.Len()) * int64(each)
}

func writeIndex(b *bufio.Writer, parts [][]Spec, names []string) error {
	x := index{Weights: map[string]string{}}
	var total int64
	for i, part := range parts {
		for _, s := range part {
			x.Weights[s.Name] = names[i]
			total += s.bytes()
		}
	}
	x.Metadata = map[string]any{"total_size": total}
	enc := json.NewEncoder(b)
	enc.SetIndent("", "  ")
	return enc.Encode(x)
}

// temporary writes a file in dir, on the disk when it returns.
func temporary(dir string, write func(*bufio.Writer) error) (name string, err error) {
	f, err := os.CreateTemp(dir, ".model-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return "", err
	}
	if err := b.Flush(); err != nil {
		return "", err
	}
	if err := f.Chmod(0o644); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}
