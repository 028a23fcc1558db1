package node

import (
	"fmt"
	"slices"

	"starling/gossip"
)

// walk is training by walking models (spec 02). A token is a model that one node holds at a time. The holder makes local steps, and hands
// the token to one of its neighbours, which a self-repellent random walk chooses. All other nodes keep the best model that they have
// seen.
//
// Handing over takes five messages: the giver makes an offer; the receiver accepts, pulls the model and makes it durable, and says so;
// the giver writes down that it has given the token away, and says that; the receiver writes down that it goes on. A giver gives up
// its copy before the receiver may use it, so of each life of a token, which a fence names, there is at most one live copy, whatever gets
// lost and whoever crashes; at worst there is none. Then one of the last holders revives the token with a fence of its own. A node
// that hears of a fence that makes its copy void stops, and hands its model over to be merged.
//
// A copy counts if it is live and no live copy of that token has a fence that makes it void. So there are never two that count.
type walk struct {
	cfg  WalkConfig
	run  *Config
	tag  uint64
	step uint64 // local steps of this node: the position in its data

	views  []*tokenView // of the tokens that are known, ascending by number
	vecs   vectors
	opt    VecRef // of this node, if tokens carry none
	best   bestModel
	given  []*given                     // not known to have been taken, oldest first
	proofs map[PeerID][]*gossip.Message // how the senders of offers say that they got the tokens, the newest last
	calls  map[JobID]func(*Core, Event)
	train  *tokenCopy // whose local steps are under way

	listens Instant // until when a node that comes back looks for neighbours before it goes on with tokens that came from others

	near    neighbours
	rates   rates
	began   Instant
	visits  uint64 // of tokens, here
	loss    float64
	handed  Instant // how long the newest hand-over took
	idle    bool    // the node is paused
	closing bool
	closeBy Instant // when a node that leaves gives up handing its tokens over
	nobody  int     // how often a token of this node found nobody to take it
	retryAt Instant // next try to save, or to train after divergence; 0 is none
	lookAt  Instant // next look at what tokens there should be
	unsaved bool    // something is to be saved that the save under way does not have

	upkeep
}

var (
	_ Method = (*walk)(nil)
	_ sharer = (*walk)(nil)
)

// bestModel is what a node would show: the model with the most hops that it has seen.
type bestModel struct {
	spot
	token  uint32
	age    uint64
	params VecRef
	at     Instant // when it came
	pull   JobID   // that would replace it; 0 is none
}

func newWalk(run *Config, from State) (*walk, error) {
	run.Walk.setDefaults()
	cfg := run.Walk
	if err := cfg.validate(run); err != nil {
		return nil, err
	}
	w := &walk{
		cfg: cfg, run: run, tag: gossip.Tag(run.Run, run.Self), step: from.Step, visits: from.Round,
		vecs: make(vectors), opt: from.Opt, proofs: make(map[PeerID][]*gossip.Message), calls: make(map[JobID]func(*Core, Event)),
		upkeep: upkeep{saveEvery: cfg.SaveEvery, evaluateEvery: cfg.EvaluateEvery},
	}
	w.best.params = w.vecs.hold(from.Params)
	w.vecs.hold(from.Opt)
	w.near.w = w
	if err := w.restore(from); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := w.replay(cfg.Log); err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	return w, nil
}

func (w *walk) Name() string { return "walk" }

// Check and CheckDelta reject what other methods send.
func (w *walk) Check(*gossip.Update) gossip.Verdict { return reject(gossip.ReasonUnknownKind) }

func (w *walk) CheckDelta(*gossip.Delta) gossip.Verdict { return reject(gossip.ReasonUnknownKind) }

func (w *walk) heard(*Core, *member)                        {}
func (w *walk) delta(*Core, *member, uint64, *gossip.Delta) {}
func (w *walk) asked(*Core, PeerID, *gossip.Request)        {}

func (w *walk) start(c *Core) {
	w.began, w.lookAt = c.now, c.now+w.cfg.CreateAfter
	w.listens = c.now + w.lostAfter() // then others take them for lost
	w.near.beatAt = c.now + 1 + Instant(c.cfg.Rand.Int64N(int64(w.cfg.BeatEvery)))
	w.best.at = c.now
	if w.best.age == 0 { // not all at once
		w.best.at += Instant(c.cfg.Rand.Int64N(int64(firstModels*w.cfg.NewsEvery))) - w.cfg.ModelEvery
	}
	for _, v := range w.views {
		w.awake(c, v)
	}
	w.goOn(c)
}

// firstModels is within how many intervals between news the nodes that have no model begin to look for one.
const firstModels = 4

func (w *walk) met(c *Core, id PeerID) {
	w.near.met(c, id)
	w.rearm(c)
}

