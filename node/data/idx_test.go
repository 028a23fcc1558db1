package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestEmbeddedFilesAreTheOnesDescribed(t *testing.T) {
	readme, err := os.ReadFile("mnist/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(embedded, "mnist/*")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v; want 4", len(files), err)
	}
	for _, file := range files {
		b, err := embedded.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("| %s | %x |", filepath.Base(file), sha256.Sum256(b))
		if !strings.Contains(string(readme), want) {
			t.Errorf("the README has no line %s", want)
		}
	}
}

func openMNIST(t testing.TB) *Source {
	t.Helper()
	s, err := Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMNISTIsWhole(t *testing.T) {
	s := openMNIST(t)
	if s.Inputs() != 784 || s.Classes() != 10 || len(s.Labels()) != 60000 {
		t.Fatalf("%d inputs, %d classes, %d rows", s.Inputs(), s.Classes(), len(s.Labels()))
	}
	// The counts of digits in the training set, as commonly published.
	counts := [10]int{}
	for _, l := range s.Labels() {
		counts[l]++
	}
	if want := [10]int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}; counts != want {
		t.Errorf("digits are %v times there, want %v", counts, want)
	}
	test, err := s.Test()
	if err != nil {
		t.Fatal(err)
	}
	if test.Len() != 10000 || test.Label(0) != 7 || test.Label(9999) != 6 {
		t.Errorf("%d test rows, the first a %d, the last a %d", test.Len(), test.Label(0), test.Label(9999))
	}
	train, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	x, y := make([]float32, 1000*784), make([]int32, 1000)
	for first := 0; first < train.Len(); first += len(y) {
		train.FillRange(x, y, first, len(y))
		for _, v := range x {
			sum += float64(v)
		}
		if !slices.Equal(y, s.Labels()[first:first+len(y)]) {
			t.Fatalf("labels from %d on differ from those of the source", first)
		}
	}
	if mean := sum / 60000 / 784; mean < 0.13065 || mean > 0.13067 { // commonly published: 0.1307
		t.Errorf("mean grey level is %v, want 0.1307", mean)
	}
}

func TestOnlyTheRowsAskedForAreKept(t *testing.T) {
	s := openMNIST(t)
	all, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := []int32{0, 7, 8, 4000, 59999}
	some, err := s.Train(rows)
	if err != nil {
		t.Fatal(err)
	}
	if some.Len() != len(rows) || len(some.images.list) != 1 || len(some.images.list[0]) != len(rows)*784 {
		t.Fatalf("%d rows in %d pages", some.Len(), len(some.images.list))
	}
	for _, same := range []*Set{some, all.Subset(rows)} {
		a, b, la, lb := make([]float32, 5*784), make([]float32, 5*784), make([]int32, 5), make([]int32, 5)
		all.Fill(a, la, rows)
		same.FillRange(b, lb, 0, 5)
		if fmt.Sprint(a, la) != fmt.Sprint(b, lb) {
			t.Error("rows differ from those of the whole set")
		}
	}
	nested := all.Subset(rows).Subset([]int32{4, 1})
	if nested.Len() != 2 || nested.Label(0) != all.Label(59999) || nested.Label(1) != all.Label(7) {
		t.Error("a subset of a subset has other rows")
	}
	for _, bad := range [][]int32{{-1}, {60000}, {2, 1}, {3, 3}} {
		if _, err := s.Train(bad); err == nil {
			t.Errorf("rows %v are accepted", bad)
		}
	}
}

func TestAShardDoesNotCostTheMemoryOfTheWhole(t *testing.T) {
	s := openMNIST(t)
	parts, err := Partition("iid", s.Labels(), 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	set, err := s.Train(parts[3])
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > 7500*784+300_000 {
		t.Errorf("%d rows cost %d bytes", set.Len(), got)
	}
	runtime.KeepAlive(set)
}

func TestFilesWithoutRowsAreRefused(t *testing.T) {
	files := tiny()
	files["t10k-labels-idx1-ubyte"] = idxFile([]uint32{magicLabels, 0}, nil)
	files["t10k-images-idx3-ubyte"] = idxFile([]uint32{magicImages, 0, 2, 2}, nil)
	if _, err := Open("idx:" + write(t, files)); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("got %v, want that there are no rows", err)
	}
}

// idxFile builds a file: header words, then bytes.
func idxFile(words []uint32, body []byte) []byte {
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return append(b, body...)
}

// tiny returns a good set of files: three rows of 2×2 pixels for training and one for tests.
func tiny() map[string][]byte {
	return map[string][]byte{
		"train-labels-idx1-ubyte": idxFile([]uint32{magicLabels, 3}, []byte{0, 2, 1}),
		"train-images-idx3-ubyte": idxFile([]uint32{magicImages, 3, 2, 2}, []byte{0, 51, 102, 255, 4, 5, 6, 7, 8, 9, 10, 11}),
		"t10k-labels-idx1-ubyte":  idxFile([]uint32{magicLabels, 1}, []byte{1}),
		"t10k-images-idx3-ubyte":  idxFile([]uint32{magicImages, 1, 2, 2}, []byte{1, 2, 3, 4}),
	}
}

func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compress(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFilesOfAUserAreRead(t *testing.T) {
	files := tiny()
	files["train-images-idx3-ubyte.gz"] = compress(t, files["train-images-idx3-ubyte"])
	delete(files, "train-images-idx3-ubyte")
	s, err := Open("idx:" + write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if s.Inputs() != 4 || s.Classes() != 3 || len(s.Labels()) != 3 {
		t.Errorf("%d inputs, %d classes, %d rows", s.Inputs(), s.Classes(), len(s.Labels()))
	}
	set, err := s.Train([]int32{0, 2})
	if err != nil {
		t.Fatal(err)
	}
	x, y := make([]float32, 8), make([]int32, 2)
	set.Fill(x, y, []int32{1, 0})
	if want := []float32{8. / 255, 9. / 255, 10. / 255, 11. / 255, 0, 0.2, 0.4, 1}; fmt.Sprint(x) != fmt.Sprint(want) || y[0] != 1 || y[1] != 0 {
		t.Errorf("rows are %v with labels %v, want %v", x, y, want)
	}
}

func TestBadFilesAreNamed(t *testing.T) {
	const trainLabels, trainImages, testLabels, testImages = "train-labels-idx1-ubyte", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"
	good := tiny()
	for _, test := range []struct {
		name, file string
		content    []byte
		want       string
	}{
		{"missing", trainLabels, nil, "can be opened"},
		{"empty", trainLabels, []byte{}, "ends in its header"},
		{"magic of labels", trainLabels, good[trainImages], "an IDX file of labels starts with"},
		{"magic of images", testImages, good[testLabels], "an IDX file of images starts with"},
		{"truncated labels", testLabels, good[trainLabels][:10], "ends after 2 of 3 labels"},
		{"claims many labels", trainLabels, idxFile([]uint32{magicLabels, maxRows}, []byte{1}), "ends after 1 of"},
		{"claims too many labels", trainLabels, idxFile([]uint32{magicLabels, 1 << 31}, nil), "at most"},
		{"claims too many images", trainImages, idxFile([]uint32{magicImages, 1 << 31, 2, 2}, nil), "at most"},
		{"trailing labels", trainLabels, append(bytes.Clone(good[trainLabels]), 0), "goes on after the last row"},
		{"trailing images", trainImages, append(bytes.Clone(good[trainImages]), 0), "goes on after the last row"},
		{"truncated images", trainImages, good[trainImages][:22], "ends after 1 of 3 images"},
		{"header of images", trainImages, good[trainImages][:9], "ends in its header"},
		{"no pixels", trainImages, idxFile([]uint32{magicImages, 3, 0, 2}, nil), "0×2 pixels"},
		{"huge pixels", trainImages, idxFile([]uint32{magicImages, 3, 1 << 31, 1 << 31}, nil), "pixels are read"},
		{"other count", trainImages, good[testImages], "1 images, but there are 3 labels"},
		{"other size", testImages, idxFile([]uint32{magicImages, 1, 3, 3}, make([]byte, 9)), "images of 9 pixels"},
		{"broken gzip", trainLabels + ".gz", []byte("no gzip"), "gzip"},
		{"gzip cut short", trainImages + ".gz", compress(t, good[trainImages])[:30], "train-images-idx3-ubyte.gz"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := tiny()
			delete(files, strings.TrimSuffix(test.file, ".gz"))
			if test.content != nil {
				files[test.file] = test.content
			}
			s, err := Open("idx:" + write(t, files))
			if err == nil {
				_, err = s.Train(nil)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.file) {
				t.Errorf("got %v, want an error with %q that names %s", err, test.want, test.file)
			}
		})
	}
}

func TestAFileThatChangesIsNoticed(t *testing.T) {
	dir := write(t, tiny())
	s, err := Open("idx:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "train-images-idx3-ubyte"), idxFile([]uint32{magicImages, 3, 1, 1}, make([]byte, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Train(nil); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v, want that the file was changed", err)
	}
}

func FuzzIDX(f *testing.F) {
	for _, b := range tiny() {
		f.Add(b)
	}
	f.Add(idxFile([]uint32{magicLabels, maxRows}, []byte{1}))
	f.Add(idxFile([]uint32{magicImages, maxRows, 256, 256}, []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		labels, err := readLabels(bytes.NewReader(b))
		if err == nil && !slices.EqualFunc(labels, b[8:], func(label int32, b byte) bool { return label == int32(b) }) {
			t.Error("labels differ from the file")
		}
		count, inputs, err := readImagesHeader(bytes.NewReader(b))
		if err == nil {
			set := &Set{inputs: inputs, classes: 2}
			// Labels that the caller has read bound the number of images.
			err = set.readImages(bytes.NewReader(b), make([]int32, min(count, len(b))), nil)
			if err == nil && (set.Len() != count || 16+count*inputs != len(b)) {
				t.Errorf("%d of %d images of %d pixels from %d bytes", set.Len(), count, inputs, len(b))
			}
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20+20*uint64(len(b)) {
			t.Errorf("%d bytes made the reader allocate %d", len(b), got)
		}
	})
}
