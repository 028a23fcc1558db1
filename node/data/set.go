package data

import "starling/mixing/kernel"

// A Set is rows of features with their labels, in memory. Images stay bytes until they are wanted as floats. A Set is not
// changed once made and is safe for concurrent use.
type Set struct {
	inputs, classes int
	labels          []int32
	images          pages[uint8]   // one of the
	numbers         pages[float32] // four
	windows         windows        // is in use; with these
	sequences       sequences      // two there are no labels
	index           []int32        // of the rows in labels and pages, nil when they are all of them
}

// Len returns the number of rows.
func (s *Set) Len() int {
	if s.index != nil {
		return len(s.index)
	}
	if s.isText() {
		return s.windows.rows + s.sequences.rows()
	}
	return len(s.labels)
}

func (s *Set) isText() bool { return s.windows.length > 0 || s.sequences.length > 0 }

// Inputs returns the number of features of a row.
func (s *Set) Inputs() int { return s.inputs }

// Targets returns the number of labels of a row: one, or as many as features if they are tokens of a text.
func (s *Set) Targets() int {
	if s.isText() {
		return s.inputs
	}
	return 1
}

// Classes returns the number of classes; labels are below it.
func (s *Set) Classes() int { return s.classes }

func (s *Set) stored(row int32) int32 {
	if s.index != nil {
		return s.index[row]
	}
	return row
}

// Label returns the label of a row, the last one where there are several.
func (s *Set) Label(row int32) int32 {
	at := s.stored(row)
	switch {
	case s.windows.length > 0:
		return int32(s.windows.row(at)[s.inputs])
	case s.sequences.length > 0:
		return s.sequences.labels[(int(at)+1)*s.inputs-1]
	}
	return s.labels[at]
}

// Fill writes the features and labels of rows, one row after the other, to the start of x and y. x must have room for
// len(rows)·Inputs() floats and y for len(rows)·Targets() labels. Grey levels become level/255, between 0 and 1; numbers of a
// CSV file stay as they are; tokens of a text become their numbers.
func (s *Set) Fill(x []float32, y []int32, rows []int32) {
	for i, row := range rows {
		s.row(x, y, i, row)
	}
}

// FillRange is Fill for count rows from first on.
func (s *Set) FillRange(x []float32, y []int32, first, count int) {
	for i := range count {
		s.row(x, y, i, int32(first+i))
	}
}

// Range returns the features and labels of count rows from first on as [Set.FillRange] would write them, but without copying
// them. ok is false, and there is nothing, where they do not lie in memory like that: images and text never do, see
// [Set.Unpacked].
// The slices must not be changed.
func (s *Set) Range(first, count int) (x []float32, y []int32, ok bool) {
	n := &s.numbers
	if s.index != nil || n.width == 0 || count < 1 || first/n.per != (first+count-1)/n.per {
		return nil, nil, false
	}
	return n.list[first/n.per][first%n.per*n.width:][:count*n.width], s.labels[first:][:count], true
}

// Unpacked returns the set with all features as floats in one piece: four times the memory of images, and nothing left to do
// when they are read. Text stays as it is.
func (s *Set) Unpacked() *Set {
	if s.Len() == 0 || s.isText() {
		return s
	}
	if _, _, ok := s.Range(0, s.Len()); ok {
		return s
	}
	t := &Set{inputs: s.inputs, classes: s.classes, labels: make([]int32, s.Len())}
	t.numbers = pages[float32]{width: s.inputs, per: s.Len(), rows: s.Len(), list: [][]float32{make([]float32, s.Len()*s.inputs)}}
	s.FillRange(t.numbers.list[0], t.labels, 0, s.Len())
	return t
}

// row writes features and labels of a row to the i-th place.
func (s *Set) row(x []float32, y []int32, i int, row int32) {
	at := s.stored(row)
	x = x[i*s.inputs:][:s.inputs]
	switch {
	case s.sequences.length > 0:
		from := int(at) * s.inputs
		copy(y[i*s.inputs:][:s.inputs], s.sequences.labels[from:])
		for j, token := range s.sequences.tokens[from:][:s.inputs] {
			x[j] = float32(token)
		}
		return
	case s.windows.length > 0:
		tokens := s.windows.row(at)
		labels := y[i*s.inputs:][:s.inputs]
		for j := range x {
			x[j], labels[j] = float32(tokens[j]), int32(tokens[j+1])
		}
		return
	case s.numbers.width > 0:
		copy(x, s.numbers.at(at))
	default:
		kernel.Grey(x, s.images.at(at)[:len(x)])
	}
	y[i] = s.labels[at]
}

// Subset returns the set of some rows of s, in that order. The two share their memory.
func (s *Set) Subset(rows []int32) *Set {
	t := *s
	t.index = make([]int32, len(rows))
	for i, row := range rows {
		t.index[i] = s.stored(row)
	}
	return &t
}

// pages are rows of equal width, in pieces of about a megabyte: memory grows with what was read and is never copied.
type pages[T uint8 | float32] struct {
	width, per int // elements of a row, rows of a page
	rows       int
	list       [][]T
}

func newPages[T uint8 | float32](width int) pages[T] {
	return pages[T]{width: width, per: max(1, 1<<18/width)}
}

// add appends a row with undefined content and returns it. limit is the number of rows that there can be at most.
func (p *pages[T]) add(limit int) []T {
	at := p.rows % p.per
	if at == 0 {
		p.list = append(p.list, make([]T, min(p.per, limit-p.rows)*p.width))
	}
	p.rows++
	return p.list[len(p.list)-1][at*p.width:][:p.width]
}

func (p *pages[T]) at(row int32) []T {
	return p.list[int(row)/p.per][int(row)%p.per*p.width:][:p.width]
}
