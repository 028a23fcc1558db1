package compute

import (
	"math"
	"slices"
	"testing"

	"starling/mixing/scalar"
	"starling/node"
	"starling/node/manifest"
)

func byScalars() manifest.Manifest {
	m := softmax()
	d := manifest.Default()
	m.Init, m.Optimizer, m.Codec, m.Method = "common", d.Optimizer, d.Codec, d.Method
	m.Method.Name, m.Method.Scalar = "scalar", "structured:pool=256,lr=0.002"
	return m
}

// replica makes the model of a node, and the weights that it starts from.
func replica(t testing.TB, s site) (*Replica, node.ScalarConfig, []float32) {
	t.Helper()
	cfg, err := s.Scalar()
	if err != nil {
		t.Fatal(err)
	}
	base, _ := s.init()
	r, err := NewReplica(s.Layout(), cfg, base)
	if err != nil {
		t.Fatal(err)
	}
	return r, cfg, base
}

func TestASlopeIsTheGradientAlongTheDirection(t *testing.T) {
	s := build(t, byScalars(), Options{}, 7, 0)
	r, cfg, base := replica(t, s)
	if cfg.BaseDigest != r.Digest() {
		t.Error("the digest of the base is not that of the model of no records")
	}
	grad := make([]float32, s.Len())
	loss, samples := s.Gradient(s.node, 5, base, grad)
	for k := range uint32(4) {
		job := node.ProbeJob{Job: 9, Place: scalar.Place{Generation: 1, K: k}, Step: 5, Eps: cfg.Eps}
		got := s.ProbeReplica(t.Context(), s.node, job, r)
		want := 0.0
		pool := cfg.Pool(cfg.RunSeed)
		for i, tensor := range s.Layout().Tensors {
			for j, g := range tensor.Of(grad) {
				want += float64(g) * float64(pool.At(1, k, uint32(i), uint64(j)))
			}
		}
		if math.Abs(got.Slope-want) > 0.02*(1+math.Abs(want)) {
			t.Errorf("direction %d: the slope is %g, the gradient along it %g", k, got.Slope, want)
		}
		if got.Job != 9 || got.Samples != samples || math.Abs(got.Loss-loss) > 0.01*loss {
			t.Errorf("%+v; the loss of these %d examples is %g", got, samples, loss)
		}
	}
}

func TestReplicasAreWhatTheyWereTold(t *testing.T) {
	s := build(t, byScalars(), Options{}, 7, 0)
	a, cfg, base := replica(t, s)
	b, _, _ := replica(t, s)
	changes := []scalar.Change{{Generation: 0, K: 3, By: 1 << 20}, {Generation: 2, K: 200, By: -77777}, {Generation: 0, K: 3, By: 5}}
	a.Tell(changes)
	first := a.Digest()
	for _, c := range slices.Backward(changes) {
		b.Tell([]scalar.Change{c})
		b.Digest()
	}
	if first == cfg.BaseDigest || b.Digest() != first {
		t.Error("the same changes in another order give another model")
	}
	weights := make([]float32, s.Len())
	a.Weights(weights)
	accuracy, loss := s.EvaluateReplica(t.Context(), b)
	if x, y := s.Evaluate(t.Context(), weights); x != accuracy || y != loss || slices.Equal(weights, base) {
		t.Errorf("a replica has an accuracy of %g and a loss of %g, its weights have %g and %g", accuracy, loss, x, y)
	}
}

func TestAProbeOfNothingHasNoSlope(t *testing.T) {
	m := byScalars()
	m.Data.Split, m.Data.Shards = "contiguous", 1<<16
	s := build(t, m, Options{}, 7, 1<<16-1)
	r, cfg, base := replica(t, s)
	if s.node.Rows() == 0 {
		if p := s.ProbeReplica(t.Context(), s.node, node.ProbeJob{Eps: cfg.Eps}, r); !math.IsNaN(p.Slope) || p.Samples != 0 {
			t.Errorf("without rows: %+v", p)
		}
	}
	infinite := slices.Repeat([]float32{float32(math.Inf(1))}, len(base))
	s = build(t, byScalars(), Options{}, 7, 0)
	if p := s.Probe(t.Context(), s.node, node.ProbeJob{Eps: cfg.Eps}, infinite, base); p.Slope-p.Slope == 0 {
		t.Errorf("with infinite weights: %+v", p)
	}
}
