package outer

import (
	"fmt"
	"math"
	"sort"

	"starling/mixing"
)

// A Range is the part of a vector from From up to To, which is not in it, in floats.
type Range struct{ From, To int }

// Fragments cuts a vector into p ranges of whole tensors, in order, so that the longest is as short as can be and the others are
// about even. What comes first in a model, such as an embedding, is in the first, and the output in the last.
func Fragments(l *mixing.Layout, p int) ([]Range, error) {
	n := len(l.Tensors)
	if p < 1 || p > n {
		return nil, fmt.Errorf("%d fragments of a model of %d tensors: want from 1 to %d, for tensors are not cut", p, n, n)
	}
	ends := make([]int, n+1) // where the first tensors end
	for i, t := range l.Tensors {
		ends[i+1] = t.Offset + t.Len()
	}
	room := sort.Search(l.Len(), func(room int) bool { return fits(ends, room, p) })
	need := needs(ends, room)
	out := make([]Range, 0, p)
	for at := 0; len(out) < p; {
		rest := p - len(out) - 1 // fragments after this one
		share := float64(ends[n]-ends[at]) / float64(rest+1)
		best := -1
		off := math.Inf(1)
		for end := at + 1; end <= n-rest && ends[end]-ends[at] <= room; end++ {
			if need[end] > rest {
				continue
			}
			if d := math.Abs(float64(ends[end]-ends[at]) - share); d < off {
				best, off = end, d
			}
		}
		out = append(out, Range{ends[at], ends[best]})
		at = best
	}
	return out, nil
}

// fits reports whether p ranges of at most room floats are enough.
func fits(ends []int, room, p int) bool {
	for i := range ends[1:] {
		if ends[i+1]-ends[i] > room {
			return false
		}
	}
	return needs(ends, room)[0] <= p
}

// needs is how many ranges of at most room floats the tensors from each on need; none is longer than room.
func needs(ends []int, room int) []int {
	n := len(ends) - 1
	need := make([]int, n+1)
	end := n
	for i := n - 1; i >= 0; i-- {
		for ends[end]-ends[i] > room {
			end--
		}
		need[i] = 1 + need[end]
	}
	return need
}
