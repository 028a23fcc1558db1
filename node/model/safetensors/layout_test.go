package safetensors

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/mixing"
)

func layoutOf(t *testing.T, tensors ...mixing.Tensor) *mixing.Layout {
	t.Helper()
	l, err := mixing.NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParametersComeBackFromAFile(t *testing.T) {
	l := layoutOf(t, mixing.Tensor{Name: "w", Shape: []int{2, 3}}, mixing.Tensor{Name: "b", Shape: []int{2}}, mixing.Tensor{Name: "scale", Shape: []int{1}})
	params := []float32{1, -2, 3, 4.5, 5, 6, 7, 8, 9}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	write := func(params []float32) {
		t.Helper()
		var file bytes.Buffer
		if err := Write(&file, l, params, map[string]string{"round": "7"}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(params)
	if back, err := ReadFile(path, l); err != nil || !slices.Equal(back, params) {
		t.Errorf("%v comes back as %v (%v)", params, back, err)
	}
	for want, other := range map[string]*mixing.Layout{
		"bias":                           layoutOf(t, mixing.Tensor{Name: "w", Shape: []int{2, 3}}, mixing.Tensor{Name: "bias", Shape: []int{2}}),
		"another model":                  layoutOf(t, mixing.Tensor{Name: "w", Shape: []int{3, 2}}),
		"has 3 tensors, and the model 2": layoutOf(t, mixing.Tensor{Name: "w", Shape: []int{2, 3}}, mixing.Tensor{Name: "b", Shape: []int{2}}),
	} {
		if _, err := ReadFile(path, other); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("the file of another model: %v, want %q", err, want)
		}
	}
	write(append(slices.Clone(params[:8]), float32(math.NaN())))
	if _, err := ReadFile(path, l); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("a file with a number that is none: %v", err)
	}
}
