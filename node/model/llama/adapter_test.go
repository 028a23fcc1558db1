package llama

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/mixing/kernel"
	"starling/node/model/hf"
	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

// plainLinear is a model whose one layer has one map with weights, of which nothing else is used.
func plainLinear(t *testing.T, w [][]float32, training Training) *Model {
	t.Helper()
	out, in := len(w), len(w[0])
	packed := kernel.NewPacked(out, in, false)
	packed.FillNT(0, out, slices.Concat(w...), in)
	b := &Base{config: hf.Config{Hidden: out, MLP: in, Heads: 1, KVHeads: 1, HeadDim: 1, Vocab: 1}}
	var l layer
	l.maps[mlpOut] = linear{in: in, out: out, projections: []projection{{name: "down", out: out, weights: packed}}}
	b.layers = []layer{l}
	p, err := b.plan(training)
	if err != nil {
		t.Fatal(err)
	}
	return &Model{base: b, training: training, plan: p, workers: 1, scale: float32(training.Scale())}
}

func TestAdaptersHaveTheRecordedOutputsAndGradients(t *testing.T) {
	data, err := os.ReadFile("testdata/opt-adapters.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		W, A, B, X, Upstream [][]float32
		Adapters             map[string]struct {
			Rank   int
			Alpha  float64
			Scale  float64
			Y      [][]float32
			GradA  [][]float32 `json:"grad_A"`
			GradB  [][]float32 `json:"grad_B"`
			Merged [][]float32
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Adapters) != 2 {
		t.Fatalf("%d adapters are recorded", len(v.Adapters))
	}
	for name, a := range v.Adapters {
		m := plainLinear(t, v.W, Training{Rank: a.Rank, Alpha: a.Alpha, RankStabilized: name == "rslora"})
		if s := m.training.Scale(); math.Abs(s-a.Scale) > 1e-12 {
			t.Errorf("%s has the factor %v, want %v", name, s, a.Scale)
		}
		params := append(slices.Concat(v.A...), slices.Concat(v.B...)...)
		grad := make([]float32, len(params))
		rows, out, in := len(v.X), len(v.W), len(v.W[0])
		tr := m.sizes().trace(rows)
		m.slopes.low[mlpOut] = make([]float32, rows*a.Rank)
		x, y, dx := slices.Concat(v.X...), make([]float32, rows*out), make([]float32, rows*in)
		m.project(&bench{}, params, 0, mlpOut, false, x, &tr, 0, rows, y)
		m.projectBack(params, 0, mlpOut, slices.Concat(v.Upstream...), 0, rows, dx)
		m.slopes.units, m.slopes.out = x, slices.Concat(v.Upstream...)
		m.learn(grad, params, 0, &tr, rows)
		merged := make([]float32, out*in)
		(&Merged{model: m, params: params}).rows(merged, tensor{name: "down.weight", shape: []int{out, in}, matrix: m.base.layers[0].maps[mlpOut].projections[0].weights}, 0)
		wantDX := make([]float32, rows*in)
		kernel.MulNN(false, rows, in, out, m.slopes.out, out, slices.Concat(a.Merged...), in, wantDX, in)
		for _, c := range []struct {
			what      string
			got, want []float32
		}{
			{"output", y, slices.Concat(a.Y...)}, {"gradient of A and B", grad, append(slices.Concat(a.GradA...), slices.Concat(a.GradB...)...)},
			{"merged weight", merged, slices.Concat(a.Merged...)}, {"gradient of the input", dx, wantDX},
		} {
			for i, w := range c.want {
				if math.Abs(float64(c.got[i]-w)) > 2e-5*math.Abs(float64(w))+1e-7 {
					t.Errorf("%s: element %d of the %s is %v, want %v", name, i, c.what, c.got[i], w)
				}
			}
		}
	}
}

func TestMergedWeightsAreTheModelWithItsAdapter(t *testing.T) {
	for _, family := range families {
		m, params, _ := build(t, small(family), "lora:r=3;full:norms", 2, Options{})
		merged := m.Merged(params)
		base, err := Load(m.base.config, merged, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range m.base.config.Tensors() {
			if v, err := merged.Tensor(tensor.Name); err != nil || v.Want(tensor.Shape...) != nil {
				t.Errorf("%s: %v, %v", tensor.Name, v.Shape, err)
			}
		}
		plain := reference{base: base}.model(t, "full:norms", 1)
		p := make([]float32, plain.Layout().Len())
		plain.Init(p, 1)
		tokens := text(rand.New(rand.NewPCG(22, 23)), 1600, 40).Tokens
		got, want := make([]float32, 40*1600), make([]float32, 40*1600)
		plain.Logits(got, p, tokens)
		m.Logits(want, params, tokens)
		for i := range got {
			if math.Abs(float64(got[i]-want[i])) > 2e-4 {
				t.Fatalf("%s: logit %d is %v, with the adapter %v", family, i, got[i], want[i])
			}
		}
		dir := t.TempDir()
		if err := merged.Save(dir, weights.F32, 1<<30); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(filepath.Join(dir, safetensors.FileName))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range f.Names() {
			v, _ := f.Tensor(name)
			w, err := merged.Tensor(name)
			if err != nil || !bytes.Equal(v.Bytes(), w.Bytes()) || !slices.Equal(v.Shape, w.Shape) {
				t.Errorf("%s: tensor %s of the file is another: %v", family, name, err)
			}
		}
		if want := len(m.base.config.Tensors()); len(f.Names()) != want {
			t.Errorf("%s: the file has %d tensors, want %d", family, len(f.Names()), want)
		}
		f.Close()
		if _, err := merged.Tensor("model.layers.9.mlp"); err == nil {
			t.Error("a tensor that is not there has weights")
		}
	}
}

func TestAdaptersOfPEFTAreReadAndWritten(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			r := load(t, name, Options{})
			p, err := OpenPEFT(filepath.Join("testdata", name, "adapter"))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			m, err := New(r.base, p.Training, 1)
			if err != nil {
				t.Fatal(err)
			}
			params := make([]float32, m.Layout().Len())
			if err := p.Params(m, params); err != nil {
				t.Fatal(err)
			}
			compareLogits(t, m, params, r.batch, floats(t, r.file, "adapted.logits"), 1e-4)

			dir := t.TempDir()
			if err := m.SavePEFT(dir, params, "some/model", [32]byte{1, 31: 2}); err != nil {
				t.Fatal(err)
			}
			again, err := OpenPEFT(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			back := make([]float32, len(params))
			if err := again.Params(m, back); err != nil || !slices.Equal(params, back) || again.Base != "some/model" || again.Digest != "01"+strings.Repeat("00", 30)+"02" || again.Training.String() != p.Training.String() {
				t.Errorf("what was written is read as %+v: %v", again, err)
			}
			if files, _ := os.ReadDir(dir); len(files) != 2 {
				t.Errorf("the directory has %d files", len(files))
			}
		})
	}
}

