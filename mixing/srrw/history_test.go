package srrw

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func counts(uint64, int) float64 { return 0 }

func TestCountsAddUp(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		n, hops := 1+r.IntN(30), r.IntN(500)
		h := NewHistory(MaxLimit)
		visits := make([]float64, n)
		for range hops {
			i := r.IntN(n)
			visits[i]++
			h.Visit(uint64(i), Config{A: 1}.Gamma)
		}
		met := 0
		for i, v := range visits {
			if got := h.Count(uint64(i)); got != v+1 {
				t.Errorf("peer %d has %v visits and a count of %v", i, v, got)
			}
			if v > 0 {
				met++
			}
		}
		if h.Len() != met || h.Sum() != float64(met+hops) || h.Visits() != uint64(hops) {
			t.Errorf("%d peers, sum %v, %d visits after %d hops over %d peers", h.Len(), h.Sum(), h.Visits(), hops, met)
		}
	})
}

// The history against the recursion of spec 02, section 2.6, in double precision.
func TestStepsFollowTheRecursion(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		n := 2 + r.IntN(20)
		c := Config{A: 0.51 + 0.45*r.Float64(), Floor: r.IntN(2) == 0}
		x := make([]float64, n)
		var tags []uint64
		for i := range x {
			x[i] = 1 / float64(n)
			tags = append(tags, uint64(i))
		}
		h := NewHistory(n, tags...)
		for hop := range uint64(3000) {
			j, g := r.IntN(n), math.Pow(float64(hop)+2, -c.A)
			if c.Floor {
				g = max(g, 1/float64(8*n))
			}
			for i := range x {
				x[i] *= 1 - g
			}
			x[j] += g
			h.Visit(uint64(j), c.Gamma)
		}
		for i := range x {
			if got := h.Value(uint64(i)) / h.Sum(); math.Abs(got-x[i]) > 1e-5*x[i]+1e-9 {
				t.Errorf("%v: x_%d = %v, want %v", c, i, got, x[i])
			}
		}
	})
}

func TestALongWalkKeepsItsRange(t *testing.T) {
	h := NewHistory(8, 1, 2, 3)
	for hop := range 200_000 {
		h.Visit(uint64(1+hop%2), func(uint64, int) float64 { return 0.5 })
		for _, tag := range []uint64{1, 2, 3} {
			if v := h.Value(tag); !(v >= least && v <= most) || !(h.Sum() <= most) {
				t.Fatalf("hop %d: value %v of %d, sum %v", hop, v, tag, h.Sum())
			}
		}
	}
	if x := h.Value(2) / h.Sum(); math.Abs(x-2.0/3) > 1e-6 {
		t.Errorf("the peer visited last has a share of %v, want 2/3", x)
	}
	if h.Value(3) >= h.Value(1)*1e-9 {
		t.Errorf("a peer that was never visited has %v of %v", h.Value(3), h.Sum())
	}
}

func TestTheOldestGiveWay(t *testing.T) {
	h := NewHistory(3)
	for _, tag := range []uint64{5, 5, 6, 7, 7, 7} {
		h.Visit(tag, counts)
	}
	if got := h.Value(9); got != 1 {
		t.Errorf("before anything is forgotten, a peer that nobody knows has %v, want a count of 1", got)
	}
	h.Visit(8, counts)
	if got := h.Peers(); !slices.Equal(got, []uint64{6, 7, 8}) {
		t.Errorf("left are %v, want the last three", got)
	}
	if got := h.Value(5); got != 2 {
		t.Errorf("a forgotten peer has %v, want 2, the smallest value left", got)
	}
	h.Visit(6, counts)
	h.Visit(5, counts) // 7 goes, though it has the largest value: it was visited least recently
	if got := h.Peers(); !slices.Equal(got, []uint64{5, 6, 8}) || h.Value(5) != 3 {
		t.Errorf("left are %v, 5 with %v, want 3", got, h.Value(5))
	}
	if got := NewHistory(2, 1, 2, 3).Len(); got != 2 {
		t.Errorf("%d entries, the limit is 2", got)
	}
}

func TestNewPeersStartLikeTheLeastSeenNeighbour(t *testing.T) {
	h := NewHistory(10, 1, 2, 3)
	for _, tag := range []uint64{1, 1, 1, 1, 2, 2} {
		h.Visit(tag, counts)
	}
	h.Admit(4, 1, 2, 99)
	h.Admit(5, 99)
	h.Admit(1, 3)
	h.Admit(6)
	for tag, want := range map[uint64]float64{1: 5, 4: 3, 5: 1, 6: 1} { // order-free
		if got := h.Value(tag); got != want {
			t.Errorf("peer %d has %v, want %v", tag, got, want)
		}
	}
	empty := NewHistory(10)
	empty.Admit(1)
	if empty.Value(1) != 1 {
		t.Errorf("the first peer of an empty history has %v", empty.Value(1))
	}
}

func TestThoseWhoLeaveLeaveTheirShareToTheOthers(t *testing.T) {
	h := NewHistory(10, 1, 2, 3)
	h.Visit(1, counts)
	h.Visit(3, counts)
	before := h.Value(1) / h.Value(2)
	h.Drop(3)
	h.Drop(77)
	if h.Knows(3) || !h.Knows(2) || h.Sum() != 3 || h.Len() != 2 || h.Value(1)/h.Value(2) != before {
		t.Errorf("sum %v, %d entries, ratio %v, was %v", h.Sum(), h.Len(), h.Value(1)/h.Value(2), before)
	}
}

func TestPlacesAreInOrderAndWithoutRepetition(t *testing.T) {
	h := NewHistory(10, 1, 2)
	h.Visit(2, counts)
	at := h.Around(Peer{Tag: 5}, []Peer{{Tag: 9}, {Tag: 2}, {Tag: 5}, {Tag: 2, Mu: 3}, {Tag: 1}})
	var tags []uint64
	var visits []float64
	for _, j := range at.Neighbours {
		tags, visits = append(tags, j.Tag), append(visits, j.Visits)
	}
	if !slices.Equal(tags, []uint64{1, 2, 9}) || !slices.Equal(visits, []float64{1, 2, 1}) || at.Self.Visits != 1 {
		t.Errorf("tags %v with %v, self %v", tags, visits, at.Self.Visits)
	}
}
