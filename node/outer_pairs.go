package node

import (
	"encoding/binary"
	"slices"

	"starling/gossip"
	"starling/mixing/outer"
)

// pairs is NoLoCo (spec 03, 3.7): after its local steps a node agrees with a small group, which is drawn anew for every round from the
// run and the number of the round, the same everywhere. Nodes of a group name each other. Whose group does not come takes, once it has
// waited as long as is usual, what another node has announced, or steps alone.
//
// The anchor of a round is announced while its local steps are under way, since it is known by then: what has to be waited for is the
// pseudo-gradient alone.
type pairs struct {
	o *outerMethod

	momentum VecRef // 0 is zeros, as below
	number   uint64 // of the round, by which groups are drawn
	mixed    bool   // this node has agreed with others in this life

	group    []PeerID // of this round, without this node
	sent     VecRef   // what others decode of the own pseudo-gradient; 0 while there is none
	steps    uint64
	waiting  bool
	busy     bool
	deadline Instant
	lateness Instant // how long groups take, smoothed
	offers   map[PeerID]*pairOffer
	anchored uint64 // the round whose anchor was announced
	pull     *pairPull

	norms, anchorNorms *outer.Norms
}

// A pairPull is the vectors of others that a node steps with, as they come.
type pairPull struct {
	with               []*pairOffer
	anchors, gradients []VecRef  // 0 is not there
	clips              []float64 // what to multiply a pseudo-gradient by
	open               int       // pulls under way
	done               bool      // what comes now is too late
}

func (x *pairPull) release(c *Core) {
	x.done = true
	for i := range x.with {
		c.release(x.anchors[i])
		c.release(x.gradients[i])
	}
}

// A pairOffer is what a member has announced last.
type pairOffer struct {
	m                *member
	anchor, gradient *gossip.Delta
	anchorSeq, seq   uint64 // of the two
	used             bool
}

// whole reports whether both parts of one round are there.
func (x *pairOffer) whole() bool {
	return x.anchor != nil && x.gradient != nil && x.anchor.Round == x.gradient.Round
}

func newPairs(o *outerMethod, from State) *pairs {
	p := &pairs{
		o: o, momentum: from.Vector("momentum", o.run.Len), offers: make(map[PeerID]*pairOffer),
		norms: outer.NewNorms(rememberedNorms), anchorNorms: outer.NewNorms(rememberedNorms),
	}
	if len(from.Numbers) == 1 {
		p.number, p.anchored = from.Numbers[0], from.Numbers[0]
	}
	return p
}

func (p *pairs) numbers() []uint64 { return []uint64{p.number} }

func (p *pairs) vectors() []NamedVector {
	return named(p.o.run.Len, "momentum", p.momentum)
}

func (p *pairs) activity() string {
	if p.waiting {
		return "gathering"
	}
	return "mixing"
}

func (p *pairs) check(d *gossip.Delta) gossip.Verdict {
	anchor := d.Part == gossip.PartAnchor && d.Codec == PlainCodec
	gradient := d.Part == gossip.PartGradient && d.Codec == p.o.run.Codec
	switch {
	case !anchor && !gradient:
		return reject(gossip.ReasonMalformed)
	case int(d.Len) != p.o.run.Len || len(d.Pieces) != 1 || d.Fragment != 0:
		return reject(gossip.ReasonLength)
	}
	return accepted
}

func (p *pairs) begin(c *Core) {
	switch {
	case p.busy:
		return
	case p.waiting:
		p.progress(c)
		return
	}
	if p.anchored == p.number && c.mode == running {
		p.beginRound(c)
	}
	p.o.train(c, p.o.localSteps(c))
}

// beginRound numbers the round, no lower than most others do, and announces its anchor.
func (p *pairs) beginRound(c *Core) {
	o := p.o
	p.number = max(p.number+1, o.usualRound(c))
	number := p.number
	o.encode(c, EncodeJob{Vec: o.anchor, Lens: []int{o.run.Len}, Plain: true, Apart: true}, func(c *Core, ev Encoded) {
		if len(ev.Pieces) > 0 && p.number == number {
			c.publish(&gossip.Delta{
				Part: gossip.PartAnchor, Round: number, Age: o.age, Codec: PlainCodec, Len: uint32(o.run.Len), Pieces: ev.Pieces,
			})
		}
	})
}

func (p *pairs) trained(c *Core) {
	if p.o.early(c) {
		p.o.goOn(c) // the round goes on
		return
	}
	p.send(c)
}

