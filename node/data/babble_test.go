package data

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// textOf puts the windows of a source together again.
func textOf(t *testing.T, s *Source, length int, test bool) []byte {
	t.Helper()
	set, err := s.load(test, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	x, y := make([]float32, length), make([]int32, length)
	for i := range set.Len() {
		set.FillRange(x, y, i, 1)
		if i == 0 {
			out = append(out, byte(x[0]))
		}
		for _, label := range y {
			out = append(out, byte(label))
		}
	}
	return out
}

func words(text []byte) map[string]int {
	n := make(map[string]int)
	for _, w := range strings.FieldsFunc(strings.ToLower(string(text)), func(r rune) bool { return r < 'a' || r > 'z' }) {
		n[w]++
	}
	return n
}

func TestBabbleIsATextWithTopics(t *testing.T) {
	const size, length = 200_000, 50
	s := openWindows(t, "babble:bytes=200000,seed=3", length)
	text, held := textOf(t, s, length, false), textOf(t, s, length, true)
	if len(text) < size*9/10-length || len(held) < size/10-length || len(text)+len(held) > size {
		t.Fatalf("%d bytes for training and %d held out of %d", len(text), len(held), size)
	}
	if again := textOf(t, openWindows(t, "babble:seed=3,bytes=200000", length), length, false); !bytes.Equal(again, text) {
		t.Error("the same seed writes another text")
	}
	if other := textOf(t, openWindows(t, "babble:bytes=200000", length), length, false); bytes.Equal(other[:100], text[:100]) {
		t.Error("another seed writes the same text")
	}
	// Words at the cuts of the two parts may be pieces.
	if n := len(words(text)); n < 200 || n > babbleWords+2 {
		t.Errorf("the text has %d words", n)
	}
	// What a piece speaks of, as the overlap of its frequent words with those of another one: chapters differ from each other, and each
	// is in itself of one kind.
	frequent := func(part []byte) (top []string) {
		n := words(part)
		for w := range n {
			top = append(top, w)
		}
		slices.SortFunc(top, func(a, b string) int { return (n[b]-n[a])*1000 + strings.Compare(a, b) })
		return top[:30]
	}
	shared := func(a, b []byte) (n int) {
		in := frequent(b)
		for _, w := range frequent(a) {
			if slices.Contains(in, w) {
				n++
			}
		}
		return n
	}
	eighth := len(text) / babbleTopics
	within, across := shared(text[:eighth/2], text[eighth/2:eighth]), shared(text[:eighth], text[4*eighth:5*eighth])
	if within < across+8 {
		t.Errorf("%d of 30 frequent words are shared within a topic, %d with another topic", within, across)
	}
}

func TestPartsOfBabbleAreTheSameReadAloneOrTogether(t *testing.T) {
	s := openWindows(t, "babble:bytes=5000", 16)
	all, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := []int32{0, 1, 7, int32(all.Len()) - 1}
	some, err := s.Train(rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		x, y, wantX, wantY := make([]float32, 16), make([]int32, 16), make([]float32, 16), make([]int32, 16)
		some.FillRange(x, y, i, 1)
		all.FillRange(wantX, wantY, int(row), 1)
		if !slices.Equal(x, wantX) || !slices.Equal(y, wantY) {
			t.Errorf("row %d read alone is %v, want %v", row, x, wantX)
		}
	}
}

func TestBabbleSaysWhatItWants(t *testing.T) {
	for spec, want := range map[string]string{
		"babble:": "settings seed and bytes", "babble:bytes=10": "from 1000 to", "babble:sead=1": `"sead=1" is none`, "babble:seed=-1": "settings seed and bytes",
	} {
		if _, err := Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}
