package codec

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
)

type levelsVector struct {
	Scale float64
	Q     []int
	Out   []float64
}

type sparseVector struct {
	Idx []uint32
	Out []float64 `json:"out"`
	All []float64 `json:"out_unbiased"`
}

// vectors are what testdata holds for this package.
type vectors struct {
	X           []float32
	Seed        string
	TopK3       sparseVector `json:"topk3"`
	RandK3      sparseVector `json:"randk3"`
	Int8Random  levelsVector `json:"int8_stochastic"`
	Int4Random  levelsVector `json:"int4_stochastic"`
	Int8Nearest levelsVector `json:"int8_nearest"`
	Int4Nearest levelsVector `json:"int4_nearest"`
	Uniforms    []float64
	Sign        struct {
		Scale float64
		Signs []float64
	}
	EF14 struct {
		G     [][]float64
		LR    float64
		K     int
		Steps []struct{ Sent, Residual []float64 }
	}
	EF21 struct {
		G     [][]float64
		K     int
		Steps []struct{ H []float64 }
	}
}

func readVectors(t *testing.T) (v vectors, seed uint64) {
	t.Helper()
	b, err := os.ReadFile("testdata/05-compression.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if seed, err = strconv.ParseUint(v.Seed, 0, 64); err != nil {
		t.Fatal(err)
	}
	return v, seed
}

func near(got []float32, want []float64) bool {
	for i, w := range want {
		if math.Abs(float64(got[i])-w) > 1e-6*max(1, math.Abs(w)) {
			return false
		}
	}
	return len(got) == len(want)
}

func must(t testing.TB, name string) Codec {
	c, err := Parse(name)
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
	return c
}

func TestCodecsGiveTheVectorsOfTheSpec(t *testing.T) {
	v, seed := readVectors(t)
	for name, want := range map[string][]float64{
		"topk:0.375,fp32":           v.TopK3.Out,
		"randk:0.375,fp32,unbiased": v.RandK3.All,
		"int8,unbiased":             v.Int8Random.Out,
		"int4,unbiased":             v.Int4Random.Out,
		"int4,unbiased,huff0":       v.Int4Random.Out,
		"int8":                      scaled(v.Int8Nearest),
		"int4":                      scaled(v.Int4Nearest),
		"sign":                      scaled(levelsVector{Scale: v.Sign.Scale, Q: ints(v.Sign.Signs)}),
	} {
		if got := thereAndBack(t, must(t, name), v.X, seed); !near(got, want) {
			t.Errorf("%s gives %v, want %v", name, got, want)
		}
	}
	var w [8]uint32
	words(w[:], seed, 0)
	for i, x := range w {
		if got := float64(x) / (1 << 32); got != v.Uniforms[i] {
			t.Errorf("uniform %d is %v, want %v", i, got, v.Uniforms[i])
		}
	}
	if got := randomPlaces(8, 3, seed); !slices.Equal(got, v.RandK3.Idx) {
		t.Errorf("random places are %v, want %v", got, v.RandK3.Idx)
	}
	var p picker
	if got := p.top(nil, v.X, 3); !slices.Equal(got, v.TopK3.Idx) {
		t.Errorf("the largest are at %v, want %v", got, v.TopK3.Idx)
	}
}

func scaled(l levelsVector) []float64 {
	out := make([]float64, len(l.Q))
	for i, q := range l.Q {
		out[i] = l.Scale * float64(q)
	}
	return out
}

func ints(x []float64) []int {
	out := make([]int, len(x))
	for i, f := range x {
		out[i] = int(f)
	}
	return out
}