// send encodes what the local steps have changed and announces it to the group.
func (p *pairs) send(c *Core) {
	p.busy = true
	p.o.encodeGradient(c, p.o.anchor, true, func(c *Core, sent VecRef, ev Encoded) {
		p.busy = false
		if sent != 0 {
			p.announce(c, sent, ev)
		}
		p.o.goOn(c)
	})
}

func (p *pairs) announce(c *Core, sent VecRef, ev Encoded) {
	o := p.o
	p.sent, p.steps = sent, o.steps
	p.group = p.draw(c)
	p.anchored = p.number
	d := &gossip.Delta{Round: p.number, Len: uint32(o.run.Len), Pieces: ev.Pieces, To: p.group}
	o.describe(d)
	o.announced(c, d, c.publish(d))
	p.waiting = true
	p.deadline = c.now
	if len(p.group) > 0 {
		p.deadline += p.patience()
	}
}

// draw lists the others of this node's group, ascending.
func (p *pairs) draw(c *Core) []PeerID {
	live := []PeerID{p.o.self}
	for _, m := range c.roster.sorted() {
		if p.o.active(c, m) {
			live = append(live, m.id)
		}
	}
	slices.SortFunc(live, comparePeers)
	self, _ := slices.BinarySearchFunc(live, p.o.self, comparePeers)
	seed := binary.BigEndian.Uint64(p.o.run.Run[:8])
	var group []PeerID
	for _, i := range outer.Group(seed, p.number, len(live), p.o.cfg.Group, self) {
		if i != self {
			group = append(group, live[i])
		}
	}
	return group
}

// patience is how long a group is waited for.
func (p *pairs) patience() Instant {
	if p.lateness == 0 {
		return max(leastWait, p.o.roundTime/gatherShare)
	}
	return max(2*p.lateness, p.o.roundTime/gatherShare)
}

func (p *pairs) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	x := p.offers[m.id]
	if x == nil || x.m != m {
		x = &pairOffer{m: m}
		p.offers[m.id] = x
		forget(c, p.offers)
	}
	switch {
	case d.Part == gossip.PartAnchor && seq > x.anchorSeq:
		x.anchor, x.anchorSeq = d, seq
	case d.Part == gossip.PartGradient && seq > x.seq:
		x.gradient, x.seq, x.used = d, seq, false
		if p.begins(c, d.Round) {
			p.o.states.want(c, m)
		}
	}
	p.progress(c)
}

// begins reports whether this node is a newcomer, which begins where others are, and others are at about a round.
func (p *pairs) begins(c *Core, round uint64) bool {
	usual := p.o.usualRound(c)
	return !p.mixed && usual > p.number+1 && apart(round, usual) <= maxLag && p.o.heardMost(c, func(m *member) bool { return p.o.active(c, m) })
}

func (p *pairs) wake(c *Core) Instant {
	if p.pull != nil && c.now >= p.deadline {
		p.step(c)
	}
	if p.pull != nil {
		return p.deadline
	}
	if !p.waiting || p.busy {
		return 0
	}
	if c.now >= p.deadline {
		p.progress(c)
		if !p.waiting || p.busy {
			return 0
		}
	}
	return p.deadline
}

// progress agrees with the group once it is there, or the time is over.
func (p *pairs) progress(c *Core) {
	if !p.waiting || p.busy {
		return
	}
	var there []*pairOffer
	for _, id := range p.group {
		x := p.offers[id]
		if x != nil && x.whole() && !x.used && x.gradient.Round == p.number && slices.Contains(x.gradient.To, p.o.self) {
			there = append(there, x)
		}
	}
	switch {
	case len(there) == len(p.group) && len(there) > 0:
		smooth(&p.lateness, max(1, c.now-p.o.announcedAt))
	case c.now < p.deadline:
		return
	case len(there) == 0 && len(p.group) > 0:
		there = p.anybody(c)
	}
	p.busy = true
	p.fetch(c, there)
}

// anybody draws one of those whose newest announcement was not used yet.
func (p *pairs) anybody(c *Core) []*pairOffer {
	var free []*member
	for _, m := range c.roster.sorted() {
		if x := p.offers[m.id]; x != nil && x.whole() && !x.used && p.o.active(c, m) {
			free = append(free, m)
		}
	}
	var out []*pairOffer
	for _, m := range c.draw(free, 1) {
		out = append(out, p.offers[m.id])
	}
	return out
}

