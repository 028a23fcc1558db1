package node

import (
	"fmt"

	"starling/gossip"
	"starling/mixing/scalar"
)

// scalarMethod is training with one byte per gradient (spec 04). A node measures the slope of its loss along a direction that the place
// of its next record decides, sends the records in batches, and adds up those of all. The driver keeps the vectors, as one integer
// model; this keeps the set of records and their sums, which are integers: nodes that have heard the same records have the same model.
//
// Records come by gossip or, where there are few nodes, from their authors one by one. What is lost on the way comes with exchanges between random peers, as the sealed batches; what nobody keeps any more, and
// all of it for a node that comes late, as a snapshot of the sums, which two others have to confirm. A snapshot travels in a message:
// one that would take more than 256 KiB is not sent, and records are fetched instead.
//
// In open mode each record counts as soon as it is heard. In closed mode nodes agree, epoch by epoch, which ones do: see closer.
type scalarMethod struct {
	cfg  ScalarConfig
	run  *Config
	tag  uint64 // of the own log
	base State  // whose vectors the driver holds

	replica *scalar.Replica
	origin  *scalar.Snapshot // what the replica was restored from; nil if from nothing
	changes []scalar.Change  // for the driver's model, before those of the replica

	phase        scalarPhase
	probe        ProbeJob // under way if its Job is not 0
	step         uint64   // minibatches
	round        uint64   // own batches
	loss         float64
	own          ownLog
	retryAt      Instant // end of waiting after divergence; 0 is none
	saveAt       Instant // next try to save; 0 is none
	saving       uint64  // own records in the checkpoint under way
	lastSave     bool    // the save under way is the last one
	savingEpochs uint32  // that are closed in it
	joinedBy     Instant // when a node that has just begun goes on alone; 0: it has been heard of

	closer   *closer // of epochs; nil in open mode
	kept     keptBatches
	proofs   map[uint64]*gossip.Proof // by tag of whom they are against
	accused  []accusation
	exchange exchange
	join     joining
	checks   checks
	settling settling

	upkeep
}

type scalarPhase uint8

const (
	scalarJoining scalarPhase = iota // not yet sure what others have
	scalarProbing
	scalarIdle    // paused
	scalarWaiting // for the epoch to be closed
	scalarDiverged
	scalarSpent // the budget is spent, or the log is banned
	scalarClosing
)

// PhaseTraining is what the status of a node of the method scalar says that measures slopes.
const PhaseTraining = "training"

var scalarPhases = [...]string{"joining", PhaseTraining, "paused", "waiting for the epoch to close", "waiting", "spent", "leaving"}

var _ Method = (*scalarMethod)(nil)

// joinWait is how long a node that has no records waits to be told what the others have.
const joinWait = 3 * Second

func newScalar(run *Config, from State) (*scalarMethod, error) {
	return openScalar(run, from, trusting{})
}

// openScalar is newScalar for who wants the signatures of the batches in the checkpoint looked at again.
func openScalar(run *Config, from State, v gossip.Verifier) (*scalarMethod, error) {
	run.Scalar.setDefaults(run)
	cfg := run.Scalar
	if err := cfg.validate(run); err != nil {
		return nil, err
	}
	tag := gossip.Tag(run.Run, run.Self)
	s := &scalarMethod{
		cfg: cfg, run: run, tag: tag, base: State{Params: from.Params, Opt: from.Opt},
		step: from.Step, round: from.Round, kept: newKept(tag, cfg.Keep), proofs: make(map[uint64]*gossip.Proof),
		checks: checks{on: cfg.CheckShare > 0},
		upkeep: upkeep{saveEvery: cfg.SaveEvery, evaluateEvery: cfg.EvaluateEvery},
	}
	if cfg.Closed {
		s.closer = &closer{asked: make(map[PeerID]int)}
	}
	if err := s.restore(from.Opaque, v); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	batches, err := s.takeVotes(cfg.Log)
	if err == nil {
		err = s.replay(batches)
	}
	if err != nil {
		return nil, fmt.Errorf("own records: %w", err)
	}
	if s.closer != nil {
		s.closer.open(s, 0)
	}
	s.step = max(s.step, s.replica.Set().Next(s.tag)) // each has taken a minibatch at least
	return s, nil
}

func (s *scalarMethod) Name() string { return "scalar" }

// Check and CheckDelta reject vectors: the method sends none.
func (s *scalarMethod) Check(*gossip.Update) gossip.Verdict {
	return reject(gossip.ReasonUnknownKind)
}

func (s *scalarMethod) CheckDelta(*gossip.Delta) gossip.Verdict {
	return reject(gossip.ReasonUnknownKind)
}

func (s *scalarMethod) heard(*Core, *member)                        {}
func (s *scalarMethod) delta(*Core, *member, uint64, *gossip.Delta) {}
func (s *scalarMethod) asked(*Core, PeerID, *gossip.Request)        {}

