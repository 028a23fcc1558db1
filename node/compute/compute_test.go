package compute

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"starling/gossip"
	"starling/node"
	"starling/node/manifest"
)

func softmax() manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Data.Split, m.Data.Shards, m.Method.Batch = "softmax", "iid", 20, 16
	return m
}

// site is one node with a worker of its own.
type site struct {
	*Program
	*Worker
	node *Node
}

func build(t testing.TB, m manifest.Manifest, o Options, seed uint64, part int) site {
	t.Helper()
	p, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.Node(seed, part)
	if err != nil {
		t.Fatal(err)
	}
	return site{p, p.Worker(), n}
}

func (s site) init() (params, opt []float32) {
	params, opt = make([]float32, s.Len()), make([]float32, s.OptLen())
	s.Init(s.node, params, opt)
	return params, opt
}

func TestTrainingIsAFunctionOfSeedNodeAndStep(t *testing.T) {
	a, b := build(t, softmax(), Options{}, 7, 3), build(t, softmax(), Options{Parts: []int{5, 23}}, 7, 23)
	params, opt := a.init()
	run := func(s site, cuts ...uint64) ([]float32, []float32) {
		p, o := slices.Clone(params), slices.Clone(opt)
		at := uint64(0)
		for _, n := range cuts {
			np, no := make([]float32, s.Len()), make([]float32, s.OptLen())
			got := s.Train(t.Context(), s.node, node.TrainJob{Job: 9, Step: at, Steps: n}, p, o, nil, np, no)
			if got.Job != 9 || got.Steps != n || got.Samples != 16*n || math.IsNaN(got.Loss) {
				t.Fatalf("%d steps: %+v", n, got)
			}
			p, o, at = np, no, at+n
		}
		return p, o
	}
	p1, o1 := run(a, 12)
	p2, o2 := run(b, 5, 7) // part 23 of 20 is part 3, whether others are loaded or not
	if !slices.Equal(p1, p2) || !slices.Equal(o1, o2) {
		t.Error("twelve steps differ from five and seven")
	}
	if _, err := b.Program.Node(7, 4); err == nil {
		t.Error("a part that was not loaded is there")
	}
	if other, _ := (site{Program: a.Program, node: &Node{seed: 8}}).init(); !slices.Equal(params, other) {
		t.Error("a common start differs between nodes")
	}
	m := softmax()
	m.Init, m.Model = "independent", "mlp:8"
	own := build(t, m, Options{}, 1, 0)
	x, _ := own.init()
	y, _ := site{Program: own.Program, node: &Node{seed: 2}}.init()
	if slices.Equal(x, y) {
		t.Error("independent starts are equal")
	}
	accuracy, loss := a.Evaluate(t.Context(), p1)
	if before, lossBefore := a.Evaluate(t.Context(), params); accuracy <= before || loss >= lossBefore {
		t.Errorf("accuracy went from %g to %g, loss from %g to %g", before, accuracy, lossBefore, loss)
	}
	unpacked := build(t, softmax(), Options{Unpack: true}, 7, 3)
	if a2, l2 := unpacked.Evaluate(t.Context(), p1); a2 != accuracy || l2 != loss {
		t.Errorf("accuracy %g and loss %g, unpacked %g and %g", accuracy, loss, a2, l2)
	}
}

func TestAPassEndsWithASmallerBatch(t *testing.T) {
	s := build(t, softmax(), Options{}, 7, 3)
	rows := s.node.Rows()
	params, opt := s.init()
	out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	got := s.Train(t.Context(), s.node, node.TrainJob{Step: 400}, params, opt, nil, out, outOpt)
	if want := uint64(rows+15) / 16; rows != 3000 || got.Steps != want || got.Samples != uint64(rows) {
		t.Errorf("a pass over %d rows: %+v, want %d steps", rows, got, want)
	}
}

