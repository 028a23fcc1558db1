package gguf

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func reference(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.gguf")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTensorsOfTheReferenceAreRead(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape  []int
		Type   string
		Values []float32
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	f, err := Open("testdata/reference.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Names()) != len(want) || f.Version != 3 {
		t.Errorf("version %d, names %q", f.Version, f.Names())
	}
	for name, w := range want {
		tensor, err := f.Tensor(name)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := tensor.Floats()
		if err != nil || !slices.Equal(got, w.Values) || !slices.Equal(tensor.Shape, w.Shape) || tensor.Type.String() != w.Type {
			t.Errorf("%s: %v %v %v %v, want %+v", name, tensor.Type, tensor.Shape, got, err, w)
		}
	}
	if _, err := f.Tensor("output.weight"); err == nil || !strings.Contains(err.Error(), "no tensor") {
		t.Errorf("a tensor that is not there: %v", err)
	}
	if err1, err2 := f.Close(), f.Close(); err1 != nil || err2 != nil {
		t.Error(err1, err2)
	}
}

func TestMetadataOfTheReferenceAreRead(t *testing.T) {
	f, err := Parse(reference(t))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int64{
		"test.uint8": 200, "test.int8": -100, "test.uint16": 60000, "test.int16": -30000, "test.uint32": 4000000000, "test.int32": -2000000000,
		"test.uint64": 1 << 40, "test.int64": -1 << 40,
	} {
		if fits := int64(int(want)) == want; !fits {
			if got, err := f.Int(key); err == nil {
				t.Errorf("%s is %d on a machine of 32 bits", key, got)
			}
			continue
		}
		if got, err := f.Int(key); err != nil || int64(got) != want {
			t.Errorf("%s is %d %v, want %d", key, got, err, want)
		}
		if got, err := f.Float(key); err != nil || got != float64(want) {
			t.Errorf("%s is %g %v, want %d", key, got, err, want)
		}
	}
	if x, err := f.Float("test.float32"); err != nil || x != float64(float32(0.1)) {
		t.Error(x, err)
	}
	if x, err := f.Float("test.float64"); err != nil || x != 0.1 {
		t.Error(x, err)
	}
	if x, err := f.Bool("test.bool"); err != nil || !x {
		t.Error(x, err)
	}
	if x, err := f.Text("test.string"); err != nil || x != "žluťoučký kůň" {
		t.Error(x, err)
	}
	if x, err := f.Texts("test.texts"); err != nil || !slices.Equal(x, []string{"a", "", "Ġ t", "日本"}) {
		t.Error(x, err)
	}
	if x, err := f.Ints("test.ints"); err != nil || !slices.Equal(x, []int{1, -2, 3}) {
		t.Error(x, err)
	}
	for key, want := range map[string]string{
		"test.uint8": "200", "test.float32": "0.1", "test.float64": "0.1", "test.bool": "true", "test.texts": "4 of kind text",
		"general.architecture": `"llama"`, "test.gone": "",
	} {
		if got := f.Show(key); got != want {
			t.Errorf("%s is shown as %s, want %s", key, got, want)
		}
	}
	if !slices.IsSorted(f.Keys()) || !slices.Contains(f.Keys(), "test.texts") {
		t.Errorf("keys are %q", f.Keys())
	}
}

func TestValuesOfAnotherKindAreErrors(t *testing.T) {
	f, err := Parse(reference(t))
	if err != nil {
		t.Fatal(err)
	}
	_, missing := f.Int("test.gone")
	_, array := f.Int("test.ints")
	_, one := f.Ints("test.int8")
	_, kind := f.Int("test.string")
	_, text := f.Text("test.int8")
	_, texts := f.Texts("test.ints")
	_, boolean := f.Bool("test.int8")
	_, float := f.Float("test.bool")
	_, ints := f.Ints("test.texts")
	for want, err := range map[string]error{
		"have no test.gone": missing, "is an array": array, "test.int8 in the metadata of the GGUF file is one value": one, "is of kind text": kind,
		"want text": text, "want texts": texts, "want bool": boolean, "want a number": float, "want integers": ints,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
}

// A builder writes files that no good writer would.
type builder struct{ bytes.Buffer }

func (b *builder) u32(x uint32) *builder {
	b.Write(binary.LittleEndian.AppendUint32(nil, x))
	return b
}

func (b *builder) u64(x uint64) *builder {
	b.Write(binary.LittleEndian.AppendUint64(nil, x))
	return b
}

func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	b.WriteString(s)
	return b
}

func head(tensors, keys uint64) *builder {
	b := &builder{}
	b.WriteString("GGUF")
	return b.u32(3).u64(tensors).u64(keys)
}

// tensor adds a row of the table: float32 numbers of one dimension.
func (b *builder) tensor(name string, n, offset uint64) *builder {
	return b.text(name).u32(1).u64(n).u32(0).u64(offset)
}

// end pads the table and adds data.
func (b *builder) end(n int) []byte {
	for b.Len()%32 != 0 {
		b.WriteByte(0)
	}
	b.Write(make([]byte, n))
	return b.Bytes()
}

