package node

import (
	"cmp"
	"slices"

	"starling/gossip"
	"starling/mixing"
)

// A slot is an update being fetched, or waiting to be mixed in.
type slot struct {
	m      *member
	seq    uint64
	update *gossip.Update
	job    JobID
	vec    VecRef
	ready  bool
}

// takeFromRoster fetches the newest updates of as many authors as the degree allows, chosen at random among those that
// have something new.
func (a *average) takeFromRoster(c *Core) {
	var fresh []*member
	for _, m := range c.roster.sorted() {
		if a.wants(m) && !a.postpones(c, m) {
			fresh = append(fresh, m)
		}
	}
	for _, m := range c.draw(fresh, a.free()) {
		a.take(c, m)
	}
}

// draw returns so many members at random, or all of them, and leaves the list in another order.
func (c *Core) draw(from []*member, count int) []*member {
	count = min(count, len(from))
	for i := range count {
		j := i + c.cfg.Rand.IntN(len(from)-i)
		from[i], from[j] = from[j], from[i]
	}
	return from[:count]
}

func (a *average) heard(c *Core, m *member) {
	if a.push != nil {
		defer func() { m.update = nil }() // taken now or never
		if a.free() == 0 {
			c.observe(Stat{Kind: StatRefused, Peer: m.id, Round: a.round, Text: "this node is busy"})
		}
	}
	if a.phase == gathering && !a.expected(m) {
		return
	}
	if a.phase != idle && a.phase != closing && a.free() > 0 && a.wants(m) && !a.postpones(c, m) {
		a.take(c, m)
	}
	a.gathered(c)
}

// free is how many more updates this round may take.
func (a *average) free() int { return a.cfg.Degree - len(a.slots) }

// wants reports whether the member's newest update is new to this node and no other one of the same author is under way:
// one vector for each author and round bounds what a fast peer can make others pull.
func (a *average) wants(m *member) bool {
	if m.update == nil || m.seq.Load() <= m.taken || m.banned.Load() {
		return false
	}
	if a.sum != nil && !slices.Contains(m.update.To, a.self) {
		return false
	}
	_, busy := slices.BinarySearchFunc(a.slots, m.id, slotOrder)
	return !busy
}

func slotOrder(s *slot, id PeerID) int { return comparePeers(s.m.id, id) }

func (a *average) take(c *Core, m *member) {
	m.taken = m.seq.Load()
	s := c.out.slot()
	*s = slot{m: m, seq: m.taken, update: m.update}
	if a.sum == nil && a.stale(s.update.Age) {
		// Known before a byte of it is pulled.
		a.refuse(c, s, gossip.RefusedStale, "its model is far behind")
		return
	}
	s.job, s.vec = c.newJob(), c.newRef()
	i, _ := slices.BinarySearchFunc(a.slots, m.id, slotOrder)
	a.slots = slices.Insert(a.slots, i, s)
	c.out.Fetch = append(c.out.Fetch, FetchJob{
		Job: s.job, Author: m.id, Codec: s.update.Codec, Len: int(s.update.Len), Out: s.vec,
		Piece: gossip.Piece{Inline: s.update.Inline, Blob: s.update.Blob, Size: s.update.Size},
	})
}

// slot returns one that is not used.
func (s *scratch) slot() *slot {
	last := len(s.slots) - 1
	if last < 0 {
		return new(slot)
	}
	unused := s.slots[last]
	s.slots = s.slots[:last]
	return unused
}

func (a *average) stale(age uint64) bool { return age < a.age/staleFactor }

// refuse records that an update does not count, for the author to hear with the next announcement.
func (a *average) refuse(c *Core, s *slot, why gossip.RefusalReason, text string) {
	s.m.refused[why]++
	if len(a.refusal) < maxDegree {
		a.refusal = append(a.refusal, gossip.Refusal{Author: s.m.id, Seq: s.seq, Why: why})
	}
	c.observe(Stat{Kind: StatRefused, Peer: s.m.id, Round: a.round, Text: text})
}

func (a *average) fetched(c *Core, ev Fetched) {
	i := slices.IndexFunc(a.slots, func(s *slot) bool { return s.job == ev.Job })
	if i < 0 {
		return
	}
	for _, id := range ev.Bad {
		if m := c.roster.find(id); m != nil {
			c.mark(m, scoreCorrupt, "served wrong bytes")
		}
	}
	s := a.slots[i]
	if ev.Err == FetchOK {
		s.ready = true
		if a.push != nil {
			a.push.arrived(c, a)
		}
		a.gathered(c)
		return
	}
	a.slots = slices.Delete(a.slots, i, i+1)
	c.release(s.vec)
	switch ev.Err {
	case FetchCorrupt:
		a.refuse(c, s, gossip.RefusedCorrupt, "its payload does not decode to a finite vector")
		c.mark(s.m, scoreCorrupt, "corrupt payload")
	case FetchUnavailable:
		a.refuse(c, s, gossip.RefusedUnavailable, "no holder served its payload")
	}
	a.gathered(c)
}

