package srrw

import (
	"cmp"
	"slices"

	"starling/mixing/kernel"
)

// Values of a history are float32, which is what a token carries, so that a history that was sent is the one that was kept. They are
// weights: a visit adds to one of them, and only their ratios count. All are scaled down by a power of two when their sum is past most.
const (
	most  = 1 << 32
	least = 1.0 / (1 << 48) // no value goes below this; a ratio to the sum of 2^-80 is far past the clamp
)

// A History is how much a walk has seen of each peer: x of spec 02, section 2.6, in a unit of its own. It is made by [NewHistory] or
// [DecodeHistory].
type History struct {
	limit   int
	visits  uint64
	sum     float64
	one     float32 // a count of 1
	unknown float32 // what peers that are not in entries have; 0 for the smallest value
	entries []entry // ascending by tag
}

type entry struct {
	tag   uint64
	value float32
	last  uint64 // visits of the history when it was last visited, or was added
}

// NewHistory makes the history of a walk that begins: all peers, known or not, have a count of 1. It keeps limit entries, at least 1 and
// at most [MaxLimit].
func NewHistory(limit int, peers ...uint64) *History {
	h := &History{limit: min(max(limit, 1), MaxLimit), one: 1, unknown: 1}
	tags := slices.Compact(slices.Sorted(slices.Values(peers)))
	for _, tag := range tags[:min(len(tags), h.limit)] {
		h.entries = append(h.entries, entry{tag: tag, value: 1})
	}
	h.sum = float64(len(h.entries))
	return h
}

// Len is the number of peers that the history has an entry for.
func (h *History) Len() int { return len(h.entries) }

// Visits is the number of visits so far.
func (h *History) Visits() uint64 { return h.visits }

// Sum is the sum of all values; [History.Value] by it is a share of the visits.
func (h *History) Sum() float64 { return h.sum }

// Knows reports whether the history has an entry for a peer.
func (h *History) Knows(tag uint64) bool {
	_, ok := h.find(tag)
	return ok
}

// Clone is a copy that goes its own way.
func (h *History) Clone() *History {
	c := *h
	c.entries = slices.Clone(h.entries)
	return &c
}

// Equal reports whether two histories are the same, so that all that follows from them is. A history follows from another by a visit, which
// is what a receiver can check, if it is equal to a clone of that after the visit.
func (h *History) Equal(other *History) bool {
	return h.limit == other.limit && h.visits == other.visits && h.sum == other.sum && h.one == other.one && h.unknown == other.unknown &&
		slices.Equal(h.entries, other.entries)
}

// Value is what the history has for a peer, above 0. One that it does not know, or has forgotten, has what a peer without visits
// has, or, once the history has forgotten some, the smallest value that it has left, so that the walk likes to go there.
func (h *History) Value(tag uint64) float64 {
	if i, ok := h.find(tag); ok {
		return float64(h.entries[i].value)
	}
	return float64(h.stranger())
}

// Count is the value in units of the count that every peer began with: the number of visits and 1, where a history counts.
func (h *History) Count(tag uint64) float64 { return h.Value(tag) / float64(h.one) }

// Peers lists the peers that the history has an entry for, ascending.
func (h *History) Peers() []uint64 {
	tags := make([]uint64, len(h.entries))
	for i, e := range h.entries {
		tags[i] = e.tag
	}
	return tags
}

