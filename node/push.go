package node

import (
	"errors"
	"fmt"
	"math"

	"starling/gossip"
	"starling/mixing/kernel"
)

// How updates travel from node to node.
const (
	// Announce broadcasts every round to all, who take up as many as they like.
	Announce = "announce"
	// Push sends the model to one random peer at the node's own rhythm, and trains when a model has come.
	Push = "push"
)

// PushConfig sets the exchange [Push].
type PushConfig struct {
	// Every and Deviation are the mean and the standard deviation of the time between two pushes of a node. The first one comes
	// within Every, at random.
	Every, Deviation Instant
}

func (p *PushConfig) validate(mix string) error {
	var errs []error
	if p.Every <= 0 {
		errs = append(errs, fmt.Errorf("push every %d ns: must be positive", p.Every))
	}
	if p.Deviation < 0 || p.Deviation > p.Every {
		errs = append(errs, fmt.Errorf("push deviation of %d ns: must be 0 to the interval", p.Deviation))
	}
	if mix == PushSum {
		errs = append(errs, errors.New("push-sum sends to fixed out-neighbours: it needs the exchange announce"))
	}
	return errors.Join(errs...)
}

// push is the part of the method average for the exchange Push: gossip learning (Ormándi, Hegedűs, Jelasity 2013). A node trains
// once when it starts. Then a round is: mix with the model that has come, or with all that came while the node was busy, and
// local steps on the result. Models are not forwarded and not repaired: the next push carries everything.
type push struct {
	cfg    PushConfig
	wakeAt Instant

	envelope gossip.Message // of all pushes

	job     JobID   // encoding for a push
	of      VecRef  // what payload encodes
	payload Encoded // of the newest push
}

// begin starts the rhythm, at a random point of it.
func (p *push) begin(c *Core) {
	p.envelope = gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Body: &gossip.Repair{}}
	p.wakeAt = c.now + 1 + Instant(c.cfg.Rand.Int64N(int64(p.cfg.Every)))
}

// wake sends the model if it is time and there is something to tell.
func (p *push) wake(c *Core, a *average) {
	if c.now < p.wakeAt {
		return
	}
	p.wakeAt = max(p.wakeAt+p.interval(c), c.now+1)
	if c.mode != running || a.age == 0 || p.job != 0 {
		return
	}
	if p.of == a.params {
		p.send(c, a)
		return
	}
	p.of, p.job = a.params, c.newJob()
	c.out.Encode = append(c.out.Encode, EncodeJob{Job: p.job, Vec: p.of})
}

// interval draws the time to the next push from a normal distribution that is cut at a tenth of its mean (Box and Muller 1958: half a
// turn is as good as a whole one).
func (p *push) interval(c *Core) Instant {
	if p.cfg.Deviation == 0 {
		return p.cfg.Every
	}
	u, v := 1-c.cfg.Rand.Float64(), c.cfg.Rand.Float64()
	z := math.Sqrt(-2*kernel.Log(u)) * kernel.CosPi(v)
	return max(p.cfg.Every/10, p.cfg.Every+Instant(z*float64(p.cfg.Deviation)))
}

func (p *push) encoded(c *Core, a *average, ev Encoded) {
	p.job, p.payload = 0, ev
	if c.mode == running {
		p.send(c, a)
	}
}

// send numbers the update and sends it, sealed like a broadcast and in the envelope of a repair, to whomever the driver picks.
func (p *push) send(c *Core, a *average) {
	// In one piece: every push of a run makes one.
	said := &struct {
		update  gossip.Update
		message gossip.Message
		forward [1]*gossip.Message
	}{update: a.describe(c, p.payload)}
	seq := c.number()
	c.sent.add(seq)
	said.message = gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: seq, Body: &said.update}
	said.forward[0] = &said.message
	c.out.Send = append(c.out.Send, Envelope{Msg: &p.envelope, Forward: said.forward[:]})
	a.announced, a.announcedAt = a.round, c.now
	c.observe(Stat{Kind: StatPublished, Round: a.round, Value: float64(said.update.Size)})
}

// rest waits for a model, or goes on with what has come in the meantime.
func (p *push) rest(c *Core, a *average) {
	switch c.mode {
	case pausing:
		a.phase = idle
		return
	case leaving:
		a.close(c)
		return
	}
	a.phase = resting
	p.arrived(c, a)
}

// arrived begins a round if the node is at rest and a vector is there to be mixed in.
func (p *push) arrived(c *Core, a *average) {
	if a.phase != resting {
		return
	}
	for _, s := range a.slots {
		if s.ready {
			a.roundBegan = c.now
			a.mix(c)
			return
		}
	}
}
