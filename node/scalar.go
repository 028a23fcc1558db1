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
// Records come by gossip. What gossip loses comes with exchanges between random peers, as the sealed batches; what nobody keeps any more, and
// all of it for a node that comes late, as a snapshot of the sums, which two others have to confirm. A snapshot travels in a message:
// one that would take more than 256 KiB is not sent, and records are fetched instead.
type scalarMethod struct {
	cfg  ScalarConfig
	run  *Config
	tag  uint64 // of the own log
	base State  // whose vectors the driver holds

	replica *scalar.Replica
	origin  *scalar.Snapshot // what the replica was restored from; nil if from nothing
	changes []scalar.Change  // for the driver's model, before those of the replica

	phase    scalarPhase
	probe    ProbeJob // under way if its Job is not 0
	step     uint64   // minibatches
	round    uint64   // own batches
	loss     float64
	own      ownLog
	retryAt  Instant // end of waiting after divergence; 0 is none
	saveAt   Instant // next try to save; 0 is none
	saving   uint64  // own records in the checkpoint under way
	joinedBy Instant // when a node that has just begun goes on alone; 0: it has been heard of

	kept     keptBatches
	proofs   map[uint64]*gossip.Proof // by tag of whom they are against
	accused  []accusation
	exchange exchange
	join     joining

	upkeep
}

type scalarPhase uint8

const (
	scalarJoining scalarPhase = iota // not yet sure what others have
	scalarProbing
	scalarIdle // paused
	scalarDiverged
	scalarSpent // the budget is spent, or the log is banned
	scalarClosing
)

var scalarPhases = [...]string{"joining", "training", "paused", "waiting", "spent", "leaving"}

var _ Method = (*scalarMethod)(nil)

// joinWait is how long a node that has no records waits to be told what the others have.
const joinWait = 3 * Second

func newScalar(run *Config, from State) (*scalarMethod, error) {
	run.Scalar.setDefaults(run)
	cfg := run.Scalar
	if err := cfg.validate(run); err != nil {
		return nil, err
	}
	tag := gossip.Tag(run.Run, run.Self)
	s := &scalarMethod{
		cfg: cfg, run: run, tag: tag, base: State{Params: from.Params, Opt: from.Opt},
		step: from.Step, round: from.Round, kept: newKept(tag, cfg.Keep), proofs: make(map[uint64]*gossip.Proof),
		upkeep: upkeep{saveEvery: cfg.SaveEvery, evaluateEvery: cfg.EvaluateEvery},
	}
	if err := s.restore(from.Opaque); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := s.replay(cfg.Log); err != nil {
		return nil, fmt.Errorf("own records: %w", err)
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
	case Evaluated:
		s.seen(c, ev)
	case Saved:
		if s.saved(c, ev, s.round) {
			s.endSave(c)
		}
	}
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
	place, ok := s.replica.Next(s.tag, 0)
	if !ok {
		s.phase = scalarSpent
		return
	}
	s.phase = scalarProbing
	s.probe = ProbeJob{Job: c.newJob(), Place: place, Step: s.step, Eps: s.cfg.Eps}
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
		s.saving = s.replica.Set().Next(s.tag) // as of this step
	}
	if s.probe.Job == 0 && s.phase > scalarProbing {
		s.tell(c) // no probe will: an idle node is to have the model of what it knows, too
	}
	if s.phase == scalarClosing {
		return
	}
	at := s.exchange.at
	times := [...]Instant{s.own.sealAt, s.saveAt, s.retryAt, s.exchange.gapAt, s.joinedBy, s.join.until}
	for _, t := range times {
		if t != 0 && t < at {
			at = t
		}
	}
	for _, a := range s.accused {
		at = min(at, a.at)
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
	s.phase = scalarClosing
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
		if s.phase == scalarClosing && s.upkeep.close(c, s.state()) {
			c.finish()
		}
	}
}
