package codec

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"starling/mixing/philox"
)

var update = flag.Bool("update", false, "write the recorded hashes anew")

// plainNumbers are made without any function of package math that machines differ in.
func plainNumbers(n int, seed uint64) []float32 {
	v := make([]float32, n)
	w := make([]uint32, 2*n)
	philox.Words(w, seed, [4]uint32{0, 0, 0, philox.Data})
	for i := range v {
		v[i] = float32(math.Ldexp(float64(int32(w[2*i])), -40-int(w[2*i+1]>>29)))
	}
	return v
}

// Codecs give the bytes that they gave when this was recorded, on another machine, and decoding them the same numbers.
func TestBytesAreTheSameEverywhere(t *testing.T) {
	const file = "testdata/hashes"
	var have strings.Builder
	for _, c := range all(t) {
		h := sha256.New()
		for _, n := range []int{0, 1, 5, 63, 64, 65, 255, 256, 257, 319, 321, 4095, 4096, 4097, 10000, 70001} {
			v := plainNumbers(n, uint64(n))
			b, err := c.Encode(nil, v, uint64(n)<<40+7)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(b)
			if err := c.Decode(v, b); err != nil {
				t.Fatal(err)
			}
			for _, x := range v {
				fmt.Fprintf(h, "%08x", math.Float32bits(x))
			}
		}
		fmt.Fprintf(&have, "%x %s\n", h.Sum(nil)[:8], c.Name())
	}
	if *update {
		if err := os.WriteFile(file, []byte(have.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, recorded := strings.Split(have.String(), "\n"), strings.Split(string(want), "\n")
	for i, line := range got {
		if i >= len(recorded) || line != recorded[i] {
			t.Errorf("%s: not what was recorded; go test ./gossip/codec -run Everywhere -update records it", line)
		}
	}
}

// The examples of format.md are what codecs write, and what they read gives the same again.
func TestFormatIsDescribedByItsExamples(t *testing.T) {
	text, err := os.ReadFile("format.md")
	if err != nil {
		t.Fatal(err)
	}
	v, seed := readVectors(t)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([0-9a-f]*)` \\|$")
	have := row.ReplaceAllStringFunc(string(text), func(line string) string {
		name := row.FindStringSubmatch(line)[1]
		b, err := must(t, name).Encode(nil, v.X, seed)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("| `%s` | `%x` |", name, b)
	})
	if *update {
		if err := os.WriteFile("format.md", []byte(have), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if have != string(text) {
		t.Error("format.md has other bytes; go test ./gossip/codec -run Format -update writes them")
	}
	if n := len(row.FindAllString(have, -1)); n < 8 {
		t.Errorf("%d examples", n)
	}
}