func TestANodeWithoutRowsDoesNothing(t *testing.T) {
	s := build(t, softmax(), Options{}, 1, 0)
	empty := &Node{rows: []int32{}}
	params, opt := s.init()
	params[5] = 5
	out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	for _, steps := range []uint64{0, 3} {
		got := s.Train(t.Context(), empty, node.TrainJob{Job: 4, Steps: steps}, params, opt, nil, out, outOpt)
		if got != (node.Trained{Job: 4}) || !slices.Equal(out, params) {
			t.Errorf("%d steps: %+v", steps, got)
		}
	}
}

func TestADivergedModelIsSaid(t *testing.T) {
	m := softmax()
	m.Model, m.Optimizer = "mlp:8,8", "sgd:lr=1e6"
	s := build(t, m, Options{}, 0, 0)
	params, opt := s.init()
	out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	if got := s.Train(t.Context(), s.node, node.TrainJob{Steps: 20}, params, opt, nil, out, outOpt); !math.IsNaN(got.Loss) && !math.IsInf(got.Loss, 0) {
		t.Errorf("loss %g", got.Loss)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Train(ctx, s.node, node.TrainJob{Steps: 20}, params, opt, nil, out, outOpt); got.Samples != 0 || !math.IsNaN(got.Loss) {
		t.Errorf("told to stop: %+v", got)
	}
}

func TestVectorsSurviveTheWire(t *testing.T) {
	e := build(t, softmax(), Options{}, 0, 0)
	params, _ := e.init()
	for i := range params {
		params[i] += float32(i%17) / 16
	}
	b, stats, err := e.Encode(e.node, params)
	if err != nil || uint64(len(b)) > e.MaxPayload() || len(stats) != e.Tensors() {
		t.Fatalf("%d bytes, %d statistics, %v", len(b), len(stats), err)
	}
	got := make([]float32, e.Len())
	if err := e.Decode(got, e.Codec(), b); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if math.Abs(float64(got[i]-params[i])) > math.Abs(float64(params[i]))/128 {
			t.Fatalf("element %d was %g and is %g", i, params[i], got[i])
		}
	}
	if e.Decode(got, e.Codec(), b[1:]) == nil {
		t.Error("a cut payload decodes")
	}
}

