package data

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeText puts n random bytes into a file and returns it with its name.
func writeText(t *testing.T, n int) (string, []byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(31, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	file := filepath.Join(t.TempDir(), "some: text.txt")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, b
}

func openWindows(t *testing.T, spec string, length int) *Source {
	t.Helper()
	s, err := Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	if s.Inputs() != 0 || s.Classes() != 256 {
		t.Errorf("%s has %d inputs and %d classes before its windows are chosen", spec, s.Inputs(), s.Classes())
	}
	if s, err = s.Windows(length); err != nil {
		t.Fatal(err)
	}
	return s
}

// checkWindows wants a set whose row i is the window of text from starts[i] on.
func checkWindows(t *testing.T, set *Set, text []byte, length int, starts []int) {
	t.Helper()
	if set.Len() != len(starts) || set.Inputs() != length || set.Targets() != length || set.Classes() != 256 {
		t.Fatalf("%d rows of %d with %d labels below %d; want %d rows of %d", set.Len(), set.Inputs(), set.Targets(), set.Classes(), len(starts), length)
	}
	x, y := make([]float32, len(starts)*length), make([]int32, len(starts)*length)
	set.FillRange(x, y, 0, len(starts))
	for i, start := range starts {
		for j := range length {
			if at := i*length + j; x[at] != float32(text[start+j]) || y[at] != int32(text[start+j+1]) {
				t.Fatalf("token %d of row %d is %v before %d; want %d before %d", j, i, x[at], y[at], text[start+j], text[start+j+1])
			}
		}
		if got := set.Label(int32(i)); got != int32(text[start+length]) {
			t.Errorf("the label of row %d is %d, want %d", i, got, text[start+length])
		}
	}
	if _, _, ok := set.Range(0, set.Len()); ok || set.Unpacked() != set {
		t.Error("text is said to lie in memory as floats")
	}
}

func every(length, from, count int) (starts []int) {
	for i := range count {
		starts = append(starts, from+i*length)
	}
	return starts
}

func TestTextIsCutIntoWindowsWithoutGap(t *testing.T) {
	for _, test := range []struct {
		bytes, length    int
		held             string
		train, from, out int // rows for training, begin and rows of the held-out part
	}{
		{1000, 9, "", 99, 900, 11},
		{1001, 8, "", 112, 901, 12},
		{1000, 99, "", 9, 900, 1},
		{1000, 1, "", 899, 900, 99},
		{1000, 10, "held=0.25:", 74, 750, 24},
		{200_000, 64, "held=0.01:", 3093, 198_000, 31},
	} {
		file, text := writeText(t, test.bytes)
		s := openWindows(t, "text:"+test.held+file, test.length)
		if len(s.Labels()) != test.train || slices.Max(s.Labels()) != 0 {
			t.Errorf("%d labels, want %d, all 0", len(s.Labels()), test.train)
		}
		train, err := s.Train(nil)
		if err != nil {
			t.Fatal(err)
		}
		checkWindows(t, train, text, test.length, every(test.length, 0, test.train))
		held, err := s.Test()
		if err != nil {
			t.Fatal(err)
		}
		checkWindows(t, held, text, test.length, every(test.length, test.from, test.out))
	}
}

func TestPartsOfTextAreTheSameReadAloneOrTogether(t *testing.T) {
	const length, nodes = 32, 5
	file, text := writeText(t, 100_003)
	s := openWindows(t, "text:"+file, length)
	all, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, split := range []string{"iid", "contiguous", "dirichlet:0.5", "shards:3"} {
		parts, err := Partition(split, s.Labels(), nodes, 7)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for i, part := range parts {
			starts := make([]int, len(part))
			for j, row := range part {
				starts[j] = int(row) * length
			}
			alone, err := s.Train(part)
			if err != nil {
				t.Fatal(err)
			}
			checkWindows(t, alone, text, length, starts)
			checkWindows(t, all.Subset(part), text, length, starts)
			if total += len(part); split == "contiguous" && starts[len(starts)-1]-starts[0] != (len(part)-1)*length {
				t.Errorf("part %d is not one piece of the file", i)
			}
		}
		if total != all.Len() {
			t.Errorf("%s: the parts have %d rows of %d", split, total, all.Len())
		}
	}
	none, err := s.Train([]int32{})
	if err != nil || none.Len() != 0 {
		t.Errorf("no rows are %d, %v", none.Len(), err)
	}
}

func TestErrorsOfTextNameTheFile(t *testing.T) {
	file, _ := writeText(t, 1000)
	missing := filepath.Join(t.TempDir(), "missing.txt")
	for spec, want := range map[string]string{
		"text:":                        "is not known",
		"text:  ":                      "text: wants a file",
		"text:held=0.1":                "text: wants a file",
		"text:held=0:" + file:          `between 0 and 1, such as text:held=0.05:FILE, not "0"`,
		"text:held=1:" + file:          `not "1"`,
		"text:held=NaN:" + file:        `not "NaN"`,
		"text:held=a tenth:" + file:    `not "a tenth"`,
		"text:" + missing:              missing,
		"text:" + filepath.Dir(file):   filepath.Dir(file) + ": is not a file",
		"text:held=0.1:" + missing:     missing,
		"text:held=0.5:" + t.TempDir(): "is not a file",
	} {
		if _, err := Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %q", spec, err, want)
		}
	}
	s, err := Open("text:" + file)
	if err != nil {
		t.Fatal(err)
	}
	for length, want := range map[int]string{0: "windows of 0", 100: "900 bytes for training and 100 for evaluation are too few", 1 << 20: "from 1 to 65536"} {
		if _, err := s.Windows(length); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("windows of %d: %v, want %q", length, err, want)
		}
	}
	if _, err := s.Train(nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("rows without windows: %v", err)
	}
	if s, err = s.Windows(10); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Windows(10); err != nil || again != s {
		t.Errorf("the same windows again: %v", err)
	}
	if _, err := s.Windows(11); err == nil || !strings.Contains(err.Error(), "rows have 10 features, not 11") {
		t.Errorf("other windows afterwards: %v", err)
	}
	if err := os.WriteFile(file, make([]byte, 999), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, rows := range [][]int32{nil, {1, 5}} {
		if _, err := s.Train(rows); err == nil || !strings.Contains(err.Error(), file+": the file was changed") {
			t.Errorf("rows %v of a changed file: %v", rows, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Test(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is gone: %v", err)
	}
}
