package node

import (
	"slices"

	"starling/gossip"
)

// A giving is a hand-over as the giver sees it, up to when the token is given away.
type giving struct {
	to       PeerID
	tag      uint64
	msg      *gossip.Message
	accepted bool
	tries    int
	began    Instant // when the offer was made
	pulls    Instant // when it was accepted
	at       Instant // next repetition, or the end of patience
	until    Instant // the end of patience with who pulls
}

// A given is a token that this node has given away and of which it has not heard that it was taken.
type given struct {
	offerName // with the receiver as from
	spot
	token uint32
	moves uint64  // before
	began Instant // when it was offered; 0 if that was before a restart
	rest  bool    // it is what was left of a void copy
	tries int
	at    Instant // next repetition
}

const (
	askTimes  = 3  // how often an offer is made to a node that does not answer
	giveTimes = 10 // how often a node is told that it has a token
)

// offer offers a token, or what is left of one, to a node.
func (w *walk) offer(c *Core, v *tokenView, to PeerID, tag uint64) {
	cp := v.own
	o := &gossip.Offer{
		To: to, Token: cp.token, Fence: cp.fence, Hop: cp.hop, Moves: cp.moves, Age: cp.age, Remnant: cp.life == remnant, History: cp.memory.digest(), Norm: cp.norm,
		Codec: w.run.Codec, Len: uint32(w.run.Len), Model: cp.model, State: cp.state,
	}
	if cp.opt != 0 {
		o.StateLen = uint32(w.run.OptLen)
	}
	msg := &gossip.Message{Run: w.run.Run, Author: w.run.Self, Seq: c.number(), Body: o}
	v.giving = &giving{to: to, tag: tag, msg: msg, began: c.now}
	w.ask(c, v)
}

// ask sends the offer under way, behind the one by which the token came.
func (w *walk) ask(c *Core, v *tokenView) {
	g := v.giving
	g.tries++
	g.at = c.now + w.rates.answerWithin(g.tries)
	forward := []*gossip.Message{g.msg}
	if came := v.own.came; came != nil {
		forward = []*gossip.Message{came, g.msg}
	}
	c.send(g.to, &gossip.Repair{}, forward)
}

func (w *walk) hand(c *Core, to PeerID, step gossip.HandStep, token uint32, offer uint64, history []byte) {
	c.send(to, &gossip.Hand{Step: step, Token: token, Offer: offer, History: history}, nil)
}

// giveLater looks after a hand-over whose other side has not been heard of in time.
func (w *walk) giveLater(c *Core, v *tokenView) {
	if g := v.giving; !g.accepted && g.tries < askTimes {
		w.ask(c, v)
		return
	}
	w.near.silent(v.giving.to)
	w.refused(c, v)
}

// endGiving withdraws an offer.
func (w *walk) endGiving(c *Core, v *tokenView) {
	if g := v.giving; g != nil {
		w.hand(c, g.to, gossip.StepVoid, v.number, g.msg.Seq, nil)
		v.giving = nil
	}
}

// refused ends a hand-over that came to nothing: another neighbour is chosen, with the same weights.
func (w *walk) refused(c *Core, v *tokenView) {
	g, cp := v.giving, v.own
	w.endGiving(c, v)
	cp.tries++
	if cp.life == remnant {
		cp.waitUntil = c.now + w.newsEvery() // by then there is news of where the token is
		return
	}
	cp.failed = append(cp.failed, g.tag)
}