func TestCombinationsAreSums(t *testing.T) {
	vecs := Held{{1, []float32{1, 2}}, {2, []float32{10, 20}}}
	out := make([]float32, 2)
	s := build(t, softmax(), Options{}, 0, 0)
	if _, err := s.Mix(node.MixJob{Terms: []node.Term{{Vec: 1, Coef: 2}, {Vec: 2, Coef: -0.5}}}, vecs, out); err != nil || !slices.Equal(out, []float32{-3, -6}) {
		t.Error(out, err)
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

// pegasos is the smallest workload: 1,000 nodes of four rows.
func pegasos(nodes int) manifest.Manifest {
	m := manifest.Default()
	m.Model, m.Optimizer, m.Codec = "svm", "pegasos:lambda=0.01", "fp32"
	m.Data = manifest.Data{Source: "pegasos", Split: "contiguous", Shards: nodes}
	m.Method.Mix, m.Method.Batch = "mean", 1
	return m
}

// mean2 is a mix of the own vector, 1, with one of somebody else's, 2.
func mean2() node.MixJob {
	return node.MixJob{Rule: "mean", Own: node.MixInput{Peer: node.PeerID{1}, Vec: 1}, In: []node.MixInput{{Peer: node.PeerID{2}, Vec: 2}}}
}

func TestManyNodesLearnByGossip(t *testing.T) {
	s := build(t, pegasos(1000), Options{}, 0, 0)
	var nodes []*Node
	models, ages := make([][]float32, 1000), make([]uint64, 1000)
	for i := range 1000 {
		n, err := s.Program.Node(uint64(i), i)
		if err != nil {
			t.Fatal(err)
		}
		nodes, models[i] = append(nodes, n), make([]float32, s.Len())
	}
	mixed := make([]float32, s.Len())
	for round := range 30 {
		for i, n := range nodes {
			from := (i*7919 + round*104729) % 1000
			if _, err := s.Mix(mean2(), Held{{1, models[i]}, {2, models[from]}}, mixed); err != nil {
				t.Fatal(err)
			}
			ages[i] = max(ages[i], ages[from])
			got := s.Train(t.Context(), n, node.TrainJob{Step: uint64(round * n.Rows()), Age: ages[i]}, mixed, nil, nil, models[i], nil)
			if got.Steps != uint64(n.Rows()) || n.Rows() < 4 || n.Rows() > 5 {
				t.Fatalf("%+v on %d rows", got, n.Rows())
			}
			ages[i] += got.Steps
		}
	}
	if accuracy, _ := s.Evaluate(t.Context(), models[0]); accuracy < 0.84 {
		t.Errorf("accuracy %g", accuracy)
	}
}

func TestTenThousandNodesShareFewerRows(t *testing.T) {
	s := build(t, pegasos(10_000), Options{}, 0, 0)
	rows := 0
	for i := range 10_000 {
		n, err := s.Program.Node(uint64(i), i)
		if err != nil {
			t.Fatal(err)
		}
		rows += n.Rows()
	}
	if rows != 4141 {
		t.Errorf("%d rows", rows)
	}
}

func TestResultsDoNotDependOnTheWorker(t *testing.T) {
	m := softmax()
	m.Data.Shards = 300
	p := build(t, m, Options{}, 0, 0).Program
	shared := p.Worker()
	params, opt := make([]float32, p.Len()), make([]float32, p.OptLen())
	for i := range 3 {
		for _, steps := range []uint64{0, 5, 0} {
			var outs [2][]float32
			for k, w := range []*Worker{shared, p.Worker()} {
				n, err := p.Node(uint64(i), i)
				if err != nil {
					t.Fatal(err)
				}
				outs[k] = make([]float32, p.Len())
				w.Train(t.Context(), n, node.TrainJob{Step: 17, Steps: steps}, params, opt, nil, outs[k], make([]float32, p.OptLen()))
			}
			if !slices.Equal(outs[0], outs[1]) {
				t.Fatalf("node %d: %d steps differ on a fresh worker", i, steps)
			}
		}
	}
}

func TestJobsCostNoMemoryInTheLongRun(t *testing.T) {
	for name, m := range map[string]manifest.Manifest{"svm": pegasos(1000), "softmax": softmax()} {
		s := build(t, m, Options{}, 3, 3)
		params, opt := s.init()
		out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
		var held Vectors = Held{{1, params}, {2, slices.Clone(params)}}
		mix := mean2()
		mix.In[0].Stats = make([]gossip.TensorStat, s.Tensors())
		terms := node.MixJob{Terms: []node.Term{{Vec: 1, Coef: 2}, {Vec: 2, Coef: -0.5}}}
		for what, job := range map[string]func(){
			"train":    func() { s.Train(t.Context(), s.node, node.TrainJob{Steps: 3}, params, opt, nil, out, outOpt) },
			"pass":     func() { s.Train(t.Context(), s.node, node.TrainJob{Age: 5}, params, opt, nil, out, outOpt) },
			"evaluate": func() { s.Evaluate(t.Context(), params) },
			"mix":      func() { _, _ = s.Mix(mix, held, out) },
			"terms":    func() { _, _ = s.Mix(terms, held, out) },
		} {
			if name == "softmax" && (what == "pass" || what == "evaluate") && testing.Short() {
				continue
			}
			if n := testing.AllocsPerRun(3, job); n > 0 {
				t.Errorf("%s: %g allocations a %s", name, n, what)
			}
		}
	}
}

func BenchmarkPegasosPass(b *testing.B) {
	s := build(b, pegasos(1035), Options{}, 3, 3) // four rows
	params, opt := s.init()
	out := make([]float32, s.Len())
	step := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		s.Train(b.Context(), s.node, node.TrainJob{Step: step, Age: step}, params, opt, nil, out, nil)
		params, out = out, params
		step += 4
	}
}

func BenchmarkPegasosEvaluate(b *testing.B) {
	s := build(b, pegasos(1000), Options{}, 3, 3)
	params, _ := s.init()
	b.ReportAllocs()
	for b.Loop() {
		s.Evaluate(b.Context(), params)
	}
}

func BenchmarkPegasosMix(b *testing.B) {
	s := build(b, pegasos(1000), Options{}, 3, 3)
	pool := NewPool(4)
	a := NewArena(pool)
	clear(a.Alloc(1, s.Len()))
	clear(a.Alloc(2, s.Len()))
	out := a.Alloc(3, s.Len())
	job := mean2()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Mix(job, a, out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMLPEvaluate(b *testing.B) {
	for name, unpack := range map[string]bool{"images": false, "floats": true} {
		m := softmax()
		m.Model = "mlp:100"
		s := build(b, m, Options{Unpack: unpack}, 0, 0)
		params, _ := s.init()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Evaluate(b.Context(), params)
			}
		})
	}
}

