package mixing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"starling/mixing/kernel"
)

func vectors(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// near compares a float32 result with a float64 vector: within float32 rounding of the largest number involved.
func near(got []float32, want []float64, scale float64) bool {
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 4e-7*scale {
			return false
		}
	}
	return len(got) == len(want)
}

func weights(w []float64) Weigher {
	return func(to []float64, _ Input, _ []Input, _ *Env) ([]float64, error) { return append(to, w...), nil }
}

func TestVarianceCorrectionMatchesTheVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Name         string
			Models       [][]float64
			Weights      []float64
			Average      []float64
			Mean         float64
			VarAvg       float64 `json:"var_avg"`
			VarTarget    float64 `json:"var_target"`
			Ratio        float64
			Output       []float64
			CompatEps    float64   `json:"compat_eps"`
			CompatScale  float64   `json:"compat_scale"`
			CompatOutput []float64 `json:"compat_output"`
		}
		Equicorrelated []struct {
			K          int
			Rho, Ratio float64
		}
	}
	vectors(t, "01-variance-corrected-averaging.json", &file)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			sum := 0.0
			for _, w := range c.Weights {
				sum += w
			}
			target := 0.0
			var in []Input
			for i, m := range c.Models {
				in = append(in, Input{Vec: narrow(m), Meta: Meta{Peer: fmt.Sprint(i)}})
				v := Moments(narrow(m)).Var
				target += c.Weights[i] / sum * v
			}
			if math.Abs(target-c.VarTarget) > 1e-6*c.VarTarget {
				t.Errorf("target variance %g, want %g", target, c.VarTarget)
			}
			w := make([]float64, len(c.Weights))
			for i := range w {
				w[i] = c.Weights[i] / sum
			}
			// The vectors are shorter than the sixteen elements that a tensor needs by default, so the ratio is
			// checked by itself, on the exact variances, to the vectors' own tolerance.
			r := &corrected{c: DefaultCorrection()}
			exact := make([]float64, len(c.Models))
			for i, m := range c.Models {
				exact[i] = variance64(m)
			}
			if got := r.ratio(c.VarAvg, exact, w, len(c.Average)); c.Name != "one_zero_one_not" && math.Abs(got-c.Ratio) > 1e-12*c.Ratio {
				t.Errorf("ratio %.16g, want %.16g", got, c.Ratio)
			}
			// Repeated often enough, the tensor is long enough and its variances are the same.
			const times = 16
			wide := make([]Input, len(in))
			for i := range in {
				wide[i] = Input{Vec: slices.Repeat(in[i].Vec, times), Meta: in[i].Meta}
			}
			l, err := NewLayout(Tensor{Name: "w", Shape: []int{times, len(c.Average)}})
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]float32, l.Len())
			rep, err := Corrected("x", weights(c.Weights), DefaultCorrection()).Mix(dst, wide[0], wide[1:], &Env{Layout: l})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(rep.Ratios[0]-c.Ratio) > 1e-4*c.Ratio || !near(dst[:len(c.Output)], c.Output, 100) {
				t.Errorf("got %v with ratio %g, want %v with %g", dst[:len(c.Output)], rep.Ratios[0], c.Output, c.Ratio)
			}
			compat := &corrected{c: Correction{CompatEps: c.CompatEps}}
			if got := compat.ratio(c.VarAvg, exact, w, len(c.Average)); math.Abs(got-c.CompatScale) > 1e-12*c.CompatScale {
				t.Errorf("authors' ratio %.16g, want %.16g", got, c.CompatScale)
			}
			short := make([]float32, len(c.Average))
			if _, err := Corrected("x", weights(c.Weights), Correction{CompatEps: c.CompatEps}).Mix(short, in[0], in[1:], nil); err != nil {
				t.Fatal(err)
			}
			if !near(short, c.CompatOutput, 1e3*max(1, c.CompatScale/100)) {
				t.Errorf("authors' form: got %v, want %v", short, c.CompatOutput)
			}
		})
	}
	for _, e := range file.Equicorrelated {
		if got := math.Sqrt(float64(e.K) / (1 + float64(e.K-1)*e.Rho)); math.Abs(got-e.Ratio) > 1e-12 {
			t.Errorf("k=%d rho=%g: %g, want %g", e.K, e.Rho, got, e.Ratio)
		}
		if got := Correlation(e.Ratio, e.K); math.Abs(got-e.Rho) > 1e-9 {
			t.Errorf("k=%d ratio=%g: correlation %g, want %g", e.K, e.Ratio, got, e.Rho)
		}
	}
}

