package node

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"starling/gossip"
	"starling/mixing/outer"
)

// OuterConfig sets the method outer.
type OuterConfig struct {
	outer.Settings

	// Steps is the number of local steps of a round.
	Steps uint64

	// Degree is how many pseudo-gradients of others a node takes up at a time, with the variants on pushes.
	Degree int

	// Fragments are the ranges of the fragments, as many as Settings.Fragments says; none is one of all.
	Fragments []outer.Range

	// SaveEvery and EvaluateEvery are in rounds, as in [AverageConfig].
	SaveEvery     uint64
	EvaluateEvery uint64
}

func (o *OuterConfig) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(o.Steps == 0 || o.Steps > math.MaxInt32, "%d local steps: must be at least 1", o.Steps)
	bad(o.SaveEvery == 0, "save every 0 rounds: must be at least 1")
	bad(o.Degree < 1 || o.Degree > maxDegree, "degree is %d: must be 1 to %d", o.Degree, maxDegree)
	bad(o.Settings.Fragments != max(1, len(o.Fragments)), "%d ranges of %d fragments", len(o.Fragments), o.Settings.Fragments)
	bad(o.Shards < 1, "%d shards: must be at least 1", o.Shards)
	return errors.Join(append(errs, o.Stable(), o.Fits(int(o.Steps)))...)
}

// streaming is the schedule of fragments.
func (o *OuterConfig) streaming() outer.Streaming { return o.Streaming(int(o.Steps)) }

// A variant is what differs between the ways in which nodes of the method outer come together.
type variant interface {
	// begin goes on with training, or waits for something that will.
	begin(c *Core)
	// trained takes the end of local steps.
	trained(c *Core)
	// check judges a delta; as [Method.CheckDelta].
	check(d *gossip.Delta) gossip.Verdict
	delta(c *Core, m *member, seq uint64, d *gossip.Delta)
	// wake looks for what is due, and returns when the next thing is; 0 is never.
	wake(c *Core) Instant
	// own lists the vectors of the state that others can adopt, parts of them, of which the first is the anchor, and fills in what they
	// have to know of it.
	own(d *gossip.Delta) []VecRef
	parts() int
	// adopts reports whether the state of another node that has come is wanted still. adopt goes on from it; the variant takes its
	// vectors over, and everything is void that it was doing.
	adopts(c *Core, d *gossip.Delta) bool
	adopt(c *Core, d *gossip.Delta, parts []VecRef)
	// rests reports that no exchange is under way.
	rests() bool
	numbers() []uint64
	vectors() []NamedVector
	activity() string
}

// outerMethod is local SGD with an outer optimizer and no server (spec 03). A node trains from its anchor, announces what that has
// changed, and a variant makes the next anchor of what all have announced.
type outerMethod struct {
	cfg  OuterConfig
	run  *Config
	self PeerID
	variant

	anchor VecRef // what local steps begin from, and what is evaluated
	local  VecRef // what they have led to; 0 if that is the anchor
	opt    VecRef

	round uint64 // announcements of own pseudo-gradients
	age   uint64 // local steps in the anchor, here or elsewhere
	step  uint64 // local steps of this node

	phase    outerPhase
	next     TrainJob
	life     int // goes up when local work is void
	began    Instant
	steps    uint64 // since the newest announcement, as are samples and loss
	samples  uint64
	loss     float64 // mean over steps
	lastLoss float64
	speed    float64
	retryAt  Instant // end of waiting after divergence; 0 is none
	saveAt   Instant // next try to save; 0 is none

	announcedAt Instant
	roundTime   Instant         // between two announcements, smoothed
	held        []func(c *Core) // announce what waits for a checkpoint

	pullTime Instant // how long pulls take: the longest of late

	calls   map[JobID]func(c *Core, ev Event) // how to go on when a job ends
	marks   []gossip.Mark
	refusal []gossip.Refusal
	states  stateTransfer
	upkeep
}

type outerPhase uint8

const (
	outerIdle outerPhase = iota // paused
	outerTraining
	outerOther // the variant is at work, or waits
	outerDiverged
	outerClosing
)

var _ Method = (*outerMethod)(nil)

func newOuter(cfg Config, from State) (*outerMethod, error) {
	if err := cfg.Outer.validate(); err != nil {
		return nil, err
	}
	o := &outerMethod{
		cfg: cfg.Outer, run: &cfg, self: cfg.Self, anchor: from.Params, opt: from.Opt, round: from.Round, age: from.Age, step: from.Step,
		local: from.Vector("local", cfg.Len), calls: make(map[JobID]func(*Core, Event)),
		upkeep: upkeep{saveEvery: cfg.Outer.SaveEvery, evaluateEvery: cfg.Outer.EvaluateEvery},
	}
	switch o.cfg.Variant {
	case outer.DiLoCo:
		o.variant = newTogether(o, from)
	case outer.NoLoCoGroups:
		o.variant = newPairs(o, from)
	default:
		o.variant = newPushes(o, from)
	}
	return o, nil
}

