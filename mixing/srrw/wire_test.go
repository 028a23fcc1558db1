package srrw

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// walked is a history of a random walk with departures, newcomers and what others told.
func walked(r *rand.Rand) *History {
	h := NewHistory(1+r.IntN(40), 1, 2, 3)
	c := Config{A: 0.51 + 0.49*r.Float64(), Floor: r.IntN(2) == 0}
	for range r.IntN(2000) {
		tag := uint64(r.IntN(60))
		switch r.IntN(20) {
		case 0:
			h.Drop(tag)
		case 1:
			h.Admit(tag, uint64(r.IntN(60)))
		case 2:
			h.Learn([]Learned{{tag, uint64(1 + r.IntN(9))}}, c.Gamma)
		default:
			h.Visit(tag, c.Gamma)
		}
	}
	return h
}

func TestAHistoryThatWasSentIsTheOneThatWasKept(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		h := walked(r)
		b := h.Append(nil)
		got, err := DecodeHistory(b, h.limit)
		if err != nil {
			t.Fatalf("%v", err)
		}
		clone := h.Clone()
		if !got.Equal(h) || !clone.Equal(h) {
			t.Error("it is not equal")
		}
		c := Config{A: 0.8}
		for range 50 { // and goes on like it, bit for bit
			tag := uint64(r.IntN(60))
			h.Visit(tag, c.Gamma)
			got.Visit(tag, c.Gamma)
		}
		if !bytes.Equal(got.Append(nil), h.Append(nil)) {
			t.Error("it goes on otherwise")
		}
		if !got.Equal(h) || clone.Equal(h) || !bytes.Equal(clone.Append(nil), b) {
			t.Error("a clone went on with it")
		}
		for cut := range b {
			if _, err := DecodeHistory(b[:cut], h.limit); err == nil {
				t.Errorf("%d of %d bytes are a history too", cut, len(b))
			}
		}
		if _, err := DecodeHistory(append(slices.Clip(b), 0), h.limit); err == nil {
			t.Error("a byte more is a history too")
		}
	})
}

func TestAHistoryIsSmall(t *testing.T) {
	h := NewHistory(1000)
	for n := range uint64(5000) {
		h.Visit(n%1000*0x9e3779b97f4a7c15, Default().Gamma)
	}
	if got := len(h.Append(nil)); got > 14*1000+37 {
		t.Errorf("%d bytes for 1,000 peers, want 14 each", got)
	}
}

func TestWhatNoHistoryIsIsRefused(t *testing.T) {
	good := NewHistory(4, 1, 2)
	good.Visit(1, counts)
	change := func(f func(h *History)) []byte {
		h := *good
		h.entries = slices.Clone(good.entries)
		f(&h)
		return h.Append(nil)
	}
	for what, b := range map[string][]byte{
		"too many peers":        NewHistory(5, 1, 2, 3, 4, 5).Append(nil),
		"another sum":           change(func(h *History) { h.sum *= 1.01 }),
		"no sum":                change(func(h *History) { h.sum = 0 }),
		"a value of 0":          change(func(h *History) { h.entries[0].value = 0 }),
		"a huge value":          change(func(h *History) { h.entries[0].value, h.sum = 2*most, 2*most+1 }),
		"the wrong order":       change(func(h *History) { h.entries[0].tag = 3 }),
		"a peer twice":          change(func(h *History) { h.entries[0].tag = 2 }),
		"a visit in the future": change(func(h *History) { h.entries[0].last = 2 }),
		"a large unit":          change(func(h *History) { h.one = 2 }),
		"a negative default":    change(func(h *History) { h.unknown = -1 }),
		"a long number":         append([]byte{0x81, 0}, good.Append(nil)[1:]...),
	} {
		if _, err := DecodeHistory(b, 4); err == nil {
			t.Errorf("a history with %s is taken", what)
		}
	}
	if _, err := DecodeHistory(change(func(*History) {}), 4); err != nil {
		t.Errorf("the good one is refused: %v", err)
	}
}

func FuzzDecodeHistory(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		f.Add(walked(r).Append(nil), uint16(64))
	}
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		h, err := DecodeHistory(b, int(limit))
		if err != nil {
			return
		}
		if h.Len() > max(1, int(limit)) || !bytes.Equal(h.Append(nil), b) {
			t.Fatalf("%d entries of %d, written as %x", h.Len(), limit, h.Append(nil))
		}
		// What was read can be walked with, whatever it says.
		for n := range uint64(4) {
			at := h.Around(Peer{Tag: n, Degree: 2, Mu: 1}, []Peer{{Tag: 1, Degree: 1, Mu: 1}, {Tag: 7, Degree: 3, Mu: 2}})
			row := Config{Alpha: 20}.Row(at)
			if !near(row.sum(), 1, 1e-12) {
				t.Fatalf("row %v", row)
			}
			h.Visit(row.Draw(0.5), Default().Gamma)
		}
		if _, err := DecodeHistory(h.Append(nil), int(limit)); err != nil {
			t.Fatalf("after a few hops: %v", err)
		}
	})
}

func FuzzDecodeShared(f *testing.F) {
	for seed := range uint64(4) {
		all := tokens(rand.New(rand.NewPCG(seed, 1)), 3)
		all[0].Merge(all[1])
		f.Add(all[0].Append(nil), uint16(64))
	}
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		s, err := DecodeShared(b, int(limit))
		if err != nil {
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("written as %x", s.Append(nil))
		}
		again, err := DecodeShared(b, int(limit))
		if err != nil {
			t.Fatal(err)
		}
		if news := again.Merge(s); len(news) > 0 {
			t.Fatalf("it learns %v from itself", news)
		}
		NewHistory(8).Learn(NewShared(1, 8).Merge(s), Default().Gamma)
	})
}