func variance64(x []float64) float64 {
	mean, v := 0.0, 0.0
	for _, a := range x {
		mean += a / float64(len(x))
	}
	for _, a := range x {
		v += (a - mean) * (a - mean) / float64(len(x))
	}
	return v
}

func gaussian(r *rand.Rand, n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * scale)
	}
	return v
}

func inputs(vecs ...[]float32) []Input {
	var in []Input
	for i, v := range vecs {
		in = append(in, Input{Vec: v, Meta: Meta{Peer: fmt.Sprintf("p%02d", i), Age: uint64(i), Degree: len(vecs) - 1}})
	}
	return in
}

func allRules(t *testing.T) []Rule {
	var out []Rule
	for _, n := range append(RuleNames(), "variance-corrected:weights=age,policy=others", "variance-corrected:policy=self,biases=true") {
		r, err := ParseRule(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// The properties of spec 01, 1.12, by number.
func TestPropertiesOfMixing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n, k := 16+r.IntN(9000), 1+r.IntN(8)
		l, err := NewLayout(Tensor{Name: "a", Shape: []int{n / 2}}, Tensor{Name: "b", Shape: []int{n - n/2}})
		if err != nil {
			t.Fatal(err)
		}
		env := &Env{Layout: l}
		var vecs [][]float32
		common := gaussian(r, n, 1)
		for range k {
			v := gaussian(r, n, 0.1+r.Float64())
			rho := float32(r.Float64())
			for i := range v {
				v[i] += rho * common[i]
			}
			vecs = append(vecs, v)
		}
		in := inputs(vecs...)
		for _, rule := range allRules(t) {
			dst := make([]float32, n)
			rep, err := rule.Mix(dst, in[0], in[1:], env)
			if err != nil {
				t.Fatal(err)
			}
			if k == 1 && !slices.Equal(dst, vecs[0]) { // 1
				t.Fatalf("%s: one contribution is not copied bit for bit", rule.Name())
			}
			sum := 0.0
			for _, w := range rep.Weights {
				sum += w
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Fatalf("%s: weights sum to %g", rule.Name(), sum)
			}
			shuffled := slices.Clone(in[1:]) // 5
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			again := make([]float32, n)
			if _, err := rule.Mix(again, in[0], shuffled, env); err != nil || !slices.Equal(dst, again) {
				t.Fatalf("%s: the order of the inputs changes the result", rule.Name())
			}
			if rep.Ratios == nil || k == 1 {
				continue
			}
			if rule.Name() == "variance-corrected" {
				avg := make([]float32, n)
				kernel.WeightedSum(avg, rep.Weights, vecs)
				for i, tensor := range l.Tensors {
					if rep.Ratios[i] < 1-1e-9 { // 3
						t.Fatalf("ratio %g is below one", rep.Ratios[i])
					}
					target := 0.0
					for j, v := range vecs {
						target += rep.Weights[j] * Moments(tensor.Of(v)).Var
					}
					got, was := Moments(tensor.Of(dst)), Moments(tensor.Of(avg))
					if rep.Ratios[i] < 10 && math.Abs(got.Var-target) > 1e-5*target { // 4; float32 rounding
						t.Fatalf("variance %g, want %g", got.Var, target)
					}
					if math.Abs(got.Mean-was.Mean) > 1e-6 {
						t.Fatalf("mean %g, want %g", got.Mean, was.Mean)
					}
				}
				scaled := inputs(vecs...) // 6
				for i := range scaled {
					v := slices.Clone(vecs[i])
					for j := range v {
						v[j] *= 4
					}
					scaled[i].Vec = v
				}
				rep4, err := rule.Mix(again, scaled[0], scaled[1:], env)
				if err != nil || math.Abs(rep4.Ratios[0]-rep.Ratios[0]) > 1e-12*rep.Ratios[0] {
					t.Fatalf("scaled by 4 the ratio is %g instead of %g", rep4.Ratios[0], rep.Ratios[0])
				}
				for j := range again {
					if again[j] != 4*dst[j] {
						t.Fatalf("scaled by 4 element %d is %g instead of %g", j, again[j], 4*dst[j])
					}
				}
			}
		}
	}
}

func TestEqualModelsStayAsTheyAre(t *testing.T) { // 2
	v := gaussian(rand.New(rand.NewPCG(3, 4)), 5000, 1)
	for _, rule := range allRules(t) {
		dst := make([]float32, len(v))
		rep, err := rule.Mix(dst, Input{Vec: v}, inputs(v, v, v), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rep.Ratios {
			if math.Abs(r-1) > 1e-12 {
				t.Errorf("%s: ratio %d is %g", rule.Name(), i, r)
			}
		}
		for i := range v {
			if math.Abs(float64(dst[i]-v[i])) > 1e-6 {
				t.Fatalf("%s: element %d was %g and is %g", rule.Name(), i, v[i], dst[i])
			}
		}
	}
}

func TestZeroTensorsStayZero(t *testing.T) { // 7
	zero := make([]float32, 64)
	for _, rule := range allRules(t) {
		dst := gaussian(rand.New(rand.NewPCG(1, 1)), 64, 1)
		if _, err := rule.Mix(dst, Input{Vec: zero}, inputs(zero, zero), nil); err != nil || !slices.Equal(dst, zero) {
			t.Errorf("%s: %v %v", rule.Name(), dst[:4], err)
		}
	}
}

func TestUnrelatedModelsAreStretchedByTheRootOfTheirNumber(t *testing.T) { // 8
	r := rand.New(rand.NewPCG(5, 6))
	rule, _ := ParseRule("variance-corrected")
	for k := 2; k <= 10; k++ {
		var vecs [][]float32
		for range k {
			vecs = append(vecs, gaussian(r, 65536, 1))
		}
		in := inputs(vecs...)
		rep, err := rule.Mix(make([]float32, 65536), in[0], in[1:], nil)
		if err != nil || math.Abs(rep.Ratios[0]/math.Sqrt(float64(k))-1) > 0.03 {
			t.Errorf("k=%d: ratio %g, %v", k, rep.Ratios[0], err)
		}
	}
}

func TestADeepNetworkKeepsItsActivations(t *testing.T) { // 9
	const width, depth, nets = 256, 10, 8
	r := rand.New(rand.NewPCG(7, 8))
	var tensors []Tensor
	for i := range depth {
		tensors = append(tensors, Tensor{Name: fmt.Sprint(i), Shape: []int{width, width}})
	}
	l, err := NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	var vecs [][]float32
	for range nets {
		vecs = append(vecs, gaussian(r, l.Len(), 1/math.Sqrt(width)))
	}
	x := gaussian(r, width, 1)
	deviation := func(net []float32) float64 {
		h := slices.Clone(x)
		for _, t := range l.Tensors {
			w, out := t.Of(net), make([]float32, width)
			for i := range out {
				for j, v := range h {
					out[i] += float32(v * w[i*width+j])
				}
			}
			h = out
		}
		return math.Sqrt(Moments(h).Var)
	}
	mixed := func(name string) float64 {
		rule, _ := ParseRule(name)
		dst := make([]float32, l.Len())
		in := inputs(vecs...)
		if _, err := rule.Mix(dst, in[0], in[1:], &Env{Layout: l}); err != nil {
			t.Fatal(err)
		}
		return deviation(dst)
	}
	one := 0.0
	for _, v := range vecs {
		one += deviation(v) / nets
	}
	if got := mixed("variance-corrected") / one; math.Abs(got-1) > 0.2 {
		t.Errorf("corrected: activations are %.3f of one net's", got)
	}
	if got, want := mixed("mean")/one, math.Pow(nets, -depth/2.0); got > 3*want || got < want/3 {
		t.Errorf("plain: activations are %.3g of one net's, want about %.3g", got, want)
	}
}

func TestBadInputsAreLeftOutAndNamed(t *testing.T) {
	own := Input{Vec: make([]float32, 20)}
	nan := make([]float32, 20)
	nan[7] = float32(math.NaN())
	inf := make([]float32, 20)
	inf[0] = float32(math.Inf(-1))
	good := gaussian(rand.New(rand.NewPCG(1, 1)), 20, 1)
	in := []Input{
		{Vec: nan, Meta: Meta{Peer: "nan"}}, {Vec: inf, Meta: Meta{Peer: "inf"}}, {Vec: make([]float32, 3), Meta: Meta{Peer: "short"}},
		{Kind: Delta, Vec: good, Meta: Meta{Peer: "kind"}}, {Vec: good, Meta: Meta{Peer: "good", Age: 1}},
	}
	for _, rule := range allRules(t) {
		dst := make([]float32, 20)
		rep, err := rule.Mix(dst, own, in, nil)
		if err != nil || len(rep.Dropped) != 4 || len(rep.Weights) != 2 || !kernel.Finite(dst) {
			t.Errorf("%s: %+v %v", rule.Name(), rep, err)
		}
	}
	if _, err := Linear("mean", MeanWeights).Mix(make([]float32, 20), Input{Vec: nan}, nil, nil); err == nil {
		t.Error("an own vector that is not finite is mixed")
	}
}

func TestWhatIsNotCorrected(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	l, err := NewLayout(
		Tensor{Name: "w", Shape: []int{8, 8}}, Tensor{Name: "bias", Shape: []int{64}, Kind: Bias}, Tensor{Name: "gain", Shape: []int{64}, Kind: Gain},
		Tensor{Name: "small", Shape: []int{15}}, Tensor{Name: "a", Shape: []int{64}, Kind: LowRank},
		Tensor{Name: "mine", Shape: []int{64}, Private: true}, Tensor{Name: "fresh", Shape: []int{64}},
	)
	if err != nil {
		t.Fatal(err)
	}
	var vecs [][]float32
	for i := range 3 {
		v := gaussian(r, l.Len(), 1)
		if i > 0 {
			clear(l.Tensors[6].Of(v)) // only the first has trained it
		}
		vecs = append(vecs, v)
	}
	rule, _ := ParseRule("variance-corrected")
	dst := make([]float32, l.Len())
	in := inputs(vecs...)
	rep, err := rule.Mix(dst, in[0], in[1:], &Env{Layout: l})
	if err != nil {
		t.Fatal(err)
	}
	for i, corrected := range []bool{true, false, false, false, false, true, false} {
		if (rep.Ratios[i] != 1) != corrected {
			t.Errorf("%s: ratio %g", l.Tensors[i].Name, rep.Ratios[i])
		}
	}
	if !slices.Equal(l.Tensors[5].Of(dst), l.Tensors[5].Of(vecs[0])) {
		t.Error("a private tensor was mixed")
	}
}

func TestAMixThatHitsTheBoundEverywhereIsRefused(t *testing.T) {
	v := gaussian(rand.New(rand.NewPCG(1, 2)), 64, 1)
	w := slices.Clone(v)
	for i := range w {
		w[i] *= -0.999
	}
	l, _ := NewLayout(Tensor{Name: "a", Shape: []int{32}}, Tensor{Name: "b", Shape: []int{32}})
	rule, _ := ParseRule("variance-corrected")
	dst := make([]float32, 64)
	rep, err := rule.Mix(dst, Input{Vec: v}, []Input{{Vec: w, Meta: Meta{Peer: "x"}}}, &Env{Layout: l})
	if err != nil || rep.Rejected == "" || !slices.Equal(dst, v) {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestAClaimedVarianceIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	in := inputs(gaussian(r, 4096, 1), gaussian(r, 4096, 1), gaussian(r, 4096, 1), gaussian(r, 4096, 1))
	in[3].Meta.Stats = []Stat{{Var: 1e9}}
	rule, _ := ParseRule("variance-corrected")
	rep, err := rule.Mix(make([]float32, 4096), in[0], in[1:], nil)
	// Three of variance 1 and one that counts as 4: the target is 7/4, not 2.5e8.
	if err != nil || math.Abs(rep.Ratios[0]-math.Sqrt(4*7.0/4)) > 0.15 {
		t.Errorf("ratio %v, %v", rep.Ratios, err)
	}
}

func TestRunningVariancesArePooled(t *testing.T) {
	l, _ := NewLayout(Tensor{Name: "m", Shape: []int{1}, Kind: RunningMean}, Tensor{Name: "v", Shape: []int{1}, Kind: RunningVar})
	rule, _ := ParseRule("variance-corrected")
	dst := make([]float32, 2)
	// Two halves at -1 and +1, each of variance 1: together mean 0 and variance 2.
	if _, err := rule.Mix(dst, Input{Vec: []float32{-1, 1}}, []Input{{Vec: []float32{1, 1}, Meta: Meta{Peer: "b"}}}, &Env{Layout: l}); err != nil {
		t.Fatal(err)
	}
	if dst[0] != 0 || dst[1] != 2 {
		t.Errorf("got %v, want [0 2]", dst)
	}
}

func TestRepeatedGossipReachesConsensusAndKeepsTheVariance(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for name, want := range map[string]float64{"mean": 1.0 / 16, "variance-corrected": 1} {
		rule, _ := ParseRule(name)
		var models [][]float32
		for range 16 {
			models = append(models, gaussian(r, 4096, 1))
		}
		for range 12 {
			order := r.Perm(16)
			for p := 0; p < 16; p += 2 {
				i, j := order[p], order[p+1]
				dst := make([]float32, 4096)
				if _, err := rule.Mix(dst, Input{Vec: models[i]}, []Input{{Vec: models[j], Meta: Meta{Peer: "x"}}}, nil); err != nil {
					t.Fatal(err)
				}
				models[i], models[j] = dst, slices.Clone(dst)
			}
		}
		if v := Moments(models[3]).Var; math.Abs(v/want-1) > 0.15 {
			t.Errorf("%s: variance ends at %.4f, want about %.4f", name, v, want)
		}
	}
}

func TestMetropolisWeightsMatchTheVector(t *testing.T) {
	var file struct {
		MH struct {
			Adj [][]int
			W   [][]float64
		} `json:"mh_example"`
	}
	vectors(t, "06-topologies-and-mixing.json", &file)
	for i, neighbours := range file.MH.Adj {
		var in []Input
		for _, j := range neighbours {
			in = append(in, Input{Meta: Meta{Degree: len(file.MH.Adj[j])}})
		}
		w, err := MetropolisWeights(nil, Input{Meta: Meta{Degree: len(neighbours)}}, in, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, len(file.MH.Adj))
		row[i] = w[0]
		for k, j := range neighbours {
			row[j] = w[1+k]
		}
		for j := range row {
			if math.Abs(row[j]-file.MH.W[i][j]) > 1e-12 {
				t.Errorf("W[%d][%d] = %g, want %g", i, j, row[j], file.MH.W[i][j])
			}
		}
	}
}

func TestAgeMergesMatchTheVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			A, B     []float64
			AgeA     uint64 `json:"age_a"`
			AgeB     uint64 `json:"age_b"`
			Mean     []float64
			Weighted []float64
			Age      uint64
		} `json:"age_merge"`
	}
	vectors(t, "06-topologies-and-mixing.json", &file)
	for i, c := range file.Cases {
		rule, _ := ParseRule("age")
		dst := make([]float32, len(c.A))
		own, in := Input{Vec: narrow(c.A), Meta: Meta{Age: c.AgeA}}, []Input{{Vec: narrow(c.B), Meta: Meta{Peer: "b", Age: c.AgeB}}}
		if _, err := rule.Mix(dst, own, in, nil); err != nil || !near(dst, c.Weighted, 4) {
			t.Errorf("case %d: %v, want %v; %v", i, dst, c.Weighted, err)
		}
		if got := MergeAges(c.AgeA, c.AgeB); got != c.Age {
			t.Errorf("case %d: age %d, want %d", i, got, c.Age)
		}
		part := narrow(c.A)
		if age := MergeParts(part, narrow(c.B), c.AgeA, c.AgeB); age != c.Age || !near(part, c.Weighted, 4) {
			t.Errorf("case %d: part %v of age %d", i, part, age)
		}
	}
	w, err := AgeWeights(nil, Input{Meta: Meta{Age: 10}}, []Input{{Meta: Meta{Age: 12}}, {Meta: Meta{Age: 1e9}}}, nil)
	if err != nil || w[2] != 120 {
		t.Errorf("an age of 1e9 among 10 and 12 weighs %v, want 120: %v", w, err)
	}
}

