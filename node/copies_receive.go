package node

import (
	"cmp"
	"slices"

	"starling/gossip"
)

// CheckDelta judges differences and whole copies: their form has to be the run's.
func (k *copies) CheckDelta(d *gossip.Delta) gossip.Verdict {
	want, pieces := gossip.ReasonLength, k.parts
	switch d.Part {
	case gossip.PartDifference:
		if d.Codec != k.run.Codec {
			return reject(gossip.ReasonCodec)
		}
		if d.Round == 0 || d.Age == 0 || d.Rate == 0 {
			return reject(gossip.ReasonMalformed)
		}
	case gossip.PartCopy:
		if d.Codec != PlainCodec {
			return reject(gossip.ReasonCodec)
		}
		if len(d.Pieces) == 2*pieces {
			pieces *= 2 // with the pull of the link
		}
	default:
		return reject(gossip.ReasonUnknownKind)
	}
	if len(d.Pieces) != pieces || uint64(d.Len) != uint64(pieces)*uint64(k.run.Len) || d.Fragment != 0 {
		return reject(want)
	}
	return accepted
}

// delta takes a difference or whole copies of a neighbour.
func (k *copies) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	if _, forUs := slices.BinarySearchFunc(d.To, k.self, comparePeers); !forUs || k.phase == closing {
		return
	}
	if d.Part == gossip.PartDifference && seq == m.seq.Load() {
		k.observe(c, m)
		m.heardAt, m.round, m.age, m.loss = c.now, d.Round, d.Age, d.Loss
	}
	l := k.link(m.id)
	if l == nil {
		if d.Part != gossip.PartDifference || !k.accepts(m) {
			return
		}
		l = k.open(c, m)
	}
	l.m = m
	switch {
	case d.Part == gossip.PartCopy:
		if l.askedAt != 0 || !l.known {
			l.whole = d
		}
	case seq > l.number || !l.known:
		l.heardAt = c.now
		k.enqueue(l, pendingDifference{seq, d})
	}
	k.advance(c, l)
}

// observe takes a difference into a neighbour's rhythm: one that has slept is not slow, and one that sends what was missed is not quick.
func (k *copies) observe(c *Core, m *member) {
	if m.round == 0 {
		return
	}
	switch d := c.now - m.heardAt; {
	case m.interval == 0:
		m.observeInterval(d)
	case d >= m.interval/8:
		m.observeInterval(min(d, 2*m.interval))
	}
}

// enqueue keeps a difference until it is its turn. One more than can be kept means that whole copies are needed.
func (k *copies) enqueue(l *link, a pendingDifference) {
	i, found := slices.BinarySearchFunc(l.queue, a.seq, func(b pendingDifference, seq uint64) int { return cmp.Compare(b.seq, seq) })
	switch {
	case found:
	case len(l.queue) == keptDifferences:
		l.queue = l.queue[:0]
		l.known = false
	default:
		l.queue = slices.Insert(l.queue, i, a)
	}
}

// advance applies what has come of a neighbour and is next, or asks for what is.
func (k *copies) advance(c *Core, l *link) {
	if l.busy || l.gone || k.phase == closing {
		return
	}
	if l.whole != nil {
		k.takeWhole(c, l)
		return
	}
	if l.known {
		l.queue = slices.DeleteFunc(l.queue, func(a pendingDifference) bool { return a.seq <= l.number })
		// What comes before the next one was announced in a life that the neighbour does not remember.
		if i := slices.IndexFunc(l.queue, func(a pendingDifference) bool { return a.d.Base == l.number }); i > 0 {
			l.queue = slices.Delete(l.queue, 0, i)
		}
	}
	switch {
	case !l.known && (len(l.queue) > 0 || l.m.up):
		k.ask(c, l)
	case len(l.queue) == 0:
		l.askedAt = 0
	case l.queue[0].d.Base == l.number:
		a := l.queue[0]
		l.queue = slices.Delete(l.queue, 0, 1)
		k.apply(c, l, a)
	default:
		k.ask(c, l)
	}
}

// ask wants what is missing of a neighbour: the differences since the copy that is there, or whole copies.
func (k *copies) ask(c *Core, l *link) {
	if l.askedAt != 0 && c.now-l.askedAt < askAgain+k.rhythm(l) {
		return
	}
	l.askedAt = c.now
	r := &gossip.Request{Part: gossip.PartDifference, Since: l.number}
	if !l.known {
		r.Part, r.Since = gossip.PartCopy, l.since
	}
	c.send(l.peer, r, nil)
}

// forget says that a copy is not what the neighbour takes it for, and asks for whole ones.
func (k *copies) forget(c *Core, l *link) {
	l.known, l.askedAt = false, 0
	k.ask(c, l)
}

// fetch gets the pieces of a delta, each a vector as long as the model; then is told of them, or that there are none.
func (k *copies) fetch(c *Core, l *link, d *gossip.Delta, then func(parts []VecRef, err FetchError)) {
	parts := make([]VecRef, len(d.Pieces))
	left, worst := len(d.Pieces), FetchOK
	l.busy = true
	for i, p := range d.Pieces {
		j := FetchJob{Job: c.newJob(), Author: l.peer, Codec: d.Codec, Len: k.run.Len, Piece: p, Out: c.newRef()}
		parts[i] = j.Out
		k.do(j.Job, func(c *Core, ev Event) {
			f := ev.(Fetched)
			for _, id := range f.Bad {
				if m := c.roster.find(id); m != nil {
					c.mark(m, scoreCorrupt, "served wrong bytes")
				}
			}
			if worst != FetchCorrupt && f.Err != FetchOK {
				worst = f.Err
			}
			if left--; left > 0 {
				return
			}
			l.busy = false
			if worst == FetchOK && !l.gone {
				then(parts, worst)
			}
			for _, v := range parts {
				c.release(v)
			}
			if worst != FetchOK && !l.gone {
				k.missed(c, l, worst)
			}
		}, j.Out)
		c.out.Fetch = append(c.out.Fetch, j)
	}
}

