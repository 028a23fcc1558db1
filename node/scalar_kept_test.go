package node

import (
	"testing"

	"starling/gossip"
	"starling/mixing/scalar"
)

func TestKeptBatchesAreTheNewestOfEachAuthor(t *testing.T) {
	const own = 7
	k := newKept(own, 300)
	add := func(tag uint64, batches int) {
		for i := range batches {
			k.add(tag, &gossip.Message{Body: &gossip.Records{First: uint64(2 * i), Bytes: []byte{1, 2}}})
		}
	}
	add(own, 1000)
	add(1, 400)
	add(2, 100)
	if a, b, o := len(k.of(1)), len(k.of(2)), len(k.of(own)); a != 200 || b != 100 || o != 1000 || k.total != 300 {
		t.Errorf("%d and %d batches of others are kept, %d in all, and %d own ones; want 200, 100, 300 and 1000", a, b, k.total, o)
	}
	if k.first(1) != 400 || k.first(2) != 0 {
		t.Errorf("the oldest ones begin with records %d and %d, want 400 and 0", k.first(1), k.first(2))
	}
	for r, want := range map[scalar.Range]bool{{Peer: 1, First: 401, End: 404}: true, {Peer: 1, First: 398, End: 404}: false, {Peer: 3, End: 1}: false} {
		if _, whole := k.overlapping(r); whole != want {
			t.Errorf("all of %v is kept: %v, want %v", r, whole, want)
		}
	}
	add(2, 100)
	if len(k.of(2)) != 100 || k.total != 300 {
		t.Errorf("batches are kept twice: %d, %d in all", len(k.of(2)), k.total)
	}
}
