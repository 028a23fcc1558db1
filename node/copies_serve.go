package node

import (
	"slices"

	"starling/gossip"
)

// asked answers a neighbour that lacks something.
func (k *copies) asked(c *Core, from PeerID, r *gossip.Request) {
	if k.phase == closing || r.Fragment != 0 {
		return
	}
	l := k.link(from)
	if l == nil {
		m := c.roster.find(from)
		if !k.accepts(m) {
			return
		}
		l = k.open(c, m)
	}
	switch r.Part {
	case gossip.PartDifference:
		if l.resentAt != 0 && c.now-l.resentAt < resendEvery {
			return
		}
		if !k.serveSince(c, l, r.Since) {
			l.wanted = true
		}
	case gossip.PartCopy:
		if r.Since+1 != l.theirs {
			l.theirs = r.Since + 1
			if l.pull != 0 && !k.steers(l) {
				// The neighbour has begun anew, and knows better than this node what the link has moved.
				k.forget(c, l)
			}
		}
		l.wanted = true
	}
	switch k.phase {
	case training, idle, waiting:
		k.serveWaiting(c)
	}
}

// serveSince sends the differences after that of a number, if they are there and smaller than whole copies, and reports whether
// it did.
func (k *copies) serveSince(c *Core, l *link, since uint64) bool {
	if k.steers(l) && since < l.since {
		return false // it was a link before, and may have pulled in that life
	}
	i := slices.IndexFunc(k.sent, func(d difference) bool { return d.msg != nil && d.base == since })
	if i < 0 {
		return since == k.number && since != 0
	}
	var forward []*gossip.Message
	size := uint64(0)
	for _, d := range k.sent[i:] {
		if d.msg != nil {
			forward = append(forward, d.msg)
			size += d.size
		}
	}
	if size > k.copySize() {
		return false
	}
	// The driver drops what does not fit into a message. It will be asked for again.
	l.resentAt = c.now
	c.send(l.peer, &gossip.Repair{}, forward)
	c.observe(Stat{Kind: StatRepaired, Peer: l.peer, Value: float64(len(forward))})
	return true
}

// The shortest times between two answers with whole copies, and with differences: less than those between two questions.
const (
	serveEvery  = Second
	resendEvery = askAgain / 2
)

// serveWaiting sends whole copies to those that want them. It is called while the pulls of links are those that the newest
// difference speaks of.
func (k *copies) serveWaiting(c *Core) {
	for _, l := range k.links {
		if l.wanted && (l.servedAt == 0 || c.now-l.servedAt >= serveEvery) {
			l.wanted, l.servedAt = false, c.now
			k.serve(c, l)
		}
	}
}

// serve sends whole copies: the own vectors as the neighbours know them, and what the link has moved if this node steers it.
func (k *copies) serve(c *Core, l *link) {
	d := &gossip.Delta{
		Part: gossip.PartCopy, Round: k.round, Base: k.number, Age: k.age, Degree: k.degree, To: []PeerID{l.peer},
		Codec: PlainCodec, Len: uint32(k.parts * k.run.Len),
	}
	lens := k.lens()
	if !k.steers(l) || l.pull == 0 {
		k.encodeWhole(c, d, k.own, lens)
		return
	}
	all := k.parts * k.run.Len
	d.Len += uint32(all)
	k.mix(c, []Span{{Len: all, Terms: []Term{{Vec: k.own, Coef: 1}}}, {Len: all, Terms: []Term{{Vec: l.pull, Coef: 1}}}}, func(out VecRef) {
		k.encodeWhole(c, d, out, append(lens, lens...))
		c.release(out)
	})
}

func (k *copies) encodeWhole(c *Core, d *gossip.Delta, v VecRef, lens []int) {
	j := EncodeJob{Job: c.newJob(), Vec: v, Lens: lens, Plain: true}
	k.do(j.Job, func(c *Core, ev Event) {
		if d.Pieces = ev.(Encoded).Pieces; len(d.Pieces) != len(lens) {
			return // the disk is full; it will be asked for again
		}
		msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.number(), Body: d}
		c.send(d.To[0], &gossip.Repair{}, []*gossip.Message{msg})
		c.observe(Stat{Kind: StatRepaired, Peer: d.To[0], Value: 1})
	})
	c.out.Encode = append(c.out.Encode, j)
}