// The test needs a Python that has peft, transformers and torch: STARLING_PYTHON names it.
func TestPEFTLoadsWhatIsWritten(t *testing.T) {
	python := os.Getenv("STARLING_PYTHON")
	if python == "" {
		t.Skip("STARLING_PYTHON does not name a Python with peft, transformers and torch")
	}
	for _, name := range models {
		r := load(t, name, Options{})
		for _, spec := range []string{"lora:r=5", "rslora:r=2,alpha=3,targets=" + last(r.base.layers[0].maps[attentionIn].projections[0].name)} {
			m, dir := r.model(t, spec, 2), t.TempDir()
			params, rng := make([]float32, m.Layout().Len()), rand.New(rand.NewPCG(24, 25))
			for i := range params {
				params[i] = 0.2 * float32(rng.NormFloat64())
			}
			if err := m.SavePEFT(dir, params, name, [32]byte{3}); err != nil {
				t.Fatal(err)
			}
			tokens := r.batch.Tokens[:40]
			logits := make([]float32, 40*80)
			m.Logits(logits, params, tokens)
			args := []string{filepath.Join("testdata", "load.py"), filepath.Join("testdata", name), dir}
			for _, token := range tokens {
				args = append(args, string(rune('0'+token/10))+string(rune('0'+token%10)))
			}
			out, err := exec.Command(python, args...).Output()
			if err != nil {
				t.Fatalf("%s: %v", python, err)
			}
			var want []float32
			if err := json.Unmarshal(out, &want); err != nil || len(want) != len(logits) {
				t.Fatalf("%s: %d logits: %v", python, len(want), err)
			}
			for i, v := range logits {
				if math.Abs(float64(v-want[i])) > 1e-3 {
					t.Fatalf("%s with %s: logit %d is %v, in PEFT %v", name, spec, i, v, want[i])
				}
			}
		}
	}
}

func TestAdaptersThatAreNotBuiltInAreRefused(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"],"use_dora":true}`, "use_dora"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"],"rank_pattern":{"q_proj":4}}`, "rank_pattern"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"],"bias":"all"}`, "bias"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"],"modules_to_save":["lm_head"]}`, "modules_to_save"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"],"layers_to_transform":[1]}`, "layers_to_transform"},
		{`{"peft_type":"IA3","r":8,"lora_alpha":16,"target_modules":["q_proj"]}`, "want LORA"},
		{`{"peft_type":"LORA","r":0,"lora_alpha":16,"target_modules":["q_proj"]}`, "r is 0"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":0,"target_modules":["q_proj"]}`, "lora_alpha 0"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":".*_proj"}`, "target_modules"},
		{`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":[]}`, "target_modules"},
		{`{"peft_type":"LORA","r":8,`, "unexpected end"},
	} {
		if err := new(PEFT).parse([]byte(test.config)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.config, err, test.want)
		}
	}
	var p PEFT
	if err := p.parse([]byte(`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":"all-linear"}`)); err != nil || p.Training.Targets != nil {
		t.Errorf("all-linear: %+v, %v", p.Training, err)
	}

	r := load(t, "llama", Options{})
	q, err := OpenPEFT("testdata/llama/adapter")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for spec, want := range map[string]string{
		"lora:r=3,targets=q_proj": "there is no place",
		"lora:r=4":                "shape",
		"lora:r=3;full:norms":     "input_la",
	} {
		m := r.model(t, spec, 1)
		if err := q.Params(m, make([]float32, m.Layout().Len())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an adapter for %s: %v, want %q", spec, err, want)
		}
	}
	m := r.model(t, "lora:r=3;full:norms", 1)
	if err := m.SavePEFT(t.TempDir(), make([]float32, m.Layout().Len()), "", [32]byte{}); err == nil || !strings.Contains(err.Error(), "merged") {
		t.Errorf("full tensors in an adapter: %v", err)
	}
	if _, err := OpenPEFT(t.TempDir()); err == nil {
		t.Error("an empty directory is an adapter")
	}
}

