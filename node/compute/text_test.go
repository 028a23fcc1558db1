package compute

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starling/node"
	"starling/node/manifest"
)

// writeText makes a text of so many lines, of which one is much like the other.
func writeText(t testing.TB, lines int) string {
	t.Helper()
	var b strings.Builder
	for i := range lines {
		b.WriteString("the ")
		b.WriteString([]string{"starling", "sparrow", "swift"}[i*i%7%3])
		b.WriteString(" flies over the ")
		b.WriteString([]string{"field", "roof", "river", "hill"}[i*i%11%4])
		b.WriteString("\n")
	}
	file := filepath.Join(t.TempDir(), "birds.txt")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func birds(file string) manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Source, m.Data.Split, m.Data.Shards = "gpt:layers=1,width=24,heads=2,context=16", "text:"+file, "contiguous", 4
	m.Method.Batch, m.Optimizer = 8, "adamw:lr=0.01"
	return m
}

func TestALanguageModelIsTrainedAndMeasuredByTheByte(t *testing.T) {
	m := birds(writeText(t, 600))
	s, alone := build(t, m, Options{}, 7, 2), build(t, m, Options{Parts: []int{2}}, 7, 2)
	params, opt := s.init()
	out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	before, first := s.Evaluate(t.Context(), params)
	if math.Abs(first-math.Log(256)) > 0.7 || before > 0.2 {
		t.Errorf("the first parameters have a loss of %g nats and %g right; a byte has %g", first, before, math.Log(256))
	}
	job := node.TrainJob{Job: 3, Step: 10, Steps: 60}
	got := s.Train(t.Context(), s.node, job, params, opt, nil, out, outOpt)
	if got.Steps != 60 || got.Samples != 60*8 || math.IsNaN(got.Loss) {
		t.Errorf("60 steps of 8 windows: %+v", got)
	}
	accuracy, loss := s.Evaluate(t.Context(), out)
	if loss > 1.2 || accuracy < 0.6 || accuracy > 1 {
		t.Errorf("after training the loss is %g nats a byte, and %g are right", loss, accuracy)
	}
	again, againOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	alone.Train(t.Context(), alone.node, job, params, opt, nil, again, againOpt)
	if !slices.Equal(out, again) || !slices.Equal(outOpt, againOpt) {
		t.Error("a part that is read alone is trained on to other parameters")
	}
	pass := s.Train(t.Context(), s.node, node.TrainJob{}, params, opt, nil, out, outOpt)
	if rows := s.node.Rows(); pass.Samples != uint64(rows) || rows < 250 {
		t.Errorf("a pass over %d windows: %+v", rows, pass)
	}
	few := build(t, m, Options{Rows: 20, Unpack: true}, 7, 2)
	if _, l := few.Evaluate(t.Context(), params); math.Abs(l-first) > 0.1 {
		t.Errorf("20 held-out windows have a loss of %g, all %g", l, first)
	}
}

func TestModelsAndDataThatDoNotFitAreRefused(t *testing.T) {
	file := writeText(t, 600)
	for _, test := range []struct{ model, source, want string }{
		{"softmax", "text:" + file, "this data is text"},
		{"gpt", "mnist", "reads text"},
		{"gpt:context=4000", "text:" + file, file + ": "},
		{"gpt", "text:" + file + ".old", file + ".old"},
	} {
		m := birds(file)
		m.Model, m.Data.Source = test.model, test.source
		if _, err := New(m, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %s: %v, want %q", test.model, test.source, err, test.want)
		}
	}
}
