package tokenizer

import "container/heap"

// A merge is what becomes of two neighbours.
type merge struct {
	rank int32 // lower ones come first
	id   int32
}

// none is the rank of neighbours that do not merge.
const none = int32(1<<31 - 1)

func pair(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// merges returns the merge of two neighbours, with rank none if there is none.
func (t *Tokenizer) merge(a, b int32) merge {
	if m, ok := t.merges[pair(a, b)]; ok {
		return m
	}
	return merge{rank: none}
}

// bpe appends the tokens of a word to dst.
func (e *Encoder) bpe(dst []int32, word string) []int32 {
	t := e.t
	ids := e.ids[:0]
	for i := range len(word) {
		switch id := t.single[word[i]]; {
		case id >= 0:
			ids = append(ids, id)
		case t.unknown >= 0 && !(t.fuseUnknown && len(ids) > 0 && ids[len(ids)-1] == t.unknown):
			ids = append(ids, t.unknown)
		}
	}
	e.ids = ids
	if len(ids) <= 64 {
		ids = e.mergeShort(ids)
	} else {
		ids = e.mergeLong(ids)
	}
	return append(dst, ids...)
}

// mergeShort merges in place, the leftmost of the lowest rank first, by looking for it anew each time.
func (e *Encoder) mergeShort(ids []int32) []int32 {
	var next [64]merge // next[i] merges ids[i] and ids[i+1]
	for i := range len(ids) - 1 {
		next[i] = e.t.merge(ids[i], ids[i+1])
	}
	for len(ids) > 1 {
		best := 0
		for i := range len(ids) - 1 {
			if next[i].rank < next[best].rank {
				best = i
			}
		}
		if next[best].rank == none {
			break
		}
		ids[best] = next[best].id
		copy(ids[best+1:], ids[best+2:])
		ids = ids[:len(ids)-1]
		copy(next[best:], next[best+1:len(ids)])
		if best > 0 {
			next[best-1] = e.t.merge(ids[best-1], ids[best])
		}
		if best+1 < len(ids) {
			next[best] = e.t.merge(ids[best], ids[best+1])
		}
	}
	return ids
}

// A candidate is a merge at a place; it is out of date when its neighbours have changed.
type candidate struct {
	merge
	at          int32
	left, right int32 // the IDs that it merges
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// mergeLong does what mergeShort does, in a time that grows with n·log n.
func (e *Encoder) mergeLong(ids []int32) []int32 {
	n := int32(len(ids))
	next, before := make([]int32, n), make([]int32, n)
	queue := make(candidates, 0, n)
	see := func(i int32) (candidate, bool) {
		j := next[i]
		if j == n {
			return candidate{}, false
		}
		m := e.t.merge(ids[i], ids[j])
		return candidate{m, i, ids[i], ids[j]}, m.rank != none
	}
	for i := range n {
		next[i], before[i] = i+1, i-1
		if i > 0 {
			if c, ok := see(i - 1); ok {
				queue = append(queue, c)
			}
		}
	}
	heap.Init(&queue)
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		j := int32(-1)
		if ids[c.at] == c.left {
			j = next[c.at]
		}
		if j < 0 || j == n || ids[j] != c.right {
			continue
		}
		ids[c.at], ids[j] = c.id, -1
		next[c.at] = next[j]
		if next[j] < n {
			before[next[j]] = c.at
		}
		for _, i := range [2]int32{before[c.at], c.at} {
			if i < 0 {
				continue
			}
			if c, ok := see(i); ok {
				heap.Push(&queue, c)
			}
		}
	}
	kept := ids[:0]
	for i := int32(0); i < n; i = next[i] {
		kept = append(kept, ids[i])
	}
	return kept
}
