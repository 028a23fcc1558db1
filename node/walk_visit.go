package node

import (
	"cmp"
	"slices"

	"starling/mixing/srrw"
)

// advance has a token of this node do what is next for it.
func (w *walk) advance(c *Core, v *tokenView) {
	cp := v.own
	if c.now < cp.waitUntil || v.giving != nil || c.mode == left {
		return
	}
	switch {
	case cp.life == remnant:
		w.advanceRemnant(c, v)
	case cp.life != live:
	case v.rest != nil && (cp.stage == stageWait || cp.stage == stageHere):
		w.absorb(c, v)
	case cp.stage == stageWait && c.mode != running:
		cp.stage = stageHere
		w.choose(c, v)
	case cp.stage == stageWait && w.train == nil:
		w.trainToken(c, cp)
	case cp.stage == stageHere:
		if !w.meets(c, v) {
			w.choose(c, v)
		}
	case cp.stage == stageOffer:
		w.choose(c, v)
	}
}

// trainToken makes the local steps of a visit.
func (w *walk) trainToken(c *Core, cp *tokenCopy) {
	at, from := cp.spot, cp.params
	job := TrainJob{
		Job: c.newJob(), Params: cp.params, Opt: cmp.Or(cp.opt, w.opt), Step: w.step, Age: cp.age, Steps: w.cfg.Steps, Aged: true,
		Out: c.newRef(), OutOpt: c.newRef(),
	}
	cp.stage, w.train = stageTrain, cp
	w.vecs.hold(from)
	w.calls[job.Job] = func(c *Core, ev Event) {
		w.train = nil
		w.vecs.drop(c, from)
		t := ev.(Trained)
		steps := cmp.Or(t.Steps, w.cfg.Steps)
		w.step += steps // they count as done even when they are undone: the next ones shall see other data
		undo, rest := w.diverges(c, t.Loss, w.visits)
		if undo || !w.is(cp, at, live) || cp.stage != stageTrain {
			c.release(job.Out)
			c.release(job.OutOpt)
			if cp.stage == stageTrain {
				cp.stage = stageWait
				if rest { // another node may have better data for it
					w.diverged, cp.stage = 0, stageHere
				}
			}
			return
		}
		w.setParams(c, cp, w.vecs.hold(job.Out))
		if w.cfg.Carry {
			w.vecs.drop(c, cp.opt)
			cp.opt = w.vecs.hold(job.OutOpt)
		} else {
			w.vecs.drop(c, w.opt)
			w.opt = w.vecs.hold(job.OutOpt)
		}
		cp.age += steps
		cp.samples, cp.loss, cp.stage = t.Samples, t.Loss, stageHere
		w.visits++
		w.loss, w.dirty = t.Loss, true
		w.show(c, cp)
		c.observe(Stat{Kind: StatTrained, Round: w.visits, Value: t.Loss})
		w.visited(c)
	}
	c.out.Train = append(c.out.Train, job)
}

// setParams gives a copy another vector, whose use it takes over.
func (w *walk) setParams(c *Core, cp *tokenCopy, params VecRef) {
	w.vecs.drop(c, cp.params)
	cp.params = params
	cp.model.Size, cp.state.Size = 0, 0
}

// show makes the model of a copy the one that the node is judged by, if it has gone no fewer hops.
func (w *walk) show(c *Core, cp *tokenCopy) {
	if cp.hop < w.best.hop {
		return
	}
	w.vecs.hold(cp.params)
	w.vecs.drop(c, w.best.params)
	b := &w.best
	b.token, b.spot, b.age, b.params, b.at = cp.token, cp.spot, cp.age, cp.params, c.now
}

// visited saves and evaluates, if it is time.
func (w *walk) visited(c *Core) {
	if w.visits%w.saveEvery == 0 {
		w.unsaved = true
	}
	if w.evaluateEvery != 0 && w.visits%w.evaluateEvery == 0 {
		w.evaluate(c)
	}
}

func (w *walk) evaluate(c *Core) {
	if w.evalJob == 0 {
		w.evalJob, w.evalRound = c.newJob(), w.visits
		c.out.Evaluate = append(c.out.Evaluate, EvaluateJob{Job: w.evalJob, Params: w.best.params})
	}
}

// meets merges a token with another one that is here, or waits for one that is on its way. It reports whether that takes time.
func (w *walk) meets(c *Core, v *tokenView) bool {
	cp := v.own
	waited := cp.waitUntil != 0
	cp.waitUntil = 0
	if c.mode != running {
		return false
	}
	for _, u := range w.views {
		if in := u.coming; in != nil && !waited && (u == v || !w.cfg.Apart && !slices.Contains(cp.met, u.number)) {
			cp.waitUntil = c.now + w.rates.handOver(in.size())
			return true
		}
		if u == v || w.cfg.Apart || u.own == nil || u.own.life != live || slices.Contains(cp.met, u.number) {
			continue
		}
		if s := u.own.stage; s == stageWait || s == stageHere {
			w.meet(c, cp, u.own)
			return true
		}
	}
	return false
}

