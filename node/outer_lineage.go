package node

import (
	"cmp"
	"slices"

	"starling/gossip"
)

// lineageOf names what becomes of a lineage by what happens to it.
func lineageOf(lineage, what, which uint64) uint64 {
	h := (lineage ^ what*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>29 ^ which) * 0x94d049bb133111eb
	return h ^ h>>32
}

// pieceHash tells payloads apart, by the name of a blob or by the bytes themselves (FNV-1a).
func pieceHash(p *gossip.Piece) uint64 {
	bytes := p.Inline
	if bytes == nil {
		bytes = p.Blob[:]
	}
	h := uint64(0xcbf29ce484222325)
	for _, b := range bytes {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	return h
}

// near reports whether two nodes can take part in the same turns: they are at the same state, or one is a turn ahead of the other and
// has come from where that one is.
func (p standing) near(q standing) bool {
	switch {
	case p.turn == q.turn:
		return p.lineage == q.lineage
	case p.turn == q.turn+1:
		return p.parent == q.lineage
	case q.turn == p.turn+1:
		return q.parent == p.lineage
	}
	return false
}

// fresh reports whether a node has not taken part in any turn.
func (p standing) fresh() bool { return p.turn == 1 }

// elsewhere returns a member whose state this node should go over to, nil if it should stay: most have taken other turns, or more of
// them. Of groups of equal size it is the one that is nearest to the median turn, so that a single liar draws nobody far away, then
// the one that is farther. At least half of the members that are there must have been heard. Who has taken part in a turn does not
// go by those that have just begun, and who has just begun need not be outvoted by others of that kind: two that agree will do.
func (t *together) elsewhere(c *Core) *member {
	known := func(m *member) bool {
		x := t.offers[m.id]
		return x != nil && x.m == m && t.o.active(c, m)
	}
	var who []*member
	all := newCrowd()
	all.add(t.at)
	away := false
	for _, m := range c.roster.sorted() {
		if !known(m) {
			continue
		}
		if p := t.offers[m.id].now.standing(); t.at.fresh() || !p.fresh() {
			who = append(who, m)
			all.add(p)
			away = away || !p.near(t.at)
		}
	}
	ahead := t.leftBehind(c)
	switch {
	case !away && ahead == nil || !t.o.heardMost(c, known):
		return nil
	case ahead != nil && t.failures > 0:
		return ahead
	}
	slices.Sort(all.turns)
	median := all.turns[len(all.turns)/2]
	best, size := t.at, all.near(t.at)
	if t.at.fresh() {
		size = 1
	}
	var to *member
	for _, m := range who {
		p := t.offers[m.id].now.standing()
		if p.near(t.at) {
			continue
		}
		n := all.near(p)
		if cmp.Or(cmp.Compare(n, size), cmp.Compare(apart(best.turn, median), apart(p.turn, median)), cmp.Compare(p.turn, best.turn),
			cmp.Compare(best.lineage, p.lineage)) > 0 {
			best, size, to = p, n, m
		}
	}
	return to
}

// A crowd counts where nodes stand.
type crowd struct {
	at, from map[[2]uint64]int // by turn and lineage, and by turn and parent
	turns    []uint64
}

func newCrowd() *crowd { return &crowd{at: make(map[[2]uint64]int), from: make(map[[2]uint64]int)} }

func (x *crowd) add(p standing) {
	x.at[[2]uint64{p.turn, p.lineage}]++
	x.from[[2]uint64{p.turn, p.parent}]++
	x.turns = append(x.turns, p.turn)
}

// near counts those that are near to a place.
func (x *crowd) near(p standing) int {
	return x.at[[2]uint64{p.turn, p.lineage}] + x.at[[2]uint64{p.turn - 1, p.parent}] + x.from[[2]uint64{p.turn + 1, p.lineage}]
}

// leftBehind returns one of the members that have ended the turn of this node, if most have: its means come no more.
func (t *together) leftBehind(c *Core) *member {
	var to *member
	ahead, all := 0, 0
	for _, m := range c.roster.sorted() {
		x := t.offers[m.id]
		if x == nil || x.m != m || !t.o.active(c, m) {
			continue
		}
		switch p := x.now.standing(); {
		case !p.near(t.at):
		case p.turn > t.at.turn:
			ahead, to = ahead+1, m
			fallthrough
		default:
			all++
		}
	}
	if 2*ahead <= all {
		return nil
	}
	return to
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }

func (t *together) parts() int { return 2 }

func (t *together) own(d *gossip.Delta) []VecRef {
	d.Round, d.Base, d.Version, d.Mixed = t.at.turn, t.at.lineage, t.at.parent, t.members
	return []VecRef{t.o.anchor, t.momentum}
}

func (t *together) adopts(c *Core, d *gossip.Delta) bool {
	p := standing{d.Round, d.Base, d.Version}
	return p.turn > 0 && t.elsewhere(c) != nil && (p.turn > t.at.turn || !p.near(t.at))
}

func (t *together) adopt(c *Core, d *gossip.Delta, parts []VecRef) {
	if t.flight != nil {
		t.drop(c)
	}
	t.o.replace(c, parts[0])
	swap(c, &t.momentum, parts[1])
	t.busy, t.due, t.failures, t.lastBegan = false, false, 0, 0
	t.at = standing{d.Round, d.Base, d.Version}
	t.members = d.Mixed
	t.dropEarly()
	// The schedule of fragments follows the turns.
	every := t.o.cfg.streaming()
	t.clock = (t.at.turn - 1) * uint64(every.H/every.P)
}
