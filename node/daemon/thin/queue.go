package thin

import (
	"container/heap"
	"time"
)

// A queue holds packets until their time has come. It must not be used concurrently.
type queue struct {
	packets []packet
	made    uint64
	bytes   int
}

type packet struct {
	due  time.Time
	seq  uint64 // decides among equal times
	data []byte
}

// maxQueued bounds the bytes under way. What is more is dropped, as anywhere on the way.
const maxQueued = 64 << 20

// put adds a packet, which the queue owns from now on, and reports whether there was room.
func (q *queue) put(due time.Time, data []byte) bool {
	if q.bytes+len(data) > maxQueued {
		return false
	}
	q.made++
	q.bytes += len(data)
	heap.Push((*byDue)(q), packet{due, q.made, data})
	return true
}

// next returns when the next packet is due; ok is false if there is none.
func (q *queue) next() (due time.Time, ok bool) {
	if len(q.packets) == 0 {
		return time.Time{}, false
	}
	return q.packets[0].due, true
}

// take takes out the packet that is due next. There must be one.
func (q *queue) take() []byte {
	p := heap.Pop((*byDue)(q)).(packet)
	q.bytes -= len(p.data)
	return p.data
}

// byDue is a queue as a heap.
type byDue queue

func (q *byDue) Len() int { return len(q.packets) }

func (q *byDue) Less(i, j int) bool {
	a, b := &q.packets[i], &q.packets[j]
	return a.due.Before(b.due) || a.due.Equal(b.due) && a.seq < b.seq
}

func (q *byDue) Swap(i, j int) { q.packets[i], q.packets[j] = q.packets[j], q.packets[i] }
func (q *byDue) Push(p any)    { q.packets = append(q.packets, p.(packet)) }

func (q *byDue) Pop() any {
	last := len(q.packets) - 1
	p := q.packets[last]
	q.packets[last] = packet{}
	q.packets = q.packets[:last]
	return p
}
