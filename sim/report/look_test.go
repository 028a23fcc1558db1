package report_test

import (
	"fmt"
	"os"
	"testing"

	"starling/sim/report"
)

func TestLook(t *testing.T) {
	dir := os.Getenv("LOOK")
	if dir == "" {
		t.Skip()
	}
	if err := report.Write(dir+"/large", largeRun()); err != nil {
		t.Fatal(err)
	}
	S := func(kv ...string) (out []report.Setting) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, report.Setting{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	names := []string{"ring", "torus", "hypercube", "regular:4", "regular:8", "exponential", "base:k=1", "complete"}
	for name, runs := range map[string][]report.Run{
		"c2": sweep(2, func(i int) []report.Setting { return S("method", []string{"average", "outer"}[i]) }),
		"c8": sweep(8, func(i int) []report.Setting { return S("overlay", names[i]) }),
		"c30": sweep(30, func(i int) []report.Setting {
			return S("overlay", names[i%6], "network.loss", []string{"0", "0.01", "0.02", "0.05", "0.1"}[i/6])
		}),
		"c100": sweep(100, func(i int) []report.Setting {
			return S("optimizer", fmt.Sprint("sgd:lr=", 0.001*float64(1+i%10)), "network.loss", fmt.Sprint(float64(i/10)/100), "nodes", fmt.Sprint(20+10*(i%3)))
		}),
		"c20": sweep(20, func(i int) []report.Setting { return S("network.loss", fmt.Sprint(0.001*float64(int(1)<<(i/2)))) }),
		"seeds": func() []report.Run {
			r := sweep(12, func(i int) []report.Setting { return S("method", []string{"average", "outer", "walk"}[i/4]) })
			for i := range r {
				r[i].Result.Seed = uint64(i % 4)
			}
			return r
		}(),
	} {
		if err := report.WriteCompare(dir+"/"+name, runs); err != nil {
			t.Fatal(err)
		}
	}
	if err := report.Write(dir+"/small", smallRun()); err != nil {
		t.Fatal(err)
	}
}
