package weights

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is one format of testdata/blocks.json, which testdata/blocks.py writes.
type block struct{ raw, values []byte }

func blocks(t testing.TB) map[string]block {
	t.Helper()
	text, err := os.ReadFile("testdata/blocks.json")
	if err != nil {
		t.Fatal(err)
	}
	var in map[string]map[string]string
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	out := map[string]block{}
	for name, b := range in {
		raw, err1 := base64.StdEncoding.DecodeString(b["raw"])
		values, err2 := base64.StdEncoding.DecodeString(b["values"])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		out[name] = block{raw, values}
	}
	return out
}

// same compares bits; numbers that are none are all alike.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func TestEveryFormatDecodesAsTheReferenceDoes(t *testing.T) {
	all := blocks(t)
	for i := range formats {
		if typ := Type(i); typ.Decodable() && all[typ.String()].raw == nil {
			t.Errorf("%s is not in the fixture", typ)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		typ, ok := TypeNamed(name)
		if !ok {
			t.Fatalf("format %s is not known", name)
		}
		numbers, _ := typ.Block()
		n := len(all[name].values) / 4
		tensor, err := New(name, typ, []int{n / numbers, numbers}, all[name].raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensor.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if want := math.Float32frombits(binary.LittleEndian.Uint32(all[name].values[4*i:])); !same(x, want) {
				t.Errorf("%s: number %d is %g, want %g", name, i, x, want)
				break
			}
		}
	}
}

func TestRowsDecodeOneByOneAsTogether(t *testing.T) {
	all := blocks(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		typ, _ := TypeNamed(name)
		width, _ := typ.Block()
		rows := len(all[name].values) / 4 / width
		tensor, err := New(name, typ, []int{rows, width}, all[name].raw)
		if err != nil {
			t.Fatal(err)
		}
		together, _ := tensor.Floats()
		backward := tensor.Reordered(func(i int) int { return rows - 1 - i })
		twice := backward.Reordered(func(i int) int { return i ^ i&1 }) // the even row for both of a pair
		columns, err := tensor.Transposed()
		if err != nil {
			t.Fatal(err)
		}
		row, pair, column := make([]float32, width), make([]float32, width), make([]float32, rows)
		for i := range rows {
			if err := backward.Decode(row, i); err != nil {
				t.Fatal(err)
			}
			twice.Decode(pair, i)
			for j := range row {
				if want := together[(rows-1-i)*width+j]; !same(row[j], want) {
					t.Fatalf("%s: row %d backward has %g at %d, want %g", name, i, row[j], j, want)
				}
				if want := together[(rows-1-i&^1)*width+j]; !same(pair[j], want) {
					t.Fatalf("%s: row %d reordered twice has %g at %d, want %g", name, i, pair[j], j, want)
				}
			}
		}
		for j := range width {
			columns.Decode(column, j)
			for i := range column {
				if want := together[i*width+j]; !same(column[i], want) {
					t.Fatalf("%s: column %d has %g at %d, want %g", name, j, column[i], i, want)
				}
			}
		}
		if backward.Bytes() != nil || columns.Bytes() != nil || tensor.Bytes() == nil {
			t.Errorf("%s: bytes are offered in the wrong order, or not where they are in the right one", name)
		}
	}
}

func TestHalvesRoundToTheNearestAndBack(t *testing.T) {
	var raw [4]byte
	for h := range 1 << 16 {
		binary.LittleEndian.PutUint16(raw[:], uint16(h))
		x := half(raw[:])
		if x != x {
			if b := toHalf(x); b&0x7c00 != 0x7c00 || b&0x3ff == 0 {
				t.Fatalf("%#x is not a number, but is written as %#x", h, b)
			}
			continue
		}
		if got := toHalf(x); got != uint16(h) {
			t.Fatalf("%#x is %g, which is written as %#x", h, x, got)
		}
		if h&0x7fff >= 0x7bff {
			continue // the largest ones have no neighbour
		}
		binary.LittleEndian.PutUint16(raw[:], uint16(h+1))
		y := half(raw[:])
		middle := x/2 + y/2
		if got := toHalf(middle); got != uint16(h+h&1) {
			t.Fatalf("%g, between %#x and %#x, is written as %#x, want the even one", middle, h, h+1, got)
		}
		if got := toHalf(math.Nextafter32(middle, y)); got != uint16(h+1) {
			t.Fatalf("a number just nearer to %#x is written as %#x", h+1, got)
		}
	}
	if got := toHalf(65520); got != 0x7c00 {
		t.Errorf("65520 is written as %#x, want infinity", got)
	}
}

