package node

import (
	"starling/gossip"
	"starling/mixing/outer"
)

// pushes is asynchronous local SGD without a holder of the parameters (spec 03, 3.5 and 3.9, the third way): every node keeps an anchor
// of its own and takes every pseudo-gradient that it hears of, and its own, as a push, at once. Nobody is waited for. Momentum enters
// once in a window of pushes, with their mean, so that a stale direction is not repeated before others have spoken.
//
// Anchors differ by the order of pushes, and by those that a node has missed. What keeps them together is the consensus term, and
// that a node which is far from most goes over to the state of one of them.
type pushes struct {
	o *outerMethod

	momentum VecRef // 0 is zeros, as below
	window   VecRef // the sum of the pushes since momentum was entered

	version  uint64 // pushes in the anchor
	position int    // pushes in the window
	size     int    // of the window, as it is used now
	windows  uint64 // that were closed

	base    VecRef  // what the local steps under way began from, if that is not the anchor any more
	started uint64  // version of that
	busy    bool    // the next state is being computed
	sending bool    // a pseudo-gradient is being encoded
	pulling int     // pushes on their way
	grace   Instant // until then the next local steps wait for pushes that are due; 0 if they do not
	roundAt Instant // when the local steps of this round began
	queue   []*arrival
	shares  map[PeerID]int // pushes of each in this window
	norms   *outer.Norms

	versions map[PeerID]uint64  // that members have announced last
	asked    map[PeerID]Instant // for their anchors

	anchors       answers // for others
	consensusFrom PeerID  // whose anchor was asked for
	consensusAt   Instant // until then nobody else is asked
	anchorOf      VecRef  // the one that came
	anchorVersion uint64
	anchorNorms   *outer.Norms
}

// An arrival is a pseudo-gradient that is there.
type arrival struct {
	m     *member // nil for the own one
	seq   uint64
	vec   VecRef
	norm  float64
	stale uint64 // pushes that its author's anchor took up while it trained
}

func newPushes(o *outerMethod, from State) *pushes {
	n := o.run.Len
	p := &pushes{
		o: o, momentum: from.Vector("momentum", n), window: from.Vector("window", n),
		norms: outer.NewNorms(rememberedNorms), anchorNorms: outer.NewNorms(rememberedNorms),
		shares: make(map[PeerID]int), versions: make(map[PeerID]uint64), asked: make(map[PeerID]Instant),
	}
	if len(from.Numbers) == 4 {
		p.version, p.windows = from.Numbers[0], from.Numbers[3]
		p.position, p.size = int(from.Numbers[1]), int(from.Numbers[2])
	}
	return p
}

func (p *pushes) numbers() []uint64 {
	return []uint64{p.version, uint64(p.position), uint64(p.size), p.windows}
}

func (p *pushes) vectors() []NamedVector {
	return named(p.o.run.Len, "momentum", p.momentum, "window", p.window)
}

func (p *pushes) activity() string {
	if p.sending {
		return "encoding"
	}
	return "mixing"
}

func (p *pushes) check(d *gossip.Delta) gossip.Verdict {
	plain := d.Part == gossip.PartAnchor && d.Codec == PlainCodec
	switch {
	case !plain && (d.Part != gossip.PartGradient || d.Codec != p.o.run.Codec):
		return reject(gossip.ReasonMalformed)
	case !plain && d.Base > d.Version:
		return reject(gossip.ReasonMalformed)
	case int(d.Len) != p.o.run.Len || len(d.Pieces) != 1 || d.Fragment != 0:
		return reject(gossip.ReasonLength)
	}
	return accepted
}

// begin trains from the anchor, once the own push is in it.
func (p *pushes) begin(c *Core) {
	if p.busy || p.sending || p.gathers(c) {
		return
	}
	p.grace = 0
	if p.o.local == 0 {
		c.release(p.base)
		p.base, p.started, p.roundAt = 0, p.version, c.now
	}
	p.o.train(c, p.o.localSteps(c))
}

// gathers reports whether to wait a moment for pushes that are due. Nodes that return together would otherwise all go on from
// anchors that lack the pushes of the others: a round of staleness for nothing (the grace period of spec 03, 3.5).
func (p *pushes) gathers(c *Core) bool {
	switch {
	case c.now >= p.grace:
		return false
	case p.pulling > 0:
		return true
	case c.mode != running:
		return false
	}
	for _, m := range c.roster.sorted() {
		due := m.heardAt + m.interval
		switch {
		case m.gone || m.banned.Load():
		case m.round == 0 && m.up, m.interval > 0 && due <= p.grace && p.o.active(c, m) && due+p.patience(c) >= c.now:
			return true
		}
	}
	return false
}

// patience is the grace period: a part of a round, less for long ones.
func (p *pushes) patience(c *Core) Instant {
	round := p.o.roundTime
	if round == 0 {
		round = p.o.announcedAt - p.roundAt
	}
	return max(min(round/gatherShare, Second/2), round/20)
}

func (p *pushes) trained(c *Core) {
	if p.o.early(c) {
		p.o.goOn(c)
		return
	}
	p.send(c)
}

// from is what the local steps began from.
func (p *pushes) from() VecRef {
	if p.base != 0 {
		return p.base
	}
	return p.o.anchor
}

// send encodes what the local steps have changed, announces it, and takes it as a push of its own.
func (p *pushes) send(c *Core) {
	p.sending = true
	p.o.encodeGradient(c, p.from(), false, func(c *Core, sent VecRef, ev Encoded) {
		p.sending = false
		if sent != 0 {
			p.announce(c, sent, ev)
		}
		p.fold(c)
		p.o.goOn(c)
	})
}