// missed says what becomes of a link when vectors that the neighbour has announced were not to be had.
func (k *copies) missed(c *Core, l *link, err FetchError) {
	switch err {
	case FetchCorrupt:
		l.m.refused[gossip.RefusedCorrupt]++
		c.observe(Stat{Kind: StatRefused, Peer: l.peer, Round: k.round, Text: "its payload does not decode to a finite vector"})
		c.mark(l.m, scoreCorrupt, "corrupt payload")
	case FetchUnavailable:
		l.m.refused[gossip.RefusedUnavailable]++
		c.observe(Stat{Kind: StatRefused, Peer: l.peer, Round: k.round, Text: "no holder served its payload"})
	}
	// Asked again by tend, not at once: a neighbour that serves nothing would be asked without end.
	l.known, l.askedAt = false, c.now
}

// apply moves a copy by a difference, and takes the neighbour's step on the link if it says that it has taken one.
func (k *copies) apply(c *Core, l *link, a pendingDifference) {
	k.fetch(c, l, a.d, func(parts []VecRef, _ FetchError) {
		here, w, steps, ok := k.stepOf(l, a.d)
		if !ok {
			// It has used a copy of ours that is older than what we remember.
			k.forget(c, l)
			return
		}
		spans := make([]Span, k.parts)
		for i := range spans {
			spans[i] = Span{Len: k.run.Len, Terms: []Term{
				{Vec: k.copyOf(l), Coef: 1, At: i * k.run.Len}, {Vec: parts[i], Coef: k.cfg.Copies.Damp},
			}}
		}
		var step []Span
		if steps {
			step = k.pulled(l, w, here)
		}
		k.renew(c, l, spans, step, func(moved, pull VecRef) {
			l.copy, l.number, l.degree = moved, a.seq, a.d.Degree
			l.heeds = true
			l.ready = l.ready || markOf(a.d, k.self) > l.since
			if steps {
				k.setPull(c, l, pull)
				l.mark = markOf(a.d, k.self)
			}
			l.m.mixed++
			c.mark(l.m, scoreGood, "mixed in")
			if !k.steers(l) {
				l.told = a.seq
			}
			k.advance(c, l)
		})
	})
}

// renew makes a link's new copy of the neighbour's vectors, and its new pull if there is one, and calls then with both, unless the
// link is gone by then. The old copy is let go of; the link is busy in the meantime.
func (k *copies) renew(c *Core, l *link, copied, pulled []Span, then func(copied, pull VecRef)) {
	l.busy = true
	var copyRef, pull VecRef
	left := 1
	ended := func() {
		if left--; left > 0 {
			return
		}
		l.busy = false
		if l.gone {
			c.release(copyRef)
			c.release(pull)
			return
		}
		c.release(l.copy)
		then(copyRef, pull)
	}
	if pulled != nil {
		left++
		k.mix(c, pulled, func(out VecRef) {
			pull = out
			ended()
		})
	}
	k.mix(c, copied, func(out VecRef) {
		copyRef = out
		ended()
	})
}

// markOf returns which copy of a peer a difference says its author has used, 0 if none.
func markOf(d *gossip.Delta, p PeerID) uint64 {
	i, ok := slices.BinarySearchFunc(d.Mixed, p, func(m gossip.Mark, p PeerID) int { return comparePeers(m.Author, p) })
	if !ok {
		return 0
	}
	return d.Mixed[i].Seq
}

// stepOf returns the own side of the step that a steering neighbour has taken, if it has: the own copies of then and the weight. It is
// not ok if they are not remembered any more.
func (k *copies) stepOf(l *link, d *gossip.Delta) (here []Term, w float64, steps, ok bool) {
	mark := markOf(d, k.self)
	if k.steers(l) || mark == 0 {
		return nil, 0, false, true
	}
	here, w, ok = k.at(mark, func(degree uint32) float64 { return weight(d.Rate, d.Degree, degree) })
	return here, w, ok, ok
}

// takeWhole replaces the copy of a neighbour.
func (k *copies) takeWhole(c *Core, l *link) {
	d := l.whole
	l.whole = nil
	k.fetch(c, l, d, func(parts []VecRef, _ FetchError) {
		spans := make([]Span, k.parts)
		for i := range spans {
			spans[i] = Span{Len: k.run.Len, Terms: []Term{{Vec: parts[i], Coef: 1}}}
		}
		var moved []Span
		if len(parts) > k.parts && !k.steers(l) {
			// The neighbour steers: its word on what the link has moved holds.
			moved = make([]Span, k.parts)
			for i := range moved {
				moved[i] = Span{Len: k.run.Len, Terms: []Term{{Vec: parts[k.parts+i], Coef: -1}}}
			}
		}
		k.renew(c, l, spans, moved, func(copied, pull VecRef) {
			l.copy, l.number, l.degree, l.known, l.askedAt = copied, d.Base, d.Degree, true, 0
			switch {
			case k.steers(l):
			case pull == 0:
				l.dropPull(c) // the neighbour has begun anew, and nothing is to be made good
			default:
				before := l.pull == 0 && !l.heeds
				k.setPull(c, l, pull)
				if before {
					l.taken = pull // by a link that this node does not remember, and that had moved the model
				}
			}
			l.heardAt = c.now
			k.advance(c, l)
		})
	})
}