func BenchmarkMLPPass(b *testing.B) {
	m := softmax()
	m.Model, m.Data.Shards, m.Method.Batch = "mlp:100", 1000, 32
	s := build(b, m, Options{}, 0, 0)
	params, opt := s.init()
	out, outOpt := make([]float32, s.Len()), make([]float32, s.OptLen())
	b.ReportAllocs()
	for b.Loop() {
		s.Train(b.Context(), s.node, node.TrainJob{}, params, opt, nil, out, outOpt)
	}
}

// A shift is a gradient of its own: with plain steps its effect is minus the sum of the learning rates, which a job tells.
func TestAShiftIsAddedToEveryGradient(t *testing.T) {
	m := softmax()
	m.Optimizer = "sgd:lr=0.1,schedule=cosine,total=40"
	s := build(t, m, Options{}, 7, 3)
	params, opt := s.init()
	shift := make([]float32, s.Len())
	const one = 3
	shift[one] = 0.25
	plain, moved := make([]float32, s.Len()), make([]float32, s.Len())
	job := node.TrainJob{Step: 10, Steps: 1}
	a := s.Train(t.Context(), s.node, job, params, opt, nil, plain, nil)
	b := s.Train(t.Context(), s.node, job, params, opt, shift, moved, nil)
	if a.Work != b.Work || !(a.Work > 0.05 && a.Work < 0.1) {
		t.Errorf("work is %g and %g", a.Work, b.Work)
	}
	for i := range plain {
		want := -float64(b.Work * float64(shift[i]))
		if got := float64(moved[i]) - float64(plain[i]); math.Abs(got-want) > 1e-7 {
			t.Fatalf("parameter %d has moved by %g, want %g", i, got, want)
		}
	}
	if c := s.Train(t.Context(), s.node, node.TrainJob{Step: 0, Steps: 4}, params, opt, nil, plain, nil); !(c.Work > 0.39 && c.Work < 0.4) {
		t.Errorf("the work of four steps at the beginning is %g, want a little less than 0.4", c.Work)
	}
}

func TestWhatCopiesAreSetToSuitsTheCodec(t *testing.T) {
	m := softmax()
	m.Method.Exchange, m.Method.Mix, m.Codec = manifest.Copies, "metropolis", "randk:0.1,int8,unbiased"
	m.Method.Public.Correct = manifest.Scallion
	got := build(t, m, Options{}, 1, 0).Copies()
	if got.Gamma != 0.05 || !(got.Damp > 0.09 && got.Damp < 0.1) || got.Beta != 0.1 || !got.Common {
		t.Errorf("%+v", got)
	}
	m.Codec, m.Method.Public = "fp32", manifest.Public{Correct: manifest.Scafcom, Gamma: 0.5}
	if got := build(t, m, Options{}, 1, 0).Copies(); got != (node.CopiesConfig{Gamma: 0.5, Damp: 1, Beta: 0.2, Common: true}) {
		t.Errorf("%+v", got)
	}
}
