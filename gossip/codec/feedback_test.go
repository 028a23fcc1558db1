package codec

import (
	"errors"
	"math"
	"slices"
	"testing"

	"starling/mixing/kernel"
)

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, f := range x {
		out[i] = float32(f)
	}
	return out
}

func TestFeedbackGivesTheVectorsOfTheSpec(t *testing.T) {
	v, _ := readVectors(t)
	c := must(t, "topk:0.25,fp32")
	residual, sent := make([]float32, 4), make([]float32, 4)
	for i, g := range v.EF14.G {
		input := narrow(g)
		kernel.Scale(float32(v.EF14.LR), input)
		if _, err := EF14(nil, c, input, residual, sent, 0); err != nil {
			t.Fatal(err)
		}
		want := v.EF14.Steps[i]
		if !near(sent, want.Sent) || !near(residual, want.Residual) {
			t.Errorf("EF14, step %d: sent %v and kept %v, want %v", i, sent, residual, want)
		}
	}
	public, change := make([]float32, 4), make([]float32, 4)
	for i, g := range v.EF21.G {
		if _, err := EF21(nil, c, narrow(g), public, change, 0); err != nil {
			t.Fatal(err)
		}
		if want := v.EF21.Steps[i].H; !near(public, want) {
			t.Errorf("EF21, step %d: the copy is %v, want %v", i, public, want)
		}
	}
}

var biased = []string{"topk:0.05,fp32", "topk:0.1,int4,huff0", "dct:k=8,sign", "randk:0.1,bf16", "sign", "ternary", "int4"}

func TestWhatIsNotSentStaysInTheResidual(t *testing.T) {
	for _, name := range biased {
		c := must(t, name)
		const n = 5000
		residual, sent := make([]float32, n), make([]float32, n)
		in, out := make([]float64, n), make([]float64, n)
		for step := range 30 {
			input := gaussian(n, uint64(step))
			before := slices.Clone(residual)
			if _, err := EF14(nil, c, input, residual, sent, uint64(step)); err != nil {
				t.Fatal(err)
			}
			for i := range in {
				in[i] += float64(input[i])
				out[i] += float64(sent[i])
				if u := input[i] + before[i]; name == biased[0] && sent[i]+residual[i] != u {
					t.Fatalf("%s, step %d: %g and %g are not %g", name, step, sent[i], residual[i], u)
				}
			}
		}
		for i := range in {
			if d := math.Abs(in[i] - out[i] - float64(residual[i])); d > 1e-5 {
				t.Fatalf("%s: %g of element %d got lost", name, d, i)
			}
		}
	}
}

func missing(target, public []float32) float64 {
	rest := make([]float32, len(target))
	kernel.Sub(rest, target, public)
	return kernel.Norm2(rest)
}

func TestCopiesFollowAConstantTarget(t *testing.T) {
	for _, name := range biased {
		c := must(t, name)
		const n = 4096
		target := gaussian(n, 8)
		public, change, theirs := make([]float32, n), make([]float32, n), make([]float32, n)
		for step := range 100 {
			before := missing(target, public)
			b, err := EF21(nil, c, target, public, change, uint64(step))
			if err != nil {
				t.Fatal(err)
			}
			// Top-k keeps its part of the square in every step (spec 05, 5.13, property 4).
			if after := missing(target, public); name == biased[0] && after*after > before*before*(1-0.05)*(1+1e-6) {
				t.Fatalf("%s, step %d: %g is missing, and %g before", name, step, after, before)
			}
			if err := Follow(c, theirs, change, b); err != nil || !slices.Equal(public, theirs) {
				t.Fatalf("%s, step %d: the copies differ: %v", name, step, err)
			}
		}
		if d := missing(target, public) / kernel.Norm2(target); d > 0.7 {
			t.Errorf("%s: %g of the target is missing after 100 steps", name, d)
		}
	}
}

func TestFeedbackRefusesWhatWouldHarm(t *testing.T) {
	zero, one := make([]float32, 4), []float32{1, 1, 1, 1}
	bad := []float32{1, float32(math.Inf(1)), 0, 0}
	sent := make([]float32, 4)
	if _, err := EF14(nil, must(t, "randk:0.5,fp32,unbiased"), one, zero, sent, 0); !errors.Is(err, errUnbiased) {
		t.Errorf("an unbiased codec: %v", err)
	}
	if _, err := EF21(nil, must(t, "int8,unbiased"), one, zero, sent, 0); !errors.Is(err, errUnbiased) {
		t.Errorf("an unbiased codec: %v", err)
	}
	c := must(t, "topk:0.5,fp32")
	residual := slices.Clone(one)
	if _, err := EF14(nil, c, bad, residual, sent, 0); err == nil || !slices.Equal(residual, one) {
		t.Errorf("an infinite input: %v, residual %v", err, residual)
	}
	public := []float32{math.MaxFloat32, 0, 0, 0}
	before := slices.Clone(public)
	b, err := must(t, "fp32").Encode(nil, public, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Follow(must(t, "fp32"), public, sent, b); !errors.Is(err, ErrCorrupt) || !slices.Equal(public, before) {
		t.Errorf("a copy beyond the range: %v, %v", err, public)
	}
}

func TestResidualsOutOfHandAreHalved(t *testing.T) {
	residual := []float32{300, 400}
	if Tame(residual, []float32{3, 4}) || Tame(residual, []float32{0, 0}) || residual[0] != 300 {
		t.Error("a residual was halved that need not be")
	}
	if !Tame(residual, []float32{2.9, 4}) || residual[0] != 150 || residual[1] != 200 {
		t.Errorf("a residual is %v", residual)
	}
}
