package node

import (
	"math"

	"starling/gossip"
	"starling/mixing/scalar"
)

// probed makes a record of a slope.
func (s *scalarMethod) probed(c *Core, ev Probed) {
	job := s.probe
	s.probe = ProbeJob{}
	s.step++
	if s.phase == scalarClosing {
		return
	}
	defer s.goOn(c)
	place, ok := s.replica.Next(s.tag, 0)
	if !ok || place != job.Place || s.behind(c) {
		return // the log has changed under it
	}
	s.checks.rested = true
	undo, rest := s.diverges(c, ev.Slope, s.round)
	if rest {
		s.phase, s.retryAt = scalarDiverged, c.now+retryTrain
	}
	if !undo {
		s.loss = ev.Loss
		c.observe(Stat{Kind: StatTrained, Round: s.round, Value: ev.Loss})
	}
	if b, ok := s.rounded(c, place, ev); ok {
		s.produce(c, place, b)
	}
}

// rounded is the record that a slope makes. If others may measure it again there is one whatever the slope, and nothing to choose.
func (s *scalarMethod) rounded(c *Core, place scalar.Place, ev Probed) (byte, bool) {
	if s.checks.on {
		return s.cfg.Byte(ev.Slope, s.tag, place.Seq, place.Epoch), ev.Samples > 0
	}
	if math.IsNaN(ev.Slope) || math.IsInf(ev.Slope, 0) {
		return 0, false
	}
	b, ok := scalar.Encode(ev.Slope, s.cfg.GUnit(), c.cfg.Rand.Float64())
	return scalar.Clip(b, byte(s.cfg.Clips.At(place.Epoch))), ok
}

// produce adds a record to the own log. It is durable before anything that this step asks for can depend on it.
func (s *scalarMethod) produce(c *Core, place scalar.Place, b byte) {
	o := &s.own
	if o.open != nil && o.open.Epoch != place.Epoch {
		s.seal(c)
	}
	if o.open == nil {
		o.open = &gossip.Records{Epoch: place.Epoch, First: place.Seq, Previous: o.previous}
		o.sealAt = c.now + s.patience(c)
	}
	o.open.Bytes = append(o.open.Bytes, b)
	s.declared(o.open, place.Seq)
	if _, err := s.replica.Insert(scalar.Run{Peer: s.tag, First: place.Seq, Epoch: place.Epoch, Bytes: []byte{b}}); err != nil {
		panic("node: internal error: own record: " + err.Error()) // nothing is ever folded here
	}
	s.dirty = true
	s.noteNew(c)
	if end := o.open.End(); len(o.open.Bytes) >= s.cfg.Batch || end%uint64(s.cfg.PerEpoch) == 0 {
		s.seal(c)
		return
	}
	s.persist(c, &gossip.Message{Body: o.open})
}

const (
	// A node with fewer connections than this could have more, and has them to all that can be reached. One with more may not know of
	// those that it is not connected to, before it has heard of them.
	fewConnections = 24
	// introduced is how many batches of a life such a node publishes in any case: from them all learn that it is there.
	introduced = 2
)

// spread sends a sealed batch to all. Who does not get it misses it in an exchange.
func (s *scalarMethod) spread(c *Core, msg *gossip.Message) {
	to := c.oneByOne(s.active)
	if len(to) == 0 || len(to) >= fewConnections && c.sent.published < introduced {
		c.out.Publish = append(c.out.Publish, msg)
		return
	}
	for _, id := range to {
		c.send(id, &gossip.Repair{}, []*gossip.Message{msg})
	}
}

// active reports whether a member adds records, as far as can be told.
func (s *scalarMethod) active(c *Core, m *member) bool {
	return !m.gone && m.heardAt != 0 && c.now-m.heardAt <= activeFor
}

// activeFor is how long a member is thought to be at work that is not connected, and of which nothing more is heard.
const activeFor = 60 * Second

// promptAuthors is how many authors send their batches as often as [ScalarConfig.BatchEvery] says. More of them wait longer, in proportion: what
// a node receives beside the records themselves, which is some 370 bytes for each copy of a batch, does not grow with the number of nodes.
const promptAuthors = 64

// patience is how long a batch may wait for more records. In a crowd it is another time for each batch, so that not all are sent at once.
func (s *scalarMethod) patience(c *Core) Instant {
	authors := len(s.kept.logs)
	if authors <= promptAuthors {
		return s.cfg.BatchEvery
	}
	mean := int64(s.cfg.BatchEvery) / promptAuthors * int64(authors)
	return Instant(mean/2 + c.cfg.Rand.Int64N(mean+1))
}

// seal closes the open batch and sends it. From then on it stays as it is, also if the node dies before it is sent.
func (s *scalarMethod) seal(c *Core) {
	o := &s.own
	o.sealAt = 0
	if o.open == nil {
		return
	}
	o.open.Base = s.replica.Set().Vector().Count()
	msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.number(), Body: o.open}
	s.persist(c, msg)
	s.closed(msg)
	s.spread(c, msg)
	c.sent.published++
	s.round++
	c.observe(Stat{Kind: StatPublished, Round: s.round, Value: float64(len(msg.Body.(*gossip.Records).Bytes))})
	if s.round%s.saveEvery != 0 && (s.evaluateEvery == 0 || s.round%s.evaluateEvery != 0) {
		return
	}
	s.compact(c)
	s.upkeep.round(c, s.state())
	if len(c.out.Evaluate) > 0 && (s.probe.Job == 0 || !s.checks.on) { // what is measured is to be what was declared
		s.tell(c)
	}
}