// mix combines the own model with what has arrived.
func (a *average) mix(c *Core) {
	a.inMix = a.inMix[:0]
	rest := a.slots[:0]
	for _, s := range a.slots {
		if s.ready {
			a.inMix = append(a.inMix, s)
		} else {
			rest = append(rest, s)
		}
	}
	clear(a.slots[len(rest):])
	a.slots = rest
	if a.sum != nil {
		a.sum.mix(c, a)
		return
	}
	if len(a.inMix) == 0 {
		a.endRound(c)
		return
	}
	if s := a.adoptable(c); s != nil {
		a.adopt(c, s)
		a.afterMix(c)
		return
	}
	job := MixJob{
		Job: c.newJob(), Rule: a.cfg.Mix, Out: c.newRef(),
		Own: MixInput{Peer: a.self, Vec: a.params, Age: a.age, Samples: a.trained.Samples, Degree: a.degree(c)},
	}
	from := len(c.out.inputs)
	for _, s := range a.inMix {
		c.out.inputs = append(c.out.inputs, MixInput{
			Peer: s.m.id, Vec: s.vec, Age: s.update.Age, Samples: s.update.Samples, Degree: s.update.Degree, Stats: s.update.Stats,
		})
	}
	job.In = c.out.inputs[from:]
	a.startMix(c, job)
}

func (a *average) startMix(c *Core, job MixJob) {
	a.phase, a.job, a.mixOut = mixingIn, job.Job, job.Out
	c.out.Mix = append(c.out.Mix, job)
}

// adoptable returns the contribution that this node should take over instead of mixing, because it is far behind the
// others: the one with the most local steps, liars' claims cut. It returns nil if the node should mix, or has nothing to mix.
func (a *average) adoptable(c *Core) *slot {
	if len(a.inMix) == 0 || (a.mixedYet && len(a.inMix) < adoptQuorum) {
		return nil
	}
	limit := lowerMedian(a.ages(c, false))
	if a.age >= limit/staleFactor {
		return nil
	}
	best := a.inMix[0]
	for _, s := range a.inMix[1:] {
		if min(s.update.Age, ageCap*limit) > min(best.update.Age, ageCap*limit) {
			best = s
		}
	}
	return best
}

// ages lists the ages of the contributions, with the own one if asked. The list is valid until the next one.
func (a *average) ages(c *Core, own bool) []uint64 {
	ages := c.out.ages[:0]
	if own {
		ages = append(ages, a.age)
	}
	for _, s := range a.inMix {
		ages = append(ages, s.update.Age)
	}
	c.out.ages = ages
	return ages
}

func lowerMedian(v []uint64) uint64 {
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

func (a *average) adopt(c *Core, s *slot) {
	c.release(a.params)
	a.params = s.vec
	a.age = min(s.update.Age, ageCap*lowerMedian(a.ages(c, false)))
	c.observe(Stat{Kind: StatAdopted, Peer: s.m.id, Round: a.round, Value: float64(a.age)})
	for _, o := range a.inMix {
		if o != s {
			c.release(o.vec)
		}
	}
	a.mixedYet = true
	a.inMix = a.inMix[:0]
}

func (a *average) endMix(c *Core, r mixing.Report) {
	dropped := make(map[string]bool, len(r.Dropped))
	for _, d := range r.Dropped {
		dropped[d.Peer] = true
	}
	counted := a.inMix[:0]
	for _, s := range a.inMix {
		if a.sum == nil { // push-sum keeps what it has seen of each in-neighbour
			c.release(s.vec)
		}
		switch {
		case r.Rejected != "":
			a.refuse(c, s, gossip.RefusedByRule, r.Rejected)
		case dropped[string(s.m.id[:])]:
			a.refuse(c, s, gossip.RefusedByRule, "left out by the mixing rule")
		default:
			counted = append(counted, s)
		}
	}
	a.inMix = counted
	if r.Rejected == "" && len(counted) > 0 {
		limit := ageCap * lowerMedian(a.ages(c, true))
		for _, s := range counted {
			a.age = max(a.age, min(s.update.Age, limit))
		}
	}
	c.release(a.params)
	a.params, a.mixOut = a.mixOut, 0
	a.count(c)
	a.afterMix(c)
}

// count credits the authors of what went into the mix.
func (a *average) count(c *Core) {
	for _, s := range a.inMix {
		s.m.mixed++
		a.marks = append(a.marks, gossip.Mark{Author: s.m.id, Seq: s.seq})
		c.mark(s.m, scoreGood, "mixed in")
		*s = slot{}
		c.out.slots = append(c.out.slots, s)
	}
	if len(a.inMix) > 0 {
		a.mixedYet = true
		c.observe(Stat{Kind: StatMixed, Round: a.round, Value: float64(len(a.inMix))})
	}
	a.inMix = a.inMix[:0]
}

// newestMarks sorts by author and keeps the newest mark of each.
func newestMarks(marks []gossip.Mark) []gossip.Mark {
	slices.SortFunc(marks, func(x, y gossip.Mark) int {
		return cmp.Or(comparePeers(x.Author, y.Author), cmp.Compare(y.Seq, x.Seq))
	})
	return slices.CompactFunc(marks, func(x, y gossip.Mark) bool { return x.Author == y.Author })
}

func sortRefusals(r []gossip.Refusal) []gossip.Refusal {
	slices.SortFunc(r, func(x, y gossip.Refusal) int {
		return cmp.Or(comparePeers(x.Author, y.Author), cmp.Compare(x.Seq, y.Seq))
	})
	return r
}
