package node

import (
	"cmp"
	"errors"
	"fmt"

	"starling/gossip"
	"starling/mixing/track"
)

// Copies is the exchange by public copies (CHOCO; spec 05, 5.6): every node has a few neighbours for long, who keep copies of its
// model, and sends them what its codec keeps of the change. Codecs may lose much: what is lost is in the next change.
const Copies = "copies"

// CopiesConfig sets the exchange [Copies].
type CopiesConfig struct {
	// Gamma is how much of the way to the neighbours' copies a node goes in a round, above 0 to 1: the less, the more the codec
	// loses. It is halved when models and copies run away from each other.
	Gamma float64
	// Damp is the part of a decoded difference that counts, above 0 to 1: 1 but for an unbiased codec, see codec.Class.Contraction.
	Damp float64
	// Beta, above 0 to 1, corrects local steps for the node's own data by tracking the mean gradient of all (P2P-SCAFCOM; spec 05,
	// 5.7 B): the part of a round's gradient that the estimate of the own one takes up. It needs plain SGD. 0 corrects nothing.
	Beta float64
	// Common says that all nodes begin with the same model, so that nobody needs to be sent it.
	Common bool
}

func (k *CopiesConfig) validate(mix string) error {
	var errs []error
	if mix != "metropolis" {
		errs = append(errs, fmt.Errorf("the exchange %s mixes by Metropolis-Hastings weights: mix must be metropolis, not %s", Copies, mix))
	}
	if !(k.Damp > 0 && k.Damp <= 1) {
		errs = append(errs, fmt.Errorf("damp is %g: must be above 0, at most 1", k.Damp))
	}
	if k.Beta != 0 {
		errs = append(errs, track.Tracking{Beta: k.Beta, Gamma: k.Gamma}.Stable())
	} else {
		errs = append(errs, track.Choco{Gamma: k.Gamma}.Stable())
	}
	return errors.Join(errs...)
}

// copies is gossip averaging through public copies. A round is: local steps, a step towards the neighbours' copies, and what changed,
// encoded, for the neighbours. Nobody is waited for: the step uses the copies that are there.
//
// # Links
//
// Two neighbours take a step towards each other together, or the mean over the nodes would wander, and with correction training
// would end beside the optimum (see package track). The end of a link with the smaller ID, the one that steers, decides on the
// steps: it takes one in each of its rounds for which something new of the other end has come, and says with its difference which of
// the other's copies it has used. The other end takes the same step the other way when it applies that difference, from the same two
// copies: that of the steering end before the difference, and its own as it was then, which it finds by subtracting its newest
// differences again. Differences come in order or are asked for, so both ends of a link have done the same when all has come,
// whatever was late, lost or asleep.
//
// What a link has moved in all is its pull, which is kept as long as the link is. Where differences do not help any more, because too
// many were missed or an end has crashed, whole copies are sent, and with them the pull of the steering end, which makes good what
// the other has missed. When a neighbour is gone for good its pull goes from the tracker, and the trackers of the others are as if
// it had never been there: agreed epochs of repair are unnecessary (spec 05, 5.7).
//
// A difference is numbered by the message that brings it, and names the one before it: numbers are never used twice, even after
// a crash, so nobody can apply a difference to another copy than the one it was made for.
type copies struct {
	cfg  AverageConfig
	run  *Config
	self PeerID

	phase  phase
	params VecRef
	opt    VecRef
	round  uint64
	age    uint64
	step   uint64

	parts    int    // vectors of which there are copies: the model, and with correction the tracker
	own      VecRef // copies of the own vectors, one after the other
	number   uint64 // of the difference that brought own to where it is; 0 is none
	degree   uint32 // announced with it
	origin   VecRef // the copy that everybody begins with, as long as it may be needed; else 0
	estimate VecRef // of the own gradient, with correction; 0 is zeros. The tracker is estimate + shift
	shift    VecRef // the sum of all pulls on the tracker; 0 is zeros
	sent     []difference
	links    []*link // ascending by peer
	watch    *track.Watch
	unused   []VecRef // of the state that this core began with

	errands map[JobID]errand
	waits   int // errands that the phase waits for

	next        TrainJob
	trained     Trained
	roundBegan  Instant
	roundTime   Instant // smoothed
	announced   uint64  // newest round announced in this life
	announcedAt Instant
	payload     Encoded
	nextDegree  uint32  // what the next difference says, as the steps of the round have it
	nextRate    float32 // likewise
	nextOwn     VecRef
	change      VecRef // what is encoded
	retryAt     Instant

	upkeep
}

