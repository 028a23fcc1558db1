package node

import "slices"

// gatherShare is the part of a round, as a divisor, for which a node waits for updates that are due.
const gatherShare = 4

// patience is how long a node waits for updates that are due: 0 before its first round is over, and with push-sum, where what is
// missed comes with the next update.
func (a *average) patience() Instant {
	if a.sum != nil || a.push != nil {
		return 0
	}
	return a.roundTime / gatherShare
}

// due reports whether the next update of the member is expected by the given time, from when it was heard of last and how often
// it announces. Whoever is late is expected for as long again as a node waits.
func (a *average) due(c *Core, m *member, by Instant) bool {
	next := m.heardAt + m.interval
	return m.interval > 0 && next <= by && next+a.patience() >= c.now && m.active(c.now, a.roundTime) && !m.banned.Load()
}

// postpones reports whether to leave an update where it is, because a newer one of the same author is expected before this
// node mixes: a node takes one vector of each author in a round, so it had better be the last.
func (a *average) postpones(c *Core, m *member) bool {
	p := a.patience()
	began := a.roundBegan
	if a.phase == mixingIn {
		began = c.now // too late for this round
	}
	return p > 0 && a.due(c, m, began+a.roundTime+p)
}

// gather waits, after the node's own announcement, for updates that are about to come, and then mixes. Nodes whose rounds begin
// together announce together: without a moment's patience each would mix the others' models of the round before, and what a
// round has learned would count only in the next but one. Nobody is waited for longer than a quarter of a round.
func (a *average) gather(c *Core) {
	a.awaited = a.awaited[:0]
	p := a.patience()
	if p == 0 || c.mode != running {
		a.mix(c)
		return
	}
	var due, there []*member
	for _, m := range c.roster.sorted() {
		switch {
		case a.holds(m):
		case a.due(c, m, c.now+p):
			due = append(due, m)
		case a.wants(m):
			there = append(there, m)
		}
	}
	// What comes now is fresher than what is there.
	a.awaited = append(a.awaited, c.draw(due, a.free())...)
	for _, m := range c.draw(there, a.free()-len(a.awaited)) {
		a.take(c, m)
	}
	a.phase, a.gatherEnd = gathering, c.now+p
	a.rearm(c)
	a.gathered(c)
}

// holds reports whether an update of the member is in a slot.
func (a *average) holds(m *member) bool {
	_, found := slices.BinarySearchFunc(a.slots, m.id, slotOrder)
	return found
}

// expected takes the member off the list of those that are waited for, and reports whether it was on it.
func (a *average) expected(m *member) bool {
	i := slices.Index(a.awaited, m)
	if i >= 0 {
		a.awaited = slices.Delete(a.awaited, i, i+1)
	}
	return i >= 0
}

// gathered mixes if there is nothing left to wait for.
func (a *average) gathered(c *Core) {
	if a.phase != gathering || len(a.awaited) > 0 {
		return
	}
	for _, s := range a.slots {
		if !s.ready {
			return
		}
	}
	a.endGather(c)
}

func (a *average) endGather(c *Core) {
	a.gatherEnd = 0
	if a.phase == gathering {
		a.awaited = a.awaited[:0]
		a.mix(c)
	}
}
