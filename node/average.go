package node

import (
	"cmp"
	"errors"
	"fmt"

	"starling/gossip"
	"starling/mixing"
)

// AverageConfig sets the method average.
type AverageConfig struct {
	// Mix is a rule of package mixing, or "push-sum".
	Mix string

	// Exchange is [Announce], the default, [Push] or [Copies].
	Exchange string
	Push     PushConfig   // for the exchange Push
	Copies   CopiesConfig // for the exchange Copies

	// Steps is the number of local steps in a round. More steps cost fewer bytes for each step and let nodes with
	// different data drift further apart between mixes. 0 is one pass over the node's data.
	Steps uint64

	// Degree is how many peers a node mixes with in a round, and so how many vectors it pulls: its inbound traffic is
	// at most Degree vectors a round however large the run is. With Copies it is how many neighbours it looks
	// for; it has at most twice as many.
	Degree int

	// SaveEvery and EvaluateEvery are in rounds. SaveEvery 1 loses at most one round in a crash. EvaluateEvery 0 never
	// evaluates.
	SaveEvery     uint64
	EvaluateEvery uint64
}

func (a *AverageConfig) validate() error {
	var errs []error
	if a.Mix != PushSum {
		if _, err := mixing.ParseRule(a.Mix); err != nil {
			errs = append(errs, fmt.Errorf("mix: %w", err))
		}
	}
	switch a.Exchange {
	case "", Announce:
	case Push:
		errs = append(errs, a.Push.validate(a.Mix))
	case Copies:
		errs = append(errs, a.Copies.validate(a.Mix))
	default:
		errs = append(errs, fmt.Errorf("exchange is %q: must be %s, %s or %s", a.Exchange, Announce, Push, Copies))
	}
	if a.Degree < 1 || a.Degree > maxDegree {
		errs = append(errs, fmt.Errorf("degree is %d: must be 1 to %d", a.Degree, maxDegree))
	}
	if a.SaveEvery == 0 {
		errs = append(errs, errors.New("save every 0 rounds: must be at least 1"))
	}
	return errors.Join(errs...)
}

// maxDegree keeps what an update says about others within the wire format's limits.
const maxDegree = 64

// The bounds that keep models apart which are not at the same point of training.
const (
	// A contribution that has seen less than 1/staleFactor of the own local steps would undo training, so it is
	// refused; a node that is itself so far behind takes over a model instead of mixing (spec 06, 6.8 and spec 01, 1.10).
	staleFactor = 10
	// Ages above ageCap times the median are cut before the maximum becomes the age of the mix, so that a few liars
	// cannot make a node believe that everybody else is stale.
	ageCap = 2
	// Taking over a model on the word of few is only done before the first mix of a node's life.
	adoptQuorum = 3
)

// Retries after what only an operator or time can mend.
const (
	retrySave   = 30 * Second
	retryTrain  = 10 * Second
	maxDiverged = 3
)

type phase uint8

const (
	idle phase = iota
	waiting
	training
	combining // push-sum: computing the running sum to send
	encoding
	holding // encoded, but the checkpoint of the round before is not durable yet
	mixingIn
	closing
	resting   // push: waiting for a model of another node
	gathering // announced, waiting for updates that are due
)

// phaseNames are for the status.
var phaseNames = [...]string{"paused", "waiting", "training", "mixing", "encoding", "saving", "mixing", "leaving", "waiting for a model", "mixing"}

// average is gossip averaging. A round is: local steps, announce the result, mix in what has arrived from others by then.
// Nobody is waited for. Checkpoint and evaluation see the model after mixing. With the exchange Push rounds are different: see
// type push.
type average struct {
	cfg  AverageConfig
	self PeerID
	run  *Config

	phase     phase
	params    VecRef
	opt       VecRef
	round     uint64
	age       uint64
	step      uint64
	listening bool // push-sum: too little mass to train with
	mixedYet  bool // a mix or adoption has happened in this life

	job        JobID // the job that the phase waits for
	next       TrainJob
	trained    Trained
	roundBegan Instant
	roundTime  Instant // smoothed

	payload     Encoded
	announced   uint64 // newest round announced in this life
	announcedAt Instant
	slots       []*slot   // ascending by peer
	awaited     []*member // in the phase gathering
	gatherEnd   Instant   // of that phase, at the latest; 0 is none
	inMix       []*slot
	mixOut      VecRef
	marks       []gossip.Mark
	refusal     []gossip.Refusal

	upkeep

	retryAt Instant // end of waiting, or the next try to save; 0 is none

	sum  *pushSum // nil for the rules of package mixing
	push *push    // nil for the exchange Announce
}

var _ Method = (*average)(nil)