func (o *outerMethod) Name() string { return "outer" }

// Check rejects models: the method announces deltas.
func (o *outerMethod) Check(*gossip.Update) gossip.Verdict { return reject(gossip.ReasonUnknownKind) }

func (o *outerMethod) CheckDelta(d *gossip.Delta) gossip.Verdict {
	switch {
	case d.Round > maxRound || d.Steps > maxRound || d.Age > maxRound || d.Version > maxRound && o.cfg.Variant != outer.DiLoCo:
		return reject(gossip.ReasonMalformed)
	case d.Part == gossip.PartState:
		if int(d.Len) != o.stateLen() || len(d.Pieces) != 1 || d.Codec != PlainCodec {
			return reject(gossip.ReasonLength)
		}
		return accepted
	case d.Round == 0 || d.Part == gossip.PartGradient && d.Steps == 0:
		return reject(gossip.ReasonMalformed)
	}
	return o.variant.check(d)
}

// maxRound bounds what others count, so that sums of it do not overflow: nobody gets there in a thousand years.
const maxRound = 1 << 48

// stateLen is the length of the state that others can adopt.
func (o *outerMethod) stateLen() int { return o.parts() * o.run.Len }

func (o *outerMethod) start(c *Core) { o.goOn(c) }

func (o *outerMethod) heard(*Core, *member) {}

func (o *outerMethod) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	if o.phase == outerClosing {
		return
	}
	if d.Part == gossip.PartState {
		o.states.answered(c, o, m, d)
		return
	}
	if d.Part == gossip.PartGradient { // one a round: what else comes says nothing of a node's rhythm
		if m.round != 0 {
			m.observeInterval(c.now - m.heardAt)
		}
		m.heardAt = c.now
		m.round, m.age, m.loss, m.speed = d.Round, d.Age, d.Loss, d.Speed
	}
	o.variant.delta(c, m, seq, d)
	o.rearm(c)
}

func (o *outerMethod) asked(c *Core, from PeerID, r *gossip.Request) {
	switch p, asynchronous := o.variant.(*pushes); {
	case o.phase == outerClosing:
	case r.Part == gossip.PartState:
		o.states.asked(c, o, from)
	case r.Part == gossip.PartAnchor && asynchronous:
		p.giveAnchor(c, from)
	}
}

// goOn begins what is next for a node that does not train.
func (o *outerMethod) goOn(c *Core) {
	if o.phase == outerTraining || o.phase == outerClosing {
		return
	}
	if c.mode == leaving {
		o.close(c)
		return
	}
	o.phase = outerOther
	o.variant.begin(c) // which ends in local steps, if not now then later
	o.rearm(c)
}

// model is what local steps go on from.
func (o *outerMethod) model() VecRef {
	if o.local != 0 {
		return o.local
	}
	return o.anchor
}

// dropLocal gives up what local steps have led to.
func (o *outerMethod) dropLocal(c *Core) {
	c.release(o.local)
	o.local = 0
}

// train does local steps, unless the node is to pause: what belongs to the round before is done by now.
func (o *outerMethod) train(c *Core, steps uint64) {
	if c.mode == pausing {
		o.phase = outerIdle
		return
	}
	o.phase = outerTraining
	o.began = c.now
	o.next = TrainJob{
		Job: c.newJob(), Params: o.model(), Opt: o.opt, Step: o.step, Age: o.age + o.steps, Steps: steps,
		Out: c.newRef(), OutOpt: c.newRef(),
	}
	life := o.life
	o.calls[o.next.Job] = func(c *Core, ev Event) { o.endTraining(c, ev.(Trained), life) }
	c.out.Train = append(c.out.Train, o.next)
}

func (o *outerMethod) endTraining(c *Core, ev Trained, life int) {
	o.phase = outerOther
	o.step += o.next.Steps // also of steps that are undone: the next ones shall see other data
	if undo, rest := o.diverges(c, ev.Loss, o.round); undo {
		c.release(o.next.Out)
		c.release(o.next.OutOpt)
		o.dropLocal(c)
		o.steps, o.samples, o.loss = 0, 0, 0
		if !rest {
			o.goOn(c)
			return
		}
		o.phase = outerDiverged
		o.retryAt = c.now + retryTrain
		o.rearm(c)
		return
	}
	o.dirty = true
	c.release(o.opt)
	o.opt = o.next.OutOpt
	o.speed = outer.Speed(o.speed, int(o.next.Steps), int64(c.now-o.began))
	if life != o.life {
		// The anchor has become another one in the meantime: these steps lead nowhere.
		c.release(o.next.Out)
		o.goOn(c)
		return
	}
	c.release(o.local)
	o.local = o.next.Out
	o.steps += o.next.Steps
	o.samples += ev.Samples
	o.loss += (ev.Loss - o.loss) * float64(o.next.Steps) / float64(o.steps)
	o.variant.trained(c)
	o.rearm(c)
}

