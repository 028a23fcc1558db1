package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"starling/node"
)

// TestQueueIsAListKeptInOrder compares the queue with a list that is sorted at every step.
func TestQueueIsAListKeptInOrder(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		const reserved = 8
		q := newQueue(reserved)
		type item struct {
			at    node.Instant
			seq   int
			id    int32 // of a reserved event, or -1
			value int32
		}
		var list []item
		var now node.Instant
		seq := 0
		for step := range 2000 {
			seq++
			at := now + node.Instant(rng.IntN(20))
			switch id := int32(rng.IntN(reserved)); rng.IntN(5) {
			case 0, 1:
				q.push(now, at, event{node: int32(step)})
				list = append(list, item{at, seq, -1, int32(step)})
			case 2:
				q.set(id, at)
				list = slices.DeleteFunc(list, func(i item) bool { return i.id == id })
				list = append(list, item{at, seq, id, 0})
			case 3:
				q.cancel(id)
				list = slices.DeleteFunc(list, func(i item) bool { return i.id == id })
			default:
				if len(list) == 0 {
					continue
				}
				slices.SortFunc(list, func(a, b item) int {
					if a.at != b.at {
						return int(a.at - b.at)
					}
					return a.seq - b.seq
				})
				want := list[0]
				list = list[1:]
				gotAt, gotID, ev := q.pop(reserved)
				now = gotAt
				if gotAt != want.at || (want.id >= 0) != (gotID < reserved) || (want.id >= 0 && gotID != want.id) || ev.node != want.value {
					t.Fatalf("seed %d, step %d: popped %d (value %d) at %d, want %+v; then %+v", seed, step, gotID, ev.node, gotAt, want, list[:min(4, len(list))])
				}
			}
			if q.len() != len(list) {
				t.Fatalf("seed %d, step %d: %d events, want %d", seed, step, q.len(), len(list))
			}
		}
	}
}

func BenchmarkQueue(b *testing.B) {
	const nodes = 10_000
	q := newQueue(nodes)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range int32(nodes) {
		q.set(i, node.Instant(rng.IntN(1e8)))
	}
	for b.Loop() {
		at, id, _ := q.pop(nodes)
		q.set(id, at+1e8+node.Instant(rng.IntN(1e7)))
	}
}
