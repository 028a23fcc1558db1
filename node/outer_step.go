package node

import (
	"slices"

	"starling/gossip"
	"starling/mixing/outer"
)

// A stepForms has the spans of the vectors that an outer step makes.
type stepForms struct {
	anchor, momentum, local []Span

	whole bool // all means are there
	steps uint64
	mixed []gossip.Mark // of the mean with the most
	next  standing
}

// apply takes the outer step on the shards whose means are there, and ends the turn.
func (t *together) apply(c *Core, f *turn) {
	o := t.o
	t.busy = true
	forms := t.forms(f)
	// Without fragments and losses, and with all means, the local copy is the anchor again.
	separate := !forms.whole || o.run.Feedback || len(o.cfg.Fragments) > 1 || o.cfg.Keep > 0 || o.cfg.Overlap > 0
	vectors := [][]Span{forms.anchor, forms.momentum}
	if separate {
		vectors = append(vectors, forms.local)
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
		swap(c, &t.momentum, out[1])
		o.dropLocal(c)
		if separate {
			o.local = out[2]
		}
		t.drop(c)
		t.busy = false
		t.at, t.members = forms.next, t.successors(f, forms.mixed)
		t.dropEarly()
		o.age += forms.steps
		c.observe(Stat{Kind: StatMixed, Round: f.number, Value: float64(len(forms.mixed) - 1)})
		o.finished(c)
		if o.phase != outerTraining && o.phase != outerClosing {
			o.goOn(c)
		}
	}, vectors...)
}

// swap puts a vector in place of another.
func swap(c *Core, ref *VecRef, with VecRef) {
	c.release(*ref)
	*ref = with
}

// forms writes the outer step down.
func (t *together) forms(f *turn) *stepForms {
	o := t.o
	step := o.cfg.Optimizer().Step([]float64{1})
	blend, keep := step.Anchor.Blend(o.cfg.Keep)
	frag := o.cfg.Fragments[f.fragment]
	out := &stepForms{whole: true}
	copyOf := func(from, to int) {
		if from == to {
			return
		}
		of := func(v VecRef) Span { return take(from, to-from, Term{Vec: v, Coef: 1}) }
		out.anchor, out.momentum = append(out.anchor, of(o.anchor)), append(out.momentum, of(t.momentum))
		out.local = append(out.local, of(o.model()))
	}
	copyOf(0, frag.From)
	lineage := lineageOf(t.at.lineage, f.number, uint64(f.fragment))
	for s, mean := range f.means {
		r := t.shard(f.fragment, s)
		n := r.To - r.From
		if mean == nil {
			out.whole = false
			copyOf(r.From, r.To)
			lineage = lineageOf(lineage, uint64(s), 0)
			continue
		}
		form := func(f outer.Form, local float64) Span {
			span := take(r.From, n, Term{Vec: o.anchor, Coef: f.Anchor}, Term{Vec: t.momentum, Coef: f.Momentum})
			span.Terms = append(span.Terms, Term{Vec: mean.vec, Coef: f.G[0]})
			if local != 0 {
				span.Terms = append(span.Terms, Term{Vec: o.model(), Coef: local, At: r.From})
			}
			return span
		}
		out.anchor, out.momentum = append(out.anchor, form(step.Anchor, 0)), append(out.momentum, form(step.Momentum, 0))
		local := form(blend, keep)
		if f.lost != 0 && slices.Contains(mean.d.Mixed, gossip.Mark{Author: o.self, Seq: f.seq}) {
			// What the codec lost of the own pseudo-gradient stays where it was learned: in the local copy. A residual that is added to the
			// next one instead (EF14) would count again what local steps from the anchor, which it did not move, find again.
			local.Terms = append(local.Terms, Term{Vec: f.lost, Coef: keep - 1, At: r.From - frag.From})
		}
		out.local = append(out.local, local)
		lineage = lineageOf(lineage, uint64(s), pieceHash(&mean.d.Pieces[0]))
		out.steps = max(out.steps, mean.d.Steps)
		if len(mean.d.Mixed) > len(out.mixed) {
			out.mixed = mean.d.Mixed
		}
	}
	copyOf(frag.To, o.run.Len)
	out.steps = min(out.steps, 2*max(f.steps, o.cfg.Steps)) // of which others have only said it
	out.next = standing{turn: f.number + 1, lineage: lineage, parent: t.at.lineage}
	return out
}

// dropEarly forgets means of turns that are over.
func (t *together) dropEarly() {
	t.early = slices.DeleteFunc(t.early, func(mean *shardMean) bool { return mean.d.Round < t.at.turn })
}

// successors are the members after a turn: who was in its means. One that was to sum up a shard of which there is no mean is passed over.
func (t *together) successors(f *turn, mixed []gossip.Mark) []gossip.Mark {
	var all []PeerID
	passed := make(map[PeerID]uint64)
	for _, x := range mixed {
		all = append(all, x.Author)
	}
	for _, x := range t.members {
		passed[x.Author] = x.Seq
	}
	for s, mean := range f.means {
		if mean == nil {
			passed[t.order(f, s, all)[0]] = f.number + passedTurns
		}
	}
	var out []gossip.Mark
	for _, id := range all {
		out = append(out, gossip.Mark{Author: id, Seq: passed[id]})
	}
	return out
}
