package scalar

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestNeighboursOfTheCodeAreOneApart(t *testing.T) {
	last := byte(0)
	var all []byte // in order of values
	for m := MaxCode; m > 0; m-- {
		all = append(all, 0x80|byte(m))
	}
	for m := range MaxCode + 1 {
		all = append(all, byte(m))
	}
	for i, b := range all {
		if i > 0 && (Value(b) <= Value(last) || Apart(b, last) != 1) {
			t.Fatalf("%#x and %#x are %d apart", last, b, Apart(b, last))
		}
		if last = b; Apart(b, all[0]) != i || Apart(all[0], b) != i {
			t.Fatalf("%#x is %d apart from the least, want %d", b, Apart(b, all[0]), i)
		}
	}
}

// TestCheckedBytesHaveTheSlopeAsTheirMean averages over places, of which each rounds in its own way.
func TestCheckedBytesHaveTheSlopeAsTheirMean(t *testing.T) {
	cfg := parse(t, "structured:clip=100")
	r := rand.New(rand.NewPCG(3, 3))
	for _, g := range []float64{0.001, -0.02, 0.7, 2.34, -5} {
		sum, first, varies := 0.0, cfg.Byte(g, 9, 0, 0), false
		const n = 20_000
		for range n {
			seq, peer := r.Uint64N(1<<40), r.Uint64()
			b := cfg.Byte(g, peer, seq, uint32(seq/256))
			if b != cfg.Byte(g, peer, seq, uint32(seq/256)) {
				t.Fatal("a place rounds in two ways")
			}
			if Apart(b, first) > 1 {
				t.Fatalf("%g is %#x and %#x", g, b, first)
			}
			varies = varies || b != first
			sum += float64(Value(b)) * cfg.GUnit() / n
		}
		if math.Abs(sum-g) > 0.01*math.Abs(g)+0.0001 || !varies {
			t.Errorf("bytes of %g have the mean %g, different ones: %v", g, sum, varies)
		}
	}
	for _, g := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if b := cfg.Byte(g, 1, 2, 0); b != 0 {
			t.Errorf("%g makes %#x", g, b)
		}
	}
	if b := cfg.Byte(-1e9, 1, 2, 0); b != 0x80|100 {
		t.Errorf("a slope beyond the clip makes %#x", b)
	}
}