// early reports whether it is too soon for another announcement: gossip is for rounds of a second, not for a flood.
func (o *outerMethod) early(c *Core) bool {
	return o.announcedAt != 0 && c.now-o.announcedAt < o.run.AnnounceEvery && c.mode == running
}

// describe fills in what the announcement of a pseudo-gradient says beside its vectors.
func (o *outerMethod) describe(d *gossip.Delta) {
	d.Part, d.Codec = gossip.PartGradient, o.run.Codec
	d.Age, d.Steps, d.Samples, d.Speed, d.Loss = o.age, o.steps, o.samples, float32(o.speed), float32(o.loss)
	d.Mixed, d.Refused = newestMarks(o.marks), sortRefusals(o.refusal)
}

// announce numbers the round and calls then once what must be durable before it is.
func (o *outerMethod) announce(c *Core, then func(c *Core)) {
	if !o.durable() {
		o.held = append(o.held, then)
		return
	}
	then(c)
}

// announced ends the account of the local steps behind a pseudo-gradient, which was published under a number.
func (o *outerMethod) announced(c *Core, d *gossip.Delta, seq uint64) {
	o.round++
	c.observe(Stat{Kind: StatTrained, Round: o.round, Value: o.loss})
	c.sent.add(seq)
	c.observe(Stat{Kind: StatPublished, Round: o.round, Value: float64(d.Size())})
	if was := o.announcedAt; was != 0 {
		smooth(&o.roundTime, c.now-was)
	}
	o.announcedAt = c.now
	o.lastLoss = o.loss
	o.steps, o.samples, o.loss = 0, 0, 0
	o.marks, o.refusal = nil, nil
}

// finished saves and evaluates after a round.
func (o *outerMethod) finished(c *Core) {
	o.dirty = true
	if c.mode != leaving {
		o.upkeep.round(c, o.state())
	}
}

// replace makes a vector the anchor.
func (o *outerMethod) replace(c *Core, anchor VecRef) {
	c.release(o.anchor)
	o.anchor = anchor
}

// void gives up the local work that is under way or done.
func (o *outerMethod) void(c *Core) {
	o.life++
	o.dropLocal(c)
	o.steps, o.samples, o.loss = 0, 0, 0
}

// localSteps is how many steps this node takes in a round.
func (o *outerMethod) localSteps(c *Core) uint64 {
	if !o.cfg.Dynamic {
		return o.cfg.Steps
	}
	speeds := []float64{o.speed}
	for _, m := range c.roster.sorted() {
		if m.speed > 0 && o.active(c, m) {
			speeds = append(speeds, float64(m.speed))
		}
	}
	return uint64(outer.Steps(o.speed, outer.Reference(speeds, speedQuantile), int(o.cfg.Steps), o.cfg.Least))
}

// speedQuantile leaves out the fastest of ten, so that one bad measurement does not slow everybody.
const speedQuantile = 0.9

// refuse records that a pseudo-gradient does not count, for its author to hear.
func (o *outerMethod) refuse(c *Core, m *member, seq uint64, why gossip.RefusalReason, text string) {
	m.refused[why]++
	if len(o.refusal) < maxDegree {
		o.refusal = append(o.refusal, gossip.Refusal{Author: m.id, Seq: seq, Why: why})
	}
	c.observe(Stat{Kind: StatRefused, Peer: m.id, Round: o.round, Text: text})
}

// counted credits the author of a pseudo-gradient that was taken up.
func (o *outerMethod) counted(c *Core, m *member, seq uint64) {
	mark := gossip.Mark{Author: m.id, Seq: seq}
	if slices.Contains(o.marks, mark) {
		return // for another part of it
	}
	m.mixed++
	c.mark(m, scoreGood, "taken up")
	if len(o.marks) < maxDegree {
		o.marks = append(o.marks, mark)
	}
}

func (o *outerMethod) done(c *Core, ev Event) {
	switch ev := ev.(type) {
	case Evaluated:
		o.seen(c, ev)
	case Saved:
		if o.saved(c, ev, o.round) {
			o.endSave(c)
		}
	default:
		job := jobOf(ev)
		then := o.calls[job]
		delete(o.calls, job)
		if then != nil && o.phase != outerClosing {
			then(c, ev)
		}
	}
	o.rearm(c)
}

func jobOf(ev Event) JobID {
	switch ev := ev.(type) {
	case Fetched:
		return ev.Job
	case Trained:
		return ev.Job
	case Encoded:
		return ev.Job
	case Mixed:
		return ev.Job
	}
	return 0
}
