package node

import (
	"cmp"
	"math"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// keptBatches are the newest sealed batches of each author: what others are given who miss them, and what proves equivocation.
type keptBatches struct {
	logs  map[uint64]*keptLog // by tag
	order []uint64            // the tags, ascending
	total int                 // of others

	own                    uint64 // tag of the node's own log
	ofOwn, ofAuthor, inAll int    // bounds
}

type keptLog struct {
	batch []*gossip.Message // ascending by first record
}

// How many batches are kept of each author. Full batches of the default size are 32,768 records. Of its own each node keeps more, a
// million records: somebody has to be able to show them.
const (
	maxKeptOwn      = 1 << 13
	maxKeptOfAuthor = 256
)

func newKept(own uint64, most int) keptBatches {
	k := keptBatches{logs: make(map[uint64]*keptLog), own: own, ofOwn: maxKeptOwn, ofAuthor: maxKeptOfAuthor, inAll: most}
	k.log(own)
	return k
}

// log is that of an author, made anew if it has to be.
func (k *keptBatches) log(tag uint64) *keptLog {
	l := k.logs[tag]
	if l == nil {
		l = &keptLog{}
		k.logs[tag] = l
		at, _ := slices.BinarySearch(k.order, tag)
		k.order = slices.Insert(k.order, at, tag)
	}
	return l
}

// admits reports whether an author is known, or there is room for one more.
func (k *keptBatches) admits(tag uint64, peers uint32) bool {
	return k.logs[tag] != nil || len(k.logs) < int(peers)
}

func recordsOf(m *gossip.Message) *gossip.Records { return m.Body.(*gossip.Records) }

// of lists the batches that are kept of an author.
func (k *keptBatches) of(tag uint64) []*gossip.Message {
	if l := k.logs[tag]; l != nil {
		return l.batch
	}
	return nil
}

// first is the first record of an author that is kept.
func (k *keptBatches) first(tag uint64) uint64 {
	if b := k.of(tag); len(b) > 0 {
		return recordsOf(b[0]).First
	}
	return math.MaxUint64
}

// add keeps a batch, unless it is there. The oldest ones of an author give way, those of the author with the most if all together are too many.
func (k *keptBatches) add(tag uint64, msg *gossip.Message) {
	l := k.log(tag)
	at, there := slices.BinarySearchFunc(l.batch, msg, func(a, b *gossip.Message) int {
		x, y := recordsOf(a), recordsOf(b)
		return cmp.Or(cmp.Compare(x.First, y.First), cmp.Compare(len(x.Bytes), len(y.Bytes)))
	})
	if there {
		return
	}
	l.batch = slices.Insert(l.batch, at, msg)
	if tag == k.own {
		l.drop(k.ofOwn)
		return
	}
	k.total += 1 - l.drop(k.ofAuthor)
	for k.total > k.inAll {
		most := k.longest()
		k.total -= most.drop(len(most.batch) - 1)
	}
}

// longest is the log of another author of which most is kept.
func (k *keptBatches) longest() *keptLog {
	var out *keptLog
	for _, tag := range k.order {
		if l := k.logs[tag]; tag != k.own && (out == nil || len(l.batch) > len(out.batch)) {
			out = l
		}
	}
	return out
}

// drop leaves the newest batches, and returns how many went.
func (l *keptLog) drop(most int) int {
	n := max(0, len(l.batch)-most)
	l.batch = slices.Delete(l.batch, 0, n)
	return n
}

// overlapping lists the batches of a log that have records of the range. whole reports whether they have all of it.
func (k *keptBatches) overlapping(r scalar.Range) (out []*gossip.Message, whole bool) {
	next := r.First
	for _, m := range k.of(r.Peer) {
		b := recordsOf(m)
		if b.End() <= r.First || b.First >= r.End {
			continue
		}
		out = append(out, m)
		if b.First <= next {
			next = max(next, b.End())
		}
	}
	return out, next >= r.End
}

// against finds a batch that, with the given one, proves equivocation.
func (k *keptBatches) against(tag uint64, msg *gossip.Message) (other *gossip.Message, first uint64) {
	for _, m := range k.of(tag) {
		if at, ok := gossip.Equivocation(m, msg); ok && (other == nil || at < first) {
			other, first = m, at
		}
	}
	return other, first
}