// fromReceiver takes what the receiver of an offer says.
func (w *walk) fromReceiver(c *Core, from PeerID, h *gossip.Hand) {
	name := offerName{from, h.Offer}
	v := w.find(h.Token)
	if v == nil || v.giving == nil || v.giving.to != from || v.giving.msg.Seq != h.Offer {
		w.afterGiven(c, name, h)
		return
	}
	g := v.giving
	switch h.Step {
	case gossip.StepAccept, gossip.StepPulling:
		if !g.accepted {
			g.accepted, g.pulls = true, c.now
			g.until = c.now + w.rates.pullWithin(v.own.size())
			if g.tries == 1 {
				w.rates.answered(c.now - g.began)
			}
		}
		if h.Step == gossip.StepAccept {
			w.hand(c, from, gossip.StepHistory, v.number, h.Offer, v.own.telling())
		}
		g.at = min(c.now+w.rates.silence(), g.until)
	case gossip.StepBusy:
		if g.accepted { // it could not be pulled: drivers do not keep for ever what was encoded
			v.own.model.Size, v.own.state.Size = 0, 0
		}
		w.refused(c, v)
	case gossip.StepBehind:
		if v.own.life == remnant { // it has nothing that the token has not
			w.endGiving(c, v)
			v.own.life = shadow
			return
		}
		w.refused(c, v)
	case gossip.StepReady:
		w.give(c, v)
	}
}

// give gives the token away: from here on this node only keeps its copy for when the token is lost.
func (w *walk) give(c *Core, v *tokenView) {
	g, cp := v.giving, v.own
	if g.accepted {
		w.rates.pulled(cp.size(), c.now-g.pulls)
	}
	rest := cp.life == remnant
	v.giving, cp.life = nil, shadow
	v.gave, v.gaveBy = cp.spot, offerName{g.to, g.msg.Seq}
	w.persist(c, v)
	w.known(c, v, cp.spot, cp.moves)
	v.jitter = w.drawJitter(c)
	w.given = append(w.given, &given{offerName: v.gaveBy, spot: cp.spot, moves: cp.moves, token: v.number, began: g.began, rest: rest})
	w.tellGiven(c, w.given[len(w.given)-1])
	c.sent.add(g.msg.Seq)
	c.observe(Stat{Kind: StatPublished, Peer: g.to, Round: cp.hop, Value: float64(cp.size())})
}

// afterGiven answers a receiver whose offer is not under way any more.
func (w *walk) afterGiven(c *Core, name offerName, h *gossip.Hand) {
	i := slices.IndexFunc(w.given, func(g *given) bool { return g.offerName == name && g.token == h.Token })
	switch {
	case i < 0 && h.Step == gossip.StepTaken || h.Step == gossip.StepBusy || h.Step == gossip.StepBehind:
	case i < 0:
		w.hand(c, name.from, gossip.StepVoid, h.Token, name.seq, nil)
	case h.Step == gossip.StepTaken:
		g := w.given[i]
		w.given = slices.Delete(w.given, i, i+1)
		if g.began != 0 {
			w.handed = c.now - g.began
		}
		c.sent.credit(w.run.Self, []gossip.Mark{{Author: w.run.Self, Seq: name.seq}}, nil)
		if !g.rest {
			w.known(c, w.view(g.token), spot{g.fence, g.hop + 1}, g.moves+1)
		}
	default:
		w.tellGiven(c, w.given[i])
	}
}

// tellGiven tells a receiver that the token is its own, unless that is known by now.
func (w *walk) tellGiven(c *Core, g *given) {
	v := w.view(g.token)
	if g.tries >= giveTimes || !g.rest && (spot{v.fence, v.hop}).covers(spot{g.fence, g.hop + 1}) {
		w.given = slices.DeleteFunc(w.given, func(x *given) bool { return x == g })
		return
	}
	g.tries++
	g.at = c.now + w.rates.answerWithin(g.tries)
	w.hand(c, g.from, gossip.StepGiven, g.token, g.seq, nil)
}

// size is how many bytes a copy takes to hand over.
func (cp *tokenCopy) size() uint64 { return cp.model.Size + cp.state.Size }

// find is what is known of a token, nil if it is not known.
func (w *walk) find(token uint32) *tokenView {
	for _, v := range w.views {
		if v.number == token {
			return v
		}
	}
	return nil
}