func (h *History) find(tag uint64) (int, bool) {
	low, high := 0, len(h.entries)
	for low < high {
		if mid := int(uint(low+high) >> 1); h.entries[mid].tag < tag {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(h.entries) && h.entries[low].tag == tag
}

// stranger is the value of a peer that has no entry.
func (h *History) stranger() float32 {
	switch {
	case h.unknown > 0:
		return h.unknown
	case len(h.entries) == 0:
		return h.one
	}
	return smallest(h.entries)
}

// Around is a place with the visits filled in from the history. Neighbours may come in any order; self and repeated ones are left out.
func (h *History) Around(self Peer, neighbours []Peer) Place {
	sorted := slices.Clone(neighbours)
	slices.SortStableFunc(sorted, func(a, b Peer) int { return cmp.Compare(a.Tag, b.Tag) })
	kept := sorted[:0]
	for _, j := range sorted {
		if j.Tag != self.Tag && (len(kept) == 0 || kept[len(kept)-1].Tag != j.Tag) {
			kept = append(kept, j)
		}
	}
	return h.Look(Place{Self: self, Neighbours: kept})
}

// Look fills in the visits of a place's neighbours and returns it with those of the peer itself, for walks that come by often.
func (h *History) Look(at Place) Place {
	at.Self.Visits = h.Value(at.Self.Tag)
	stranger := 0.0 // once, as it may take a look at all entries
	for k := range at.Neighbours {
		j := &at.Neighbours[k]
		if i, ok := h.find(j.Tag); ok {
			j.Visits = float64(h.entries[i].value)
			continue
		}
		if stranger == 0 {
			stranger = float64(h.stranger())
		}
		j.Visits = stranger
	}
	return at
}

// Visit moves the history to a peer that was just visited by the step that gamma gives for the number of visits before and of peers
// known, such as [Config.Gamma]: x := x + gamma (e_tag - x). If the step is 0 or below that of one more count, it adds a count.
func (h *History) Visit(tag uint64, gamma func(n uint64, peers int) float64) {
	i := h.entry(tag)
	by := h.increment(gamma(h.visits, len(h.entries)), 1)
	h.visits++
	h.entries[i].last = h.visits
	h.add(i, by)
	h.rescale()
}

// increment is what n visits with a step add to the sum. It is n counts where a count is the larger step. Else the visits together weigh
// at most three times what is there, so that neither a step near 1 nor a long list leaves nothing of the rest.
func (h *History) increment(step float64, n uint64) float64 {
	one := float64(h.one)
	if !(step*(h.sum+one) > one) {
		return one * float64(n)
	}
	rest := kernel.Exp(float64(n) * kernel.Log(1-min(step, 1)))
	return h.sum * (1/max(rest, 0.25) - 1)
}

func (h *History) add(i int, by float64) {
	before := h.entries[i].value
	h.entries[i].value = float32(float64(before) + by)
	h.sum += float64(h.entries[i].value) - float64(before)
}

// entry is the place of a peer's entry, which it makes if there is none.
func (h *History) entry(tag uint64) int {
	if i, ok := h.find(tag); ok {
		return i
	}
	return h.insert(tag, h.stranger())
}

func (h *History) insert(tag uint64, value float32) int {
	if len(h.entries) >= h.limit {
		h.evict()
	}
	i, _ := h.find(tag)
	h.entries = slices.Insert(h.entries, i, entry{tag, value, h.visits})
	h.sum += float64(value)
	return i
}

// evict forgets the peer that was visited least recently; of several, the one with the largest value, then the smallest tag.
func (h *History) evict() {
	out := 0
	for i, e := range h.entries {
		if o := h.entries[out]; e.last < o.last || e.last == o.last && e.value > o.value {
			out = i
		}
	}
	h.remove(out)
	h.unknown = 0
}

func (h *History) remove(i int) {
	h.entries = slices.Delete(h.entries, i, i+1)
	h.resum() // a difference would keep the error of a sum that may have been much larger
}

// Admit makes an entry for a peer that joined after the walk began: it starts with the smallest value among its neighbours that the
// history knows, and of all if it knows none. A count of 1 would hold the walk there until it caught up. It does nothing to a peer
// that has an entry.
func (h *History) Admit(tag uint64, neighbours ...uint64) {
	if _, ok := h.find(tag); ok {
		return
	}
	var known []entry
	for _, n := range neighbours {
		if i, ok := h.find(n); ok {
			known = append(known, h.entries[i])
		}
	}
	if len(known) == 0 {
		known = h.entries
	}
	if len(known) == 0 {
		h.insert(tag, h.stranger())
		return
	}
	h.insert(tag, smallest(known))
}

func smallest(of []entry) float32 {
	value := of[0].value
	for _, e := range of {
		value = min(value, e.value)
	}
	return value
}

// Drop forgets a peer that left for good. The shares of the others grow in proportion.
func (h *History) Drop(tag uint64) {
	if i, ok := h.find(tag); ok {
		h.remove(i)
	}
}

// rescale keeps the values in range. Powers of two leave all ratios as they are, to the last bit.
func (h *History) rescale() {
	for h.sum > most {
		for i := range h.entries {
			h.entries[i].value = max(h.entries[i].value/most, least)
		}
		h.one = max(h.one/most, least)
		if h.unknown > 0 {
			h.unknown = max(h.unknown/most, least)
		}
		h.resum()
	}
}

func (h *History) resum() {
	h.sum = 0
	for _, e := range h.entries {
		h.sum += float64(e.value)
	}
}
