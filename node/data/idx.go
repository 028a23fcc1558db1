package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
)

// The first word of a file: two zero bytes, the type (8 is bytes), the number of dimensions.
const (
	magicLabels = 0x00000801
	magicImages = 0x00000803
)

// openIDX opens MNIST's four files in a directory of fsys. name is the directory as the user knows it.
func openIDX(fsys fs.FS, dir, name string) (*Source, error) {
	s := &Source{name: name}
	var held []int32
	err := withFile(fsys, dir, name, "train-labels-idx1-ubyte", func(r io.Reader) (err error) {
		s.labels, err = readLabels(r)
		return
	})
	if err != nil {
		return nil, err
	}
	err = withFile(fsys, dir, name, "t10k-labels-idx1-ubyte", func(r io.Reader) (err error) {
		held, err = readLabels(r)
		return
	})
	if err != nil {
		return nil, err
	}
	for i, file := range []string{"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"} {
		err = withFile(fsys, dir, name, file, func(r io.Reader) error {
			count, inputs, err := readImagesHeader(r)
			switch {
			case err != nil:
				return err
			case i == 0:
				s.inputs = inputs
			case inputs != s.inputs:
				return fmt.Errorf("images of %d pixels, but those for training have %d", inputs, s.inputs)
			}
			if want := len([][]int32{s.labels, held}[i]); count != want {
				return fmt.Errorf("%d images, but there are %d labels", count, want)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(s.labels) == 0 || len(held) == 0 {
		return nil, fmt.Errorf("data %s: there are no rows", name)
	}
	s.classes = 2
	for _, labels := range [][]int32{s.labels, held} {
		for _, l := range labels {
			s.classes = max(s.classes, int(l)+1)
		}
	}
	s.load = func(test bool, rows []int32) (*Set, error) {
		file, labels := "train-images-idx3-ubyte", s.labels
		if test {
			file, labels = "t10k-images-idx3-ubyte", held
		}
		set := &Set{inputs: s.inputs, classes: s.classes}
		if err := withFile(fsys, dir, name, file, func(r io.Reader) error { return set.readImages(r, labels, rows) }); err != nil {
			return nil, err
		}
		return set, nil
	}
	return s, nil
}

// withFile calls read with a file, or with the content of its .gz. Errors name the file.
func withFile(fsys fs.FS, dir, name, file string, read func(io.Reader) error) error {
	f, err := fsys.Open(path.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		compressed, errGz := fsys.Open(path.Join(dir, file+".gz"))
		if errGz == nil {
			file, f, err = file+".gz", compressed, nil
		}
	}
	where := filepath.Join(name, file)
	if err != nil {
		return fmt.Errorf("data %s: neither the file nor its .gz can be opened: %w", where, err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 64<<10)
	if path.Ext(file) == ".gz" {
		if r, err = gzip.NewReader(r); err != nil {
			return fmt.Errorf("data %s: %w", where, err)
		}
	}
	if err := read(r); err != nil {
		return fmt.Errorf("data %s: %w", where, err)
	}
	return nil
}

// readHeader reads the words of a header, of which the first must be magic.
func readHeader(r io.Reader, h []uint32, of string, magic uint32) error {
	var b [4]byte
	for i := range h {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return truncated(err, "in its header")
		}
		h[i] = binary.BigEndian.Uint32(b[:])
		if h[0] != magic {
			return fmt.Errorf("starts with %#08x; an IDX file of %s starts with %#08x", h[0], of, magic)
		}
	}
	return nil
}

func truncated(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ends %s", where)
	}
	return err
}

// atEnd checks that nothing follows. For a .gz this is also where its checksum is verified.
func atEnd(r io.Reader) error {
	var b [1]byte
	switch n, err := io.ReadFull(r, b[:]); {
	case n > 0:
		return errors.New("goes on after the last row")
	case err != io.EOF:
		return err
	}
	return nil
}

// readLabels reads a file of labels. Memory grows with what is there, not with what the header claims.
func readLabels(r io.Reader) ([]int32, error) {
	var h [2]uint32
	if err := readHeader(r, h[:], "labels", magicLabels); err != nil {
		return nil, err
	}
	if h[1] > maxRows {
		return nil, fmt.Errorf("says that it has %d labels; at most %d are read", h[1], maxRows)
	}
	var labels []int32
	var piece [64 << 10]uint8
	for n := int(h[1]); len(labels) < n; {
		got, err := io.ReadFull(r, piece[:min(n-len(labels), len(piece))])
		for _, label := range piece[:got] {
			labels = append(labels, int32(label))
		}
		if err != nil {
			return nil, truncated(err, fmt.Sprintf("after %d of %d labels", len(labels), n))
		}
	}
	return labels, atEnd(r)
}

// readImagesHeader returns the number of images and of pixels of one.
func readImagesHeader(r io.Reader) (count, inputs int, err error) {
	var h [4]uint32
	if err := readHeader(r, h[:], "images", magicImages); err != nil {
		return 0, 0, err
	}
	if h[1] > maxRows {
		return 0, 0, fmt.Errorf("says that it has %d images; at most %d are read", h[1], maxRows)
	}
	if pixels := uint64(h[2]) * uint64(h[3]); pixels == 0 || pixels > maxInputs {
		return 0, 0, fmt.Errorf("has images of %d×%d pixels; from 1 to %d pixels are read", h[2], h[3], maxInputs)
	}
	return int(h[1]), int(h[2] * h[3]), nil
}

// readImages reads a file of images to its end and keeps the rows asked for.
func (s *Set) readImages(r io.Reader, labels []int32, rows []int32) error {
	count, inputs, err := readImagesHeader(r)
	if err != nil {
		return err
	}
	if count != len(labels) || inputs != s.inputs {
		return errChanged
	}
	wanted := pick(rows)
	keep := wanted.count(count)
	s.images, s.labels = newPages[uint8](inputs), make([]int32, 0, keep)
	skipped := make([]uint8, inputs)
	for row := range count {
		into := skipped
		if wanted.next(row) {
			into = s.images.add(keep)
			s.labels = append(s.labels, labels[row])
		}
		if _, err := io.ReadFull(r, into); err != nil {
			return truncated(err, fmt.Sprintf("after %d of %d images", row, count))
		}
	}
	return atEnd(r)
}