func TestBrokenFilesAreRefused(t *testing.T) {
	good := reference(t)
	big := &builder{}
	big.WriteString("GGUF\x00\x00\x00\x03")
	old := &builder{}
	old.WriteString("GGUF")
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "cut short"},
		{"another format", []byte("PK\x03\x04........"), "want GGUF"},
		{"big-endian", big.Bytes(), "big-endian"},
		{"version 1", old.u32(1).u64(0).u64(0).Bytes(), "version 1"},
		{"too many tensors", head(1<<40, 0).Bytes(), "1048576"},
		{"too many keys", head(0, 1<<40).Bytes(), "65536"},
		{"half a table", good[:200], "cut short"},
		{"half of the data", good[:len(good)-70], "cut short"},
		{"no key", head(0, 1).text("").u32(4).u32(1).end(0), `a key is ""`},
		{"a key too long", head(0, 1).u64(1 << 63).end(0), "want at most 65535"},
		{"a key twice", head(0, 2).text("a").u32(4).u32(1).text("a").u32(4).u32(1).end(0), `a key "a" is there twice`},
		{"a key that is no text", head(0, 1).text("\xff").u32(4).u32(1).end(0), "a key is"},
		{"kind", head(0, 1).text("a").u32(13).u32(1).end(0), "kind 13"},
		{"array of arrays", head(0, 1).text("a").u32(9).u32(9).u64(1).end(64), "array of arrays"},
		{"array longer than the file", head(0, 1).text("a").u32(9).u32(4).u64(math.MaxUint64).end(0), "longer than the file"},
		{"array just too long", head(0, 1).text("a").u32(9).u32(10).u64(40).end(0), "cut short"},
		{"texts too long", head(0, 1).text("a").u32(9).u32(8).u64(2).text("x").u64(1 << 62).end(0), "cut short"},
		{"alignment", head(0, 1).text("general.alignment").u32(4).u32(0).end(0), "multiple of 8"},
		{"alignment of text", head(0, 1).text("general.alignment").u32(8).text("x").end(0), "want an integer"},
		{"dimensions", head(1, 0).text("w").u32(5).end(100), "5 dimensions"},
		{"huge dimension", head(1, 0).tensor("w", math.MaxUint64, 0).end(32), "dimension of"},
		{"too large", head(1, 0).tensor("w", 1<<61, 0).end(32), "not possible"},
		{"format", head(1, 0).text("w").u32(1).u64(8).u32(4).u64(0).end(32), "number format 4"},
		{"format beyond", head(1, 0).text("w").u32(1).u64(8).u32(99).u64(0).end(32), "number format 99"},
		{"half a block", head(1, 0).text("w").u32(1).u64(8).u32(8).u64(0).end(32), "hold 32 numbers"},
		{"a tensor twice", head(2, 0).tensor("w", 8, 0).tensor("w", 8, 32).end(64), "twice"},
		{"overlap", head(2, 0).tensor("v", 16, 0).tensor("w", 8, 32).end(64), "inside of another"},
		{"offset that is not aligned", head(1, 0).tensor("w", 8, 4).end(64), "no multiple of 32"},
		{"offset beyond the end", head(1, 0).tensor("w", 8, 1<<62).end(64), "cut short"},
		{"offset that would wrap", head(1, 0).tensor("w", 8, math.MaxUint64-31).end(64), "cut short"},
		{"no data", head(1, 0).tensor("w", 0, 0).Bytes(), "ends before the data"},
	} {
		if f, err := Parse(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v %v, want %q", test.name, f, err, test.want)
		}
	}
	if f, err := Parse(head(2, 0).tensor("v", 8, 32).tensor("w", 8, 0).end(64)); err != nil || len(f.Names()) != 2 {
		t.Errorf("a good file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, good[:300], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the file is not named: %v", err)
	}
	if _, err := Open(path + "-gone"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestEveryCutOfAFileIsRefused(t *testing.T) {
	good := reference(t)
	f, err := Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	used := 0 // bytes, up to the end of the last tensor
	for _, name := range f.Names() {
		tensor, _ := f.Tensor(name)
		b := tensor.Bytes()
		used = max(used, bytes.Index(good, b)+len(b))
	}
	for n := range used {
		if _, err := Parse(good[:n:n]); err == nil {
			t.Fatalf("the first %d bytes of %d are accepted", n, used)
		}
	}
}

// FuzzParse: whatever is accepted can be decoded and shown.
func FuzzParse(f *testing.F) {
	f.Add(reference(f))
	f.Add(head(2, 1).text("a").u32(9).u32(8).u64(2).text("x").text("yy").tensor("v", 8, 0).tensor("w", 8, 32).end(64))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		for _, key := range file.Keys() {
			file.Show(key)
			_, errText := file.Text(key)
			_, errTexts := file.Texts(key)
			_, errInt := file.Int(key)
			_, errInts := file.Ints(key)
			_, errFloat := file.Float(key)
			_, errBool := file.Bool(key)
			if errInt == nil && (errText == nil || errTexts == nil || errInts == nil || errBool == nil || errFloat != nil) {
				t.Fatalf("%s has several kinds", key)
			}
		}
		for _, name := range file.Names() {
			tensor, err := file.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tensor.Floats(); err != nil && tensor.Type.Decodable() {
				t.Fatal(err)
			}
		}
	})
}
