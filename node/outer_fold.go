package node

import (
	"starling/gossip"
	"starling/mixing/outer"
)

// windowSize is the number of pushes in a window: it is settled when a window begins.
func (p *pushes) windowSize(c *Core) int {
	if p.size == 0 {
		p.size = p.o.cfg.Window
		if p.size == 0 {
			p.size = 1 + min(p.live(c), p.o.cfg.Degree)
		}
	}
	return p.size
}

// An asynchronous optimizer folds pushes into a state.
type folder interface {
	Fold(t uint64, weights []float64) outer.Step
	Next(t uint64, weights []float64) uint64
}

func (p *pushes) optimizer(n int) folder {
	if p.o.cfg.Variant == outer.NaiveNesterovPushes {
		return outer.NaiveNesterov{LR: p.o.cfg.LR, Mu: p.o.cfg.Momentum, N: n}
	}
	return p.o.cfg.Delayed(n)
}

// fold takes the pushes that are there, up to the end of the window, into the anchor, and draws that towards another node's.
func (p *pushes) fold(c *Core) {
	o := p.o
	if p.busy || p.sending || len(p.queue) == 0 && p.anchorOf == 0 || o.phase == outerClosing {
		return
	}
	p.busy = true
	n := p.windowSize(c)
	in, weights, position := p.next(c, n)
	pull, pullVersion := p.anchorOf, p.anchorVersion
	p.anchorOf = 0
	optimizer := p.optimizer(n)
	version := p.version + optimizer.Next(uint64(p.position), weights) - uint64(p.position)
	life := o.life
	o.combine(c, func(c *Core, out []VecRef) {
		if life != o.life {
			for _, v := range out {
				c.release(v)
			}
			return
		}
		p.settle(c, out)
		p.version, p.position = version, position
		if pull != 0 {
			p.shift(pullVersion)
		}
		p.credit(c, in, weights)
		if position >= n {
			p.closeWindow(c)
		}
		p.fold(c)
		if o.phase != outerTraining {
			o.goOn(c)
		}
	}, p.forms(optimizer.Fold(uint64(p.position), weights), in, pull)...)
	for _, x := range in {
		c.release(x.vec)
	}
	c.release(pull)
}

// shift moves the version as far towards that of another node as consensus moves the anchor. Versions count pushes, of which nodes miss
// different ones; if they drifted apart, pushes would be too old for some nodes and not for others, and anchors would follow.
func (p *pushes) shift(to uint64) {
	by := int64(float64(int64(to)-int64(p.version)) * (p.o.cfg.Consensus / 2))
	if by < 0 {
		by = max(by, -int64(p.started)) // which is the lesser of the two
	}
	p.version, p.started = uint64(int64(p.version)+by), uint64(int64(p.started)+by)
}

// next takes from the queue what fits into the window, and weighs it. It returns the position in the window after that.
func (p *pushes) next(c *Core, n int) (in []*arrival, weights []float64, position int) {
	position = p.position
	for len(p.queue) > 0 && (position < n || len(in) == 0) {
		x := p.queue[0]
		p.queue = p.queue[1:]
		w := p.weigh(c, x, n)
		in, weights = append(in, x), append(weights, w)
		if w > 0 {
			position++
		}
	}
	return in, weights, position
}

// forms are the new anchor, window and, if it changes, momentum. The anchor goes half of the consensus term's way to that of another
// node, since the mean of two is half way.
func (p *pushes) forms(step outer.Step, in []*arrival, pull VecRef) [][]Span {
	o := p.o
	spans := func(f outer.Form, stays float64) []Span {
		s := take(0, o.run.Len, Term{Vec: o.anchor, Coef: f.Anchor * stays}, Term{Vec: p.momentum, Coef: f.Momentum * stays},
			Term{Vec: p.window, Coef: f.Window * stays})
		for i, x := range in {
			if g := f.G[i] * stays; g != 0 {
				s.Terms = append(s.Terms, Term{Vec: x.vec, Coef: g})
			}
		}
		if stays != 1 {
			s.Terms = append(s.Terms, Term{Vec: pull, Coef: 1 - stays})
		}
		return []Span{s}
	}
	stays := 1.0
	if pull != 0 {
		stays = 1 - o.cfg.Consensus/2
	}
	vectors := [][]Span{spans(step.Anchor, stays), spans(step.Window, 1)}
	if changes(step.Momentum) {
		vectors = append(vectors, spans(step.Momentum, 1))
	}
	return vectors
}

// credit marks the pushes of others that counted.
func (p *pushes) credit(c *Core, in []*arrival, weights []float64) {
	others := 0
	for i, x := range in {
		if x.m != nil && weights[i] > 0 {
			others++
			p.o.counted(c, x.m, x.seq)
		}
	}
	c.observe(Stat{Kind: StatMixed, Round: p.o.round, Value: float64(others)})
}

// changes reports whether a form is not just the old momentum.
func changes(f outer.Form) bool {
	if f.Anchor != 0 || f.Momentum != 1 || f.Window != 0 {
		return true
	}
	for _, g := range f.G {
		if g != 0 {
			return true
		}
	}
	return false
}

// settle makes the new vectors the state. The anchor that local steps have begun from stays.
func (p *pushes) settle(c *Core, out []VecRef) {
	o := p.o
	if p.base == 0 && (o.phase == outerTraining || o.local != 0) {
		p.base = o.anchor
		o.anchor = out[0]
	} else {
		o.replace(c, out[0])
	}
	c.release(p.window)
	p.window = out[1]
	if len(out) > 2 {
		c.release(p.momentum)
		p.momentum = out[2]
	}
	p.busy = false
}

// weigh is the weight of a push: 0 if it does not count. Its staleness is what its author says, so that it has the same weight at
// all nodes: if each went by its own clock, its own pushes would always be the freshest, and every node would drift to its own data.
func (p *pushes) weigh(c *Core, x *arrival, n int) float64 {
	o := p.o
	w, ok := outer.Staleness{Polynomial: o.cfg.Polynomial, Most: outer.TauMax(n)}.Weight(x.stale)
	id := o.self
	if x.m != nil {
		id = x.m.id
	}
	switch {
	case !ok && x.m == nil:
		w = 0
	case !ok:
		o.refuse(c, x.m, x.seq, gossip.RefusedStale, "its pseudo-gradient has become stale")
		w = 0
	case p.shares[id] >= outer.Share(n, p.live(c)+1):
		w = 0 // others shall speak in this window, too
	}
	if w > 0 {
		p.shares[id]++
		w *= p.norms.Clip(x.norm)
	}
	return w
}
