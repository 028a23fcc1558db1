package adversary

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"starling/gossip"
	"starling/gossip/codec"
	"starling/mixing/kernel"
)

func TestSilenceIsTowardsItsShareOfPeersAndLasts(t *testing.T) {
	const n = 5000
	m := &gossip.Message{Seq: 1, Body: &gossip.Leave{}}
	for _, share := range []float64{1, 0.3} {
		a := attackOf(t, fmt.Sprintf("silence:%g,nodes=%d", share, n-1), n)
		silent := 0
		for to := range n {
			got := a.Send(to, m)
			if got != a.Send(to, m) || (got == nil) == a.Serves(to) || got != nil && got != m {
				t.Fatalf("towards %d: %v, serves %v", to, got, a.Serves(to))
			}
			if got == nil {
				silent++
			}
		}
		if off := math.Abs(float64(silent)/n - share); off > 0.04 {
			t.Errorf("silent towards %d of %d, want a share of %g", silent, n, share)
		}
	}
}

func TestNoiseHasItsDeviationAndIsNewEachRound(t *testing.T) {
	const d = 20000
	own, base := make([]float32, d), slices.Repeat([]float32{3}, d)
	models := [][]float32{slices.Repeat([]float32{8}, d), slices.Repeat([]float32{12}, d)}
	for spec, centre := range map[string]float64{
		"gaussian:10,nodes=2": 3, "gaussian:10,on=model,nodes=2": 0, "gaussian:10,around=own,nodes=2": 0, "gaussian:10,around=mean,nodes=2": 10,
	} {
		a := attackOf(t, spec, 3)
		out := announced(t, a, &Context{Round: 1, Own: own, Base: base, View: seen(1, models)})
		next := announced(t, a, &Context{Round: 2, Own: own, Base: base, View: seen(1, models)})
		mean, square, cross := 0.0, 0.0, 0.0
		for j, x := range out {
			e, f := float64(x)-centre, float64(next[j])-centre
			mean, square, cross = mean+e/d, square+e*e/d, cross+e*f/d
		}
		// Six deviations of the estimates.
		if math.Abs(mean) > 0.43 || math.Abs(math.Sqrt(square)-10) > 0.3 || math.Abs(cross) > 4.3 {
			t.Errorf("%s: mean %g off, deviation %g, covariance with the next round %g", spec, mean, math.Sqrt(square), cross)
		}
	}
}

func TestFreeRiderClaimsWhatTheOthersClaim(t *testing.T) {
	a := attackOf(t, "free-rider:nodes=3", 4)
	if samples, loss, idle := a.Idle(NewView(4), 77); samples != 77 || loss != 0 || !idle {
		t.Errorf("with nothing heard: %d samples, loss %g, idle %v", samples, loss, idle)
	}
	if samples, _, idle := a.Idle(nil, 77); samples != 77 || !idle {
		t.Errorf("without a view: %d samples, idle %v", samples, idle)
	}
	v := NewView(4)
	v.Put(0, 10, 0.5, []float32{1})
	v.Put(1, 1000, 0.1, []float32{2})
	v.Put(2, 20, 0.3, []float32{3})
	if samples, loss, idle := a.Idle(v, 77); samples != 20 || loss != 0.3 || !idle {
		t.Errorf("claims %d samples and loss %g, want the medians 20 and 0.3", samples, loss)
	}
	if a.Announce(&Context{Round: 1, Own: []float32{1}, View: v}, make([]float32, 1)) {
		t.Error("a plain free-rider changes the vector")
	}
	if _, _, idle := attackOf(t, "alie:1,nodes=3", 4).Idle(v, 77); idle {
		t.Error("alie does not train")
	}
}

func TestDisguiseFades(t *testing.T) {
	const d = 4000
	a := attackOf(t, "free-rider:multiplier=2,power=0.5,nodes=1", 2)
	first, second := make([]float32, d), slices.Repeat([]float32{0.5}, d)
	a.Announce(&Context{Round: 1, Own: first}, make([]float32, d))
	for _, round := range []uint64{2, 5, 17} {
		square := 0.0
		for j, x := range announced(t, a, &Context{Round: round, Own: second}) {
			square += float64(x-second[j]) * float64(x-second[j]) / d
		}
		want := 2 * 0.5 / math.Sqrt(float64(round-1))
		if got := math.Sqrt(square); math.Abs(got-want) > 0.1*want {
			t.Errorf("round %d: noise of deviation %g, want %g", round, got, want)
		}
	}
}

func TestAttackersWithNothingToSeeAreHonest(t *testing.T) {
	own := []float32{1, 2}
	for _, spec := range []string{
		"alie:1", "ipm:1", "scaled-flip:on=update", "mimic:0", "mimic:learn=2", "sign-flip:mean", "gaussian:around=mean", "dissensus:1", "label-flip:share=0.1",
	} {
		if spec != "label-flip:share=0.1" {
			spec += ",nodes=4"
		}
		r, err := Parse([]string{spec}, 5, 3)
		if err != nil {
			t.Fatal(err)
		}
		a := r.Of(r.Groups()[0].Nodes[0])
		for _, v := range []*View{nil, NewView(5)} {
			out := []float32{7, 7}
			if a.Announce(&Context{Round: 1, Own: own, View: v, Version: a.Version(0)}, out) || out[0] != 7 {
				t.Errorf("%s announces %v", spec, out)
			}
		}
	}
}

