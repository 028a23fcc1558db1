package node

import (
	"maps"
	"slices"

	"starling/gossip"
)

// An incoming is a hand-over as the receiver sees it, up to when the token is its own.
type incoming struct {
	offerName
	msg    *gossip.Message
	offer  *gossip.Offer
	proof  *gossip.Message // how the giver got the token; nil if it began there
	memory memory          // as of the offer; without history until that has been told
	params VecRef
	opt    VecRef // 0 if none travels
	norm   float64
	pulls  int   // under way
	saving JobID // the checkpoint that will have it
	ready  bool  // it is durable
	tries  int
	began  Instant
	at     Instant // next message to the giver
	until  Instant // end of patience with the pulls
}

func (in *incoming) size() uint64 { return in.offer.Model.Size + in.offer.State.Size }

func (in *incoming) spot() spot { return spot{in.offer.Fence, in.offer.Hop} }

// complete reports whether everything is there.
func (in *incoming) complete() bool {
	return in.pulls == 0 && (in.memory.history != nil || in.offer.Remnant)
}

// mostLive is how many tokens a node has at a time at the most: two can meet.
const mostLive = 2

// proof returns how a peer has shown that it got a token. It may offer two tokens at the same time, and what it sends together need not
// come together.
func (w *walk) proof(from PeerID, token uint32) *gossip.Message {
	for _, m := range w.proofs[from] {
		if m.Body.(*gossip.Offer).Token == token {
			return m
		}
	}
	return nil
}

// shown keeps what a peer shows of a token, also when that has been accepted: the offer may come again.
func (w *walk) shown(c *Core, from PeerID, msg *gossip.Message) {
	if w.proofs[from] == nil { // of whom this node knows no more it expects no offer
		maps.DeleteFunc(w.proofs, func(id PeerID, _ []*gossip.Message) bool { return c.roster.find(id) == nil })
	}
	token := msg.Body.(*gossip.Offer).Token
	list := slices.DeleteFunc(w.proofs[from], func(m *gossip.Message) bool { return m.Body.(*gossip.Offer).Token == token })
	list = append(list, msg)
	w.proofs[from] = list[max(0, len(list)-maxProofs):]
}

// offered takes an offer to this node; or one to the sender, which says how it got the token that it is about to offer.
func (w *walk) offered(c *Core, from PeerID, msg *gossip.Message, o *gossip.Offer) {
	m := c.roster.find(from)
	if o.To == from {
		if m != nil {
			w.shown(c, from, msg)
		}
		return
	}
	if o.To != w.run.Self || msg.Author != from || m == nil || m.banned.Load() {
		return
	}
	proof := w.proof(from, o.Token)
	v := w.view(o.Token)
	name := offerName{from, msg.Seq}
	in := v.coming
	switch {
	case name == v.took:
		w.hand(c, from, gossip.StepTaken, o.Token, msg.Seq, nil)
		return
	case in != nil && in.offerName == name:
		w.takeLater(c, v) // it says where this node is
		return
	case in != nil && from == in.from && in.seq < msg.Seq, in != nil && in.offer.Fence.Less(o.Fence):
		w.dropComing(c, v) // the giver has withdrawn that one, or it is void
	case in != nil:
		w.hand(c, from, gossip.StepBusy, o.Token, msg.Seq, nil)
		return
	}
	if !w.admits(c, v, o) {
		w.hand(c, from, gossip.StepBehind, o.Token, msg.Seq, nil)
		if v.news != nil {
			c.send(from, &gossip.Repair{}, []*gossip.Message{v.news})
		}
		return
	}
	if !w.hasRoom(c, v, o) {
		w.hand(c, from, gossip.StepBusy, o.Token, msg.Seq, nil)
		return
	}
	if proof != nil && o.Fence.Maker == w.near.tag(from) && proof.Body.(*gossip.Offer).Fence != o.Fence {
		proof = nil // that is of an earlier offer
	}
	if err := w.proven(o, from, proof); err != nil {
		c.mark(m, scoreForged, err.Error())
		w.hand(c, from, gossip.StepBusy, o.Token, msg.Seq, nil)
		return
	}
	w.accept(c, v, &incoming{offerName: name, msg: msg, offer: o, proof: proof})
}

