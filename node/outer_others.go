package node

import (
	"starling/gossip"
	"starling/mixing/outer"
)

// active reports whether a member still takes part, as far as can be told: it was heard of not much longer ago than its own rhythm, or
// that of this node, makes likely. As long as this node has no rhythm, nothing can be told.
func (o *outerMethod) active(c *Core, m *member) bool {
	switch training := o.trainTime(); {
	case m.gone || m.round == 0 || m.banned.Load():
		return false
	default:
		return training == 0 || c.now-m.heardAt <= 4*max(m.interval, o.roundTime, training, Second)
	}
}

// heardMost reports whether enough of the members that are there have been heard of, as known says, to go by what they say. Who has been
// there for long and is silent may be paused, and is not waited for.
func (o *outerMethod) heardMost(c *Core, known func(m *member) bool) bool {
	heard, silent := 0, 0
	for _, m := range c.roster.sorted() {
		switch {
		case known(m):
			heard++
		case m.up && !m.gone && !m.banned.Load() && !o.settled(c, m):
			silent++
		}
	}
	return heard >= silent
}

// settled reports whether a silent member has been there for so long that nothing is expected of it.
func (o *outerMethod) settled(c *Core, m *member) bool {
	training := o.trainTime()
	if training == 0 {
		return false // this node has not ended its first local steps either
	}
	return c.now-m.heardAt > max(firstWait, 4*training)
}

// trainTime is how long the local steps of a round take this node; 0 is not known.
func (o *outerMethod) trainTime() Instant {
	if o.speed == 0 {
		return 0
	}
	return Instant(min(float64(o.cfg.Steps)/o.speed, longestWait.Seconds()) * 1e9)
}

// usualRound is the median of the rounds that active members announced last; 0 if none is heard of. A few liars do not move it far.
func (o *outerMethod) usualRound(c *Core) uint64 {
	var rounds []uint64
	for _, m := range c.roster.sorted() {
		if o.active(c, m) {
			rounds = append(rounds, m.round)
		}
	}
	if len(rounds) == 0 {
		return 0
	}
	return lowerMedian(rounds)
}

// pulled takes the duration of a pull.
func (o *outerMethod) pulled(d Instant) {
	if d > o.pullTime {
		o.pullTime = max(1, d)
	} else {
		smooth(&o.pullTime, d)
	}
}

// pullWait is for how long vectors are waited for that others have announced, or are about to.
func (o *outerMethod) pullWait() Instant {
	if o.pullTime == 0 {
		return firstWait
	}
	return min(longestWait, max(leastWait, 4*o.pullTime))
}

// How long a node waits for what it has no experience with yet, and at least and at most.
const (
	firstGather = 10 * Second
	firstWait   = 20 * Second
	leastWait   = 2 * Second
	longestWait = 600 * Second
)

// rememberedNorms is how many norms tell what is usual.
const rememberedNorms = 64

// usual reports whether the norm of an anchor is one that a model of this run can have: momentum and consensus would carry one that is
// far off into every other node.
func usual(norms *outer.Norms, norm float64) bool { return norms.Clip(norm) == 1 }

// tell says to all members what publish would. Who comes later learns by a digest.
func (o *outerMethod) tell(c *Core, d *gossip.Delta) uint64 {
	to := c.oneByOne(o.active)
	if len(to) == 0 {
		return c.publish(d)
	}
	msg := c.broadcast(d)
	for _, id := range to {
		c.send(id, &gossip.Repair{}, []*gossip.Message{msg})
	}
	return msg.Seq
}
