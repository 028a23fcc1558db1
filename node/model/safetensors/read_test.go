package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node/model/weights"
)

func TestFilesOfTheReferenceAreRead(t *testing.T) {
	f, err := Open("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata["format"] != "pt" || f.Metadata["who"] != "é" || len(f.Names()) != 6 {
		t.Errorf("metadata %v, names %q", f.Metadata, f.Names())
	}
	for name, want := range map[string][]float32{
		"model.norm.weight": {1, -2.5, 3}, "model.half": {0.5, 65504, -1, 0x1p-24}, "model.brain": {1, -2, 0.25}, `é "quoted"`: {},
	} {
		tensor, err := f.Tensor(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := tensor.Floats(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %v %v, want %v", name, got, err, want)
		}
	}
	steps, err := f.Tensor("steps")
	if err != nil || steps.Type != weights.I64 || len(steps.Shape) != 0 {
		t.Errorf("steps: %+v %v", steps, err)
	}
	if _, err := steps.Floats(); err == nil || !strings.Contains(err.Error(), "I64") {
		t.Errorf("integers are decoded: %v", err)
	}
	if _, err := f.Tensor("model.nrom.weight"); err == nil || !strings.Contains(err.Error(), `did you mean "model.norm.weight"`) {
		t.Errorf("a tensor that is not there: %v", err)
	}
}

// file puts a header before data.
func file(header string, data int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, data)...)
}

