package daemon

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"starling/gossip"
	"starling/node"
	"starling/node/manifest"
)

// cells says when the epochs of a run are, by the clock of this machine, and who is in which cell. Clocks differ, so around the
// change of an epoch some nodes are in their new cells and some in their old ones for a while. Each hears the topic of its own
// cell, and takes from there only what is of members of that cell in its own epoch; a message of the other kind, which comes
// when two cells happen to have the same number, is ignored and nobody's fault. What was missed comes with the repairs that
// greet new members of a cell, or with the author's next round, so that no time of grace is needed.
type cells struct {
	run     gossip.RunID
	count   uint32
	created time.Time
	length  time.Duration // of an epoch
}

func cellsOf(run gossip.RunID, m manifest.Manifest) cells {
	return cells{run: run, count: uint32(m.Cells.Count), created: m.Created, length: m.Cells.Epoch}
}

// several reports whether there is more than one cell, and so epochs that matter.
func (c cells) several() bool { return c.count > 1 }

// epoch returns the epoch of a time: 0 before the run was made, and never more than the core can count.
func (c cells) epoch(now time.Time) uint64 {
	since := now.Sub(c.created) // the longest Duration, 292 years, if it is more
	if !c.several() || since <= 0 {
		return 0
	}
	return min(uint64(since/c.length), math.MaxUint32)
}

// wait returns how long to sleep before looking at the clock again: until the next epoch, but not so long that a clock that was
// set, or a machine that was asleep, would go unnoticed.
func (c cells) wait(now time.Time) time.Duration {
	const most = time.Minute
	switch since := now.Sub(c.created); {
	case since < -most:
		return most
	case since < 0:
		return -since
	default:
		return min(c.length-since%c.length, most)
	}
}

// topic names the topic of a peer's cell.
func (c cells) topic(p gossip.PeerID, epoch uint64) string {
	return gossip.Topic(c.run, gossip.Cell(p, epoch, c.count))
}

// together returns who is in one cell in an epoch; nil if all are.
func (c cells) together(epoch uint64) func(a, b gossip.PeerID) bool {
	if !c.several() {
		return nil
	}
	return func(a, b gossip.PeerID) bool {
		return gossip.Cell(a, epoch, c.count) == gossip.Cell(b, epoch, c.count)
	}
}

// errClock is what an owner hears whose clock went back.
var errClock = errors.New("the clock of this machine went back, and this node waits in the cell of a later time: start it again")

// turn tells the core of an epoch that has begun, and whom of its new cell it is connected to. An epoch is never left for an
// earlier one: a clock that is set back by less than an epoch does no harm.
func (s *stepper) turn() {
	c := &s.d.cells
	switch now := c.epoch(time.Now()); {
	case now > s.era:
		s.era = now
		s.step(node.Epoch{Number: now})
		for _, p := range s.d.swarm.Peers() {
			s.member(node.PeerUp{Peer: p.ID})
		}
	case now+1 < s.era:
		s.d.trouble.set(troubleClock, errClock)
	default:
		s.d.trouble.clear(troubleClock)
	}
}

// member tells the core of a peer that came or went. One that came is no news if it is in another cell: what such peers know of
// the run is not for this node.
func (s *stepper) member(ev node.Event) {
	if up, ok := ev.(node.PeerUp); ok && !s.mate(up.Peer) {
		return
	}
	s.step(ev)
}

// mate reports whether a peer is in this node's cell.
func (s *stepper) mate(p gossip.PeerID) bool {
	together := s.d.cells.together(s.era)
	return together == nil || together(s.d.self, p)
}

// move brings the node into the topic of its new cell.
func (s *stepper) move(cell uint32) {
	if err := s.d.swarm.Move(gossip.Topic(s.d.cells.run, cell), s.d.cells.together(s.era)); err != nil {
		s.d.log.Error("move to another cell", "cell", cell, "error", err)
	}
}

// anyMember picks a connected member of this node's cell at random; false if there is none.
func (s *stepper) anyMember() (gossip.PeerID, bool) {
	var mates []gossip.PeerID
	for _, p := range s.d.swarm.Peers() {
		if s.mate(p.ID) {
			mates = append(mates, p.ID)
		}
	}
	if len(mates) == 0 {
		return gossip.PeerID{}, false
	}
	return mates[rand.IntN(len(mates))], true
}