func TestTheBitsOfAMixAreTheSameEverywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 42))
	in := inputs(gaussian(r, 10007, 1), gaussian(r, 10007, 2), gaussian(r, 10007, 3))
	h := sha256.New()
	for _, rule := range allRules(t) {
		dst := make([]float32, 10007)
		if _, err := rule.Mix(dst, in[0], in[1:], nil); err != nil {
			t.Fatal(err)
		}
		binary.Write(h, binary.LittleEndian, dst)
	}
	const want = "6b38d8a9595c270d"
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want {
		t.Errorf("hash %s, want %s: products and sums were fused, or summed in another order", got, want)
	}
}

func TestRulesAreParsedStrictly(t *testing.T) {
	for _, bad := range []string{"", "averag", "mean:x=1", "variance-corrected:", "variance-corrected:rmax=0", "variance-corrected:policy=x",
		"variance-corrected:weights=median", "variance-corrected:biases=perhaps", "variance-corrected:polisy=self", "variance-corrected:rmax=NaN"} {
		if r, err := ParseRule(bad); err == nil {
			t.Errorf("%q is %s", bad, r.Name())
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("variance-corrected:weights=age,rmax=5")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if (r == nil) == (err == nil) {
			t.Errorf("%q: %v %v", text, r, err)
		}
	})
}

