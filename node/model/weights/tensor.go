package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// A Tensor is an array of numbers in a file. Its bytes are usually those of a mapped file: it is valid until the [Source] that it came
// from is closed. It may be used by several goroutines at a time.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // rows first, the dimension that lies together in memory last; empty for a single number

	data       []byte
	order      func(row int) int // the row of the file that is row number so-and-so; nil if they are the same
	transposed bool              // the file has columns where the tensor has rows
}

// MaxDimensions is the longest shape that is read.
const MaxDimensions = 8

// Size returns the number of elements of a shape and the bytes that they take. It returns an error for shapes that are not possible:
// negative or too large ones, and rows that do not end with a block.
func Size(t Type, shape []int) (elements, bytes int, err error) {
	if !t.valid() {
		return 0, 0, fmt.Errorf("number format %d is not known", t)
	}
	if len(shape) > MaxDimensions {
		return 0, 0, fmt.Errorf("shape with %d dimensions, want at most %d", len(shape), MaxDimensions)
	}
	numbers, each := t.Block()
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt/8/d {
			return 0, 0, fmt.Errorf("shape %v is not possible", shape)
		}
		n *= d
	}
	if numbers > 1 && (len(shape) == 0 || shape[len(shape)-1]%numbers != 0) {
		return 0, 0, fmt.Errorf("shape %v in format %s, whose blocks hold %d numbers of a row", shape, t, numbers)
	}
	return n, n / numbers * each, nil // each <= 8·numbers
}

// New returns a tensor whose elements are data. It keeps shape and data.
func New(name string, t Type, shape []int, data []byte) (Tensor, error) {
	_, size, err := Size(t, shape)
	if err != nil {
		return Tensor{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	if len(data) != size {
		return Tensor{}, fmt.Errorf("tensor %q: %d bytes for shape %v in format %s, want %d", name, len(data), shape, t, size)
	}
	return Tensor{Name: name, Type: t, Shape: shape, data: data}, nil
}

// FromFloats returns a tensor of float32 with a copy of x.
func FromFloats(name string, shape []int, x []float32) (Tensor, error) {
	return New(name, F32, shape, bytes.Clone(LittleEndian(x)))
}

// LittleEndian returns x as files have it: the very memory of x where the machine is little-endian, else a copy. It must not be changed.
func LittleEndian(x []float32) []byte {
	if !littleEndian() {
		b, _ := Append(nil, F32, x)
		return b
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// Len returns the number of elements; 1 for an empty shape.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Width returns the length of a row, which is the last dimension; 1 for an empty shape.
func (t Tensor) Width() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// Rows returns the number of rows: the product of all dimensions but the last.
func (t Tensor) Rows() int {
	n := 1
	for _, d := range t.Shape[:max(len(t.Shape)-1, 0)] {
		n *= d
	}
	return n
}

// Bytes returns the elements as they are in the file, little-endian; nil if the file has them in another order. They must not be
// changed.
func (t Tensor) Bytes() []byte {
	if t.order != nil || t.transposed {
		return nil
	}
	return t.data
}

// Stored returns the elements as they are in the file, in the order that they have there. They must not be changed.
func (t Tensor) Stored() []byte { return t.data }

// View returns the elements in place, without a copy, if the machine can read them so: little-endian and aligned float32. Else it
// returns nil. They must not be changed: the memory may be that of a file.
func (t Tensor) View() []float32 {
	data := t.Bytes()
	if t.Type != F32 || len(data) == 0 || !littleEndian() || uintptr(unsafe.Pointer(unsafe.SliceData(data)))%4 != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(data))), len(data)/4)
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// Reordered returns a tensor whose row i is row order(i) of t.
func (t Tensor) Reordered(order func(row int) int) Tensor {
	if before := t.order; before != nil {
		after := order
		order = func(row int) int { return before(after(row)) }
	}
	t.order = order
	return t
}

// Transposed returns a tensor of two dimensions whose columns are the rows of t. Its rows are best decoded all at once: each call of
// Decode reads the whole of t.
func (t Tensor) Transposed() (Tensor, error) {
	if len(t.Shape) != 2 || t.order != nil || t.transposed {
		return Tensor{}, fmt.Errorf("tensor %q of shape %v cannot be transposed", t.Name, t.Shape)
	}
	t.Shape = []int{t.Shape[1], t.Shape[0]}
	t.transposed = true
	return t, nil
}

// Decode writes rows from, from+1, … to dst, as many as fit: the length of dst is a multiple of the width. It returns an error if the
// format cannot be decoded. Rows that are not there are a bug of the caller and panic.
func (t Tensor) Decode(dst []float32, from int) error {
	if !t.Type.Decodable() {
		return fmt.Errorf("tensor %q has number format %s, which cannot be decoded here; convert the file to F16, BF16, Q8_0 or Q4_K", t.Name, t.Type)
	}
	width := t.Width()
	if width == 0 {
		return nil
	}
	n := len(dst) / width
	if len(dst)%width != 0 || from < 0 || from+n > t.Rows() {
		panic(fmt.Sprintf("weights: %d floats from row %d of a tensor of shape %v", len(dst), from, t.Shape))
	}
	f := formats[t.Type]
	if t.transposed {
		t.decodeColumns(dst, from, n)
		return nil
	}
	size := width / f.block * f.bytes
	if t.order == nil {
		f.decode(dst, t.data[from*size:(from+n)*size])
		return nil
	}
	for i := range n {
		row := t.order(from + i)
		f.decode(dst[i*width:(i+1)*width], t.data[row*size:(row+1)*size])
	}
	return nil
}

// decodeColumns writes columns from, from+1, … of what the file has.
func (t Tensor) decodeColumns(dst []float32, from, n int) {
	f := formats[t.Type]
	rows := t.Shape[1]
	scratch := make([]float32, t.Shape[0])
	size := len(scratch) / f.block * f.bytes
	for r := range rows {
		f.decode(scratch, t.data[r*size:(r+1)*size])
		for i, x := range scratch[from : from+n] {
			dst[i*rows+r] = x
		}
	}
}

// Floats returns all elements, decoded.
func (t Tensor) Floats() ([]float32, error) {
	dst := make([]float32, t.Len())
	return dst, t.Decode(dst, 0)
}

// Want returns an error if the tensor has another shape, or a format that cannot be decoded.
func (t Tensor) Want(shape ...int) error {
	if !slices.Equal(t.Shape, shape) {
		return fmt.Errorf("tensor %q has shape %v, want %v", t.Name, t.Shape, shape)
	}
	return t.Decode(nil, 0)
}
