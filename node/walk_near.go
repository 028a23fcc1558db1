package node

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"starling/gossip"
	"starling/mixing/srrw"
)

// neighbours are those to which a node may hand tokens. Both ends of a link tell each other, in beats, how many neighbours they have and
// how much of the visits they want, for which the walk has to know both.
type neighbours struct {
	w      *walk
	all    []*neighbour // ascending by peer
	beatAt Instant
}

type neighbour struct {
	id     PeerID
	tag    uint64
	m      *member
	degree uint32
	weight float64
	heard  Instant
	told   Instant
	mute   bool // it has not answered an offer since
}

// silentBeats is after how many intervals without a beat somebody is no neighbour any more.
const silentBeats = 4

// tag is that of a peer.
func (n *neighbours) tag(id PeerID) uint64 {
	if i, ok := n.find(id); ok {
		return n.all[i].tag
	}
	return gossip.Tag(n.w.run.Run, id)
}

func (n *neighbours) find(id PeerID) (int, bool) {
	return slices.BinarySearchFunc(n.all, id, func(x *neighbour, id PeerID) int { return comparePeers(x.id, id) })
}

// counts reports whether a neighbour is there as far as can be told.
func (n *neighbours) counts(c *Core, x *neighbour) bool {
	return x.m.up && !x.m.gone && !x.m.banned.Load() && c.now-x.heard <= silentBeats*n.w.cfg.BeatEvery
}

func (n *neighbours) degree(c *Core) int {
	d := 0
	for _, x := range n.all {
		if n.counts(c, x) {
			d++
		}
	}
	return d
}

// self is this node as the walk sees it.
func (n *neighbours) self(c *Core) srrw.Peer {
	return srrw.Peer{Tag: n.w.tag, Degree: n.degree(c), Mu: float64(float32(n.w.cfg.Weight))}
}

// list is the neighbours that may be next.
func (n *neighbours) list(c *Core) (out []srrw.Peer) {
	for _, x := range n.all {
		if n.counts(c, x) && !x.mute {
			out = append(out, srrw.Peer{Tag: x.tag, Degree: int(min(x.degree, math.MaxInt16)), Mu: x.weight})
		}
	}
	return out
}

// peer is the neighbour of that tag.
func (n *neighbours) peer(tag uint64) (id PeerID, ok bool) {
	for _, x := range n.all {
		if x.tag == tag {
			return x.id, true
		}
	}
	return id, false
}

// silent takes note that a neighbour does not answer. It is asked again when it has been heard of.
func (n *neighbours) silent(id PeerID) {
	if i, ok := n.find(id); ok {
		n.all[i].mute = true
	}
}

// wanted lists the members that this node looks for as neighbours. Both ends of a possible link give it the same rank, so that they want
// each other.
func (n *neighbours) wanted(c *Core) []*member {
	var up []*member
	for _, m := range c.roster.sorted() {
		if m.up && !m.gone && !m.banned.Load() {
			up = append(up, m)
		}
	}
	if len(up) <= n.w.cfg.Degree {
		return up
	}
	slices.SortStableFunc(up, func(a, b *member) int { return cmp.Compare(n.rank(a.id), n.rank(b.id)) })
	return up[:n.w.cfg.Degree]
}

func (n *neighbours) rank(p PeerID) uint64 { return rankLink(n.w.run.Run, n.w.run.Self, p) }

// rankLink orders possible links: both ends give one the same rank.
func rankLink(run gossip.RunID, a, b PeerID) uint64 {
	h := binary.LittleEndian.Uint64(a[:]) ^ binary.LittleEndian.Uint64(b[:])
	h = (h ^ binary.LittleEndian.Uint64(run[:])) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// met greets a peer that came up, if it may become a neighbour.
func (n *neighbours) met(c *Core, id PeerID) {
	if i, ok := n.find(id); ok && n.all[i].m != c.roster.find(id) {
		n.all = slices.Delete(n.all, i, i+1) // the roster had forgotten it
	}
	if len(n.all) < n.w.cfg.Degree {
		n.tell(c, id, false)
	}
}

func (n *neighbours) tell(c *Core, to PeerID, reply bool) {
	degree := n.degree(c)
	i, ok := n.find(to)
	if !ok || !n.counts(c, n.all[i]) {
		degree++ // with this one
	}
	if ok {
		n.all[i].told = c.now
	}
	c.send(to, &gossip.Beat{Degree: uint32(degree), Weight: float32(n.w.cfg.Weight), Reply: reply}, nil)
}

// heard takes a beat, and answers it if the sender is, or may become, a neighbour.
func (n *neighbours) heard(c *Core, from PeerID, b *gossip.Beat) {
	m := c.roster.find(from)
	if m == nil || !m.up {
		return
	}
	i, ok := n.find(from)
	if !ok {
		if len(n.all) >= 2*n.w.cfg.Degree {
			return
		}
		n.all = slices.Insert(n.all, i, &neighbour{id: from, tag: gossip.Tag(n.w.run.Run, from)})
		n.w.accompanied()
	}
	x := n.all[i]
	m.gone = false // it may have left and come back, and has no token to tell of
	x.m, x.degree, x.weight, x.heard, x.mute = m, b.Degree, float64(b.Weight), c.now, false
	if !b.Reply && (x.told == 0 || c.now-x.told > n.w.cfg.BeatEvery/2) {
		n.tell(c, from, true)
	}
}

// beat tells those that are, or should become, neighbours that this node is there, and forgets those that are not.
func (n *neighbours) beat(c *Core) {
	half := int64(n.w.cfg.BeatEvery / 2)
	n.beatAt = c.now + Instant(half+c.cfg.Rand.Int64N(2*half+1)) // so that nodes do not fall into step
	n.all = slices.DeleteFunc(n.all, func(x *neighbour) bool { return !n.counts(c, x) })
	if c.mode > pausing {
		return
	}
	for _, m := range n.wanted(c) {
		n.tell(c, m.id, false)
	}
}