func newAverage(cfg *Config, from State) (*average, error) {
	if err := cfg.Average.validate(); err != nil {
		return nil, err
	}
	a := &average{
		cfg: cfg.Average, self: cfg.Self, run: cfg,
		params: from.Params, opt: from.Opt, round: from.Round, age: from.Age, step: from.Step,
		upkeep: upkeep{saveEvery: cfg.Average.SaveEvery, evaluateEvery: cfg.Average.EvaluateEvery},
	}
	if a.cfg.Mix == PushSum {
		a.sum = newPushSum(from.Weight)
	}
	if a.cfg.Exchange == Push {
		a.push = &push{cfg: a.cfg.Push}
	}
	return a, nil
}

func (a *average) Name() string { return "average" }

func (a *average) Check(u *gossip.Update) gossip.Verdict {
	if a.sum != nil {
		return checkPushSum(u)
	}
	if len(u.To) != 0 || u.Weight != 0 || u.LinkEpoch != 0 {
		return reject(gossip.ReasonMalformed)
	}
	return accepted
}

// CheckDelta rejects all deltas: the method has none.
func (a *average) CheckDelta(*gossip.Delta) gossip.Verdict { return reject(gossip.ReasonUnknownKind) }

func (a *average) delta(*Core, *member, uint64, *gossip.Delta) {}

func (a *average) asked(*Core, PeerID, *gossip.Request) {}

func (a *average) start(c *Core) {
	if a.push != nil {
		a.push.begin(c)
		a.rearm(c)
	}
	a.beginRound(c)
}

// alarm asks for retry at the given instant, in place of any earlier wish.
func (a *average) alarm(c *Core, at Instant) {
	a.retryAt = at
	a.rearm(c)
}

func (a *average) rearm(c *Core) {
	at := a.retryAt
	if a.gatherEnd != 0 && (at == 0 || a.gatherEnd < at) {
		at = a.gatherEnd
	}
	if a.push != nil && (at == 0 || a.push.wakeAt < at) {
		at = a.push.wakeAt
	}
	if at != 0 {
		c.alarm(at)
	}
}

// beginRound starts the local steps, and the fetches that the mix after them will use.
func (a *average) beginRound(c *Core) {
	switch c.mode {
	case pausing:
		a.phase = idle
		return
	case leaving:
		a.close(c)
		return
	}
	a.roundBegan = c.now
	if a.push == nil {
		a.takeFromRoster(c)
	}
	a.listening = a.sum != nil && a.sum.starved()
	if a.listening {
		// The estimate of a node with hardly any mass is noise: it listens until mass has come (spec 06, 6.7).
		a.phase = waiting
		a.alarm(c, c.now+Second)
		return
	}
	a.train(c)
}

func (a *average) train(c *Core) {
	a.phase = training
	a.next = TrainJob{
		Job: c.newJob(), Params: a.params, Opt: a.opt, Step: a.step, Age: a.age, Steps: a.cfg.Steps,
		Out: c.newRef(), OutOpt: c.newRef(),
	}
	a.job = a.next.Job
	c.out.Train = append(c.out.Train, a.next)
}

func (a *average) done(c *Core, ev Event) {
	switch ev := ev.(type) {
	case Fetched:
		a.fetched(c, ev)
	case Trained:
		if ev.Job == a.job && a.phase == training {
			a.endTraining(c, ev)
		} else {
			a.discardTraining(c, ev.Job)
		}
	case Mixed:
		switch {
		case ev.Job != a.job:
			c.release(a.mixOut) // left in the middle of a mix
		case a.phase == combining:
			a.encode(c, a.sum.next)
		case a.phase == mixingIn:
			a.endMix(c, ev.Report)
		}
	case Encoded:
		switch {
		case a.push != nil && ev.Job == a.push.job:
			a.push.encoded(c, a, ev)
		case ev.Job == a.job && a.phase == encoding:
			a.payload = ev
			a.phase = holding
			a.announceWhenSaved(c)
		}
	case Evaluated:
		a.seen(c, ev)
	case Saved:
		if a.saved(c, ev, a.round) {
			a.endSave(c)
		}
	}
}

func (a *average) discardTraining(c *Core, job JobID) {
	if job == a.next.Job {
		c.release(a.next.Out)
		c.release(a.next.OutOpt)
	}
}

func (a *average) endTraining(c *Core, ev Trained) {
	// The steps count as done even when they are undone: the next ones shall see other data.
	steps := cmp.Or(ev.Steps, a.cfg.Steps)
	a.step += steps
	if undo, rest := a.diverges(c, ev.Loss, a.round); undo {
		a.discardTraining(c, ev.Job)
		if !rest {
			a.beginRound(c)
			return
		}
		a.phase = waiting
		a.alarm(c, c.now+retryTrain)
		return
	}
	c.release(a.params)
	c.release(a.opt)
	a.params, a.opt = a.next.Out, a.next.OutOpt
	a.trained = ev
	a.age += steps
	a.dirty = true
	if a.push == nil && a.announced != 0 && c.now-a.announcedAt < a.run.AnnounceEvery && c.mode == running {
		a.train(c)
		return
	}
	a.round++
	c.observe(Stat{Kind: StatTrained, Round: a.round, Value: ev.Loss})
	if a.push != nil {
		a.endRound(c)
		return
	}
	if a.sum != nil {
		a.sum.share(c, a)
		return
	}
	a.encode(c, a.params)
}

