package optim

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, spec string) Optimizer {
	t.Helper()
	o, err := Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func near(got float32, want float64) bool {
	return math.Abs(float64(got)-want) <= 2e-5*math.Abs(want)+1e-9
}

func TestStepsEqualThePublishedTraces(t *testing.T) {
	specs := map[string]string{ // the settings of the cases in testdata
		"sgd":           "sgd:lr=0.1,wd=0.01",
		"sgd_decoupled": "sgd:lr=0.1,wd=0.01", // the same numbers without momentum
		"heavy_ball":    "sgd:lr=0.1,momentum=0.9,wd=0.01",
		"nesterov":      "sgd:lr=0.1,momentum=0.9,nesterov",
		"adamw":         "adamw:lr=0.01,wd=0.1",
	}
	var file struct {
		Cases []struct {
			Name  string
			W0    []float32
			Steps []struct {
				Grad  []float32
				W     []float64
				State map[string]json.RawMessage
			}
		}
	}
	readJSON(t, "steps.json", &file)
	if len(file.Cases) != len(specs) {
		t.Fatalf("%d cases, want %d", len(file.Cases), len(specs))
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			o := parse(t, specs[c.Name])
			w, state := slices.Clone(c.W0), make([]float32, o.StateLen(len(c.W0)))
			for s, step := range c.Steps {
				if err := o.Step(w, step.Grad, state, Context{Step: uint64(s), LR: o.Rate(uint64(s))}); err != nil {
					t.Fatal(err)
				}
				for i := range w {
					if !near(w[i], step.W[i]) {
						t.Errorf("step %d: weight %d is %v, want %v", s, i, w[i], step.W[i])
					}
				}
				for k, name := range []string{"m", "v"} {
					var want []float64
					if raw, ok := step.State[name]; !ok || json.Unmarshal(raw, &want) != nil {
						continue
					}
					for i := range want {
						if got := state[k*len(w)+i]; !near(got, want[i]) {
							t.Errorf("step %d: %s[%d] is %v, want %v", s, name, i, got, want[i])
						}
					}
				}
			}
		})
	}
}

// TestAdamWEqualsItsVector has the inner optimizer of the outer methods (spec 03, 3.2).
func TestAdamWEqualsItsVector(t *testing.T) {
	var v struct {
		P0    []float32
		LR    float64
		Betas [2]float64
		Eps   float64
		Decay float64 `json:"weight_decay"`
		G     [][]float32
		P     [][]float64
	}
	readJSON(t, "adamw.json", &v)
	o := parse(t, fmt.Sprintf("adamw:lr=%g,beta1=%g,beta2=%g,eps=%g,wd=%g", v.LR, v.Betas[0], v.Betas[1], v.Eps, v.Decay))
	w, state := slices.Clone(v.P0), make([]float32, o.StateLen(len(v.P0)))
	for s, g := range v.G {
		if err := o.Step(w, g, state, Context{Step: uint64(s), LR: o.Rate(uint64(s))}); err != nil {
			t.Fatal(err)
		}
		for i := range w {
			if math.Abs(float64(w[i])-v.P[s][i]) > 1e-7 {
				t.Errorf("step %d: weight %d is %v, want %v", s, i, w[i], v.P[s][i])
			}
		}
	}
	if len(v.G) == 0 {
		t.Error("the vector has no steps")
	}
}