func (p *pushes) announce(c *Core, sent VecRef, ev Encoded) {
	o := p.o
	d := &gossip.Delta{Round: o.round + 1, Base: p.started, Version: p.version, Len: uint32(o.run.Len), Pieces: ev.Pieces}
	o.describe(d)
	steps := o.steps
	o.announced(c, d, c.publish(d))
	p.grace = c.now + p.patience(c)
	o.age += steps
	o.dropLocal(c)
	c.release(p.base)
	p.base = 0
	p.queue = append(p.queue, &arrival{vec: sent, norm: ev.Norm, stale: p.version - p.started})
	o.finished(c)
}

func (p *pushes) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	if d.Part == gossip.PartAnchor {
		p.anchorCame(c, m, d)
		return
	}
	o := p.o
	most := outer.TauMax(p.windowSize(c))
	p.versions[m.id] = d.Version
	forget(c, p.versions)
	if p.astray(c, d.Version) {
		o.states.want(c, m)
	}
	switch {
	case d.Version > p.version+farOff*most:
		o.refuse(c, m, seq, gossip.RefusedStale, "it says that it is far ahead")
		return
	case d.Version-d.Base > most || d.Version+farOff*most < p.version:
		o.refuse(c, m, seq, gossip.RefusedStale, "its pseudo-gradient is of an anchor long gone")
		return
	case p.pulling+len(p.queue) >= o.cfg.Degree:
		return // more would come than this node can take
	}
	if n := p.live(c); n > o.cfg.Degree && c.cfg.Rand.IntN(n) >= o.cfg.Degree {
		return // each has the same chance, not only the first ones
	}
	p.pulling++
	life := o.life
	o.fetch(c, m, seq, d, 0, o.run.Len, func(c *Core, vec VecRef, norm float64) {
		p.pulling--
		switch {
		case vec == 0:
		case life != o.life:
			c.release(vec)
		default:
			p.queue = append(p.queue, &arrival{m: m, seq: seq, vec: vec, norm: norm, stale: d.Version - d.Base})
			p.fold(c)
		}
		o.goOn(c) // if this was what it waited for
	})
}

// farOff is how many times as far as the bound on staleness versions may be apart for pushes to count: far enough that a node goes over
// to others before some of them take its pushes and some do not, for then their anchors would part.
const farOff = 4

// astray reports whether this node is not where most are and a member of that version is: it has missed too much, or it has gone on alone.
func (p *pushes) astray(c *Core, version uint64) bool {
	usual := p.usualVersion(c)
	most := outer.TauMax(p.windowSize(c))
	switch {
	case apart(version, usual) > most || !p.o.heardMost(c, func(m *member) bool { return p.o.active(c, m) }):
		return false
	case usual > p.version+most/2, p.version == 0 && usual >= most/4:
		return true
	}
	return usual+most < p.version && p.near(c, usual) > 1+p.near(c, p.version)
}

// near counts the active members that can take up pushes of a node of that version.
func (p *pushes) near(c *Core, version uint64) int {
	n := 0
	for _, m := range c.roster.sorted() {
		if v, ok := p.versions[m.id]; ok && p.o.active(c, m) && apart(v, version) <= outer.TauMax(p.size) {
			n++
		}
	}
	return n
}

// usualVersion is the median of the versions of active members.
func (p *pushes) usualVersion(c *Core) uint64 {
	var all []uint64
	for _, m := range c.roster.sorted() {
		if v, ok := p.versions[m.id]; ok && p.o.active(c, m) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0
	}
	return lowerMedian(all)
}

// live counts the other nodes from which pushes are expected that count: those that have been heard of, unless they are far away, and
// those that are just beginning. A window that waited for others would never end.
func (p *pushes) live(c *Core) int {
	n, most := 0, outer.TauMax(p.size)
	for _, m := range c.roster.sorted() {
		v, ok := p.versions[m.id]
		if p.o.active(c, m) && (!ok || p.size == 0 || apart(v, p.version) <= farOff*most) || m.up && m.round == 0 && !m.gone {
			n++
		}
	}
	return n
}

func (p *pushes) wake(c *Core) Instant {
	switch {
	case p.grace == 0 || p.o.phase != outerOther:
		return 0
	case c.now < p.grace:
		return p.grace
	}
	p.grace = 0
	p.o.goOn(c)
	return 0
}

func (p *pushes) rests() bool { return !p.sending && !p.busy }

func (p *pushes) parts() int { return 3 }

func (p *pushes) own(d *gossip.Delta) []VecRef {
	d.Round, d.Version, d.Steps = uint64(p.position), p.version, uint64(p.size)
	return []VecRef{p.o.anchor, p.momentum, p.window}
}

func (p *pushes) adopts(c *Core, d *gossip.Delta) bool { return p.astray(c, d.Version) }

func (p *pushes) adopt(c *Core, d *gossip.Delta, parts []VecRef) {
	for _, x := range p.queue {
		c.release(x.vec)
	}
	p.queue = nil
	p.o.replace(c, parts[0])
	swap(c, &p.momentum, parts[1])
	swap(c, &p.window, parts[2])
	swap(c, &p.base, 0)
	swap(c, &p.anchorOf, 0)
	p.version, p.position, p.size = d.Version, int(min(d.Round, maxDegree)), int(min(d.Steps, maxDegree))
	p.busy = false
	clear(p.shares)
}
