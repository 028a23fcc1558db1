package sim

import (
	"math/bits"

	"starling/node"
)

// A queue orders events by time, and by the order of their making where times are equal. An event is known by a small number,
// its ID, under which it can be moved or taken out in O(log n). IDs are used again.
type queue struct {
	heap   []entry // four children to a parent: half as deep as two, and the children lie side by side
	at     []int32 // position in heap by ID; -1 is not queued
	events []event // by ID
	free   []int32
	seq    uint64
	// soon holds events of the present instant, in order: a job without duration never sees the heap.
	soon  []entry
	first int // of soon
}

// An entry is what is needed to compare events.
type entry struct {
	at  node.Instant
	seq uint64
	id  int32
}

// before compares times, which are not negative, and numbers as one number of 128 bits: the outcome of a comparison in a heap
// cannot be foreseen, so it should not be a branch.
func (e *entry) before(o *entry) bool { return e.less(o) != 0 }

func (e *entry) less(o *entry) uint64 {
	_, less := bits.Sub64(e.seq, o.seq, 0)
	_, less = bits.Sub64(uint64(e.at), uint64(o.at), less)
	return less
}

// newQueue returns a queue whose first IDs are reserved for the caller, who gives them to set.
func newQueue(reserved int) *queue {
	q := &queue{at: make([]int32, reserved), events: make([]event, reserved)}
	for i := range q.at {
		q.at[i] = -1
	}
	return q
}

// push queues an event.
func (q *queue) push(now, at node.Instant, ev event) {
	var id int32
	if last := len(q.free) - 1; last >= 0 {
		id, q.free = q.free[last], q.free[:last]
	} else {
		id = int32(len(q.events))
		q.events = append(q.events, event{})
		q.at = append(q.at, -1)
	}
	q.events[id] = ev
	q.seq++
	e := entry{at: at, seq: q.seq, id: id}
	if at <= now {
		e.at = now
		q.soon = append(q.soon, e)
		return
	}
	q.heap = append(q.heap, e)
	q.up(len(q.heap)-1, e)
}

// set queues the event of a reserved ID, or moves it to another time, behind what is queued for that time.
func (q *queue) set(id int32, at node.Instant) {
	q.seq++
	e := entry{at: at, seq: q.seq, id: id}
	i := int(q.at[id])
	if i < 0 {
		q.heap = append(q.heap, e)
		q.up(len(q.heap)-1, e)
		return
	}
	if e.before(&q.heap[i]) {
		q.up(i, e)
	} else {
		q.down(i, e)
	}
}

// cancel takes the event of a reserved ID out, if it is queued.
func (q *queue) cancel(id int32) {
	if i := int(q.at[id]); i >= 0 {
		q.remove(i)
	}
}

// when returns the time for which the event of a reserved ID is queued.
func (q *queue) when(id int32) (at node.Instant, ok bool) {
	if i := q.at[id]; i >= 0 {
		return q.heap[i].at, true
	}
	return 0, false
}

// len returns the number of events.
func (q *queue) len() int { return len(q.heap) + len(q.soon) - q.first }

// next returns the time of the first event.
func (q *queue) next() (at node.Instant, ok bool) {
	switch {
	case q.first < len(q.soon):
		return q.soon[q.first].at, true // nothing can be earlier than the present
	case len(q.heap) > 0:
		return q.heap[0].at, true
	}
	return 0, false
}

// pop takes the first event out. There must be one.
func (q *queue) pop(reserved int32) (at node.Instant, id int32, ev event) {
	var e entry
	if q.first < len(q.soon) && (len(q.heap) == 0 || q.soon[q.first].before(&q.heap[0])) {
		e = q.soon[q.first]
		if q.first++; q.first == len(q.soon) {
			q.soon, q.first = q.soon[:0], 0
		}
	} else {
		e = q.heap[0]
		q.remove(0)
	}
	if e.id >= reserved { // the others are known by their ID
		ev = q.events[e.id]
		q.events[e.id] = event{} // lets go of what it refers to
		q.free = append(q.free, e.id)
	}
	return e.at, e.id, ev
}

func (q *queue) remove(i int) {
	q.at[q.heap[i].id] = -1
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap = q.heap[:last]
	switch {
	case i == last:
	case i > 0 && moved.before(&q.heap[(i-1)/4]):
		q.up(i, moved)
	default:
		q.down(i, moved)
	}
}

// up puts e at position i or above.
func (q *queue) up(i int, e entry) {
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		q.at[q.heap[i].id] = int32(i)
		i = parent
	}
	q.heap[i] = e
	q.at[e.id] = int32(i)
}

// firstChild returns the position of the first event among the children of the one at i, 0 if it has none.
func (q *queue) firstChild(i int) int {
	first := 4*i + 1
	if c := q.heap[min(first, len(q.heap)):]; len(c) >= 4 {
		a, b := int(c[1].less(&c[0])), 2+int(c[3].less(&c[2]))
		return first + a + (b-a)*int(c[b].less(&c[a]))
	}
	child := 0
	for c := first; c < len(q.heap); c++ {
		if child == 0 || q.heap[c].before(&q.heap[child]) {
			child = c
		}
	}
	return child
}

// down puts e at position i or below.
func (q *queue) down(i int, e entry) {
	for {
		child := q.firstChild(i)
		if child == 0 || !q.heap[child].before(&e) {
			break
		}
		q.heap[i] = q.heap[child]
		q.at[q.heap[i].id] = int32(i)
		i = child
	}
	q.heap[i] = e
	q.at[e.id] = int32(i)
}