// meet has two tokens take the mean of their models, weighted by age, and tell each other where they were.
func (w *walk) meet(c *Core, a, b *tokenCopy) {
	share := 0.5
	if a.age+b.age > 0 {
		share = float64(a.age) / float64(a.age+b.age)
	}
	a.met, b.met = append(a.met, b.token), append(b.met, a.token)
	atA, atB, next := a.spot, b.spot, b.stage
	a.stage, b.stage = stageMerge, stageMerge
	w.blend(c, a, b, share, func(c *Core, params, opt VecRef) {
		age := max(a.age, b.age)
		for _, x := range []struct {
			cp, other *tokenCopy
			at        spot
			stage     copyStage
		}{{a, b, atA, stageHere}, {b, a, atB, next}} {
			if w.is(x.cp, x.at, live) && x.cp.stage == stageMerge {
				w.setParams(c, x.cp, w.vecs.hold(params))
				if opt != 0 {
					w.vecs.drop(c, x.cp.opt)
					x.cp.opt = w.vecs.hold(opt)
				}
				x.cp.age, x.cp.stage = age, x.stage
				w.learn(x.cp, x.other.memory.shared)
				w.show(c, x.cp)
				c.observe(Stat{Kind: StatMerged, Round: x.cp.hop, Value: float64(x.other.token)})
			}
		}
	})
}

// blend makes share of one copy and the rest of the other, with their optimizer's states if tokens carry them. The vectors are released
// after then has been called, unless it holds them.
func (w *walk) blend(c *Core, a, b *tokenCopy, share float64, then func(c *Core, params, opt VecRef)) {
	mixes := [][2]VecRef{{a.params, b.params}}
	if a.opt != 0 && b.opt != 0 {
		mixes = append(mixes, [2]VecRef{a.opt, b.opt})
	}
	var out [2]VecRef
	left := len(mixes)
	for i, from := range mixes {
		terms := []Term{{Vec: w.vecs.hold(from[0]), Coef: share}, {Vec: w.vecs.hold(from[1]), Coef: 1 - share}}
		job := MixJob{Job: c.newJob(), Terms: terms, Out: c.newRef()}
		if i == 1 {
			job.Terms, job.Spans = nil, []Span{{Len: w.run.OptLen, Terms: terms}}
		}
		out[i] = w.vecs.hold(job.Out)
		w.calls[job.Job] = func(c *Core, _ Event) {
			w.vecs.drop(c, from[0])
			w.vecs.drop(c, from[1])
			if left--; left > 0 {
				return
			}
			then(c, out[0], out[1])
			w.vecs.drop(c, out[0])
			w.vecs.drop(c, out[1])
		}
		c.out.Mix = append(c.out.Mix, job)
	}
}

// choose draws where a token goes next: it stays, or is offered to a neighbour.
func (w *walk) choose(c *Core, v *tokenView) {
	cp := v.own
	cp.waitUntil = 0
	at := cp.memory.history.Around(w.near.self(c), w.near.list(c))
	if cp.came != nil {
		at.Previous, at.Came = w.near.tag(cp.came.Author), true
	}
	without := cp.failed
	if c.mode != running {
		without = append(slices.Clone(without), w.tag)
	}
	row, ok := w.cfg.Row(at).Without(without...)
	if !ok {
		cp.failed, cp.stage = nil, stageOffer
		cp.tries++
		if w.nobody++; w.closing && w.nobody >= leaveRounds {
			w.closeBy = c.now // all the others leave, too, it seems
		}
		cp.waitUntil = c.now + w.rates.rest()
		return
	}
	next := row.Draw(srrw.Uniform(w.tokenTag(cp.token)^cp.fence.Maker, cp.hop, cp.tries))
	switch to, known := w.near.peer(next); {
	case next == w.tag:
		w.again(c, v)
	case !known:
		cp.failed = append(cp.failed, next)
		w.choose(c, v)
	case cp.model.Size == 0:
		w.encodeToken(c, v)
	default:
		w.offer(c, v, to, next)
	}
}

// loneVisits is how many visits in a row a token makes without a rest where there is no neighbour: alone it would make thousands, and learn
// that node's data by heart.
const loneVisits = 8

// again has a token visit this node once more.
func (w *walk) again(c *Core, v *tokenView) {
	cp := v.own
	if cp.stay >= maxStay/2 {
		w.renew(c, v, cp) // or nobody would believe that it stayed for so long
		return
	}
	cp.hop++
	w.visit(cp.memory, w.tag)
	cp.stay++
	cp.stage, cp.failed, cp.tries = stageWait, nil, 0
	if cp.stay >= loneVisits && w.near.degree(c) == 0 {
		cp.waitUntil = c.now + w.newsEvery()
	}
	w.advance(c, v)
}

// encodeToken makes of a model what travels.
func (w *walk) encodeToken(c *Core, v *tokenView) {
	cp := v.own
	at, life, params := cp.spot, cp.life, cp.params
	left, failed := 1, false
	var model, state Encoded
	end := func(c *Core) {
		if left--; left > 0 || !w.is(cp, at, life) || cp.params != params || cp.stage != stageEncode {
			return
		}
		cp.stage = stageOffer
		if failed {
			cp.waitUntil = c.now + retryTrain
			return
		}
		cp.model = model.Pieces[0]
		if cp.opt != 0 {
			cp.state = state.Pieces[0]
		}
		if cp.life == live && c.now-v.told >= w.newsEvery() {
			w.announce(c, v)
		}
	}
	encode := func(job EncodeJob, to *Encoded) {
		job.Job = c.newJob()
		w.vecs.hold(job.Vec)
		w.calls[job.Job] = func(c *Core, ev Event) {
			w.vecs.drop(c, job.Vec)
			*to = ev.(Encoded)
			failed = failed || len(to.Pieces) == 0
			end(c)
		}
		c.out.Encode = append(c.out.Encode, job)
	}
	cp.stage = stageEncode
	encode(EncodeJob{Vec: params, Lens: []int{w.run.Len}, Apart: true}, &model)
	if cp.opt != 0 {
		left++
		encode(EncodeJob{Vec: cp.opt, Lens: []int{w.run.OptLen}, Plain: true, Apart: true}, &state)
	}
}