func TestOthersTrainServeAndSendAsHonestNodesDo(t *testing.T) {
	m := &gossip.Message{Seq: 1, Body: &gossip.Update{Round: 1, Blob: gossip.BlobID{1}}}
	for _, spec := range []string{"sign-flip", "scaling", "scaled-flip", "ipm", "alie", "gaussian", "label-flip", "mimic", "stale", "nan", "infinity"} {
		a := attackOf(t, spec+":nodes=9", 10)
		_, _, idle := a.Idle(nil, 5)
		if idle || !a.Serves(3) || a.Send(3, m) != m || a.Version(3) != 0 {
			t.Errorf("%s: idle %v, serves %v, sends %v, version %d", spec, idle, a.Serves(3), a.Send(3, m), a.Version(3))
		}
		y := []int32{0, 3, 9}
		if a.Labels(y, 10); spec != "label-flip" && !slices.Equal(y, []int32{0, 3, 9}) {
			t.Errorf("%s changes labels", spec)
		}
	}
}

func TestEquivocationLeavesOtherMessagesAlone(t *testing.T) {
	for _, spec := range []string{"equivocation:nodes=1", "equivocation:3,nodes=1", "dissensus:nodes=1"} {
		a := attackOf(t, spec, 2)
		for _, body := range []gossip.Body{&gossip.Leave{}, &gossip.Digest{}, &gossip.Update{Inline: []byte{1}}} {
			if m := (&gossip.Message{Body: body}); a.Send(0, m) != m {
				t.Errorf("%s changes a message with %T", spec, body)
			}
		}
		if a.Announce(&Context{Round: 1, Own: []float32{1}}, make([]float32, 1)) {
			t.Errorf("%s: version 0 is not the honest one", spec)
		}
	}
	if _, ok := VersionOf(gossip.BlobID{1}, gossip.BlobID{2}); ok {
		t.Error("blobs of different vectors are versions of each other")
	}
}

func TestVersionsDifferThoughNothingWasLearned(t *testing.T) {
	a := attackOf(t, "equivocation:nodes=9", 10)
	for _, own := range [][]float32{{0, 0}, {1, 2}} {
		c := &Context{Round: 1, Own: own, Base: own, Version: 1}
		one := announced(t, a, c)
		c.Version = 2
		if two := announced(t, a, c); slices.Equal(one, two) || slices.Equal(one, own) {
			t.Errorf("versions %v and %v of %v", one, two, own)
		}
	}
}

func TestNonFiniteKindsAreWhatCodecsRefuse(t *testing.T) {
	c, err := codec.Parse("fp32")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"nan", "infinity"} {
		out := announced(t, attackOf(t, kind+":nodes=1", 2), &Context{Round: 1, Own: []float32{1, 2}})
		if _, err := c.Encode(nil, out, 0); err == nil || kernel.Finite(out) {
			t.Errorf("%s announces %v", kind, out)
		}
	}
	b, err := codec.Parse("bf16")
	if err != nil {
		t.Fatal(err)
	}
	out := announced(t, attackOf(t, "scaling:1e30,nodes=1", 2), &Context{Round: 1, Own: []float32{1e20, -1e20}})
	payload, err := b.Encode(nil, out, 0)
	if err != nil {
		t.Fatalf("%v does not encode: %v", out, err)
	}
	if err := b.Decode(make([]float32, 2), payload); err != nil {
		t.Errorf("%v is refused: %v", out, err)
	}
}

func TestQuantileInvertsTheNormalDistribution(t *testing.T) {
	for _, z := range []float64{0, 0.1, 0.5, 1, 1.959963984540054, 3, 4.75, 6} {
		for _, sign := range []float64{-1, 1} {
			p := 0.5 * math.Erfc(-sign*z/math.Sqrt2)
			if got := quantile(p); math.Abs(got-sign*z) > 1e-6*max(1e-6, math.Exp(0.5*z*z)*1e-9) {
				t.Errorf("quantile(%g) is %.12f, want %.12f", p, got, sign*z)
			}
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	own := []float32{1, 2, 3, 4}
	v := seen(1, [][]float32{{1, 1, 1, 1}, {2, 3, 4, 5}, {0, 1, 0, 2}})
	m := &gossip.Message{Body: &gossip.Update{Blob: gossip.BlobID{1}}}
	out := make([]float32, 4)
	for _, spec := range []string{
		"sign-flip:own", "sign-flip:mean", "scaling:3", "scaled-flip:update", "ipm:1", "alie:1", "gaussian:1", "mimic:0", "mimic:learn=2", "stale:2",
		"free-rider:1", "equivocation:2", "silence:0.5",
	} {
		a := attackOf(t, spec+",nodes=3", 4)
		c := &Context{Own: own, View: v, Version: a.Version(0)}
		round := func() {
			c.Round++
			own[0]++
			a.Idle(v, 1)
			a.Announce(c, out)
			v.Put(1, 1, 1, own)
			for to := range 3 {
				a.Send(to, m)
				a.Serves(to)
			}
		}
		for range 5 {
			round()
		}
		if n := testing.AllocsPerRun(20, round); n != 0 {
			t.Errorf("%s allocates %g times a round", spec, n)
		}
	}
}

func BenchmarkALIEAmongThousand(b *testing.B) {
	const nodes, d = 1000, 10000
	v := NewView(nodes + 1)
	for i := range nodes {
		vec := make([]float32, d)
		for j := range vec {
			vec[j] = float32(i + j)
		}
		v.Put(i, 1, 1, vec)
	}
	r, err := Parse([]string{fmt.Sprintf("alie:z=1,nodes=%d", nodes)}, nodes+1, 1)
	if err != nil {
		b.Fatal(err)
	}
	c, out, i := &Context{Own: v.Of(0), View: v}, make([]float32, d), 0
	for b.Loop() { // ten honest nodes announce for each attacker
		for range 10 {
			v.Put(i%nodes, 1, 1, v.Of(i%nodes))
			i++
		}
		c.Round++
		r.Of(nodes).Announce(c, out)
	}
}
