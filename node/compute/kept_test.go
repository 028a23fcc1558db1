package compute

import (
	"slices"
	"testing"

	"starling/node"
)

// TestWhatIsKeptTrainsAsIfItWereShared trains adapters of which only A is shared, and whole ones: in one node there is no difference, to the
// last bit, whoever holds what.
func TestWhatIsKeptTrainsAsIfItWereShared(t *testing.T) {
	o := Options{Model: tiny("llama"), Source: talk(t), Threads: 2}
	whole := build(t, tuning(t, tiny("llama"), "lora:r=2"), o, 7, 0)
	half := build(t, tuning(t, tiny("llama"), "lora:r=2,share=a"), o, 7, 0)
	if whole.Kept() != nil || len(half.Kept()) == 0 || half.Len() >= whole.Len() || half.OptLen() != whole.OptLen()+whole.Len()-half.Len() {
		t.Fatalf("%d and %d numbers are shared, states have %d and %d", whole.Len(), half.Len(), whole.OptLen(), half.OptLen())
	}
	for _, tensor := range half.Layout().Tensors {
		if tensor.Private {
			t.Errorf("%s is in what is shared", tensor.Name)
		}
	}
	params, opt := whole.init()
	shared, kept := half.init()
	joined := make([]float32, whole.Len())
	for round := range uint64(2) { // the second goes on from what the first left
		for _, s := range []struct {
			site
			params, opt *[]float32
		}{{whole, &params, &opt}, {half, &shared, &kept}} {
			shift := slices.Repeat([]float32{0}, s.Len())
			out, outOpt := slices.Clone(*s.params), slices.Clone(*s.opt)
			if trained := s.Train(t.Context(), s.node, node.TrainJob{Step: 5 * round, Steps: 5}, *s.params, *s.opt, shift, out, outOpt); trained.Steps != 5 {
				t.Fatalf("%+v", trained)
			}
			*s.params, *s.opt = out, outOpt
		}
		half.kept.join(joined, shared, half.kept.own(kept))
		if !slices.Equal(joined, params) {
			t.Fatalf("round %d: what is shared and what is kept make another model", round)
		}
	}
	if n := whole.OptLen(); !slices.Equal(kept[:n], opt) {
		t.Error("the optimizer's states differ")
	}
	if slices.Max(half.kept.own(kept)) == 0 {
		t.Error("what is kept has not been trained")
	}
	acc, loss := whole.Evaluate(t.Context(), params)
	if a, l := half.EvaluateOf(t.Context(), half.node, shared); a != acc || l != loss {
		t.Errorf("evaluated as %g, %g, want %g, %g", a, l, acc, loss)
	}
	// A process that comes back knows what it kept from the optimizer's state.
	again := build(t, half.manifest, o, 7, 0)
	again.Recall(again.node, kept)
	if a, l := again.EvaluateOf(t.Context(), again.node, shared); a != acc || l != loss {
		t.Errorf("after a restart evaluated as %g, %g, want %g, %g", a, l, acc, loss)
	}
	again.Pace(again.node)
}
