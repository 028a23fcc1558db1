package compute

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"starling/node"
	"starling/node/manifest"
)

func softmax() manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Split, m.Data.Shards, m.Method.Batch = "softmax", "iid", 20, 16
	return m
}

func engine(t *testing.T, m manifest.Manifest, o Options) *Engine {
	t.Helper()
	e, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTrainingIsAFunctionOfSeedNodeAndStep(t *testing.T) {
	a, b := engine(t, softmax(), Options{Node: 7, Shard: 3}), engine(t, softmax(), Options{Node: 7, Shard: 23})
	params, opt := a.Init()
	run := func(e *Engine, cuts ...uint64) ([]float32, []float32) {
		p, o := slices.Clone(params), slices.Clone(opt)
		at := uint64(0)
		for _, n := range cuts {
			np, no := make([]float32, e.Len()), make([]float32, e.OptLen())
			if samples, loss := e.Train(t.Context(), p, o, np, no, at, n); samples != 16*n || math.IsNaN(loss) {
				t.Fatalf("%d samples, loss %g", samples, loss)
			}
			p, o, at = np, no, at+n
		}
		return p, o
	}
	p1, o1 := run(a, 12)
	p2, o2 := run(b, 5, 7) // shard 23 of 20 is shard 3
	if !slices.Equal(p1, p2) || !slices.Equal(o1, o2) {
		t.Error("twelve steps differ from five and seven")
	}
	if other, _ := engine(t, softmax(), Options{Node: 8, Shard: 3}).Init(); !slices.Equal(params, other) {
		t.Error("a common start differs between nodes")
	}
	m := softmax()
	m.Init, m.Model = "independent", "mlp:8"
	x, _ := engine(t, m, Options{Node: 1}).Init()
	y, _ := engine(t, m, Options{Node: 2}).Init()
	if slices.Equal(x, y) {
		t.Error("independent starts are equal")
	}
	accuracy, loss := a.Evaluate(t.Context(), p1)
	if before, lossBefore := a.Evaluate(t.Context(), params); accuracy <= before || loss >= lossBefore {
		t.Errorf("accuracy went from %g to %g, loss from %g to %g", before, accuracy, lossBefore, loss)
	}
}

func TestADivergedModelIsSaid(t *testing.T) {
	m := softmax()
	m.Model, m.Optimizer = "mlp:8,8", "sgd:lr=1e6"
	e := engine(t, m, Options{})
	params, opt := e.Init()
	out, outOpt := make([]float32, e.Len()), make([]float32, e.OptLen())
	if _, loss := e.Train(t.Context(), params, opt, out, outOpt, 0, 20); !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		t.Errorf("loss %g", loss)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if samples, loss := e.Train(ctx, params, opt, out, outOpt, 0, 20); samples != 0 || !math.IsNaN(loss) {
		t.Errorf("told to stop: %d samples, loss %g", samples, loss)
	}
}

func TestVectorsSurviveTheWire(t *testing.T) {
	e := engine(t, softmax(), Options{})
	params, _ := e.Init()
	for i := range params {
		params[i] += float32(i%17) / 16
	}
	b, stats, err := e.Encode(params)
	if err != nil || uint64(len(b)) > e.MaxPayload() || len(stats) != e.Tensors() {
		t.Fatalf("%d bytes, %d statistics, %v", len(b), len(stats), err)
	}
	got := make([]float32, e.Len())
	if err := e.Decode(got, b); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if math.Abs(float64(got[i]-params[i])) > math.Abs(float64(params[i]))/128 {
			t.Fatalf("element %d was %g and is %g", i, params[i], got[i])
		}
	}
	if e.Decode(got, b[1:]) == nil {
		t.Error("a cut payload decodes")
	}
}

func TestCombinationsAreSums(t *testing.T) {
	vecs := map[node.VecRef][]float32{1: {1, 2}, 2: {10, 20}}
	out := make([]float32, 2)
	Combine([]node.Term{{Vec: 1, Coef: 2}, {Vec: 2, Coef: -0.5}}, vecs, out)
	if !slices.Equal(out, []float32{-3, -6}) {
		t.Error(out)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	for want, edit := range map[string]func(*manifest.Manifest){
		"--data":      func(m *manifest.Manifest) { m.Data.Source = "own" },
		"limits.blob": func(m *manifest.Manifest) { m.Model, m.Limits.Blob = "mlp:512", 64*manifest.KiB },
		"fp32":        func(m *manifest.Manifest) { m.Method.Mix = manifest.PushSum },
		"nowhere":     func(m *manifest.Manifest) { m.Data.Source = "csv:nowhere.csv" },
	} {
		m := softmax()
		edit(&m)
		if _, err := New(m, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestArenasKeepWhatIsHeldAndReuseTheRest(t *testing.T) {
	a := NewArena()
	a.Put(1, []float32{1})
	v := a.Alloc(2, 8)
	held := a.Hold(1)
	a.Release(1)
	if a.Live() != 2 || held[0] != 1 {
		t.Error("a held vector is gone")
	}
	a.Drop(1)
	a.Drop(2)
	a.Release(2)
	if a.Live() != 0 {
		t.Errorf("%d vectors are left", a.Live())
	}
	if w := a.Alloc(3, 8); &w[0] != &v[0] {
		t.Error("memory is not used again")
	}
	for what, misuse := range map[string]func(){
		"unknown": func() { a.Hold(99) }, "twice": func() { a.Put(3, nil) }, "not held": func() { a.Drop(3); a.Drop(3) },
		"released twice": func() { a.Put(4, nil); a.Hold(4); a.Release(4); a.Release(4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			misuse()
		}()
	}
}