var _ Method = (*copies)(nil)

// An errand is a job under way: the vectors that it makes, and what follows.
type errand struct {
	outs []VecRef
	then func(c *Core, ev Event)
}

func newCopies(cfg *Config, from State) (*copies, error) {
	if err := cfg.Average.validate(); err != nil {
		return nil, err
	}
	k := &copies{
		cfg: cfg.Average, self: cfg.Self, run: cfg, parts: 1,
		params: from.Params, opt: from.Opt, round: from.Round, age: from.Age, step: from.Step,
		upkeep:  upkeep{saveEvery: cfg.Average.SaveEvery, evaluateEvery: cfg.Average.EvaluateEvery},
		watch:   track.NewWatch(cfg.Average.Copies.Gamma),
		errands: make(map[JobID]errand),
	}
	if k.tracks() {
		k.parts = 2
	}
	k.restore(from)
	return k, nil
}

// tracks reports whether local steps are corrected.
func (k *copies) tracks() bool { return k.cfg.Copies.Beta != 0 }

func (k *copies) Name() string { return "average" }

// Check rejects all updates: models do not travel whole.
func (k *copies) Check(*gossip.Update) gossip.Verdict { return reject(gossip.ReasonUnknownKind) }

func (k *copies) heard(*Core, *member) {}

// do takes note of a job, and of what is to follow.
func (k *copies) do(job JobID, then func(c *Core, ev Event), outs ...VecRef) {
	k.errands[job] = errand{outs: outs, then: then}
}

// mix asks for a vector made of spans and says what follows.
func (k *copies) mix(c *Core, spans []Span, then func(out VecRef)) {
	j := MixJob{Job: c.newJob(), Spans: spans, Out: c.newRef()}
	k.do(j.Job, func(*Core, Event) { then(j.Out) }, j.Out)
	c.out.Mix = append(c.out.Mix, j)
}

// join returns what to call at the end of a mix that the phase waits for; the last one calls then. The caller holds one wait itself
// while it hands out jobs, so that with no job at all the call of its own join goes on.
func (k *copies) join(then func()) func() {
	k.waits++
	return func() {
		if k.waits--; k.waits == 0 {
			then()
		}
	}
}

func (k *copies) start(c *Core) {
	for _, v := range k.unused {
		c.release(v)
	}
	k.unused = nil
	for _, l := range k.links {
		l.m, l.heardAt, l.madeAt = c.member(l.peer), c.now, c.now
	}
	if k.own != 0 {
		k.beginRound(c)
		return
	}
	k.phase = mixingIn
	spans := []Span{{Len: k.run.Len, Terms: []Term{{Vec: k.params, Coef: 1}}}}
	if k.tracks() {
		spans = append(spans, Span{Len: k.run.Len})
	}
	k.mix(c, spans, func(out VecRef) {
		k.own = out
		if k.cfg.Copies.Common {
			k.origin = out
		}
		k.beginRound(c)
	})
}

func (k *copies) beginRound(c *Core) {
	switch c.mode {
	case pausing:
		k.phase = idle
		k.serveWaiting(c)
		return
	case leaving:
		k.close(c)
		return
	}
	k.roundBegan = c.now
	k.tend(c)
	k.train(c)
	k.serveWaiting(c)
}

func (k *copies) train(c *Core) {
	k.phase = training
	k.next = TrainJob{
		Job: c.newJob(), Params: k.params, Opt: k.opt, Step: k.step, Age: k.age, Steps: k.cfg.Steps, Shift: k.shift,
		Out: c.newRef(), OutOpt: c.newRef(),
	}
	k.do(k.next.Job, func(c *Core, ev Event) { k.endTraining(c, ev.(Trained)) }, k.next.Out, k.next.OutOpt)
	c.out.Train = append(c.out.Train, k.next)
}

func (k *copies) done(c *Core, ev Event) {
	var job JobID
	switch ev := ev.(type) {
	case Evaluated:
		k.seen(c, ev)
		return
	case Saved:
		if k.saved(c, ev, k.round) {
			k.endSave(c)
		}
		return
	case Trained:
		job = ev.Job
	case Mixed:
		job = ev.Job
	case Encoded:
		job = ev.Job
	case Fetched:
		job = ev.Job
	}
	e, ok := k.errands[job]
	if !ok {
		return
	}
	delete(k.errands, job)
	if k.phase == closing {
		for _, v := range e.outs {
			c.release(v)
		}
		return
	}
	e.then(c, ev)
}

