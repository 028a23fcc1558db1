package node

import (
	"starling/gossip"
)

// news takes what the holder of a token says of it to all.
func (w *walk) news(c *Core, msg *gossip.Message, t *gossip.Token) {
	m := c.admit(msg, false)
	if m == nil {
		return
	}
	m.gone, m.round, m.age, m.loss = false, t.Hop, t.Age, t.Loss
	m.accepted++
	v := w.view(t.Token)
	p := spot{t.Fence, t.Hop}
	if v.heard != 0 && t.Fence.Generation > v.fence.Generation+maxJump {
		return
	}
	before, last := v.hop, v.heard
	same := v.fence == t.Fence
	if !w.known(c, v, p, t.Moves) {
		if p.fence.Less(v.fence) && v.news != nil && m.up && c.now >= v.retold+w.newsEvery() {
			v.retold = c.now // who holds a copy that is void has to hear of it
			c.send(m.id, &gossip.Repair{}, []*gossip.Message{v.news})
		}
		return
	}
	if same && last != 0 && t.Hop > before {
		w.rates.hops(t.Hop-before, c.now-last)
	}
	v.news, v.told = msg, c.now
	w.fenced(c, v)
	w.forgetShadow(c, v)
	if in := v.coming; in != nil && in.offer.Fence.Less(v.fence) && !in.offer.Remnant {
		w.dropComing(c, v)
	}
	w.pullBest(c, m, t)
}

// fenced stops a copy that news has made void. What it has that the token has not is left to be merged.
func (w *walk) fenced(c *Core, v *tokenView) {
	cp := v.own
	if cp == nil || cp.life != live || !cp.fence.Less(v.fence) {
		return
	}
	w.endGiving(c, v)
	w.dropRest(c, v)
	cp.life, cp.stage, cp.tries, cp.waitUntil = shadow, stageHere, 0, 0
	if cp.hop > v.fence.Base {
		cp.life = remnant
	}
	v.jitter = w.drawJitter(c)
	c.observe(Stat{Kind: StatFenced, Round: cp.hop, Value: float64(cp.token)})
}

// forgetShadow lets go of a copy that was given away once the token has gone far enough without it. Moves of another life count only from
// where this node has heard of it: those before may have been made elsewhere, and who made them be gone.
func (w *walk) forgetShadow(c *Core, v *tokenView) {
	cp := v.own
	if cp == nil || cp.life != shadow {
		return
	}
	from := cp.moves
	if cp.fence != v.fence {
		from = max(from, v.since)
	}
	if v.moves >= from+shadows {
		w.dropCopy(c, v)
	}
}

// remnantTries is how often a node tries to hand over what is left of a void copy.
const remnantTries = 8

// advanceRemnant offers what is left of a void copy to the holder of the token.
func (w *walk) advanceRemnant(c *Core, v *tokenView) {
	cp := v.own
	to := w.holder(c, v)
	switch {
	case cp.stage == stageEncode:
	case cp.tries >= remnantTries:
		cp.life = shadow
		w.forgetShadow(c, v)
	case to == nil:
		cp.tries++
		cp.waitUntil = c.now + w.newsEvery()
	case cp.model.Size == 0:
		w.encodeToken(c, v)
	default:
		w.offer(c, v, to.id, 0)
	}
}

// holder is who has last said to hold a token, nil if this node is not connected to it.
func (w *walk) holder(c *Core, v *tokenView) *member {
	if v.news == nil || v.news.Body.(*gossip.Token).Fence != v.fence {
		return nil
	}
	if m := c.roster.find(v.news.Author); m != nil && m.up {
		return m
	}
	return nil
}

// announce tells all where a token is, and its model if that is encoded.
func (w *walk) announce(c *Core, v *tokenView) {
	cp := v.own
	t := &gossip.Token{
		Token: v.number, Fence: cp.fence, Hop: cp.durable, Moves: cp.moves, Age: cp.age, Samples: cp.samples, Loss: float32(cp.loss),
		Codec: w.run.Codec, Len: uint32(w.run.Len), Model: cp.model,
	}
	c.publish(t)
	w.known(c, v, spot{cp.fence, cp.durable}, cp.moves)
	v.news, v.told = c.roster.own, c.now
}

