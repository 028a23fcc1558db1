package node

import (
	"maps"

	"starling/gossip"
)

// stateTransfer gets the state of the method from a peer, and gives it to those that ask: how a node begins late, or finds back to
// the others when it has missed too much.
type stateTransfer struct {
	from  PeerID  // who was asked
	until Instant // when another one may be asked; 0 if nobody was
	answers
}

// stateTimeout is how long an answer may take to begin, and with that how often a node asks.
const stateTimeout = 10 * Second

// want asks a member for its state, unless somebody has been asked a short while ago.
func (s *stateTransfer) want(c *Core, m *member) {
	if c.now < s.until {
		return
	}
	s.from, s.until = m.id, c.now+stateTimeout
	c.send(m.id, &gossip.Request{Part: gossip.PartState}, nil)
}

// answered pulls what was asked for, takes it apart, and goes over to it, if it is still wanted then.
func (s *stateTransfer) answered(c *Core, o *outerMethod, m *member, d *gossip.Delta) {
	if m.id != s.from || s.until == 0 {
		return
	}
	s.from, s.until = PeerID{}, c.now+10*stateTimeout // while it is pulled, nobody else is asked
	o.fetch(c, m, 0, d, 0, o.stateLen(), func(c *Core, state VecRef, _ float64) {
		if state == 0 {
			s.until = 0
			return
		}
		var parts [][]Span
		for i := range o.parts() {
			parts = append(parts, []Span{take(i*o.run.Len, o.run.Len, Term{Vec: state, Coef: 1})})
		}
		o.combine(c, func(c *Core, out []VecRef) {
			s.until = 0
			c.release(state)
			if !o.adopts(c, d) {
				for _, v := range out {
					c.release(v)
				}
				return
			}
			o.void(c)
			o.age = d.Age
			o.adopt(c, d, out)
			c.observe(Stat{Kind: StatAdopted, Peer: m.id, Round: d.Round, Value: float64(d.Age)})
			o.finished(c)
			if o.phase == outerOther {
				o.goOn(c)
			}
		}, parts...)
	})
}

// asked answers a peer with the state of this moment.
func (s *stateTransfer) asked(c *Core, o *outerMethod, from PeerID) {
	d := &gossip.Delta{Part: gossip.PartState, Len: uint32(o.stateLen()), Age: o.age}
	var spans []Span
	for _, v := range o.own(d) {
		spans = append(spans, take(0, o.run.Len, Term{Vec: v, Coef: 1}))
	}
	s.give(c, o, from, d, spans)
}

// answers give vectors of this node to peers that have asked for them.
type answers struct {
	ready   *gossip.Delta      // the newest that were encoded, at
	readyAt Instant            // that time: drivers do not keep them for ever
	waiting []PeerID           // who get those that are being encoded
	given   map[PeerID]Instant // when each of those that were answered of late was
}

// maxAnswers bounds the peers that are answered in an interval of answerEvery, each of them once: what an honest one, that asks no more
// often than every stateTimeout, does not notice. Others ask again.
const (
	maxAnswers  = 64
	answerEvery = stateTimeout / 5
)

// admit reports whether a peer is to be answered now.
func (a *answers) admit(c *Core, from PeerID) bool {
	if at, ok := a.given[from]; ok && c.now < at+answerEvery {
		return false
	}
	maps.DeleteFunc(a.given, func(_ PeerID, at Instant) bool { return c.now >= at+answerEvery }) // whatever the order
	if len(a.given) >= maxAnswers {
		return false
	}
	if a.given == nil {
		a.given = make(map[PeerID]Instant)
	}
	a.given[from] = c.now
	return true
}

// give sends a peer the vector that d describes and spans make. What was encoded for another peer a moment ago will do as well.
func (a *answers) give(c *Core, o *outerMethod, to PeerID, d *gossip.Delta, spans []Span) {
	if !a.admit(c, to) {
		return
	}
	if a.ready != nil && c.now < a.readyAt+answerEvery && a.ready.Round == d.Round && a.ready.Base == d.Base && a.ready.Version == d.Version {
		a.send(c, to)
		return
	}
	if a.waiting = append(a.waiting, to); len(a.waiting) > 1 {
		return // they will have the one that is under way
	}
	d.Codec = PlainCodec
	o.combine(c, func(c *Core, out []VecRef) {
		o.encode(c, EncodeJob{Vec: out[0], Lens: []int{int(d.Len)}, Plain: true}, func(c *Core, ev Encoded) {
			c.release(out[0])
			waiting := a.waiting
			a.waiting = nil
			if len(ev.Pieces) == 0 {
				return // they ask again
			}
			d.Pieces = ev.Pieces
			a.ready, a.readyAt = d, c.now
			for _, id := range waiting {
				a.send(c, id)
			}
		})
	}, spans)
}

// send sends what is ready, sealed like a broadcast and in the envelope of a repair.
func (a *answers) send(c *Core, to PeerID) {
	seq := c.number()
	c.send(to, &gossip.Repair{}, []*gossip.Message{{Run: c.cfg.Run, Author: c.cfg.Self, Seq: seq, Body: a.ready}})
}