func TestTrapezoidEqualsThePublishedFactors(t *testing.T) {
	var file struct {
		WSD []struct {
			Total, Warmup uint64
			Final         float64
			Cooldown      float64 `json:"cooldown_fraction"`
			Kind          string
			Factors       []float64
		}
	}
	readJSON(t, "schedules.json", &file)
	if len(file.WSD) != 6 {
		t.Fatalf("%d schedules, want 6", len(file.WSD))
	}
	for _, c := range file.WSD {
		t.Run(c.Kind, func(t *testing.T) {
			s := Schedule{Kind: "wsd", Total: c.Total, Warmup: c.Warmup, Final: c.Final, Cooldown: c.Cooldown, Shape: strings.TrimSuffix(c.Kind, "_cosine")}
			for step, want := range c.Factors {
				if got := s.Factor(uint64(step)); math.Abs(got-want) > 1e-12 {
					t.Errorf("step %d: %v, want %v", step, got, want)
				}
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	for _, test := range []struct {
		spec string
		want map[uint64]float64
	}{
		{"sgd:lr=2", map[uint64]float64{0: 2, 1e9: 2}},
		{"sgd:lr=1,warmup=10", map[uint64]float64{0: 0.01, 5: 0.505, 10: 1, 11: 1}},
		{"sgd:lr=1,schedule=cosine,total=100", map[uint64]float64{0: 1, 25: 0.5 + math.Sqrt2/4, 50: 0.5, 100: 0, 1000: 0}},
		{"sgd:lr=4,schedule=cosine,total=110,warmup=10,final=0.5", map[uint64]float64{0: 0.04, 10: 4, 60: 3, 110: 2}},
		{"sgd:lr=1,schedule=wsd,total=100,cooldown=0,final=0.25", map[uint64]float64{0: 1, 99: 1, 100: 0.25}},
		{"sgd:lr=1,schedule=wsd,total=100,cooldown=1,shape=linear", map[uint64]float64{0: 1, 50: 0.5, 100: 0}},
		{"sgd:lr=1,schedule=step,every=10,gamma=0.5", map[uint64]float64{0: 1, 9: 1, 10: 0.5, 35: 0.125}},
	} {
		o := parse(t, test.spec)
		for step, want := range test.want {
			if got := o.Rate(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate at step %d is %v, want %v", test.spec, step, got, want)
			}
		}
	}
}

// specs are one of each kind.
var specs = [...]string{"sgd", "sgd:momentum=0.9", "sgd:momentum=0.9,nesterov,wd=0.01", "adamw", "sgd:clip=0.5", "adamw:clip=0.1,schedule=cosine,total=50"}

func TestAZeroGradientMovesNothing(t *testing.T) {
	for _, spec := range []string{"sgd", "sgd:momentum=0.9", "adamw:wd=0", "sgd:clip=1"} {
		o := parse(t, spec)
		w := []float32{1, -2, 3}
		state := make([]float32, o.StateLen(3))
		for s := range uint64(5) {
			if err := o.Step(w, make([]float32, 3), state, Context{Step: s, LR: 0.1}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(w, []float32{1, -2, 3}) {
			t.Errorf("%s moved to %v", spec, w)
		}
	}
}

func TestSplittingTheVectorChangesNothing(t *testing.T) {
	for _, spec := range specs[:4] { // clipping looks at the whole
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(1, 20).Draw(t, "n")
			cut := rapid.IntRange(0, n).Draw(t, "cut")
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			o, err := Parse(spec)
			if err != nil {
				t.Fatal(err)
			}
			whole := make([]float32, n)
			for i := range whole {
				whole[i] = float32(rng.NormFloat64())
			}
			a, b := slices.Clone(whole[:cut]), slices.Clone(whole[cut:])
			ws, as, bs := make([]float32, o.StateLen(n)), make([]float32, o.StateLen(cut)), make([]float32, o.StateLen(n-cut))
			for s := range uint64(4) {
				g := make([]float32, n)
				for i := range g {
					g[i] = float32(rng.NormFloat64())
				}
				c := Context{Step: s, LR: o.Rate(s)}
				if err := errors.Join(o.Step(whole, g, ws, c), o.Step(a, g[:cut], as, c), o.Step(b, g[cut:], bs, c)); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(whole, append(a, b...)) {
				t.Fatalf("%s: parts of the vector moved differently from the whole", spec)
			}
		})
	}
}

func TestEveryRuleFindsTheMinimum(t *testing.T) {
	for _, spec := range specs {
		o := parse(t, strings.Replace(spec, "total=50", "total=5000,final=0.1", 1))
		w, state := []float32{3, -2}, make([]float32, o.StateLen(2))
		for s := range uint64(3000) {
			grad := []float32{w[0] - 1, 2 * w[1]} // of ½(x-1)² + y²
			lr := o.Rate(s)
			if o.Name() == "sgd" {
				lr *= 0.5
			}
			if err := o.Step(w, grad, state, Context{Step: s, LR: lr}); err != nil {
				t.Fatal(err)
			}
		}
		if math.Abs(float64(w[0])-1) > 0.15 || math.Abs(float64(w[1])) > 0.15 {
			t.Errorf("%s ends at %v, want near [1 0]", spec, w)
		}
	}
}

func TestClippingBoundsTheNorm(t *testing.T) {
	o := parse(t, "sgd:lr=1,clip=0.5")
	w := []float32{0, 0}
	if err := o.Step(w, []float32{30, 40}, nil, Context{LR: 1}); err != nil {
		t.Fatal(err)
	}
	if !near(w[0], -0.3) || !near(w[1], -0.4) {
		t.Errorf("a step along a clipped gradient is %v, want [-0.3 -0.4]", w)
	}
	small := []float32{0, 0}
	if err := o.Step(small, []float32{0.3, 0.4 - 1e-5}, nil, Context{LR: 1}); err != nil {
		t.Fatal(err)
	}
	if small[0] != -0.3 {
		t.Errorf("a gradient within the bound was changed: %v", small)
	}
}

func TestABadStepChangesNothing(t *testing.T) {
	nan := float32(math.NaN())
	for _, spec := range append(specs[:], "pegasos", "pegasos:project") {
		o := parse(t, spec)
		n := o.StateLen(2)
		for _, test := range []struct {
			name  string
			grad  []float32
			state int
			lr    float64
			want  error
		}{
			{"NaN", []float32{1, nan}, n, 0.1, ErrDiverged},
			{"infinite", []float32{float32(math.Inf(-1)), 0}, n, 0.1, ErrDiverged},
			{"rate", []float32{1, 1}, n, math.NaN(), ErrDiverged},
			{"short gradient", []float32{1}, n, 0.1, ErrLengths},
			{"long state", []float32{1, 1}, n + 1, 0.1, ErrLengths},
		} {
			t.Run(spec+"/"+test.name, func(t *testing.T) {
				w, state := []float32{1, 2}, make([]float32, test.state)
				if err := o.Step(w, test.grad, state, Context{LR: test.lr}); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if w[0] != 1 || w[1] != 2 || slices.ContainsFunc(state, func(v float32) bool { return v != 0 }) {
					t.Errorf("weights %v, state %v", w, state)
				}
			})
		}
	}
}

func TestAStepGoesOnFromACheckpoint(t *testing.T) {
	for _, spec := range specs {
		o := parse(t, spec)
		run := func(w, state []float32, from, to uint64) {
			for s := from; s < to; s++ {
				g := []float32{float32(s%3) - w[0], w[1] - 0.5, float32(s % 2)}
				if err := o.Step(w, g, state, Context{Step: s, LR: o.Rate(s)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		w, state := []float32{1, 2, 3}, make([]float32, o.StateLen(3))
		run(w, state, 0, 7)
		w2, state2 := slices.Clone(w), slices.Clone(state)
		run(w, state, 7, 20)
		run(w2, state2, 7, 20)
		if !slices.Equal(w, w2) || !slices.Equal(state, state2) {
			t.Errorf("%s: %v after a restart, %v without", spec, w2, w)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ spec, want string }{
		{"", `"" is not known; use sgd, adamw or pegasos`},
		{"adam", "use sgd, adamw or pegasos"},
		{"sgd:lr", "lr wants a number"},
		{"sgd:lr=0", "lr wants a number"},
		{"sgd:lr=NaN", "lr wants a number"},
		{"sgd:lr=0.1,lr=0.2", "twice"},
		{"sgd:momentum=1", "momentum wants a number from 0 to"},
		{"sgd:nesterov", "wants a momentum"},
		{"sgd:nesterov=perhaps", "true or false"},
		{"sgd:beta1=0.9", `no setting "beta1"; it has lr, clip, schedule, warmup, momentum, nesterov, wd`},
		{"sgd:total=5", `no setting "total"`},
		{"adamw:momentum=0.9", `no setting "momentum"`},
		{"adamw:eps=0", "eps wants a number"},
		{"sgd:schedule=linear", "one of constant, cosine, wsd, step"},
		{"sgd:schedule=cosine", "wants total"},
		{"sgd:schedule=wsd,total=10,warmup=10", "wants total"},
		{"sgd:schedule=wsd,total=10,shape=exp", "final above 0"},
		{"sgd:schedule=wsd,total=10,shape=round", "one of linear"},
		{"sgd:schedule=step", "wants every"},
		{"sgd:warmup=-1", "whole number"},
		{"sgd:" + strings.Repeat("x", 2000), "longer than 1000"},
		{"sgd:,", "given twice"},
		{"sgd:lr=0.1,", `no setting ""`},
	} {
		_, err := Parse(test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 250 {
			t.Errorf("Parse(%.50q): %v, want %q on one short line", test.spec, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range specs {
		f.Add(s)
	}
	f.Add("pegasos:lambda=1e-6,project")
	f.Add("sgd:schedule=wsd,total=3,cooldown=0.9,shape=exp,final=0.5,warmup=1")
	f.Fuzz(func(t *testing.T, spec string) {
		o, err := Parse(spec)
		if err != nil {
			return
		}
		for _, s := range []uint64{0, 1, 2, 3, 1000, math.MaxUint64} {
			if r := o.Rate(s); !(r >= 0 && r <= 2e6) {
				t.Errorf("%q: rate at step %d is %v", spec, s, r)
			}
		}
		w, state := []float32{1}, make([]float32, o.StateLen(1))
		if err := o.Step(w, []float32{0.5}, state, Context{LR: o.Rate(0)}); err != nil {
			t.Errorf("%q: %v", spec, err)
		}
	})
}

func BenchmarkStep(b *testing.B) {
	for _, spec := range []string{"sgd", "sgd:momentum=0.9", "adamw"} {
		b.Run(spec, func(b *testing.B) {
			o := parse(b, spec)
			const n = 50890
			w, g, state := make([]float32, n), make([]float32, n), make([]float32, o.StateLen(n))
			for i := range g {
				g[i] = float32(i%7) * 1e-3
			}
			for b.Loop() {
				if err := o.Step(w, g, state, Context{LR: 1e-6}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleParse() {
	o, err := Parse("sgd:lr=0.5")
	if err != nil {
		fmt.Println(err)
		return
	}
	w := []float32{1, 2}
	if err := o.Step(w, []float32{1, -1}, nil, Context{LR: o.Rate(0)}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(w)
	// Output: [0.5 2.5]
}
