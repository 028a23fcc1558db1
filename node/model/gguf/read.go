package gguf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"starling/mixing/spelling"
	"starling/node/model/weights"
)

const (
	maxKey        = 1<<16 - 1 // bytes, as the format says
	maxName       = 1 << 10   // bytes; the format says 64
	maxKeys       = 1 << 16
	maxTensors    = 1 << 20
	maxDimensions = 4
	maxAlignment  = 1 << 20
)

// types are the number formats by the number that files have for them.
var types = [...]weights.Type{
	0: weights.F32, 1: weights.F16, 2: weights.Q4_0, 3: weights.Q4_1, 6: weights.Q5_0, 7: weights.Q5_1, 8: weights.Q8_0, 9: weights.Q8_1,
	10: weights.Q2_K, 11: weights.Q3_K, 12: weights.Q4_K, 13: weights.Q5_K, 14: weights.Q6_K, 15: weights.Q8_K,
	16: weights.IQ2_XXS, 17: weights.IQ2_XS, 18: weights.IQ3_XXS, 19: weights.IQ1_S, 20: weights.IQ4_NL, 21: weights.IQ3_S, 22: weights.IQ2_S,
	23: weights.IQ4_XS, 24: weights.I8, 25: weights.I16, 26: weights.I32, 27: weights.I64, 28: weights.F64, 29: weights.IQ1_M, 30: weights.BF16,
	34: weights.TQ1_0, 35: weights.TQ2_0, 39: weights.MXFP4,
}

// A reader walks through a file. After the first error, which it keeps, it reads zeros.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// take returns the next n bytes, or nil where the file ends before.
func (r *reader) take(n uint64, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.data)-r.at) {
		r.fail("%s at byte %d would have %d bytes, and the file has %d left; is it cut short?", what, r.at, n, len(r.data)-r.at)
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

func (r *reader) uint32(what string) uint32 {
	if b := r.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// name reads a text that must be short, printable and new to the file.
func (r *reader) name(what string, limit int, taken func(string) bool) string {
	n := r.uint64(what)
	if n > uint64(limit) {
		r.fail("%s of %d bytes, want at most %d", what, n, limit)
		return ""
	}
	s := string(r.take(n, what))
	switch {
	case r.err != nil:
	case s == "" || !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		r.fail("%s is %s", what, spelling.Quote(s))
	case taken(s):
		r.fail("%s %s is there twice", what, spelling.Quote(s))
	}
	return s
}

// read fills f; r has the error.
func (f *File) read(r *reader) {
	if magic := r.take(4, "the magic number"); r.err == nil && string(magic) != "GGUF" {
		r.fail("it begins with %q, want GGUF", magic)
	}
	version := r.uint32("the version")
	switch {
	case r.err != nil:
		return
	case version > 0 && version&0xffff == 0:
		r.fail("it is big-endian; convert it with gguf_convert_endian.py")
	case version != 2 && version != 3:
		r.fail("version %d is not known here; 2 and 3 are", version)
	}
	f.Version = int(version)
	tensors, keys := r.uint64("the number of tensors"), r.uint64("the number of keys")
	if tensors > maxTensors || keys > maxKeys {
		r.fail("%d tensors and %d keys, and at most %d and %d are read", tensors, keys, maxTensors, maxKeys)
	}
	for range keys {
		if r.err != nil {
			return
		}
		key := r.name("a key", maxKey, func(s string) bool { _, ok := f.values[s]; return ok })
		f.values[key] = r.value(key)
	}
	f.place(r, int(tensors), f.alignment(r))
}

// alignment returns what the offsets of tensors are multiples of.
func (f *File) alignment(r *reader) uint64 {
	const key = "general.alignment"
	if !f.Has(key) {
		return 32
	}
	n, err := f.Int(key)
	if err != nil {
		r.fail("%w", err)
	} else if n < 1 || n > maxAlignment || n%8 != 0 {
		r.fail("%s is %d, want a multiple of 8", key, n)
	}
	return max(uint64(n), 1)
}

// A row of the table of tensors.
type row struct {
	name   string
	typ    weights.Type
	shape  []int
	offset uint64 // from the end of the table
	size   uint64
}

// place reads the table of tensors and makes them. They may not overlap.
func (f *File) place(r *reader, n int, alignment uint64) {
	var rows []row
	seen := map[string]bool{}
	for range n {
		t := r.row(func(s string) bool { return seen[s] })
		if r.err != nil {
			return
		}
		if t.offset%alignment != 0 {
			r.fail("tensor %s begins at byte %d of the data, which is no multiple of %d", spelling.Quote(t.name), t.offset, alignment)
		}
		seen[t.name] = true
		rows = append(rows, t)
	}
	if r.err != nil {
		return
	}
	start := (uint64(r.at) + alignment - 1) / alignment * alignment
	if n > 0 && start > uint64(len(r.data)) {
		r.fail("it ends before the data; is it cut short?")
		return
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size)) })
	var at uint64
	tensors := make(map[string]weights.Tensor, len(rows))
	for _, t := range rows {
		data := r.data[start:]
		switch {
		case t.offset < at:
			r.fail("tensor %s begins at byte %d of the data, inside of another", spelling.Quote(t.name), t.offset)
			return
		case t.offset > uint64(len(data)) || t.size > uint64(len(data))-t.offset:
			r.fail("tensor %s has %d bytes from byte %d of the data, of %d; is the file cut short?", spelling.Quote(t.name), t.size, t.offset, len(data))
			return
		}
		at = t.offset + t.size
		tensor, err := weights.New(t.name, t.typ, t.shape, data[t.offset:at:at])
		if err != nil {
			r.fail("%w", err)
			return
		}
		tensors[t.name] = tensor
	}
	f.Fill(tensors)
}

// row reads one row of the table of tensors.
func (r *reader) row(taken func(string) bool) row {
	t := row{name: r.name("a tensor name", maxName, taken)}
	dims := r.uint32("the dimensions of a tensor")
	if dims > maxDimensions {
		r.fail("tensor %s has %d dimensions, want at most %d", spelling.Quote(t.name), dims, maxDimensions)
		return t
	}
	t.shape = make([]int, dims)
	for i := range t.shape {
		d := r.uint64("the shape of a tensor")
		if d > 1<<62 || uint64(int(d)) != d {
			r.fail("tensor %s has a dimension of %d", spelling.Quote(t.name), d)
			return t
		}
		t.shape[len(t.shape)-1-i] = int(d)
	}
	number := r.uint32("the format of a tensor")
	if r.err == nil && (uint64(number) >= uint64(len(types)) || types[number] == 0) {
		r.fail("tensor %s has number format %d, which is not known here", spelling.Quote(t.name), number)
	}
	t.offset = r.uint64("the offset of a tensor")
	if r.err != nil {
		return t
	}
	t.typ = types[number]
	_, size, err := weights.Size(t.typ, t.shape)
	if err != nil {
		r.fail("tensor %s: %w", spelling.Quote(t.name), err)
	}
	t.size = uint64(size)
	return t
}
