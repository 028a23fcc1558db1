package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/mixing"
)

func small(t testing.TB) (*mixing.Layout, []float32, []byte) {
	t.Helper()
	l, err := mixing.NewLayout(mixing.Tensor{Name: "w", Shape: []int{2, 3}}, mixing.Tensor{Name: "b", Shape: []int{3}}, mixing.Tensor{Name: "scalar"})
	if err != nil {
		t.Fatal(err)
	}
	params := []float32{1, -2, 3, 4, 5, 6.5, 7, 8, 9, 10}
	var out bytes.Buffer
	if err := Write(&out, l, params, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return l, params, out.Bytes()
}

// file is one with this header and so many bytes of data, each its number.
func file(header string, data int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	out = append(out, header...)
	for i := range data {
		out = append(out, byte(i))
	}
	return out
}

func read(form []byte, l *mixing.Layout) ([]float32, error) {
	return Read(bytes.NewReader(form), int64(len(form)), l)
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	l, params, form := small(t)
	if got, err := read(form, l); err != nil || !slices.Equal(got, params) {
		t.Errorf("%v, %v", got, err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, form, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path, l); err != nil || !slices.Equal(got, params) {
		t.Errorf("%v, %v", got, err)
	}
	// Another program may write tensors in another order.
	const turned = `{"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[3],"data_offsets":[4,16]},` +
		`"w":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]}}`
	n := binary.LittleEndian.Uint64(form)
	data := form[8+n:]
	other := append(file(turned, 0), slices.Concat(data[36:40], data[24:36], data[:24])...)
	if got, err := read(other, l); err != nil || !slices.Equal(got, params) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFilesOfOtherModelsAndDamagedOnesAreRefused(t *testing.T) {
	l, _, form := small(t)
	const b, s = `"b":{"dtype":"F32","shape":[3],"data_offsets":[24,36]}`, `"scalar":{"dtype":"F32","shape":[],"data_offsets":[36,40]}`
	w := func(dtype, shape string, from, to uint64) string {
		return fmt.Sprintf(`"w":{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, dtype, shape, from, to)
	}
	all := func(tensors ...string) []byte { return file("{"+strings.Join(tensors, ",")+"}", 40) }
	for _, test := range []struct {
		name, want string
		form       []byte
	}{
		{"empty", "too short", nil},
		{"text", "is no safetensors file", []byte("a book of many words")},
		{"no JSON", "its header is no JSON", file("{]", 40)},
		{"tensor that is none", `says of tensor "w" what no tensor can be`, all(`"w":3`, b, s)},
		{"tensor that lacks", "has no tensor w", all(b, s)},
		{"tensor too many", "1 tensors more", all(w("F32", "[2,3]", 0, 24), b, s, `"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`)},
		{"half precision", `"BF16": want F32`, all(w("BF16", "[2,3]", 0, 24), b, s)},
		{"other shape", "of shape [3 2], and the model has it of [2 3]", all(w("F32", "[3,2]", 0, 24), b, s)},
		{"beyond the end", "is damaged", all(w("F32", "[2,3]", 24, 48), b, s)},
		{"backwards", "is damaged", all(w("F32", "[2,3]", 24, 0), b, s)},
		{"far away", "is damaged", all(w("F32", "[2,3]", 1<<63, 1<<63+24), b, s)},
		{"fewer numbers", "is damaged", all(w("F32", "[2,3]", 0, 20), b, s)},
		{"cut off", "36 bytes of numbers", file("{"+w("F32", "[2,3]", 0, 24)+","+b+","+s+"}", 36)},
		{"endless header", "its header would take", binary.LittleEndian.AppendUint64(nil, 1<<40)},
	} {
		if _, err := read(test.form, l); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for n := range form {
		if _, err := read(form[:n], l); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(form))
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "gone"), l); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Error(err)
	}
}

// Whatever a file says, it is read as written, or refused.
func FuzzRead(f *testing.F) {
	l, _, form := small(f)
	f.Add(form)
	f.Add(file(`{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[18446744073709551615,23]}}`, 40))
	f.Fuzz(func(t *testing.T, form []byte) {
		params, err := read(form, l)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if len(params) != l.Len() || Write(&out, l, params, nil) != nil {
			t.Fatalf("%d parameters are read", len(params))
		}
	})
}