func TestLayoutsAreChecked(t *testing.T) {
	for name, ts := range map[string][]Tensor{
		"no name": {{Shape: []int{1}}}, "twice": {{Name: "a"}, {Name: "a"}}, "negative": {{Name: "a", Shape: []int{-1}}},
		"huge": {{Name: "a", Shape: []int{1 << 20, 1 << 20, 1 << 20, 1 << 20}}}, "huge together": {{Name: "a", Shape: []int{1 << 30}}, {Name: "b", Shape: []int{1 << 30}}},
	} {
		if _, err := NewLayout(ts...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkMixEightModels(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var vecs [][]float32
	for range 8 {
		vecs = append(vecs, gaussian(r, 1<<20, 1))
	}
	in := inputs(vecs...)
	for _, name := range []string{"mean", "variance-corrected"} {
		b.Run(name, func(b *testing.B) {
			rule, _ := ParseRule(name)
			dst := make([]float32, 1<<20)
			b.SetBytes(8 * 4 << 20)
			for b.Loop() {
				if _, err := rule.Mix(dst, in[0], in[1:], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestRulesUseTheirMemoryAgain(t *testing.T) {
	layout, err := NewLayout(Tensor{Name: "w", Shape: []int{57}}, Tensor{Name: "b", Shape: []int{20}, Kind: Bias})
	if err != nil {
		t.Fatal(err)
	}
	vec := func(seed int) []float32 {
		v := make([]float32, layout.Len())
		for i := range v {
			v[i] = float32((i*seed)%13) - 6
		}
		return v
	}
	own, in := Input{Vec: vec(3), Meta: Meta{Peer: "a", Age: 3}}, []Input{{Vec: vec(5), Meta: Meta{Peer: "b", Age: 9}}, {Vec: vec(7), Meta: Meta{Peer: "c", Degree: 4}}}
	dst, env := make([]float32, layout.Len()), &Env{Layout: layout}
	for _, text := range RuleNames() {
		rule, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		first, err := rule.Mix(dst, own, in, env)
		if err != nil {
			t.Fatal(err)
		}
		kept := first.Clone()
		if n := testing.AllocsPerRun(50, func() { _, _ = rule.Mix(dst, own, in[:1], env) }); n > 0 {
			t.Errorf("%s: %g allocations a mix", text, n)
		}
		if again, err := rule.Mix(dst, own, in, env); err != nil || !slices.Equal(again.Weights, kept.Weights) || !slices.Equal(again.Ratios, kept.Ratios) {
			t.Errorf("%s: %v is %v after another mix (%v)", text, kept, again, err)
		}
	}
}

func BenchmarkMeanOfTwo(b *testing.B) {
	rule := Linear("mean", MeanWeights)
	x, y, dst := make([]float32, 57), make([]float32, 57), make([]float32, 57)
	in := []Input{{Vec: y, Meta: Meta{Peer: "b"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rule.Mix(dst, Input{Vec: x, Meta: Meta{Peer: "a"}}, in, nil); err != nil {
			b.Fatal(err)
		}
	}
}