// fetch pulls the vectors of a group, and steps with those that come soon.
func (p *pairs) fetch(c *Core, with []*pairOffer) {
	n := p.o.run.Len
	pull := &pairPull{
		with: with, anchors: make([]VecRef, len(with)), gradients: make([]VecRef, len(with)), clips: make([]float64, len(with)), open: 2 * len(with),
	}
	p.pull, p.deadline = pull, c.now+p.o.pullWait()
	came := func(c *Core, vec VecRef, take func()) {
		pull.open--
		if pull.done {
			c.release(vec)
			return
		}
		if vec != 0 {
			take()
		}
		if pull.open == 0 {
			p.step(c)
		}
	}
	for i, x := range with {
		x.used = true
		p.o.fetch(c, x.m, x.anchorSeq, x.anchor, 0, n, func(c *Core, vec VecRef, norm float64) {
			if vec != 0 && !pull.done && !usual(p.anchorNorms, norm) {
				p.o.refuse(c, x.m, x.anchorSeq, gossip.RefusedCorrupt, "its anchor is much longer than those of others")
				c.release(vec)
				vec = 0
			}
			came(c, vec, func() { pull.anchors[i] = vec })
		})
		p.o.fetch(c, x.m, x.seq, x.gradient, 0, n, func(c *Core, vec VecRef, norm float64) {
			came(c, vec, func() { pull.gradients[i], pull.clips[i] = vec, p.norms.Clip(norm) })
		})
	}
	if pull.open == 0 {
		p.step(c)
	}
}

// step is the outer step with what is there of a group.
func (p *pairs) step(c *Core) {
	o, pull := p.o, p.pull
	p.pull = nil
	phis, deltas := []Term{{Vec: o.anchor}}, []Term{{Vec: p.sent}}
	clips := []float64{1}
	age := o.age + p.steps
	oldest := ageCap * max(age, o.cfg.Steps) // a liar shall not end the schedule of everybody's training
	for i, x := range pull.with {
		if pull.anchors[i] == 0 || pull.gradients[i] == 0 {
			continue
		}
		phis, deltas = append(phis, Term{Vec: pull.anchors[i]}), append(deltas, Term{Vec: pull.gradients[i]})
		clips = append(clips, pull.clips[i])
		age = max(age, min(x.gradient.Age+x.gradient.Steps, oldest))
		o.counted(c, x.m, x.seq)
		p.mixed = true
	}
	size := len(phis)
	form := func(f outer.GroupForm) []Span {
		terms := []Term{{Vec: o.anchor, Coef: f.Phi}, {Vec: p.momentum, Coef: f.Momentum}}
		for i := range phis {
			phis[i].Coef, deltas[i].Coef = f.MeanPhi/float64(size), -f.MeanDelta*clips[i]/float64(size)
		}
		return []Span{take(0, o.run.Len, append(append(terms, phis...), deltas...)...)}
	}
	momentum, phi := o.cfg.NoLoCo().Step(size)
	life := o.life
	o.combine(c, func(c *Core, out []VecRef) {
		if life != o.life {
			c.release(out[0])
			c.release(out[1])
			return
		}
		o.replace(c, out[1])
		swap(c, &p.momentum, out[0])
		o.dropLocal(c)
		swap(c, &p.sent, 0)
		p.waiting, p.busy = false, false
		o.age = age
		c.observe(Stat{Kind: StatMixed, Round: o.round, Value: float64(size - 1)})
		o.finished(c)
		o.goOn(c)
	}, form(momentum), form(phi))
	pull.release(c)
}

func (p *pairs) rests() bool { return !p.waiting && !p.busy }

func (p *pairs) parts() int { return 1 }

// own is the anchor alone: a joiner begins without momentum (spec 03, 3.10).
func (p *pairs) own(d *gossip.Delta) []VecRef {
	d.Round, d.Base = p.number, p.o.age
	return []VecRef{p.o.anchor}
}

func (p *pairs) adopts(c *Core, d *gossip.Delta) bool { return p.begins(c, d.Round) }

func (p *pairs) adopt(c *Core, d *gossip.Delta, parts []VecRef) {
	p.o.replace(c, parts[0])
	swap(c, &p.momentum, 0)
	swap(c, &p.sent, 0)
	if p.pull != nil {
		p.pull.release(c)
		p.pull = nil
	}
	p.number, p.anchored = d.Round, d.Round
	p.waiting, p.busy, p.mixed = false, false, true
}
