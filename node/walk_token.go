package node

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"starling/gossip"
)

// A tokenView is what a node knows, and has, of one token.
type tokenView struct {
	number uint32

	// The newest that is known of it: a fence, and so many hops behind it that somebody has durable.
	fence  gossip.Fence
	hop    uint64
	moves  uint64
	since  uint64          // moves when this node heard of that fence
	heard  Instant         // when that was heard of last
	news   *gossip.Message // that says so, to convince others; nil if it was not heard as news
	told   Instant         // when this node, or another one, has published news of it last
	retold Instant         // when this node has told somebody that its copy is void, last
	made   uint32          // newest generation that this node has begun
	jitter Instant         // how much longer than others this node waits before it revives the token
	gave   spot            // the newest copy that this node has given away,
	gaveBy offerName       // to whom, and by which offer

	own    *tokenCopy // nil if there is none
	rest   *tokenCopy // of another life, to be merged into own; nil if there is none
	giving *giving    // hand-over of own that is under way
	coming *incoming  // hand-over to this node that is under way
	took   offerName  // the newest offer that this node has taken
}

// A spot is a point in the lives of a token.
type spot struct {
	fence gossip.Fence
	hop   uint64
}

// covers reports whether a copy at q is void, or is the same one or an older one of the same life.
func (p spot) covers(q spot) bool { return q.fence.Less(p.fence) || p.includes(q) }

// includes reports whether a copy at q is the same one or an older one of the same life.
func (p spot) includes(q spot) bool { return q.fence == p.fence && q.hop <= p.hop }

// An offerName tells offers apart.
type offerName struct {
	from PeerID
	seq  uint64
}

type copyLife uint8

const (
	shadow  copyLife = iota // given away; kept for when it is lost
	live                    // this node trains it and hands it over
	remnant                 // void, but it has steps that the token does not have
)

type copyStage uint8

const (
	stageWait   copyStage = iota // for its turn to be trained
	stageTrain                   // local steps are under way
	stageHere                    // they are done
	stageMerge                   // it is being merged
	stageEncode                  // it is being encoded
	stageOffer                   // it is being offered to one node after the other
	stageSave                    // revived, and not durable yet
)

// A tokenCopy is a model that walks, has walked, or may have to.
type tokenCopy struct {
	spot
	token uint32
	moves uint64 // how often it was handed over
	age   uint64
	life  copyLife
	stage copyStage

	params VecRef
	opt    VecRef // 0 if tokens carry none
	norm   float64
	memory memory          // of the hops so far
	came   *gossip.Message // the offer by which it came; nil if it began here
	told   []byte          // its memory as it came, or as it began, and what was changed since, but for the newest
	stay   uint64          // visits to this node

	durable uint64 // hop of the newest checkpoint that has it
	saving  uint64 // and of the one under way, which is saveJob
	saveJob JobID

	samples   uint64 // of the newest visit
	loss      float64
	model     gossip.Piece // encoded params, of Size 0 if they are not
	state     gossip.Piece // encoded opt
	failed    []uint64     // tags of those that did not take it at this hop
	tries     uint32       // at this hop
	waitUntil Instant      // nothing happens with it before; 0 is none
	met       []uint32     // tokens with which it was merged during this stay
	learned   bool         // visits of another token, during this stay
}

// vectors counts who refers to the vectors of a method that several parts share.
type vectors map[VecRef]int

func (v vectors) hold(ref VecRef) VecRef {
	if ref != 0 {
		v[ref]++
	}
	return ref
}

// drop ends one use, and releases a vector without any.
func (v vectors) drop(c *Core, ref VecRef) {
	if ref == 0 {
		return
	}
	if v[ref]--; v[ref] == 0 {
		delete(v, ref)
		c.release(ref)
	}
}

// view is what is known of a token, made anew if it has to be.
func (w *walk) view(token uint32) *tokenView {
	i, ok := slices.BinarySearchFunc(w.views, token, func(v *tokenView, t uint32) int { return cmp.Compare(v.number, t) })
	if !ok {
		w.views = slices.Insert(w.views, i, &tokenView{number: token})
	}
	return w.views[i]
}

// dropCopy forgets the copy of a token, with all that is under way with it.
func (w *walk) dropCopy(c *Core, v *tokenView) {
	if v.own == nil {
		return
	}
	w.endGiving(c, v)
	w.dropVectors(c, v.own)
	v.own = nil
	w.dropRest(c, v)
}

func (w *walk) dropVectors(c *Core, cp *tokenCopy) {
	w.vecs.drop(c, cp.params)
	w.vecs.drop(c, cp.opt)
}

func (w *walk) dropRest(c *Core, v *tokenView) {
	if v.rest != nil {
		w.dropVectors(c, v.rest)
		v.rest = nil
	}
}

// is reports whether a copy is still the one that a node has of its token, and at that spot.
func (w *walk) is(cp *tokenCopy, at spot, life copyLife) bool {
	v := w.view(cp.token)
	return v.own == cp && cp.spot == at && cp.life == life
}

// tokenTag names a token in the counts that tokens share, and is where its home is.
func (w *walk) tokenTag(token uint32) uint64 {
	h := sha256.New()
	h.Write([]byte("starling token\x00"))
	h.Write(w.run.Run[:])
	h.Write(binary.BigEndian.AppendUint32(nil, token))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// known takes note that somebody has a copy at a spot, and reports whether it is news.
func (w *walk) known(c *Core, v *tokenView, p spot, moves uint64) bool {
	if v.heard != 0 && !w.stale(c, v) && (p.fence.Less(v.fence) || p.fence == v.fence && p.hop < v.hop) {
		return false
	}
	if v.fence != p.fence {
		v.since = moves
	}
	v.fence, v.hop, v.moves, v.heard = p.fence, p.hop, moves, max(c.now, 1)
	if b := &w.best; b.token == v.number && b.fence.Less(p.fence) {
		b.hop = min(b.hop, p.fence.Base) // the hops that it made since are void, however many
	}
	return true
}

// stale reports whether what is known of a token does not count any more: that life was not heard of for long, and this node does not hold
// it. Its last holders may all be gone, and it must not stand in the way of another life.
func (w *walk) stale(c *Core, v *tokenView) bool {
	return c.now >= v.heard+w.lostAfter() && (v.own == nil || v.own.life != live)
}
