package sim

import "starling/node"

// A queue orders entries by time, and by the order of their making where times are equal.
type queue struct {
	heap []entry
	seq  uint64
}

// An entry is something that happens at a time to a node, in one of its lives.
type entry struct {
	at   node.Instant
	seq  uint64
	node int
	life uint32 // entries for a former life of the node are dropped
	kind kind
	ev   node.Event // for the core, or nil
	job  func(w *World, n *simNode)
}

type kind uint8

const (
	toCore  kind = iota // an event that the driver makes: jobs, peers, commands
	message             // a message that arrives
	wakeUp              // the core's alarm; valid only if it is still the newest
	restart             // the node comes back
	crash
)

func (q *queue) push(e entry) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.heap[i].before(&q.heap[parent]) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *queue) pop() entry {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = entry{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if r := child + 1; r < last && q.heap[r].before(&q.heap[child]) {
			child = r
		}
		if !q.heap[child].before(&q.heap[i]) {
			break
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
	return top
}

func (e *entry) before(o *entry) bool {
	return e.at < o.at || (e.at == o.at && e.seq < o.seq)
}
