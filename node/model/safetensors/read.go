package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"unicode/utf8"

	"starling/mixing/spelling"
	"starling/node/model/weights"
)

// A File is an open safetensors file. It is a [weights.Source].
type File struct {
	weights.Table
	Metadata map[string]string // text that the writer left; often only "format"; must not be changed
}

var _ weights.Source = (*File)(nil)

// Open maps a file into memory and reads its header. It returns an error for every file that breaks the format.
func Open(path string) (*File, error) { return weights.Open(path, Parse) }

// Parse reads the header of a file in memory. It keeps data, which must not be changed.
func Parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("no safetensors file: %d bytes", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("no safetensors file: it would have a header of %d bytes, and at most %d are read", n, maxHeader)
	case n > uint64(len(data)-8):
		return nil, fmt.Errorf("safetensors file is cut short: header of %d bytes in a file of %d", n, len(data))
	}
	f := &File{}
	entries, err := f.header(data[8 : 8+n])
	if err != nil {
		return nil, fmt.Errorf("header of safetensors: %w", err)
	}
	if err := f.place(entries, data[8+n:]); err != nil {
		return nil, fmt.Errorf("header of safetensors: %w", err)
	}
	return f, nil
}

// A named entry of a header.
type named struct {
	entry
	name string
}

// header reads what the header says, which maps would not: names that are there twice.
func (f *File) header(text []byte) ([]named, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var all []named
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name := key.(string) // keys of objects are
		if seen[name] {
			return nil, fmt.Errorf("the name %s is there twice", spelling.Quote(name))
		}
		seen[name] = true
		if name == metadataKey {
			if err := dec.Decode(&f.Metadata); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		if len(all) == maxTensors {
			return nil, fmt.Errorf("more than %d tensors", maxTensors)
		}
		e := named{name: name}
		if err := dec.Decode(&e.entry); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", spelling.Quote(name), err)
		}
		if e.DType == "" || e.Shape == nil || e.Offsets == nil {
			return nil, fmt.Errorf("tensor %s: dtype, shape or data_offsets is missing", spelling.Quote(name))
		}
		all = append(all, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if rest := bytes.TrimRight(text[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the end of the JSON object", len(rest))
	}
	return all, nil
}

// place makes the tensors, whose bytes are the whole of data, each byte once.
func (f *File) place(entries []named, data []byte) error {
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entries[i].Offsets, entries[j].Offsets
		return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
	})
	var at uint64
	tensors := make(map[string]weights.Tensor, len(entries))
	for _, e := range entries {
		from, to := e.Offsets[0], e.Offsets[1]
		switch {
		case from > to || to > uint64(len(data)):
			return fmt.Errorf("tensor %s has bytes %d to %d of %d; is the file cut short?", spelling.Quote(e.name), from, to, len(data))
		case from < at:
			return fmt.Errorf("tensor %s begins at byte %d, inside of another", spelling.Quote(e.name), from)
		case from > at:
			return fmt.Errorf("bytes %d to %d belong to no tensor", at, from)
		}
		at = to
		t, ok := weights.TypeNamed(e.DType)
		if !ok {
			return fmt.Errorf("tensor %s has dtype %s, which is not known here; F32, F16 and BF16 are read", spelling.Quote(e.name), spelling.Quote(e.DType))
		}
		tensor, err := weights.New(e.name, t, e.Shape, data[from:to:to])
		if err != nil {
			return err
		}
		tensors[e.name] = tensor
	}
	if at != uint64(len(data)) {
		return fmt.Errorf("%d bytes after the last tensor", uint64(len(data))-at)
	}
	f.Fill(tensors)
	return nil
}
