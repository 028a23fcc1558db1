package node

import (
	"errors"
	"fmt"

	"starling/gossip"
)

// checkShared judges news of tokens, and offers, which one node sends to another.
func (w *walk) checkShared(m *gossip.Message) gossip.Verdict {
	switch b := m.Body.(type) {
	case *gossip.Token:
		switch {
		case b.Token >= w.tokenLimit():
			return reject(gossip.ReasonMalformed)
		case b.Codec != w.run.Codec:
			return reject(gossip.ReasonCodec)
		case int(b.Len) != w.run.Len || b.Model.Size > w.run.MaxPayload:
			return reject(gossip.ReasonLength)
		}
		return accepted
	case *gossip.Offer:
		stateLen := 0
		if w.cfg.Carry {
			stateLen = w.run.OptLen
		}
		switch {
		case b.Token >= w.tokenLimit() || m.Author == b.To:
			return reject(gossip.ReasonMalformed)
		case b.Codec != w.run.Codec:
			return reject(gossip.ReasonCodec)
		case int(b.Len) != w.run.Len || b.Model.Size > w.run.MaxPayload || int(b.StateLen) != stateLen || b.State.Size > plainSize(stateLen):
			return reject(gossip.ReasonLength)
		}
		return accepted
	}
	return reject(gossip.ReasonUnknownKind)
}

// plainSize bounds the bytes of so many floats in [PlainCodec], with what there may be besides.
func plainSize(n int) uint64 { return 4*uint64(n) + 64 }

func (w *walk) tokenLimit() uint32 {
	if w.cfg.Tokens != 0 {
		return w.cfg.Tokens
	}
	return manyTokens
}

func (w *walk) checkDirect(body gossip.Body) gossip.Verdict {
	switch b := body.(type) {
	case *gossip.Hand:
		if b.Token >= w.tokenLimit() {
			return reject(gossip.ReasonMalformed)
		}
		return accepted
	case *gossip.Beat:
		return accepted
	}
	return reject(gossip.ReasonUnknownKind)
}

const (
	// maxProofs is how many offers that were made to it a peer may show before it makes its own: more than tokens it can have.
	maxProofs = 4 * mostLive
	// scoreForged is for a token that cannot have come about as its giver says: the fourth one bans.
	scoreForged = -100
	// maxJump is how many generations a token may be ahead of what a node knows of it.
	maxJump = 64
)

// admits reports whether what is offered is not void, and not what this node has had already.
func (w *walk) admits(c *Core, v *tokenView, o *gossip.Offer) bool {
	p := spot{o.Fence, o.Hop}
	if o.Remnant {
		return v.own != nil && v.own.life == live && o.Fence.Less(v.own.fence) && o.Hop > v.own.fence.Base
	}
	if v.heard != 0 && !w.stale(c, v) && (p.fence.Less(v.fence) || p.fence == v.fence && p.hop < v.hop || o.Fence.Generation > v.fence.Generation+maxJump) {
		return false
	}
	own := v.own
	return !v.gave.includes(p) && (own == nil || !own.spot.includes(p)) && (own == nil || own.life != live || own.fence.Less(o.Fence))
}

// proven checks that the giver of a token has it from where it says. Only who began the present life of a token need not say.
func (w *walk) proven(o *gossip.Offer, from PeerID, proof *gossip.Message) error {
	if proof == nil && o.Fence.Maker == w.near.tag(from) {
		return nil
	}
	if proof == nil {
		return errors.New("it does not say how it got the token that it offers")
	}
	p := proof.Body.(*gossip.Offer)
	switch {
	case p.To != from || p.Token != o.Token || p.Fence != o.Fence || p.Remnant:
		return errors.New("the token that it offers is not the one that it got")
	case o.Hop <= p.Hop || o.Hop-p.Hop > maxStay || o.Moves != p.Moves+1:
		return fmt.Errorf("the token that it offers has gone from hop %d to hop %d with it", p.Hop, o.Hop)
	case w.cfg.Budget > 0 && p.Norm > 0 && o.Norm > 0 && abs(o.Norm-p.Norm) > w.budget(p.Norm):
		return fmt.Errorf("the norm of the model went from %g to %g before it came to it", p.Norm, o.Norm)
	}
	return nil
}

// normSlack is what a lossy codec may do to a norm.
const normSlack = 0.05

// budget is how far the norm of a model may go in a visit.
func (w *walk) budget(norm float64) float64 { return w.cfg.Budget + float64(norm*normSlack) }

func abs(x float64) float64 { return max(x, -x) }

// told takes what the giver tells of the history, if it can be true.
func (w *walk) told(c *Core, v *tokenView, told []byte) {
	in := v.coming
	if in.memory.history != nil || in.offer.Remnant {
		return
	}
	r, err := w.retell(v.number, told, w.near.tag(in.from))
	o := in.offer
	switch {
	case err != nil:
	case r.digest() != o.History:
		err = errors.New("the history that it tells is not the one of its offer")
	case in.proof == nil && o.Hop != o.Fence.Base+r.visits:
		err = fmt.Errorf("the token was with it from hop %d on, and is at hop %d after %d visits", o.Fence.Base, o.Hop, r.visits)
	case in.proof != nil && r.came != in.proof.Body.(*gossip.Offer).History:
		err = errors.New("the history that it tells is not the one that it got")
	case in.proof != nil && o.Hop != in.proof.Body.(*gossip.Offer).Hop+r.visits:
		err = fmt.Errorf("the token came to it at hop %d, and is at hop %d after %d visits", in.proof.Body.(*gossip.Offer).Hop, o.Hop, r.visits)
	}
	if err != nil {
		if m := c.roster.find(in.from); m != nil {
			c.mark(m, scoreForged, err.Error())
		}
		w.refuse(c, v)
		return
	}
	in.memory = r.memory
	w.whenComplete(c, v)
}

// whenComplete has what has come made durable.
func (w *walk) whenComplete(c *Core, v *tokenView) {
	in := v.coming
	if in == nil || !in.complete() || in.ready {
		return
	}
	if p := in.proof; p != nil && w.cfg.Budget > 0 {
		if was := in.offer.Norm; was > 0 && abs(in.norm-was) > w.budget(was) {
			if m := c.roster.find(in.from); m != nil {
				c.mark(m, scoreForged, fmt.Sprintf("it has changed the norm of a model from %g to %g", was, in.norm))
			}
			w.refuse(c, v)
			return
		}
	}
	if !in.offer.Remnant {
		// It has gone further than what this node has shown until now. A checkpoint, which has to be written before the token may come, then
		// has one new vector, and not two.
		w.show(c, &tokenCopy{token: in.offer.Token, spot: in.spot(), age: in.offer.Age, params: in.params})
	}
	w.unsaved = true
}
