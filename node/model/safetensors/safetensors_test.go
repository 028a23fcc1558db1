package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"starling/mixing"
)

func TestFilesHoldWhatWasWritten(t *testing.T) {
	l, err := mixing.NewLayout(
		mixing.Tensor{Name: "w", Shape: []int{2, 3}}, mixing.Tensor{Name: "b", Shape: []int{3}}, mixing.Tensor{Name: "scalar"}, mixing.Tensor{Name: "empty", Shape: []int{0, 4}},
	)
	if err != nil {
		t.Fatal(err)
	}
	params := []float32{1, -2, 3, 4, 5, 6.5, 7, 8, 9, float32(math.Pi)}
	var out bytes.Buffer
	if err := Write(&out, l, params, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	n := binary.LittleEndian.Uint64(b)
	if n%8 != 0 || int(8+n) > len(b) {
		t.Fatalf("header of %d bytes in a file of %d", n, len(b))
	}
	var header map[string]struct {
		DType   string    `json:"dtype"`
		Shape   []int     `json:"shape"`
		Offsets [2]uint64 `json:"data_offsets"`
		Format  string    `json:"format"`
	}
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	if header[metadataKey].Format != "pt" || len(header) != 5 {
		t.Errorf("header: %+v", header)
	}
	data := b[8+n:]
	if len(data) != 4*len(params) {
		t.Fatalf("%d bytes of data for %d numbers", len(data), len(params))
	}
	for _, want := range l.Tensors {
		e := header[want.Name]
		if e.DType != "F32" || len(e.Shape) != len(want.Shape) || e.Offsets[1]-e.Offsets[0] != uint64(4*want.Len()) {
			t.Errorf("%s: %+v", want.Name, e)
			continue
		}
		for i, x := range want.Of(params) {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(data[int(e.Offsets[0])+4*i:])); got != x {
				t.Errorf("%s[%d] is %g, want %g", want.Name, i, got, x)
			}
		}
	}
	var again bytes.Buffer
	if err := Write(&again, l, params, map[string]string{"format": "pt"}); err != nil || !bytes.Equal(b, again.Bytes()) {
		t.Error("the same model gives another file")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	l, _ := mixing.NewLayout(mixing.Tensor{Name: metadataKey, Shape: []int{1}})
	if err := Write(&bytes.Buffer{}, l, []float32{1}, nil); err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("reserved name: %v", err)
	}
	l, _ = mixing.NewLayout(mixing.Tensor{Name: "w", Shape: []int{2}})
	if err := Write(&bytes.Buffer{}, l, []float32{1}, nil); err == nil {
		t.Error("parameters that do not fit are written")
	}
	if err := Write(full{}, l, []float32{1, 2}, nil); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("full disk: %v", err)
	}
}
