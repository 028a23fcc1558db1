package node

import (
	"encoding/binary"

	"starling/gossip"
	"starling/mixing/outer"
)

// apply takes the outer step on the shards whose means are there, and ends the turn.
func (t *together) apply(c *Core, f *turn) {
	o := t.o
	t.busy = true
	step := o.cfg.Optimizer().Step([]float64{1})
	blend, keep := step.Anchor.Blend(o.cfg.Keep)
	frag := o.cfg.Fragments[f.fragment]

	var anchor, momentum, local, residual []Span
	copyOf := func(from, to int) {
		anchor = append(anchor, take(from, to-from, Term{Vec: o.anchor, Coef: 1}))
		momentum = append(momentum, take(from, to-from, Term{Vec: t.momentum, Coef: 1}))
		local = append(local, take(from, to-from, Term{Vec: o.model(), Coef: 1}))
		residual = append(residual, take(from, to-from, Term{Vec: t.residual, Coef: 1}))
	}
	copyOf(0, frag.From)
	lineage := lineageOf(t.lineage, f.number, uint64(f.fragment))
	steps, others, whole := uint64(0), 0, true
	for s, mean := range f.means {
		r := t.shard(f.fragment, s)
		n := r.To - r.From
		if mean == nil {
			whole = false
			copyOf(r.From, r.To)
			lineage = lineageOf(lineage, uint64(s), 0)
			continue
		}
		form := func(f outer.Form) Span {
			span := take(r.From, n, Term{Vec: o.anchor, Coef: f.Anchor}, Term{Vec: t.momentum, Coef: f.Momentum})
			span.Terms = append(span.Terms, Term{Vec: mean.vec, Coef: f.G[0]})
			return span
		}
		anchor, momentum = append(anchor, form(step.Anchor)), append(momentum, form(step.Momentum))
		mixed := form(blend)
		if keep != 0 {
			mixed.Terms = append(mixed.Terms, Term{Vec: o.model(), Coef: keep, At: r.From})
		}
		local = append(local, mixed)
		counted := false
		for _, m := range mean.d.Mixed {
			counted = counted || m.Author == o.self && m.Seq == f.seq
		}
		if counted && f.lost != 0 {
			residual = append(residual, Span{Len: n, Terms: []Term{{Vec: f.lost, Coef: 1, At: r.From - frag.From}}})
		} else {
			residual = append(residual, take(r.From, n, Term{Vec: t.residual, Coef: 1}))
		}
		lineage = lineageOf(lineage, uint64(s), pieceHash(&mean.d.Pieces[0]))
		steps, others = max(steps, mean.d.Steps), max(others, len(mean.d.Mixed)-1)
	}
	copyOf(frag.To, o.run.Len)

	// Without fragments, and with all means, the local copy is the anchor again.
	separate := !whole || len(o.cfg.Fragments) > 1 || o.cfg.Keep > 0 || o.cfg.Overlap > 0
	vectors := [][]Span{anchor, momentum}
	if separate {
		vectors = append(vectors, local)
	}
	if o.run.Feedback {
		vectors = append(vectors, residual)
	}
	life := o.life
	o.combine(c, func(c *Core, out []VecRef) {
		if life != o.life { // the state has become another one
			for _, v := range out {
				c.release(v)
			}
			return
		}
		o.replace(c, out[0])
		c.release(t.momentum)
		t.momentum = out[1]
		o.dropLocal(c)
		if separate {
			o.local = out[2]
		}
		if o.run.Feedback {
			c.release(t.residual)
			t.residual = out[len(out)-1]
		}
		t.drop(c)
		t.busy = false
		t.turn, t.lineage = t.turn+1, lineage
		o.age += steps
		c.observe(Stat{Kind: StatMixed, Round: t.turn - 1, Value: float64(others)})
		o.finished(c)
		o.goOn(c)
	}, vectors...)
}

// lineageOf names what becomes of a lineage by what happens to it.
func lineageOf(lineage, what, which uint64) uint64 {
	h := (lineage ^ what*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>29 ^ which) * 0x94d049bb133111eb
	return h ^ h>>32
}

// pieceHash tells payloads apart: of a blob by its name, which is a hash, else by its bytes (FNV-1a).
func pieceHash(p *gossip.Piece) uint64 {
	if p.Inline == nil {
		return binary.BigEndian.Uint64(p.Blob[:8]) ^ binary.BigEndian.Uint64(p.Blob[8:16])
	}
	h := uint64(0xcbf29ce484222325)
	for _, b := range p.Inline {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	return h
}

// elsewhere returns a pseudo-gradient of those whose state this node should go over to, nil if it should stay: most others have taken
// other turns, or more of them. One that has heard of few goes with who is farther, so that newcomers do not begin anew.
func (t *together) elsewhere(c *Core) *offer {
	near := func(turn, base uint64, y *offer) bool {
		d := max(turn, y.d.Round) - min(turn, y.d.Round)
		return d == 1 || d == 0 && base == y.d.Base
	}
	var there []*offer
	for _, m := range c.roster.sorted() {
		if x := t.offers[m.id]; x != nil && t.o.active(c, m) {
			there = append(there, x)
		}
	}
	mine := 1
	for _, x := range there {
		if near(t.turn, t.lineage, x) {
			mine++
		}
	}
	var best *offer
	most := mine
	for _, x := range there {
		if near(t.turn, t.lineage, x) {
			continue
		}
		n := 0
		for _, y := range there {
			if near(x.d.Round, x.d.Base, y) {
				n++
			}
		}
		round, base := t.turn, t.lineage
		if best != nil {
			round, base = best.d.Round, best.d.Base
		}
		if n > most || n == most && (x.d.Round > round || x.d.Round == round && x.d.Base < base) {
			best, most = x, n
		}
	}
	return best
}

func (t *together) stateLen() int { return 2 * t.o.run.Len }

func (t *together) own(d *gossip.Delta) []Span {
	d.Round, d.Base = t.turn, t.lineage
	n := t.o.run.Len
	return []Span{take(0, n, Term{Vec: t.o.anchor, Coef: 1}), take(0, n, Term{Vec: t.momentum, Coef: 1})}
}

func (t *together) adopt(c *Core, d *gossip.Delta, state VecRef) {
	o := t.o
	n := o.run.Len
	if t.flight != nil {
		t.drop(c)
	}
	for _, v := range []*VecRef{&t.residual, &t.lost} {
		c.release(*v)
		*v = 0
	}
	t.busy, t.due, t.early, t.failures = true, -1, nil, 0
	t.turn, t.lineage = d.Round, d.Base
	// The schedule of fragments follows the turns.
	every := o.cfg.streaming()
	t.clock = (t.turn - 1) * uint64(every.H/every.P)
	life := o.life
	o.combine(c, func(c *Core, out []VecRef) {
		c.release(state)
		if life != o.life {
			c.release(out[0])
			c.release(out[1])
			return
		}
		o.replace(c, out[0])
		c.release(t.momentum)
		t.momentum, t.busy = out[1], false
		if o.phase == outerOther {
			o.goOn(c)
		}
	}, []Span{take(0, n, Term{Vec: state, Coef: 1})}, []Span{take(n, n, Term{Vec: state, Coef: 1})})
}