// hasRoom reports whether this node takes one more token now.
func (w *walk) hasRoom(c *Core, v *tokenView, o *gossip.Offer) bool {
	if c.mode != running || w.saveErr != "" {
		return false
	}
	if o.Remnant {
		return v.own.stage <= stageHere
	}
	n := 0
	for _, u := range w.views {
		if u.coming != nil && !u.coming.offer.Remnant {
			n++
		}
		if u != v && u.own != nil && u.own.life == live {
			n++
		}
	}
	return n < mostLive
}

// accept begins to pull what is offered.
func (w *walk) accept(c *Core, v *tokenView, in *incoming) {
	o := in.offer
	v.coming = in
	in.began, in.until = c.now, c.now+w.rates.pullWithin(in.size())
	in.params = w.pull(c, v, in, o.Codec, w.run.Len, o.Model)
	if o.StateLen > 0 {
		in.opt = w.pull(c, v, in, PlainCodec, int(o.StateLen), o.State)
	}
	w.takeLater(c, v)
}

// pull fetches a vector of an offer.
func (w *walk) pull(c *Core, v *tokenView, in *incoming, codec string, length int, p gossip.Piece) VecRef {
	job := FetchJob{Job: c.newJob(), Author: in.from, Codec: codec, Len: length, Piece: p, Norm: true, Out: c.newRef()}
	in.pulls++
	w.calls[job.Job] = func(c *Core, ev Event) {
		f := ev.(Fetched)
		w.blame(c, f.Bad)
		in.pulls--
		switch {
		case v.coming != in:
			c.release(job.Out)
			return
		case f.Err != FetchOK:
			if m := c.roster.find(in.from); m != nil && f.Err == FetchCorrupt {
				c.mark(m, scoreCorrupt, "corrupt payload")
			}
		case length == w.run.Len && job.Out == in.params:
			in.norm = f.Norm
		}
		if f.Err != FetchOK {
			c.release(job.Out)
			if in.params == job.Out {
				in.params = 0
			} else {
				in.opt = 0
			}
			w.refuse(c, v)
			return
		}
		w.vecs.hold(job.Out)
		w.whenComplete(c, v)
	}
	c.out.Fetch = append(c.out.Fetch, job)
	return job.Out
}

// blame marks peers that served wrong bytes.
func (w *walk) blame(c *Core, bad []PeerID) {
	for _, id := range bad {
		if m := c.roster.find(id); m != nil {
			c.mark(m, scoreCorrupt, "served wrong bytes")
		}
	}
}

// refuse ends a hand-over to this node.
func (w *walk) refuse(c *Core, v *tokenView) {
	w.hand(c, v.coming.from, gossip.StepBusy, v.number, v.coming.seq, nil)
	w.dropComing(c, v)
}

// dropComing forgets a hand-over. What is still being pulled is released when it comes.
func (w *walk) dropComing(c *Core, v *tokenView) {
	in := v.coming
	v.coming = nil
	for _, ref := range []VecRef{in.params, in.opt} {
		if w.vecs[ref] > 0 {
			w.vecs.drop(c, ref)
		}
	}
}

// takeLater tells the giver where this node is, and ends a hand-over that takes too long.
func (w *walk) takeLater(c *Core, v *tokenView) {
	in := v.coming
	step, next := gossip.StepPulling, keepAlive
	switch {
	case in.ready:
		in.tries++
		gone := (spot{v.fence, v.hop}).covers(spot{in.offer.Fence, in.offer.Hop + 1}) // the token went on elsewhere
		if in.offer.Remnant {
			gone = in.tries > giveTimes
		}
		if gone {
			w.dropComing(c, v)
			return
		}
		step, next = gossip.StepReady, w.rates.answerWithin(in.tries)
	case c.now >= in.until:
		w.refuse(c, v)
		return
	case in.memory.history == nil && !in.offer.Remnant:
		step, next = gossip.StepAccept, min(keepAlive, w.rates.answerWithin(1))
	}
	in.at = c.now + next
	w.hand(c, in.from, step, v.number, in.seq, nil)
}

