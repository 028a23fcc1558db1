package node

import (
	"starling/gossip"
	"starling/mixing/outer"
)

// giveAnchor answers a peer that wants the anchor.
func (p *pushes) giveAnchor(c *Core, from PeerID) {
	n := p.o.run.Len
	d := &gossip.Delta{Part: gossip.PartAnchor, Round: p.windows + 1, Version: p.version, Len: uint32(n)}
	p.anchors.give(c, p.o, from, d, []Span{take(0, n, Term{Vec: p.o.anchor, Coef: 1})})
}

// closeWindow begins the next window, and asks for somebody's anchor if it is time.
func (p *pushes) closeWindow(c *Core) {
	p.position, p.size = 0, 0
	p.windows++
	clear(p.shares)
	every := uint64(p.o.cfg.Every)
	if p.o.cfg.Consensus == 0 || every == 0 || p.windows%every != 0 || c.now < p.consensusAt {
		return
	}
	var there []*member
	for _, m := range c.roster.sorted() {
		if at, ok := p.asked[m.id]; p.o.active(c, m) && (!ok || c.now > at+answerEvery) {
			there = append(there, m) // who would answer
		}
	}
	for _, m := range c.draw(there, 1) {
		p.asked[m.id] = c.now
		forget(c, p.asked)
		p.consensusFrom, p.consensusAt = m.id, c.now+stateTimeout
		c.send(m.id, &gossip.Request{Part: gossip.PartAnchor}, nil)
	}
}

// anchorCame pulls the anchor of another node, to draw the own one towards it.
func (p *pushes) anchorCame(c *Core, m *member, d *gossip.Delta) {
	if m.id != p.consensusFrom {
		return
	}
	p.consensusFrom, p.consensusAt = PeerID{}, 0
	most := outer.TauMax(p.windowSize(c))
	if d.Version+most < p.version || d.Version > p.version+most {
		return
	}
	life := p.o.life
	p.o.fetch(c, m, 0, d, 0, p.o.run.Len, func(c *Core, vec VecRef, norm float64) {
		if life != p.o.life || vec != 0 && !usual(p.anchorNorms, norm) {
			c.release(vec)
			return
		}
		c.release(p.anchorOf)
		p.anchorOf, p.anchorVersion = vec, d.Version
		p.fold(c)
	})
}