func TestBrainFloatsRoundToTheNearest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		x := math.Float32frombits(rng.Uint32())
		data, err := Append(nil, BF16, []float32{x})
		if err != nil {
			t.Fatal(err)
		}
		var y [1]float32
		decodeBF16(y[:], data)
		if x != x {
			if y[0] == y[0] {
				t.Fatalf("%#x is not a number, but becomes %g", math.Float32bits(x), y[0])
			}
			continue
		}
		up, down := math.Float32frombits(math.Float32bits(x)&^0xffff+0x10000), math.Float32frombits(math.Float32bits(x)&^0xffff)
		error := func(y float32) float64 { return math.Abs(float64(x) - float64(y)) }
		if !math.IsInf(float64(up), 0) && (error(y[0]) > error(up) || error(y[0]) > error(down)) {
			t.Fatalf("%g becomes %g, though %g and %g are there", x, y[0], down, up)
		}
	}
}

func TestShapesThatCannotBeAreRefused(t *testing.T) {
	for _, test := range []struct {
		typ   Type
		shape []int
		size  int
		want  string
	}{
		{F32, []int{2, 3}, 23, "want 24"},
		{F32, []int{-1}, 4, "not possible"},
		{F32, []int{math.MaxInt / 4, 8}, 4, "not possible"},
		{F64, []int{math.MaxInt}, 4, "not possible"},
		{F32, []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, 4, "at most 8"},
		{Q4_1, []int{2, 16}, 20, "hold 32 numbers"},
		{Q8_0, nil, 34, "hold 32 numbers"},
		{0, nil, 4, "not known"},
		{200, nil, 4, "not known"},
	} {
		if _, err := New("w", test.typ, test.shape, make([]byte, test.size)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v: %v, want %q", test.typ, test.shape, err, test.want)
		}
	}
}

func TestFormatsWithoutADecoderAreRefused(t *testing.T) {
	tensor, err := New("w", Q2_K, []int{1, 256}, make([]byte, 84))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{tensor.Decode(make([]float32, 256), 0), tensor.Want(1, 256)} {
		if err == nil || !strings.Contains(err.Error(), "Q2_K") || !strings.Contains(err.Error(), "convert") {
			t.Errorf("have %v", err)
		}
	}
	if err := tensor.Want(256); err == nil || !strings.Contains(err.Error(), "want [256]") {
		t.Errorf("have %v", err)
	}
	if _, err := Append(nil, Q8_0, nil); err == nil {
		t.Error("Q8_0 is written")
	}
}

func TestViewsShareMemory(t *testing.T) {
	tensor, err := FromFloats("w", []int{2, 2}, []float32{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if v := tensor.View(); !littleEndian() {
		if v != nil {
			t.Error("a view on a big-endian machine")
		}
	} else if !slices.Equal(v, []float32{1, 2, 3, 4}) {
		t.Errorf("view is %v", v)
	}
	raw := append([]byte{0}, tensor.Bytes()...)
	for i := range 2 { // one of the two is not aligned
		odd, err := New("w", F32, []int{3}, raw[i:][:12])
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, 3)
		odd.Decode(want, 0)
		if v := odd.View(); v != nil && !slices.Equal(v, want) {
			t.Errorf("view is %v, want %v", v, want)
		}
	}
	if tensor.Reordered(func(i int) int { return i }).View() != nil {
		t.Error("a view of reordered rows")
	}
}

func TestFilesAreMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Map(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != "hello" {
		t.Errorf("data is %q", m.Data)
	}
	if err1, err2 := m.Close(), m.Close(); err1 != nil || err2 != nil || m.Data != nil {
		t.Error(err1, err2)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if m, err := Map(path); err != nil || len(m.Data) != 0 || m.Close() != nil {
		t.Errorf("an empty file: %v", err)
	}
	for _, bad := range []string{path + "-missing", filepath.Dir(path)} {
		if _, err := Map(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMissingTensorsAreHinted(t *testing.T) {
	err := Missing("model.norm.wieght", []string{"lm_head.weight", "model.norm.weight"})
	if !strings.Contains(err.Error(), `did you mean "model.norm.weight"`) {
		t.Error(err)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, typ := range []Type{F16, BF16, Q4_1, Q8_0, Q4_K, Q6_K} {
		b.Run(typ.String(), func(b *testing.B) {
			numbers, size := typ.Block()
			const n = 1 << 16
			data, dst := make([]byte, n/numbers*size), make([]float32, n)
			b.SetBytes(4 * n)
			for b.Loop() {
				formats[typ].decode(dst, data)
			}
		})
	}
}
