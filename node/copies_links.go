package node

import (
	"slices"

	"starling/gossip"
)

// A link is a neighbour that keeps copies of this node's vectors and of whose vectors this node keeps copies.
type link struct {
	peer PeerID
	m    *member

	known  bool   // there is a copy
	copy   VecRef // 0 while it is the origin
	number uint64 // of the difference that brought the copy to where it is
	degree uint32 // of the neighbour, as it said with that difference

	// pull is what the steps of this link have moved, in all. What the model has yet to take up of it is pull less taken, which may be
	// pull itself. 0 is nothing.
	pull  VecRef
	taken VecRef
	mark  uint64 // the newest copy that a step has used: the neighbour's if this node steers, else the own one

	since  uint64 // number of the own copies when the link was made
	theirs uint64 // the same of the neighbour, as it says when it wants whole copies, and one more; 0 when it has not

	heeds bool // this node has applied a difference since the link was made
	ready bool // so has the neighbour, as it says, and can take the steps that this node decides on

	busy  bool // the copy is being made anew, and the pull if this node does not steer
	gone  bool
	queue []pendingDifference // differences that have not been applied, ascending
	whole *gossip.Delta       // whole copies that have come, to be taken when the link is not busy

	madeAt   Instant
	heardAt  Instant // newest difference
	askedAt  Instant // newest request under way; 0 is none
	wanted   bool    // the neighbour waits for whole copies
	servedAt Instant // whole copies
	resentAt Instant // differences
	told     uint64  // the neighbour's difference that the next own one says has counted; 0 is none
}

// A pendingDifference has come, and it may not be its turn yet.
type pendingDifference struct {
	seq uint64
	d   *gossip.Delta
}

// How long links wait.
const (
	askAgain     = Second / 2 // for an answer, and a round
	refusedAfter = 8          // times as long without whole copies: the peer does not want the link
	avoidFor     = 30 * Second
	forgetAfter  = keptDifferences // rounds of silence: what was missed since then nobody has any more
	recentRounds = 3               // an end that was heard of in the last three rounds is there
)

// steers reports whether this node decides on the steps of a link.
func (k *copies) steers(l *link) bool { return comparePeers(k.self, l.peer) < 0 }

func (k *copies) link(p PeerID) *link {
	if i, ok := slices.BinarySearchFunc(k.links, p, linkOrder); ok {
		return k.links[i]
	}
	return nil
}

func linkOrder(l *link, p PeerID) int { return comparePeers(l.peer, p) }

// rhythm is the time between two differences on a link, of the slower end.
func (k *copies) rhythm(l *link) Instant { return max(l.m.interval, k.roundTime) }

// recent reports whether the neighbour was heard of lately.
func (k *copies) recent(c *Core, l *link) bool {
	return c.now-l.heardAt <= recentRounds*k.rhythm(l)
}

// fresh reports whether a step can be taken: there is something new of the neighbour, which is not what was new before this node
// slept, and the neighbour can follow.
func (k *copies) fresh(c *Core, l *link) bool {
	return l.known && l.ready && l.number > l.mark && k.recent(c, l)
}

// countDegree is how many neighbours take part as far as can be told.
func (k *copies) countDegree() uint32 {
	n := uint32(0)
	for _, l := range k.links {
		if l.known && l.m.up {
			n++
		}
	}
	return n
}

// weight is the part of the difference between two copies that a step takes (Metropolis-Hastings; spec 06, 6.3).
func weight(rate float32, a, b uint32) float64 { return float64(rate) / float64(1+max(a, b)) }