// newsAt is when all are to hear of a token that stays here; 0 is never.
func (w *walk) newsAt(v *tokenView) Instant {
	if cp := v.own; cp == nil || cp.life != live || cp.stage == stageSave {
		return 0
	}
	return v.told + 2*w.newsEvery()
}

// newsEvery is how often there is to be news of a token. With many tokens it is less often: what a node hears of all does not grow.
func (w *walk) newsEvery() Instant {
	return w.cfg.NewsEvery * Instant(max(1, (len(w.views)+newsOfTokens-1)/newsOfTokens))
}

// newsOfTokens is of how many tokens there is news in an interval, at the most.
const newsOfTokens = 8

// lostAfter is how long a token must not be heard of.
func (w *walk) lostAfter() Instant {
	return max(w.cfg.LostAfter, lostHops*w.rates.hop, 4*w.newsEvery())
}

// lostHops is after how many times the time of a hop a token counts as lost (spec 02, section 2.11).
const lostHops = 20

func (w *walk) drawJitter(c *Core) Instant {
	return Instant(c.cfg.Rand.Int64N(int64(w.cfg.LostAfter)/2 + 1))
}

// reviveAt is when this node revives a token from what it has of it, if nothing is heard of it until then; 0 is never. The last
// holder does it first.
func (w *walk) reviveAt(v *tokenView) Instant {
	has, moves, ok := w.spare(v)
	if !ok || w.closing {
		return 0
	}
	rank := min(uint64(shadows), max(v.moves, moves+1)-moves-1)
	if has.fence != v.fence {
		rank = shadows
	}
	return v.heard + w.lostAfter()*Instant(1+rank) + v.jitter
}

// spare is the spot of what this node has of a token that it does not hold.
func (w *walk) spare(v *tokenView) (p spot, moves uint64, ok bool) {
	if cp := v.own; cp != nil {
		if cp.life == live {
			return p, 0, false
		}
		p, moves, ok = cp.spot, cp.moves, true
	}
	if in := v.coming; in != nil && in.ready && !in.offer.Remnant && (!ok || !p.covers(in.spot())) {
		return in.spot(), in.offer.Moves, true
	}
	return p, moves, ok
}

// revive has a token that seems lost go on from here, with a fence of its own.
func (w *walk) revive(c *Core, v *tokenView) {
	if c.mode != running {
		v.heard = c.now // later
		return
	}
	p, _, _ := w.spare(v)
	if in := v.coming; in != nil && in.ready && in.spot() == p {
		w.dropCopy(c, v)
		v.own, v.coming = in.copied(), nil
	} else if in != nil {
		w.dropComing(c, v)
	}
	w.endGiving(c, v)
	w.renew(c, v, v.own)
	c.observe(Stat{Kind: StatRevived, Round: v.own.hop, Value: float64(v.number)})
}

// renew begins a new life of a token with a copy of this node. It is live once it is durable.
func (w *walk) renew(c *Core, v *tokenView, cp *tokenCopy) {
	v.made = max(v.fence.Generation, v.made) + 1
	cp.fence = gossip.Fence{Generation: v.made, Maker: w.tag, Base: cp.hop}
	cp.life, cp.stage, cp.came, cp.told, cp.stay = live, stageSave, nil, cp.memory.begin(), 0
	cp.failed, cp.tries, cp.met, cp.learned, cp.waitUntil, cp.saveJob = nil, 0, nil, false, 0, 0
	for i := 0; i < len(w.given); i++ {
		if g := w.given[i]; g.token == v.number {
			w.given = append(w.given[:i], w.given[i+1:]...)
			i--
		}
	}
	v.own = cp
	w.known(c, v, cp.spot, cp.moves)
	v.news = nil
	w.persist(c, v)
	w.unsaved = true
}

