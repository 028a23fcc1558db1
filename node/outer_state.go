package node

import "starling/gossip"

// stateTransfer gets the state of the method from a peer, and gives it to those that ask: how a node begins late, or finds back to
// the others when it has missed too much.
type stateTransfer struct {
	from  PeerID  // who was asked
	until Instant // when another one may be asked; 0 if nobody was
	answers
}

// answers give vectors of this node to peers that have asked for them.
type answers struct {
	ready   *gossip.Delta // the newest that were encoded
	waiting []PeerID      // who get those that are being encoded
}

// stateTimeout is how long an answer may take to begin, and with that how often a node asks.
const stateTimeout = 10 * Second

// maxWaiting bounds the peers that are answered at a time; others ask again.
const maxWaiting = 64

// want asks a member for its state, unless somebody has been asked a short while ago.
func (s *stateTransfer) want(c *Core, m *member) {
	if c.now < s.until {
		return
	}
	s.from, s.until = m.id, c.now+stateTimeout
	c.send(m.id, &gossip.Request{Part: gossip.PartState}, nil)
}

// answered takes what was asked for.
func (s *stateTransfer) answered(c *Core, o *outerMethod, m *member, d *gossip.Delta) {
	if m.id != s.from || s.until == 0 {
		return
	}
	s.from, s.until = PeerID{}, c.now+10*stateTimeout // while it is pulled, nobody else is asked
	o.fetch(c, m, 0, d, 0, o.stateLen(), func(c *Core, vec VecRef, _ float64) {
		s.until = 0
		if vec == 0 {
			return
		}
		o.void(c)
		o.age = d.Age
		o.variant.adopt(c, d, vec)
		c.observe(Stat{Kind: StatAdopted, Peer: m.id, Round: d.Round, Value: float64(d.Age)})
		o.finished(c)
		if o.phase == outerOther {
			o.goOn(c)
		}
	})
}

// asked answers a peer with the state of this moment.
func (s *stateTransfer) asked(c *Core, o *outerMethod, from PeerID) {
	d := &gossip.Delta{Part: gossip.PartState, Len: uint32(o.stateLen()), Age: o.age}
	s.give(c, o, from, d, o.own(d))
}

// give sends a peer the vector that d describes and spans make. What was encoded for another peer a moment ago will do as well.
func (a *answers) give(c *Core, o *outerMethod, to PeerID, d *gossip.Delta, spans []Span) {
	if a.ready != nil && a.ready.Round == d.Round && a.ready.Base == d.Base && a.ready.Version == d.Version {
		a.send(c, to)
		return
	}
	if len(a.waiting) == maxWaiting {
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
			a.ready = d
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