// tend looks after the links at the beginning of a round: those without life go, others take their places.
func (k *copies) tend(c *Core) {
	for i := 0; i < len(k.links); {
		l := k.links[i]
		silent := c.now - max(l.heardAt, l.madeAt)
		refused := !l.known && !l.busy && silent > refusedAfter*(askAgain+k.rhythm(l))
		if !l.m.gone && !l.m.banned.Load() && !refused && silent <= max(2*refusedAfter*askAgain, forgetAfter*k.rhythm(l)) {
			i++
			continue
		}
		if refused {
			l.m.avoidUntil = c.now + avoidFor
		}
		k.cut(c, i)
	}
	var others []*member
	for _, m := range c.roster.sorted() {
		if m.up && !m.banned.Load() && c.now >= m.avoidUntil && k.link(m.id) == nil {
			others = append(others, m)
		}
	}
	// Both ends of a possible link give it the same rank, so that they want each other.
	slices.SortStableFunc(others, func(a, b *member) int {
		switch x, y := k.rank(a.id), k.rank(b.id); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for _, m := range others[:min(len(others), k.room())] {
		k.open(c, m)
	}
	for _, l := range k.links {
		k.advance(c, l)
		if !l.known && l.m.up {
			k.ask(c, l)
		}
	}
}

// rank orders the peers by how much a node would like to have them as neighbours.
func (k *copies) rank(p PeerID) uint64 { return rankLink(k.run.Run, k.self, p) }

// room is how many more links this node looks for.
func (k *copies) room() int { return max(0, k.cfg.Degree-len(k.links)) }

// accepts reports whether one more link that another node looks for is welcome: there may be twice as many as this node looks for, so
// that a newcomer finds neighbours where all others have theirs.
func (k *copies) accepts(m *member) bool {
	return m != nil && !m.banned.Load() && len(k.links) < min(2*k.cfg.Degree, maxDegree)
}

// open makes a link.
func (k *copies) open(c *Core, m *member) *link {
	l := &link{peer: m.id, m: m, since: k.number, mark: 0, madeAt: c.now, known: k.origin != 0}
	i, _ := slices.BinarySearchFunc(k.links, m.id, linkOrder)
	k.links = slices.Insert(k.links, i, l)
	if !k.steers(l) {
		l.mark = k.number
	}
	return l
}

// cut ends a link. With its pull its part in the tracker goes.
func (k *copies) cut(c *Core, i int) {
	l := k.links[i]
	l.gone = true
	c.release(l.copy)
	l.copy = 0
	l.dropPull(c)
	k.links = slices.Delete(k.links, i, i+1)
}

// dropPull forgets what a link has moved.
func (l *link) dropPull(c *Core) {
	if l.taken != l.pull {
		c.release(l.taken)
	}
	c.release(l.pull)
	l.pull, l.taken = 0, 0
}

// copyOf returns the copies of a neighbour's vectors.
func (k *copies) copyOf(l *link) VecRef {
	if l.copy != 0 {
		return l.copy
	}
	return k.origin
}

// dropOrigin forgets what everybody began with. Who has not been heard of since has to send its copies whole.
func (k *copies) dropOrigin(c *Core) {
	for _, l := range k.links {
		if l.known && l.copy == 0 {
			if l.busy {
				return // later
			}
			l.known = false
		}
	}
	if k.origin != k.own {
		c.release(k.origin)
	}
	k.origin = 0
}

// pullTowards takes a step on a link that this node steers.
func (k *copies) pullTowards(c *Core, l *link, then func()) {
	l.mark, l.told = l.number, l.number
	w := weight(k.nextRate, k.nextDegree, l.degree)
	k.mix(c, k.pulled(l, w, []Term{{Vec: k.own, Coef: -w}}), func(out VecRef) {
		k.setPull(c, l, out)
		then()
	})
}

// pulled makes the pull of a link after one more step, by which the own vectors go w times the way from here, terms of the own
// copies, to the neighbour's copy.
func (k *copies) pulled(l *link, w float64, here []Term) []Span {
	spans := make([]Span, k.parts)
	for part := range spans {
		at := part * k.run.Len
		var terms []Term
		if l.pull != 0 {
			terms = append(terms, Term{Vec: l.pull, Coef: 1, At: at})
		}
		terms = append(terms, Term{Vec: k.copyOf(l), Coef: w, At: at})
		for _, t := range here {
			t.At = at
			terms = append(terms, t)
		}
		spans[part] = Span{Len: k.run.Len, Terms: terms}
	}
	return spans
}

// setPull takes a new pull, unless the link is gone.
func (k *copies) setPull(c *Core, l *link, pull VecRef) {
	if l.gone {
		c.release(pull)
		return
	}
	if l.taken != l.pull {
		c.release(l.pull)
	}
	l.pull = pull
}

// takeUp returns what the model has yet to take up of a link, after which it counts as taken up.
func (l *link) takeUp(c *Core) []Term {
	if l.taken == l.pull {
		return nil
	}
	terms := []Term{{Vec: l.pull, Coef: 1}}
	if l.taken != 0 {
		terms = append(terms, Term{Vec: l.taken, Coef: -1})
		c.release(l.taken)
	}
	l.taken = l.pull
	return terms
}

// at returns the own copies of a number as terms, negative and w-fold, if it is one of the newest, and the degree announced with them.
func (k *copies) at(number uint64, w func(degree uint32) float64) (terms []Term, coef float64, ok bool) {
	if number == k.number {
		coef = w(k.degree)
		return []Term{{Vec: k.own, Coef: -coef}}, coef, true
	}
	for i := len(k.sent) - 1; i >= 0; i-- {
		s := &k.sent[i]
		if s.msg == nil {
			continue // not announced yet
		}
		if s.msg.Seq == number {
			coef = w(s.degree)
			terms = append(terms, Term{Vec: k.own, Coef: -coef})
			for _, later := range k.sent[i+1:] {
				if later.msg != nil {
					terms = append(terms, Term{Vec: later.vec, Coef: float64(coef * k.cfg.Copies.Damp)})
				}
			}
			return terms, coef, true
		}
		if s.vec == 0 {
			break
		}
	}
	return nil, 0, false
}