func TestBrokenFilesAreRefused(t *testing.T) {
	const good = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	long := binary.LittleEndian.AppendUint64(nil, 1<<62)
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "0 bytes"},
		{"too long a header", append(long, '{'), "at most 100000000"},
		{"header beyond the end", file("{"+good+"}", 8)[:20], "cut short"},
		{"no object", file("[]", 0), "not a JSON object"},
		{"spaces first", file(" {}", 0), "not a JSON object"},
		{"no JSON", file("{a}", 0), "invalid character"},
		{"unfinished", file("{"+good, 8), "EOF"},
		{"more behind", file("{"+good+"}x", 8), "after the end"},
		{"no UTF-8", file("{\"\xff\":1}", 0), "not UTF-8"},
		{"twice", file("{"+good+","+good+"}", 8), "twice"},
		{"overlap", file("{"+good+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "inside of another"},
		{"hole", file("{"+good+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16), "belong to no tensor"},
		{"bytes behind", file("{"+good+"}", 12), "4 bytes after the last tensor"},
		{"cut short", file("{"+good+"}", 4), "cut short"},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "bytes 8 to 0"},
		{"huge offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551612,4]}}`, 8), "bytes 18446744073709551612 to 4"},
		{"another size", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "want 12"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "not possible"},
		{"overflow", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}`, 8), "not possible"},
		{"unknown dtype", file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}}`, 8), `dtype "F4"`},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), "is missing"},
		{"no offsets", file(`{"a":{"dtype":"F32","shape":[2]}}`, 8), "is missing"},
		{"null", file(`{"a":null}`, 0), "is missing"},
		{"no name", file(`{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "no name"},
		{"long name", file(`{"`+strings.Repeat("x", 1025)+`":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "1025 bytes"},
		{"metadata of numbers", file(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		{"nesting", file(`{"a":`+strings.Repeat("[", 20000)+`}`, 0), "depth"},
	} {
		if f, err := Parse(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v %v, want %q", test.name, f, err, test.want)
		}
	}
	if f, err := Parse(file("{"+good+"}  ", 8)); err != nil || len(f.Names()) != 1 {
		t.Errorf("a good file: %v", err)
	}
}

// model returns specs and numbers of a few tensors.
func model() ([]Spec, map[string][]float32) {
	rng := rand.New(rand.NewPCG(1, 2))
	specs := []Spec{
		{"b", weights.F16, []int{3, 5}}, {"a", weights.F32, []int{7}}, {"none", weights.F32, []int{0}}, {"c", weights.BF16, []int{2, 2, 2}}, {"one", weights.F32, nil},
	}
	numbers := map[string][]float32{}
	for _, s := range specs {
		numbers[s.Name] = make([]float32, s.Len())
		for i := range numbers[s.Name] {
			numbers[s.Name][i] = float32(rng.IntN(200)-100) / 16 // exact in all formats
		}
	}
	return specs, numbers
}

func check(t *testing.T, s weights.Source, specs []Spec, numbers map[string][]float32) {
	t.Helper()
	if len(s.Names()) != len(specs) || !slices.IsSorted(s.Names()) {
		t.Errorf("names are %q", s.Names())
	}
	for _, spec := range specs {
		tensor, err := s.Tensor(spec.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := tensor.Floats()
		if err != nil || !slices.Equal(got, numbers[spec.Name]) || !slices.Equal(tensor.Shape, spec.Shape) || tensor.Type != spec.Type {
			t.Errorf("%s is %v %v %v %v, want %v", spec.Name, tensor.Type, tensor.Shape, got, err, numbers[spec.Name])
		}
	}
}

func TestModelsAreSavedInOneFileOrSeveral(t *testing.T) {
	specs, numbers := model()
	dir := t.TempDir()
	for _, limit := range []int64{1 << 30, 40, 1, 1 << 30} {
		calls := 0
		err := Save(dir, specs, limit, map[string]string{"format": "pt"}, func(s Spec, w *Writer) error {
			calls++
			half := len(numbers[s.Name]) / 2
			if err := w.Floats(numbers[s.Name][:half]); err != nil {
				return err
			}
			return w.Floats(numbers[s.Name][half:])
		})
		if err != nil || calls != len(specs) {
			t.Fatal(err, calls)
		}
		_, errIndex := os.Stat(filepath.Join(dir, IndexName))
		_, errFile := os.Stat(filepath.Join(dir, FileName))
		var s weights.Source
		if limit == 1<<30 {
			if errIndex == nil {
				t.Error("an index beside a model in one file")
			}
			s, err = Open(filepath.Join(dir, FileName))
		} else {
			if errFile == nil {
				t.Error("a model in one file beside an index")
			}
			s, err = OpenIndex(filepath.Join(dir, IndexName))
		}
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, specs, numbers)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".model-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func TestAFailedSaveLeavesTheOldModel(t *testing.T) {
	specs, numbers := model()
	dir := t.TempDir()
	fill := func(s Spec, w *Writer) error { return w.Floats(numbers[s.Name]) }
	if err := Save(dir, specs, 1<<30, nil, fill); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{1, 1 << 30} {
		err := Save(dir, specs, limit, nil, func(s Spec, w *Writer) error {
			if s.Name == "c" {
				return fmt.Errorf("no numbers")
			}
			return fill(s, w)
		})
		if err == nil || !strings.Contains(err.Error(), "no numbers") {
			t.Errorf("have %v", err)
		}
		names, _ := os.ReadDir(dir)
		if len(names) != 1 {
			t.Errorf("the directory has %v", names)
		}
	}
	f, err := Open(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	check(t, f, specs, numbers)
}

func TestWritersCountNumbers(t *testing.T) {
	specs := []Spec{{"a", weights.F32, []int{2}}, {"b", weights.BF16, []int{1}}}
	w, err := NewWriter(&bytes.Buffer{}, specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Floats([]float32{1}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), `2 numbers are missing from tensor "a"`) {
		t.Errorf("too few: %v", err)
	}
	if err := w.Floats([]float32{1, 2, 3}); err == nil || !strings.Contains(err.Error(), "1 numbers more") {
		t.Errorf("too many: %v", err)
	}
	for _, bad := range [][]Spec{
		{{"", weights.F32, nil}}, {{"a", weights.Q8_0, []int{32}}}, {{"a", 0, nil}}, {{"a", weights.F32, []int{-1}}}, {{"a", weights.F32, nil}, {"a", weights.F32, nil}},
	} {
		if _, err := NewWriter(&bytes.Buffer{}, bad, nil); err == nil {
			t.Errorf("%v is written", bad)
		}
	}
}

func TestIndexesPointNowhereElse(t *testing.T) {
	dir := t.TempDir()
	specs, numbers := model()
	if err := Save(dir, specs, 1<<30, nil, func(s Spec, w *Writer) error { return w.Floats(numbers[s.Name]) }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, IndexName)
	for _, test := range []struct{ index, want string }{
		{`{"weight_map":{"a":"../model.safetensors"}}`, "not the name of a file"},
		{`{"weight_map":{"a":"/etc/passwd"}}`, "not the name of a file"},
		{`{"weight_map":{"a":"c:x"}}`, "not the name of a file"},
		{`{"weight_map":{"a":""}}`, "not the name of a file"},
		{`{"weight_map":{"a":".."}}`, "not the name of a file"},
		{`{"weight_map":{"a":"gone.safetensors"}}`, "gone.safetensors"},
		{`{"weight_map":{"aa":"model.safetensors"}}`, `model.safetensors: there is no tensor "aa"`},
		{`{"weight_map":{}}`, "missing or empty"},
		{`{"weight_map":[]}`, "cannot unmarshal"},
		{`{`, "unexpected end"},
	} {
		if err := os.WriteFile(path, []byte(test.index), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIndex(path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.index, err, test.want)
		}
	}
	if _, err := OpenIndex(filepath.Join(dir, "none")); err == nil {
		t.Error("an index that is not there is read")
	}
}

// FuzzParse: whatever is accepted can be decoded in all its tensors.
func FuzzParse(f *testing.F) {
	reference, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"a":"b"},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}`, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		total := 0
		for _, name := range s.Names() {
			tensor, err := s.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			total += len(tensor.Bytes())
			if _, err := tensor.Floats(); err != nil && tensor.Type.Decodable() {
				t.Fatal(err)
			}
		}
		if header := int(binary.LittleEndian.Uint64(data)); 8+header+total != len(data) {
			t.Fatalf("%d bytes of tensors and %d of header in a file of %d", total, header, len(data))
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"x"}}`))
	one, err := Parse(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseIndex(data, func(name string) (*File, error) {
			if strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
				t.Fatalf("%q is opened", name)
			}
			return one, nil
		})
	})
}
