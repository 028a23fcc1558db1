package sim

import (
	"encoding/binary"

	"starling/gossip"
	"starling/node"
	"starling/node/compute"
	"starling/sim/adversary"
)

// A blob is a vector that others may pull, as its receivers will decode it.
type blob struct {
	id      gossip.BlobID
	slot    int32
	uses    int32
	vec     *compute.Vector
	size    uint64
	author  int
	bad     bool    // its bytes do not decode to a finite vector
	holders []int32 // who else has it, newest last
}

// blobs are found by a number that stands in their ID.
type blobs struct {
	all  []*blob
	free []int32
	made uint64
}

// add makes a blob of a vector, whose use it takes over, with one use, the caller's.
func (b *blobs) add(vec *compute.Vector, author int, size uint64) gossip.BlobID {
	var slot int32
	if last := len(b.free) - 1; last >= 0 {
		slot, b.free = b.free[last], b.free[:last]
	} else {
		slot = int32(len(b.all))
		b.all = append(b.all, nil)
	}
	b.made++
	n := &blob{slot: slot, uses: 1, vec: vec, size: size, author: author}
	binary.BigEndian.PutUint32(n.id[:], uint32(slot))
	binary.BigEndian.PutUint64(n.id[4:], b.made)
	b.all[slot] = n
	return n.id
}

// find returns the blob of that name, or nil if nobody has it any more.
func (b *blobs) find(id gossip.BlobID) *blob {
	if slot := binary.BigEndian.Uint32(id[:]); uint64(slot) < uint64(len(b.all)) {
		if n := b.all[slot]; n != nil && n.id == id {
			return n
		}
	}
	return nil
}

func (b *blobs) drop(n *blob) {
	if n == nil {
		return
	}
	if n.uses--; n.uses == 0 {
		n.vec.Drop()
		b.all[n.slot] = nil
		b.free = append(b.free, n.slot)
	}
}

// A shelved blob is one that a node serves. With the exchange push it is there as long as the core can send it again; else the
// newest few are.
type shelved struct {
	blob *blob
	of   node.VecRef
	own  bool // the vector is the one that the core trained
}

// keptBlobs is how many of its newest vectors a node serves with the exchange announce.
const keptBlobs = 4

// keep puts a blob on the node's shelf, which takes over its use.
func (w *World) keep(h *host, id gossip.BlobID, of node.VecRef, forged bool) {
	limit := keptBlobs
	if w.cfg.pushes() {
		limit = 1
	}
	for len(h.shelf) >= limit {
		w.blobs.drop(h.shelf[0].blob)
		h.shelf = append(h.shelf[:0], h.shelf[1:]...)
	}
	h.shelf = append(h.shelf, shelved{blob: w.blobs.find(id), of: of, own: !forged})
}

// released takes from the shelf what a core that pushes will not send again.
func (w *World) released(h *host, of node.VecRef) {
	if w.cfg.pushes() && len(h.shelf) > 0 && h.shelf[0].of == of {
		w.blobs.drop(h.shelf[0].blob)
		h.shelf = h.shelf[:0]
	}
}

// serves returns the blob of that name from a node, with a use more for the caller. Of an adversary that tells receivers
// different things it makes the version that was told to this one.
func (w *World) serves(h *host, id gossip.BlobID, to int) *blob {
	if h.attack != nil && !h.attack.Serves(to) {
		return nil
	}
	if b := w.blobs.find(id); b != nil {
		if b.author != h.index && !holds(b, h.index) {
			return nil
		}
		b.uses++
		return b
	}
	if !h.forked {
		return nil
	}
	for _, s := range h.shelf {
		if version, ok := adversary.VersionOf(s.blob.id, id); ok {
			vec := w.pool.New(len(s.blob.vec.Data()))
			w.forge(h, s.blob.vec.Data(), version, vec.Data())
			return w.blobs.find(w.blobs.add(vec, h.index, s.blob.size))
		}
	}
	return nil
}

func holds(b *blob, n int) bool {
	for _, x := range b.holders {
		if int(x) == n {
			return true
		}
	}
	return false
}