// fromGiver takes what the author of an offer says.
func (w *walk) fromGiver(c *Core, from PeerID, h *gossip.Hand) {
	v, name := w.find(h.Token), offerName{from, h.Offer}
	if v == nil {
		return
	}
	in := v.coming
	if in == nil || in.offerName != name {
		if h.Step == gossip.StepGiven && v.took == name {
			w.hand(c, from, gossip.StepTaken, h.Token, h.Offer, nil)
		}
		return
	}
	switch h.Step {
	case gossip.StepHistory:
		w.told(c, v, h.History)
	case gossip.StepGiven:
		if in.ready {
			w.take(c, v)
		}
	case gossip.StepVoid:
		w.dropComing(c, v)
	}
}

// take makes a token that was given to this node its own.
func (w *walk) take(c *Core, v *tokenView) {
	in := v.coming
	o := in.offer
	v.took = in.offerName
	old := v.own
	for _, u := range w.views {
		if u.own != nil && u.own.stage == stageHere {
			u.own.waitUntil = 0 // for this one
		}
	}
	if o.Remnant {
		w.persist(c, v)
		w.hand(c, in.from, gossip.StepTaken, v.number, in.seq, nil)
		v.coming = nil
		rest := &tokenCopy{spot: in.spot(), token: v.number, age: o.Age, params: in.params, opt: in.opt}
		if old != nil && old.life == live && old.stage < stageEncode && v.rest == nil {
			v.rest = rest
		} else {
			w.dropVectors(c, rest)
		}
		return
	}
	now := w.arrived(in)
	if v.heard != 0 && v.fence == o.Fence && now.hop > v.hop {
		w.rates.hops(now.hop-v.hop, c.now-v.heard)
	}
	w.known(c, v, now.spot, now.moves)
	w.fenced(c, v)
	w.endGiving(c, v)
	v.own, v.coming = now, nil
	w.persist(c, v)
	w.hand(c, in.from, gossip.StepTaken, v.number, in.seq, nil)
	v.jitter = w.drawJitter(c)
	w.show(c, v.own)
	switch {
	case old == nil:
	case old.life == remnant && v.rest == nil:
		v.rest = old
	default:
		w.dropVectors(c, old)
	}
	c.observe(Stat{Kind: StatTaken, Peer: in.from, Round: v.own.hop, Value: float64(in.size())})
}

// copied is the copy that a hand-over has brought, as it was offered.
func (in *incoming) copied() *tokenCopy {
	o := in.offer
	return &tokenCopy{
		spot: in.spot(), token: o.Token, moves: o.Moves, age: o.Age, params: in.params, opt: in.opt, norm: in.norm,
		memory: in.memory, came: in.msg, told: in.memory.begin(),
	}
}

// arrived is the same after the visit to this node, which makes it live.
func (w *walk) arrived(in *incoming) *tokenCopy {
	cp := in.copied()
	cp.hop++
	cp.moves++
	cp.life, cp.stay, cp.durable = live, 1, cp.hop
	w.visit(cp.memory, w.tag)
	return cp
}

// youngFork is up to how many hops on their own two lives of a token may have gone to be averaged; of older ones, whose models
// may be far apart, the one with more hops is taken (spec 02, section 2.11).
const youngFork = 50

// absorb merges what is left of another life of a token into the present one, and lets go of it.
func (w *walk) absorb(c *Core, v *tokenView) {
	cp, rest := v.own, v.rest
	v.rest = nil
	theirs := float64(max(rest.hop, cp.fence.Base) - cp.fence.Base)
	ours := float64(max(cp.hop, cp.fence.Base) - cp.fence.Base)
	share := 0.5
	switch {
	case theirs+ours == 0:
	case min(theirs, ours) <= youngFork:
		share = ours / (theirs + ours)
	case theirs > ours:
		share = 0
	default:
		share = 1
	}
	at, next := cp.spot, cp.stage
	cp.stage = stageMerge
	w.blend(c, cp, rest, share, func(c *Core, params, opt VecRef) {
		w.dropVectors(c, rest)
		if !w.is(cp, at, live) || cp.stage != stageMerge {
			return
		}
		w.setParams(c, cp, w.vecs.hold(params))
		if opt != 0 {
			w.vecs.drop(c, cp.opt)
			cp.opt = w.vecs.hold(opt)
		}
		cp.age, cp.stage = max(cp.age, rest.age), next
		c.observe(Stat{Kind: StatMerged, Round: cp.hop, Value: float64(v.number)})
	})
}
