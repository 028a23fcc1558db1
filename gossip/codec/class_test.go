package codec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestClassesSayWhatIsKept(t *testing.T) {
	for name, want := range map[string]Class{
		"fp32":                    {"fp32", 1, false, 0},
		"topk:0.01,int4,rice":     {"int4", 0.01, false, 0},
		"randk:0.05,bf16":         {"bf16", 0.05, true, 0},
		"dct:k=8,sign":            {"sign", 8.0 / 4096, false, 0},
		"randk:0.1,fp32,unbiased": {"fp32", 0.1, true, 9},
		"int4,unbiased":           {"int4", 1, false, 64.0 / 196},
	} {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := ClassOf(c); got.Quantizer != want.Quantizer || got.Kept != want.Kept || got.Random != want.Random || math.Abs(got.Variance-want.Variance) > 1e-12 {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// Whatever the vector, a public copy that moves by the contracted result comes nearer to it on average.
func TestContractedCodecsComeNearer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func(i int) float32{
		"normal": func(int) float32 { return float32(r.NormFloat64()) },
		"one":    func(i int) float32 { return float32(max(0, 1-i)) },
		"equal":  func(int) float32 { return 1 },
		"worst for ternary": func(i int) float32 {
			if i%ternaryBlock == 0 {
				return 1
			}
			return 1 / float32(math.Sqrt(ternaryBlock))
		},
	}
	for _, name := range []string{"int8,unbiased", "int4,unbiased", "ternary,unbiased", "randk:0.1,int8,unbiased", "randk:0.05,int4,unbiased"} {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		k := ClassOf(c).Contraction()
		for shape, of := range shapes {
			x, got := make([]float32, 640), make([]float32, 640)
			for i := range x {
				x[i] = of(i)
			}
			whole, left := 0.0, 0.0
			for _, v := range x {
				whole += float64(v) * float64(v)
			}
			const times = 200
			for seed := range uint64(times) {
				b, err := c.Encode(nil, x, seed)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Decode(got, b); err != nil {
					t.Fatal(err)
				}
				for i := range x {
					d := float64(x[i]) - float64(k*float64(got[i]))
					left += float64(d*d) / times
				}
			}
			if left > whole*(1-k+0.08) {
				t.Errorf("%s of %s: %.3f of the square norm is left, want %.3f", name, shape, left/whole, 1-k)
			}
		}
	}
}