func (a *average) encode(c *Core, v VecRef) {
	a.phase = encoding
	a.job = c.newJob()
	c.out.Encode = append(c.out.Encode, EncodeJob{Job: a.job, Vec: v})
}

// announceWhenSaved publishes the round unless the checkpoint before it is still being written.
func (a *average) announceWhenSaved(c *Core) {
	if a.phase != holding || !a.durable() {
		return
	}
	u := a.describe(c, a.payload)
	if a.sum != nil {
		a.sum.describe(&u)
	}
	seq := c.publish(&u)
	c.sent.add(seq)
	a.announced, a.announcedAt = a.round, c.now
	a.payload = Encoded{}
	c.observe(Stat{Kind: StatPublished, Round: a.round, Value: float64(u.Size)})
	a.gather(c)
}

// describe makes the update of this round, with what became of others' updates since the last one.
func (a *average) describe(c *Core, p Encoded) gossip.Update {
	u := gossip.Update{
		Round: a.round, Age: a.age, Samples: a.trained.Samples, Degree: a.degree(c), Loss: float32(a.trained.Loss),
		Mixed: append([]gossip.Mark(nil), newestMarks(a.marks)...), Refused: sortRefusals(a.refusal), Stats: p.Stats,
		Codec: a.run.Codec, Len: uint32(a.run.Len),
		Inline: p.Payload.Inline, Blob: p.Payload.Blob, Size: p.Payload.Size,
	}
	a.marks, a.refusal = a.marks[:0], nil
	return u
}

// afterMix goes on after a mix: to the next round, or, with the exchange Push, to the local steps of this one.
func (a *average) afterMix(c *Core) {
	if a.push != nil && c.mode != leaving {
		a.train(c)
		return
	}
	a.endRound(c)
}

// degree is the number of peers that this node mixes with: for Metropolis-Hastings weights both ends of a link must know
// each other's (spec 06, 6.3).
func (a *average) degree(c *Core) uint32 {
	if a.push != nil {
		return 1
	}
	n := 0
	for _, m := range c.roster.sorted() {
		if m.active(c.now, a.roundTime) {
			n++
		}
	}
	return uint32(min(n, a.cfg.Degree))
}

func (a *average) endRound(c *Core) {
	if a.listening {
		a.beginRound(c)
		return
	}
	smooth(&a.roundTime, c.now-a.roundBegan)
	if c.mode != leaving {
		a.upkeep.round(c, a.state())
	}
	if a.push != nil {
		a.push.rest(c, a)
		return
	}
	a.beginRound(c)
}

func (a *average) endSave(c *Core) {
	failed := a.saveErr != ""
	switch {
	case failed && a.phase == closing:
		c.finish()
	case failed:
		a.alarm(c, c.now+retrySave)
	case a.phase == closing:
		a.close(c)
	default:
		a.announceWhenSaved(c)
	}
}

func (a *average) wake(c *Core) {
	if a.push != nil {
		a.push.wake(c, a)
	}
	if a.gatherEnd != 0 && c.now >= a.gatherEnd {
		a.endGather(c)
	}
	if a.retryAt != 0 && c.now >= a.retryAt {
		a.retryAt = 0
		a.retry(c)
	}
	a.rearm(c)
}

func (a *average) retry(c *Core) {
	a.saveAgain(c, a.state())
	if a.phase == waiting {
		a.diverged = 0
		if a.listening {
			a.mix(c)
			return
		}
		a.beginRound(c)
	}
}

func (a *average) paused(c *Core) {
	switch {
	case c.mode == running && a.phase == idle && a.push != nil && a.age > 0:
		a.push.rest(c, a)
	case c.mode == running && a.phase == idle:
		a.beginRound(c)
	case c.mode == pausing && a.phase == resting:
		a.phase = idle
	case c.mode == leaving:
		a.close(c)
	}
}

// close saves what is not saved and ends the core's work. What is under way is given up: it is less than a round.
func (a *average) close(c *Core) {
	a.phase = closing
	if a.upkeep.close(c, a.state()) {
		c.finish()
	} // else the end of the save comes back here
}

func (a *average) state() State {
	s := State{Round: a.round, Age: a.age, Step: a.step, Weight: 1, Params: a.params, Opt: a.opt}
	if a.sum != nil {
		s.Weight = a.sum.weight
	}
	return s
}