func (k *copies) endTraining(c *Core, ev Trained) {
	// The steps count as done even when they are undone: the next ones shall see other data.
	steps := cmp.Or(ev.Steps, k.cfg.Steps)
	k.step += steps
	if undo, rest := k.diverges(c, ev.Loss, k.round); undo {
		c.release(k.next.Out)
		c.release(k.next.OutOpt)
		if !rest {
			k.beginRound(c)
			return
		}
		k.phase = waiting
		k.alarm(c, c.now+retryTrain)
		return
	}
	before := k.params
	k.params = k.next.Out
	c.release(k.opt)
	k.opt = k.next.OutOpt
	k.trained = ev
	k.age += steps
	k.dirty = true
	k.phase = mixingIn
	if !k.tracks() {
		c.release(before)
		k.afterSteps(c)
		return
	}
	k.mix(c, []Span{{Len: k.run.Len, Terms: k.estimateTerms(ev.Work, before)}}, func(out VecRef) {
		c.release(k.estimate)
		k.estimate = out
		k.afterSteps(c)
	})
	c.release(before)
}

// estimateTerms makes the new estimate of the own gradient, after steps from the model before to the present one.
func (k *copies) estimateTerms(work float64, before VecRef) []Term {
	f := track.Tracking{Beta: k.cfg.Copies.Beta, Gamma: k.watch.Gamma()}.Round(work).M
	terms := []Term{{Vec: before, Coef: f.X}, {Vec: k.params, Coef: f.Y}}
	if k.estimate != 0 {
		terms = append(terms, Term{Vec: k.estimate, Coef: f.M + f.V})
	}
	if k.shift != 0 {
		terms = append(terms, Term{Vec: k.shift, Coef: f.V})
	}
	return terms
}

// afterSteps ends the local part of a round, or goes on with it if it is too early for an announcement.
func (k *copies) afterSteps(c *Core) {
	if k.announced != 0 && c.now-k.announcedAt < k.run.AnnounceEvery && c.mode == running {
		k.train(c)
		return
	}
	k.round++
	c.observe(Stat{Kind: StatTrained, Round: k.round, Value: k.trained.Loss})
	k.nextDegree, k.nextRate = k.countDegree(), float32(k.watch.Gamma())
	joined := k.join(func() { k.consensus(c) })
	for _, l := range k.links {
		if k.steers(l) && k.fresh(c, l) {
			k.pullTowards(c, l, k.join(func() { k.consensus(c) }))
		}
	}
	joined()
}

// consensus takes up what the links have pulled since the last round, and makes what has changed since the last difference.
func (k *copies) consensus(c *Core) {
	d := k.run.Len
	model := []Term{{Vec: k.params, Coef: 1}}
	var shift []Term
	mixed := 0
	for _, l := range k.links {
		if l.pull == 0 {
			continue
		}
		if terms := l.takeUp(c); terms != nil {
			model = append(model, terms...)
			mixed++
		}
		if k.tracks() {
			shift = append(shift, Term{Vec: l.pull, Coef: 1, At: d})
		}
	}
	if mixed > 0 {
		c.observe(Stat{Kind: StatMixed, Round: k.round, Value: float64(mixed)})
	}
	change := []Span{{Len: d, Terms: append(model[:len(model):len(model)], Term{Vec: k.own, Coef: -1})}}
	if k.tracks() {
		terms := shift[:len(shift):len(shift)]
		if k.estimate != 0 {
			terms = append(terms, Term{Vec: k.estimate, Coef: 1})
		}
		change = append(change, Span{Len: d, Terms: append(terms, Term{Vec: k.own, Coef: -1, At: d})})
	}
	next := func() { k.encode(c) }
	ended := k.join(next)
	k.mix(c, change, func(out VecRef) {
		k.change = out
		ended()
	})
	if mixed > 0 {
		ended := k.join(next)
		k.mix(c, []Span{{Len: d, Terms: model}}, func(out VecRef) {
			c.release(k.params)
			k.params = out
			ended()
		})
	}
	if len(shift) == 0 {
		c.release(k.shift)
		k.shift = 0
		return
	}
	ended = k.join(next)
	k.mix(c, []Span{{Len: d, Terms: shift}}, func(out VecRef) {
		c.release(k.shift)
		k.shift = out
		ended()
	})
}
