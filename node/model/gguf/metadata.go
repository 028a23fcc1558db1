package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"starling/mixing/spelling"
)

// A kind is the type of a value, with the numbers that files have for them.
type kind uint32

const (
	kindUint8 kind = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindText
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

// kinds are the names of kinds and the bytes of a value; texts and arrays say their own.
var kinds = [...]struct {
	name string
	size uint64
}{
	{"uint8", 1}, {"int8", 1}, {"uint16", 2}, {"int16", 2}, {"uint32", 4}, {"int32", 4}, {"float32", 4}, {"bool", 1}, {"text", 0}, {"array", 0},
	{"uint64", 8}, {"int64", 8}, {"float64", 8},
}

// A value is one value of the metadata, or an array of them, as it is in the file.
type value struct {
	kind  kind
	array bool // of kind; arrays of arrays are not read
	n     int  // 1, or the length of the array
	data  []byte
}

// value reads the value of a key, and checks it to its end.
func (r *reader) value(key string) value {
	v := value{kind: kind(r.uint32("a kind")), n: 1}
	if v.kind == kindArray {
		v.kind, v.array = kind(r.uint32("a kind")), true
		n := r.uint64("an array")
		if n > uint64(len(r.data)) {
			r.fail("key %s has an array of %d values, longer than the file; is it cut short?", spelling.Quote(key), n)
			return v
		}
		v.n = int(n)
	}
	switch {
	case r.err != nil:
	case v.kind == kindText:
		from := r.at
		for range v.n {
			if r.take(r.uint64("a text"), "a text"); r.err != nil {
				return v
			}
		}
		v.data = r.data[from:r.at]
	case v.kind == kindArray:
		r.fail("key %s has an array of arrays, which is not read here", spelling.Quote(key))
	case uint64(v.kind) >= uint64(len(kinds)):
		r.fail("key %s has a value of kind %d, which is not known here", spelling.Quote(key), v.kind)
	default:
		v.data = r.take(uint64(v.n)*kinds[v.kind].size, "a value")
	}
	return v
}

// Keys returns the keys of the metadata, sorted. The slice must not be changed.
func (f *File) Keys() []string { return f.keys }

// Has reports whether the metadata have a key.
func (f *File) Has(key string) bool {
	_, ok := f.values[key]
	return ok
}

func (f *File) find(key string, array bool) (value, error) {
	v, ok := f.values[key]
	switch {
	case !ok:
		return v, fmt.Errorf("the metadata of the GGUF file have no %s", key)
	case v.array && !array:
		return v, fmt.Errorf("%s in the metadata of the GGUF file is an array, want one value", key)
	case array && !v.array:
		return v, fmt.Errorf("%s in the metadata of the GGUF file is one value, want an array", key)
	}
	return v, nil
}

func (v value) wrong(key, want string) error {
	return fmt.Errorf("%s in the metadata of the GGUF file is of kind %s, want %s", key, kinds[v.kind].name, want)
}

// integer returns element i of an array of integers; ok is false if it is of another kind or does not fit.
func (v value) integer(i int) (x int, ok bool) {
	switch b := v.data; v.kind {
	case kindUint8:
		return int(b[i]), true
	case kindInt8:
		return int(int8(b[i])), true
	case kindUint16:
		return int(binary.LittleEndian.Uint16(b[2*i:])), true
	case kindInt16:
		return int(int16(binary.LittleEndian.Uint16(b[2*i:]))), true
	case kindUint32:
		x := binary.LittleEndian.Uint32(b[4*i:])
		return int(x), uint64(x) <= math.MaxInt
	case kindInt32:
		return int(int32(binary.LittleEndian.Uint32(b[4*i:]))), true
	case kindUint64:
		x := binary.LittleEndian.Uint64(b[8*i:])
		return int(x), x <= math.MaxInt
	case kindInt64:
		x := int64(binary.LittleEndian.Uint64(b[8*i:]))
		return int(x), int64(int(x)) == x
	}
	return 0, false
}

// Int returns an integer of any width. It returns an error if the key is missing, or has a value of another kind.
func (f *File) Int(key string) (int, error) {
	v, err := f.find(key, false)
	if err != nil {
		return 0, err
	}
	x, ok := v.integer(0)
	if !ok {
		return 0, v.wrong(key, "an integer that fits")
	}
	return x, nil
}

// Ints returns an array of integers of any width; errors as for [File.Int].
func (f *File) Ints(key string) ([]int, error) {
	v, err := f.find(key, true)
	if err != nil {
		return nil, err
	}
	out := make([]int, v.n)
	for i := range out {
		x, ok := v.integer(i)
		if !ok {
			return nil, v.wrong(key, "integers that fit")
		}
		out[i] = x
	}
	return out, nil
}

// Float returns a number, which may be an integer in the file; errors as for [File.Int].
func (f *File) Float(key string) (float64, error) {
	v, err := f.find(key, false)
	if err != nil {
		return 0, err
	}
	switch v.kind {
	case kindFloat32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.data))), nil
	case kindFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.data)), nil
	}
	x, ok := v.integer(0)
	if !ok {
		return 0, v.wrong(key, "a number")
	}
	return float64(x), nil
}

// Bool returns yes or no; errors as for [File.Int].
func (f *File) Bool(key string) (bool, error) {
	v, err := f.find(key, false)
	if err != nil {
		return false, err
	}
	if v.kind != kindBool {
		return false, v.wrong(key, "bool")
	}
	return v.data[0] != 0, nil
}

// Text returns a text; errors as for [File.Int].
func (f *File) Text(key string) (string, error) {
	v, err := f.find(key, false)
	if err != nil {
		return "", err
	}
	if v.kind != kindText {
		return "", v.wrong(key, "text")
	}
	return string(v.data[8:]), nil
}

// Texts returns an array of texts; errors as for [File.Int].
func (f *File) Texts(key string) ([]string, error) {
	v, err := f.find(key, true)
	if err != nil {
		return nil, err
	}
	if v.kind != kindText {
		return nil, v.wrong(key, "texts")
	}
	out := make([]string, v.n)
	all, rest := string(v.data), v.data // one copy, which the texts share
	for i := range out {
		n := int(binary.LittleEndian.Uint64(rest)) // checked when the file was read
		at := len(all) - len(rest) + 8
		out[i], rest = all[at:at+n], rest[8+n:]
	}
	return out, nil
}

// Show returns the value of a key for people: long texts are cut, arrays give their length. It returns "" for a key that is not there.
func (f *File) Show(key string) string {
	v, ok := f.values[key]
	switch {
	case !ok:
		return ""
	case v.array:
		return fmt.Sprintf("%d of kind %s", v.n, kinds[v.kind].name)
	case v.kind == kindText:
		return spelling.Quote(string(v.data[8:]))
	case v.kind == kindBool:
		return strconv.FormatBool(v.data[0] != 0)
	case v.kind == kindFloat32 || v.kind == kindFloat64:
		x, _ := f.Float(key) // of this kind
		if v.kind == kindFloat32 {
			return strconv.FormatFloat(x, 'g', -1, 32)
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	x, ok := v.integer(0)
	if !ok {
		return "a large number"
	}
	return strconv.Itoa(x)
}
