package codec

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// Over many seeds the mean of what is decoded is the vector, within 4 standard errors, and the error has the variance of the
// spec at most (spec 05, 5.3 and 5.13, property 1).
func TestUnbiasedCodecsAreRightOnAverage(t *testing.T) {
	inputs := map[string][]float32{
		"random":   gaussian(40, 11),
		"one-hot":  append(make([]float32, 39), 3),
		"constant": slices.Repeat([]float32{0.3}, 40),
		"tiny":     {1e-44, -3e-45, 7e-45, 0, 5e-45},
	}
	const seeds = 20000
	for _, name := range []string{"bf16,unbiased", "int8,unbiased", "int4,unbiased", "ternary,unbiased", "randk:0.25,fp32,unbiased", "randk:0.5,int4,unbiased"} {
		c := must(t, name)
		for kind, x := range inputs {
			n := len(x)
			sum, squares := make([]float64, n), make([]float64, n)
			got := make([]float32, n)
			var b []byte
			var lost, whole float64
			for seed := range uint64(seeds) {
				var err error
				if b, err = c.Encode(b[:0], x, seed*0x9e3779b97f4a7c15); err != nil {
					t.Fatal(err)
				}
				if err := c.Decode(got, b); err != nil {
					t.Fatal(err)
				}
				for i, y := range got {
					d := float64(y) - float64(x[i])
					sum[i] += d
					squares[i] += d * d
					lost += d * d / seeds
				}
			}
			for i := range x {
				whole += float64(x[i]) * float64(x[i])
				mean := sum[i] / seeds
				// Of the smallest numbers float32 itself tells little: a scale of theirs is zero.
				if e := math.Sqrt(squares[i]) / seeds; math.Abs(mean) > 4.5*e+1e-7*math.Abs(float64(x[i]))+0x1p-142 {
					t.Errorf("%s, %s: number %d is %g, %g too much on average, with a standard error of %g", name, kind, i, x[i], mean, e)
				}
			}
			if w := omega(name, n); kind != "tiny" && lost > w*whole*1.05 {
				t.Errorf("%s, %s: variance %g, want at most %g", name, kind, lost/whole, w)
			}
		}
	}
}

func omega(name string, n int) float64 {
	d := float64(n)
	switch {
	case strings.HasPrefix(name, "int8"):
		return d / (4 * 127 * 127)
	case strings.HasPrefix(name, "int4"):
		return d / (4 * 7 * 7)
	case strings.HasPrefix(name, "bf16"):
		return 1.0 / (4 * 128 * 128)
	case name == "randk:0.25,fp32,unbiased":
		return 3
	case strings.HasPrefix(name, "randk:0.5"):
		return 1 + 2*d/2/(4*7*7)
	}
	return math.Sqrt(d) // ternary: |x|₁·max|x| is at most √d·|x|₂²
}
