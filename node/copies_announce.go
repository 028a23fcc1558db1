package node

import (
	"slices"

	"starling/gossip"
)

// A difference is one that this node has announced. The newest are kept: the message for neighbours that have missed it, and the
// vector, by which the own copies were moved, for steps of steering neighbours that were at an older one.
type difference struct {
	msg    *gossip.Message
	base   uint64
	degree uint32
	size   uint64
	vec    VecRef // 0 when it is no longer kept
}

// Bounds of what is kept.
const (
	keptDifferences = 64 // as many as can be told from replays, see member.seen
	keptBlobs       = 4  // of these, if they are blobs: drivers serve the newest eight vectors, copies among them
	keptVectors     = 16 // for a neighbour that is there (spec 05, 5.6)
	keptAsleep      = 4  // for one that is not, or for the time in which this node has not caught up
)

// lens are the lengths of the parts of copies, which are encoded apart: they are of different magnitudes.
func (k *copies) lens() []int {
	lens := make([]int, k.parts)
	for i := range lens {
		lens[i] = k.run.Len
	}
	return lens
}

func (k *copies) encode(c *Core) {
	k.phase = encoding
	j := EncodeJob{Job: c.newJob(), Vec: k.change, Lens: k.lens(), Sent: c.newRef()}
	k.do(j.Job, func(c *Core, ev Event) { k.encoded(c, j.Sent, ev.(Encoded)) }, j.Sent)
	c.out.Encode = append(c.out.Encode, j)
}

func (k *copies) encoded(c *Core, sent VecRef, ev Encoded) {
	if len(ev.Pieces) != k.parts {
		// The disk is full. What the links have pulled has to be announced, so nothing else happens before.
		c.release(sent)
		k.alarm(c, c.now+retryTrain)
		return
	}
	c.release(k.change)
	k.change = 0
	if k.watch.Observe(ev.Norm) {
		c.observe(Stat{Kind: StatHalved, Round: k.round, Value: k.watch.Gamma()})
	}
	k.payload = ev
	k.phase = combining
	terms := []Term{{Vec: k.own, Coef: 1}, {Vec: sent, Coef: k.cfg.Copies.Damp}}
	k.mix(c, []Span{{Len: k.parts * k.run.Len, Terms: terms}}, func(out VecRef) {
		k.nextOwn = out
		k.sent = append(k.sent, difference{vec: sent})
		k.phase = holding
		k.announceWhenSaved(c)
	})
}

// announceWhenSaved sends the round's difference to the neighbours unless the checkpoint before it is still being written.
func (k *copies) announceWhenSaved(c *Core) {
	if k.phase != holding || !k.durable() {
		return
	}
	p := k.payload
	k.payload = Encoded{}
	d := &gossip.Delta{
		Part: gossip.PartDifference, Round: k.round, Base: k.number, Age: k.age, Steps: k.trained.Steps, Samples: k.trained.Samples,
		Loss: float32(k.trained.Loss), Degree: k.nextDegree, Rate: k.nextRate,
		Codec: k.run.Codec, Len: uint32(k.parts * k.run.Len), Pieces: p.Pieces,
	}
	for _, l := range k.links {
		d.To = append(d.To, l.peer)
		if l.told != 0 {
			d.Mixed = append(d.Mixed, gossip.Mark{Author: l.peer, Seq: l.told})
			l.told = 0
		}
	}
	k.number, k.degree = c.number(), k.nextDegree
	msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: k.number, Body: d}
	for _, l := range k.links {
		if l.m.up && !l.m.banned.Load() {
			c.send(l.peer, &gossip.Repair{}, []*gossip.Message{msg})
		}
	}
	if k.own != k.origin {
		c.release(k.own)
	}
	k.own, k.nextOwn = k.nextOwn, 0
	last := &k.sent[len(k.sent)-1]
	last.msg, last.base, last.degree, last.size = msg, d.Base, k.degree, d.Size()
	k.trim(c)
	c.sent.add(k.number)
	k.announced, k.announcedAt = k.round, c.now
	c.observe(Stat{Kind: StatPublished, Round: k.round, Value: float64(d.Size())})
	k.endRound(c)
}

// trim forgets differences that are of no more use: it would be cheaper to send whole copies, or no link needs them.
func (k *copies) trim(c *Core) {
	keep, size, blobs := 0, uint64(0), 0
	for i := len(k.sent) - 1; i >= 0; i-- {
		s := &k.sent[i]
		size += s.size
		if s.msg.Body.(*gossip.Delta).Pieces[0].Inline == nil {
			blobs++
		}
		if keep > 0 && (size > k.copySize() || blobs > keptBlobs) || keep == keptDifferences {
			break
		}
		keep++
	}
	needed, recent := k.number, k.number
	for _, l := range k.links {
		if k.steers(l) {
			continue
		}
		needed = min(needed, l.mark)
		if k.recent(c, l) {
			recent = min(recent, l.mark)
		}
	}
	first := len(k.sent) - max(keep, min(keptVectors, len(k.sent)))
	for i := range k.sent[:first] {
		c.release(k.sent[i].vec)
	}
	k.sent = slices.Delete(k.sent, 0, first)
	for i := range k.sent {
		// The step from the copies of number needed on takes the differences after it.
		s, age := &k.sent[i], len(k.sent)-i
		if s.vec != 0 && (s.msg.Seq <= needed || age > keptAsleep && s.msg.Seq <= recent || age > keptVectors) {
			c.release(s.vec)
			s.vec = 0
		}
	}
}

// copySize is what whole copies take, in bytes.
func (k *copies) copySize() uint64 { return 4 * uint64(k.parts) * uint64(k.run.Len) }

func (k *copies) endRound(c *Core) {
	smooth(&k.roundTime, c.now-k.roundBegan)
	if c.mode != leaving {
		k.upkeep.round(c, k.state())
	}
	if k.origin != 0 && k.number != 0 && k.round > keptDifferences {
		k.dropOrigin(c)
	}
	k.beginRound(c)
}

func (k *copies) endSave(c *Core) {
	failed := k.saveErr != ""
	switch {
	case failed && k.phase == closing:
		c.finish()
	case failed:
		k.alarm(c, c.now+retrySave)
	case k.phase == closing:
		k.close(c)
	default:
		k.announceWhenSaved(c)
	}
}

func (k *copies) alarm(c *Core, at Instant) {
	k.retryAt = at
	c.alarm(at)
}

func (k *copies) wake(c *Core) {
	if k.retryAt == 0 || c.now < k.retryAt {
		return
	}
	k.retryAt = 0
	k.saveAgain(c, k.state())
	switch {
	case k.phase == waiting:
		k.diverged = 0
		k.beginRound(c)
	case k.phase == encoding && k.change != 0:
		k.encode(c)
	}
}

func (k *copies) paused(c *Core) {
	switch {
	case c.mode == running && k.phase == idle:
		k.beginRound(c)
	case c.mode == leaving:
		k.close(c)
	}
}

// close saves what is not saved and ends the core's work. What is under way is given up: it is less than a round.
func (k *copies) close(c *Core) {
	k.phase = closing
	if k.upkeep.close(c, k.state()) {
		c.finish()
	} // else the end of the save comes back here
}
