package sim

import (
	"slices"
	"testing"

	"starling/node"
)

func TestNodesRestWhenTheirRoundsAreOver(t *testing.T) {
	w := start(t, config(5, "mean"))
	w.Sleep(3, 2*node.Second)
	w.Crash(4, 2*node.Second)
	w.Run(3*node.Second, nil)
	if w.AtRest() {
		t.Error("the nodes are at rest before anybody asks them to")
	}
	at := make([]uint64, 5)
	for n := range at {
		at[n] = w.Work(n).Samples
	}
	w.Rest()
	w.Restart(3, 4*node.Second)
	w.Restart(4, 4*node.Second)
	w.Run(60*node.Second, func() bool { return w.Now() > 4*node.Second && w.AtRest() })
	if !w.AtRest() || w.Now() > 6*node.Second {
		t.Fatalf("at %.3f s: at rest %v", w.Now().Seconds(), w.AtRest())
	}
	for n := range w.Nodes() {
		s, _ := w.Status(n)
		if s.Phase != pausedPhase || !slices.Equal(w.Model(n), w.Params(n)) {
			t.Errorf("node %d is %s, or is not judged by what it holds", n, s.Phase)
		}
		if done := w.Work(n).Samples - at[n]; done > 5 {
			t.Errorf("node %d has trained on %d more samples, which is more than a round", n, done)
		}
	}
	samples := w.Samples()
	w.Run(w.Now()+10*node.Second, nil)
	if w.Samples() != samples || !w.AtRest() {
		t.Errorf("%d samples are trained on at rest", w.Samples()-samples)
	}
}

// TestWorkIsWhatTheCoresCount compares with what the nodes are told of their own work.
func TestWorkIsWhatTheCoresCount(t *testing.T) {
	w := start(t, config(4, "mean"))
	var trained, online [4]uint64
	w.Observe = func(n int, _ node.Instant, ev node.Event, _ *node.Batch) {
		if ev, ok := ev.(node.Trained); ok {
			trained[n] += ev.Samples
		}
	}
	w.Sleep(1, 4*node.Second)
	w.Restart(1, 7*node.Second)
	w.Run(20*node.Second, nil)
	online = [4]uint64{20e9, 17e9, 20e9, 20e9}
	var sum uint64
	for n := range w.Nodes() {
		k := w.Work(n)
		s, _ := w.Status(n)
		sum += k.Samples
		if k.Samples != trained[n] || uint64(k.Online) != online[n] {
			t.Errorf("node %d: %+v, want %d samples in %d ns", n, k, trained[n], online[n])
		}
		// With whole models, all up to the newest update that counted is useful, and of the rest nothing is.
		if low, high := 5*(s.Counted), 5*s.Published; k.Useful < low || k.Useful > high || k.Useful > k.Samples || k.Useful == 0 {
			t.Errorf("node %d: %d samples of %d are useful; %d of %d updates counted", n, k.Useful, k.Samples, s.Counted, s.Published)
		}
	}
	if sum != w.Samples() {
		t.Errorf("%d samples of all nodes, want %d", w.Samples(), sum)
	}
}

func TestOnlyWhatWasMarkedIsUsefulOfDifferences(t *testing.T) {
	var k work
	k.waiting = []credit{{1, 10}, {2, 20}, {4, 40}}
	k.mixed(2, false)
	if k.Useful != 20 || len(k.waiting) != 2 {
		t.Errorf("%+v after the second of three updates was mixed", k)
	}
	k.mixed(2, false)
	k.mixed(4, true)
	if k.Useful != 70 || len(k.waiting) != 0 {
		t.Errorf("%+v after all were, as whole models", k)
	}
}