// look creates the tokens that should be there and of which nobody has heard, if this node is home to them.
func (w *walk) look(c *Core) {
	w.lookAt = c.now + max(w.cfg.LostAfter/4, Second/4)
	if c.mode != running {
		return
	}
	for k := range w.tokens(c) {
		v := w.view(k)
		if v.own != nil || v.coming != nil || v.heard != 0 && c.now < v.heard+w.goneAfter() || !w.home(c, k) {
			continue
		}
		if due := w.createAt(c, k); v.heard == 0 && c.now < due {
			w.lookAt = min(w.lookAt, due)
			continue
		}
		cp := &tokenCopy{token: k, params: w.vecs.hold(w.best.params), age: w.best.age}
		if w.cfg.Carry {
			cp.opt = w.vecs.hold(w.opt)
		}
		if v.heard != 0 {
			cp.hop, cp.moves = v.hop, v.moves // nobody has anything of it: its hops were made all the same
		}
		cp.memory = w.newMemory(k, w.peers(c))
		w.renew(c, v, cp)
		c.observe(Stat{Kind: StatCreated, Round: cp.hop, Value: float64(k)})
	}
}

// homeFactor is how many times as long as its last holder the home of a token waits before it begins one anew, which is the last resort:
// what nodes have observed of the time of a hop may differ much.
const homeFactor = 32

// createAt is when this node, home to a token as far as it can see, creates it. Of a run of which each sees a small part many are that: the
// nearer the home the sooner, so that most of the others hear of it before it is their turn.
func (w *walk) createAt(c *Core, token uint32) Instant {
	distance := float64(w.tokenTag(token)^w.tag) / (1 << 64)
	return w.began + w.cfg.CreateAfter + Instant(distance*float64(w.connected(c))*float64(w.cfg.CreateAfter)/2)
}

// connected counts the members to which this node is connected.
func (w *walk) connected(c *Core) (n int) {
	for _, m := range c.roster.all {
		if m.up && !m.gone {
			n++
		}
	}
	return n
}

// goneAfter is how long a token must not be heard of before nobody seems to have anything of it.
func (w *walk) goneAfter() Instant {
	if w.rates.hop == 0 { // this node has no idea how long the others wait
		return 4 * homeFactor * w.lostAfter()
	}
	return homeFactor * w.lostAfter()
}

// tokens is how many there should be.
func (w *walk) tokens(c *Core) uint32 {
	if w.cfg.Tokens != 0 {
		return w.cfg.Tokens
	}
	n := 1 + w.connected(c)
	return uint32(min(max(1, (n+membersOfToken/2)/membersOfToken), manyTokens))
}

// peers lists the tags of the members that this node knows, and its own.
func (w *walk) peers(c *Core) []uint64 {
	out := []uint64{w.tag}
	for _, m := range c.roster.sorted() {
		if !m.gone && !m.banned.Load() {
			out = append(out, w.near.tag(m.id))
		}
	}
	return out
}

// home reports whether this node is home to a token: none to which it is connected has a tag that is nearer to the token's.
func (w *walk) home(c *Core, token uint32) bool {
	at := w.tokenTag(token)
	for _, m := range c.roster.sorted() {
		if m.up && !m.gone && !m.banned.Load() && w.near.tag(m.id)^at < w.tag^at {
			return false
		}
	}
	return true
}

// pullBest pulls a model that was announced, if this node has none, or one that is too old, and no token is here.
func (w *walk) pullBest(c *Core, m *member, t *gossip.Token) {
	b := &w.best
	if t.Model.Size == 0 || b.pull != 0 || w.holds() > 0 || t.Hop <= b.hop || c.now < b.at+w.cfg.ModelEvery {
		return
	}
	job := FetchJob{Job: c.newJob(), Author: m.id, Codec: t.Codec, Len: w.run.Len, Piece: t.Model, Out: c.newRef()}
	b.pull = job.Job
	w.calls[job.Job] = func(c *Core, ev Event) {
		f := ev.(Fetched)
		w.blame(c, f.Bad)
		b.pull = 0
		if f.Err == FetchCorrupt {
			c.mark(m, scoreCorrupt, "corrupt payload")
		}
		if f.Err != FetchOK || t.Hop < b.hop {
			c.release(job.Out)
			return
		}
		w.show(c, &tokenCopy{spot: spot{t.Fence, t.Hop}, token: t.Token, age: t.Age, params: w.vecs.hold(job.Out)})
		w.vecs.drop(c, job.Out)
		c.observe(Stat{Kind: StatAdopted, Peer: m.id, Round: t.Hop, Value: float64(t.Age)})
		w.unsaved, w.dirty = true, true
		if w.evaluateEvery != 0 {
			w.evaluate(c)
		}
	}
	c.out.Fetch = append(c.out.Fetch, job)
}