func (w *walk) done(c *Core, ev Event) {
	switch ev := ev.(type) {
	case Evaluated:
		w.seen(c, ev)
	case Saved:
		if w.saved(c, ev, w.visits) {
			w.endSave(c, ev.Job)
		}
	default:
		w.ended(c, jobOf(ev), ev)
	}
	w.goOn(c)
}

// ended calls what waits for the end of a job.
func (w *walk) ended(c *Core, job JobID, ev Event) {
	if then := w.calls[job]; then != nil {
		delete(w.calls, job)
		then(c, ev)
	}
}

func (w *walk) received(c *Core, from PeerID, msg *gossip.Message) {
	switch b := msg.Body.(type) {
	case *gossip.Token:
		w.news(c, msg, b)
	case *gossip.Offer:
		w.offered(c, from, msg, b)
	case *gossip.Hand:
		if b.Step.FromGiver() {
			w.fromGiver(c, from, b)
		} else {
			w.fromReceiver(c, from, b)
		}
	case *gossip.Beat:
		w.near.heard(c, from, b)
	}
	w.goOn(c)
}

// goOn has every token do what is next for it.
func (w *walk) goOn(c *Core) {
	for _, ready := range []bool{true, false} { // those that could meet others go before those that are to be trained
		for _, v := range w.views {
			if v.own != nil && (v.own.stage == stageHere) == ready {
				w.advance(c, v)
			}
		}
	}
	if w.unsaved && w.saveJob == 0 && w.saveErr == "" {
		w.save(c)
	}
	w.closeWhenDone(c)
	w.rearm(c)
}

func (w *walk) wake(c *Core) {
	if c.now >= w.near.beatAt {
		w.near.beat(c)
	}
	if w.retryAt != 0 && c.now >= w.retryAt {
		w.retryAt, w.diverged = 0, 0
		w.unsaved = w.unsaved || w.saveErr != ""
		w.saveErr = ""
	}
	for _, g := range slices.Clone(w.given) {
		if c.now >= g.at {
			w.tellGiven(c, g)
		}
	}
	for _, v := range w.views {
		if v.giving != nil && c.now >= v.giving.at {
			w.giveLater(c, v)
		}
		if v.coming != nil && c.now >= v.coming.at {
			w.takeLater(c, v)
		}
	}
	if c.now >= w.lookAt {
		w.look(c)
	}
	for _, v := range w.views {
		if at := w.reviveAt(v); at != 0 && c.now >= at {
			w.revive(c, v)
		}
		if at := w.newsAt(v); at != 0 && c.now >= at {
			w.announce(c, v)
		}
	}
	w.goOn(c)
}

// rearm sets the alarm to what is due first.
func (w *walk) rearm(c *Core) {
	if w.idle = c.mode == pausing; c.mode == left {
		return
	}
	at := min(w.near.beatAt, w.lookAt)
	due := func(t Instant) {
		if t != 0 {
			at = min(at, t)
		}
	}
	due(w.retryAt)
	due(w.closeBy)
	for _, g := range w.given {
		due(g.at)
	}
	for _, v := range w.views {
		if v.own != nil && v.own.waitUntil > c.now {
			due(v.own.waitUntil)
		}
		if v.giving != nil {
			due(v.giving.at)
		}
		if v.coming != nil {
			due(v.coming.at)
		}
		due(w.reviveAt(v))
		due(w.newsAt(v))
	}
	c.alarm(max(at, c.now+1))
}

const (
	leavePatience = 8 * Second // how long a node that leaves tries to hand its tokens over,
	leaveRounds   = 3          // and how often it does so with each neighbour
)

func (w *walk) paused(c *Core) {
	if c.mode == leaving {
		w.closing, w.closeBy, w.nobody = true, c.now+leavePatience, 0
		if cp := w.train; cp != nil && cp.stage == stageTrain {
			cp.stage = stageHere // without the steps under way
		}
		for _, v := range w.views {
			if v.coming != nil && !v.coming.ready {
				w.refuse(c, v)
			}
		}
	}
	w.goOn(c)
}

// closeWhenDone ends the work of a node that leaves, once it has handed over what it holds, or could not.
func (w *walk) closeWhenDone(c *Core) {
	if !w.closing || c.mode == left || c.now < w.closeBy && (w.holds() > 0 || w.awaits() || len(w.given) > 0) {
		return
	}
	w.closeBy = 0
	if w.saveErr != "" || w.upkeep.close(c, w.state()) {
		c.finish()
	}
}

// awaits reports whether the node may have been given a token: it has said that it is ready, and if it leaves now the token is lost.
func (w *walk) awaits() bool {
	return slices.ContainsFunc(w.views, func(v *tokenView) bool { return v.coming != nil && v.coming.ready && !v.coming.offer.Remnant })
}

// holds is how many live tokens the node has.
func (w *walk) holds() int {
	n := 0
	for _, v := range w.views {
		if v.own != nil && v.own.life == live {
			n++
		}
	}
	return n
}