func (s *scalarMethod) start(c *Core) {
	s.schedule(c)
	if s.closer != nil {
		s.closer.open(s, c.now)
	}
	if s.replica.Set().Next(s.tag) == 0 {
		s.joinedBy = c.now + joinWait
	}
	s.republish(c)
	s.goOn(c)
}

func (s *scalarMethod) done(c *Core, ev Event) {
	switch ev := ev.(type) {
	case Probed:
		if s.probe.Job != 0 && ev.Job == s.probe.Job {
			s.probed(c, ev)
		}
	case Checked:
		s.checked(c, ev)
	case Evaluated:
		s.seen(c, ev)
	case Saved:
		if s.saved(c, ev, s.round) {
			s.endSave(c)
		}
	}
	s.consider(c)
	s.rearm(c)
}

// goOn begins the next probe, if it is time for one.
func (s *scalarMethod) goOn(c *Core) {
	defer s.rearm(c)
	if s.phase == scalarClosing || s.probe.Job != 0 || s.retryAt != 0 {
		return
	}
	if s.joinedBy != 0 || s.behind(c) || s.join.busy() && s.replica.Set().Next(s.tag) == 0 {
		s.phase = scalarJoining
		return
	}
	if c.mode != running {
		s.phase = scalarIdle
		return
	}
	if s.waits() {
		s.seal(c)
		s.phase = scalarWaiting
		return
	}
	place, ok := s.replica.Next(s.tag, 0)
	if !ok {
		s.phase = scalarSpent
		return
	}
	s.phase = scalarProbing
	s.probe = ProbeJob{Job: c.newJob(), Place: place, Step: s.step, Eps: s.cfg.Eps}
	s.declare()
	s.tell(c)
	c.out.Probe = append(c.out.Probe, s.probe)
}

// tell has the driver's model follow the sums.
func (s *scalarMethod) tell(c *Core) {
	c.out.Apply = append(append(c.out.Apply, s.changes...), s.replica.Take()...)
	s.changes = s.changes[:0]
}

func (s *scalarMethod) wake(c *Core) {
	due := func(at *Instant) bool {
		if *at == 0 || c.now < *at {
			return false
		}
		*at = 0
		return true
	}
	if s.phase == scalarClosing {
		return
	}
	if due(&s.own.sealAt) {
		s.seal(c)
	}
	if due(&s.saveAt) {
		s.saveAgain(c, s.state())
	}
	if due(&s.retryAt) {
		s.diverged = 0
	}
	if due(&s.exchange.gapAt) {
		s.fetchGaps(c)
	}
	due(&s.joinedBy)
	s.accuse(c)
	s.remind(c)
	s.consider(c)
	s.askAgain(c)
	if due(&s.join.until) {
		s.joinLate(c)
	}
	if due(&s.exchange.at) {
		s.beginExchange(c)
		s.schedule(c)
	}
	s.goOn(c)
}

// rearm sets the alarm to what is due first.
func (s *scalarMethod) rearm(c *Core) {
	if len(c.out.Save) > 0 {
		s.saving, s.savingEpochs = s.replica.Set().Next(s.tag), s.replica.Closed() // as of this step
	}
	s.close(c)
	if s.probe.Job == 0 && s.phase > scalarProbing {
		s.tell(c) // no probe will: an idle node is to have the model of what it knows, too
	}
	if s.phase == scalarClosing {
		return
	}
	at := s.exchange.at
	times := [...]Instant{s.own.sealAt, s.saveAt, s.retryAt, s.exchange.gapAt, s.joinedBy, s.join.until, s.checks.due()}
	for _, t := range times {
		if t != 0 && t < at {
			at = t
		}
	}
	for _, a := range s.accused {
		at = min(at, a.at)
	}
	if s.closer != nil {
		at = sooner(at, s.closer.next())
	}
	c.alarm(at)
}

func (s *scalarMethod) paused(c *Core) {
	if c.mode != leaving {
		s.goOn(c)
		return
	}
	// The probe under way is given up: it is less than a record.
	s.seal(c)
	if s.mustWait(c) {
		s.phase, s.closer.leaveBy = scalarIdle, c.now+leaveWait
		s.rearm(c)
		return
	}
	s.goAway(c)
}

// goAway saves for the last time. A save that is under way comes first.
func (s *scalarMethod) goAway(c *Core) {
	s.phase, s.lastSave = scalarClosing, s.saveJob == 0
	if s.upkeep.close(c, s.state()) {
		c.finish()
	}
}

func (s *scalarMethod) endSave(c *Core) {
	switch failed := s.saveErr != ""; {
	case failed && s.phase == scalarClosing:
		c.finish()
	case failed:
		s.saveAt = c.now + retrySave
	default:
		s.forgetLogged(c)
		s.forgetCertificates(c, s.savingEpochs)
		if s.phase != scalarClosing {
			return
		}
		// What others have added meanwhile they have, and they go on: there is one last save.
		if s.lastSave || s.upkeep.close(c, s.state()) {
			c.finish()
		}
		s.lastSave = true
	}
}