func FuzzPEFTConfig(f *testing.F) {
	f.Add([]byte(`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["q_proj"]}`))
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":"all-linear","rank_pattern":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p PEFT
		if err := p.parse(data); err == nil && (p.Training.Rank < 1 || p.Training.Rank > maxRank || !(p.Training.Scale() > 0)) {
			t.Errorf("%q is %+v", data, p.Training)
		}
	})
}

func TestTrainingsAreReadAsTheyAreWritten(t *testing.T) {
	for spec, want := range map[string]string{
		"lora":              "lora:r=8,alpha=16",
		"lora:r=4":          "lora:r=4,alpha=8",
		"rslora:alpha=2.5":  "rslora:r=8,alpha=2.5",
		"full:norms+q_proj": "full:norms+q_proj",
		"lora:r=2,targets=q_proj+v_proj,share=a;full:norms": "lora:r=2,alpha=4,targets=q_proj+v_proj,share=a;full:norms",
	} {
		training, err := ParseTraining(spec)
		if err != nil || training.String() != want {
			t.Errorf("%s is %s, want %s: %v", spec, training, want, err)
		}
		if again, err := ParseTraining(want); err != nil || again.String() != want {
			t.Errorf("%s is %s: %v", want, again, err)
		}
	}
	for spec, want := range map[string]string{
		"":                   "not known",
		"lorra:r=8":          "did you mean",
		"lora:r=0":           "1 to",
		"lora:r=9999":        "1 to",
		"lora:alpha=-1":      "positive",
		"lora:alpha=inf":     "positive",
		"lora:share=b":       "share",
		"lora:rang=3":        "not known",
		"lora:r=8,":          "empty",
		"lora:r=8;rslora":    "twice",
		"full":               "full wants",
		"lora:r=8;half:norm": "not known",
	} {
		if _, err := ParseTraining(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
}

func FuzzParseTraining(f *testing.F) {
	f.Add("lora:r=2,alpha=3,targets=q_proj+v_proj,share=a;full:norms")
	f.Fuzz(func(t *testing.T, spec string) {
		training, err := ParseTraining(spec)
		if err != nil {
			return
		}
		again, err := ParseTraining(training.String())
		if err != nil || again.String() != training.String() {
			t.Errorf("%q is %q, and that %q: %v", spec, training, again, err)
		}
	})
}

func TestWhatIsNotInTheModelIsNotTrained(t *testing.T) {
	r := load(t, "smollm2", Options{})
	for spec, want := range map[string]string{
		"lora:r=2,targets=q_prog":   "q_prog",
		"full:lm_head.weight":       "lm_head.weight", // it is tied
		"full:norm":                 "",
		"full:model.norm.weight":    "",
		"full:layers.1.mlp":         "layers.1.mlp",
		"full:layers.1.mlp.up_proj": "",
	} {
		training, err := ParseTraining(spec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(r.base, training, 1)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	for _, training := range []Training{{}, {Rank: -1}, {Rank: 2}, {Rank: maxRank + 1, Alpha: 1}} {
		if _, err := New(r.base, training, 1); err == nil {
			t.Errorf("%+v is possible", training)
		}
	}
}

func TestTheBOfAdaptersStaysAtHomeIfAIsShared(t *testing.T) {
	r := load(t, "llama", Options{})
	m := r.model(t, "lora:r=3,share=a", 1)
	shared := 0
	for _, tensor := range m.Layout().Tensors {
		if tensor.Private != strings.Contains(tensor.Name, "lora_B") {
			t.Errorf("%s: private is %v", tensor.Name, tensor.Private)
		}
		if !tensor.Private {
			shared += tensor.Len()
		}
	}
	// Every A has rank rows as long as an input, in two layers.
	if want := 2 * 3 * (3*24 + 24 + 2*24 + 40); shared != want {
		t.Errorf("%d numbers are shared, want %d", shared, want)
	}
	for _, tensor := range r.model(t, "lora:r=3", 1).Layout().Tensors {
		if tensor.Private {
			t.Errorf("%s is private", tensor.Name)
		}
	}
}
