package agree

import (
	"cmp"
	"slices"
)

// Advance does what there is to do, and returns the votes that this peer gives. They count already, and must be durable before they are sent.
func (m *Machine) Advance(now int64) (own []Vote) {
	for !m.done {
		v, step := m.turn(now)
		if v != nil && !m.cfg.Silent {
			m.Add(*v)
			own = append(own, *v)
		}
		if step == 0 && v == nil {
			break
		}
		if step != 0 {
			m.enter(step, now)
		}
	}
	return own
}

// enter begins a step. Only waiting for a proposal has an end from the start.
func (m *Machine) enter(s Step, now int64) {
	m.Step, m.timer, m.waits = s, 0, false
	if s == Propose {
		m.timer, m.began = now+m.patience(), now
	}
}

func (m *Machine) patience() int64 { return m.cfg.Patience + m.cfg.Growth*(1<<min(m.Round, 6)-1) }

// due reports whether the time of the step is over.
func (m *Machine) due(now int64) bool { return m.timer != 0 && now >= m.timer }

// turn does one thing: it returns a vote to be given, and the step that comes then, 0 for the same.
func (m *Machine) turn(now int64) (*Vote, Step) {
	if m.decide() || m.Step == 0 {
		return nil, 0
	}
	if r := m.newest(); r > m.Round {
		m.start(r)
		return nil, Propose
	}
	m.backed()
	p := m.poll(m.Round)
	switch m.Step {
	case Propose:
		return m.proposing(p, now)
	case Prevote:
		return m.prevoting(p, now)
	}
	if m.Quorum(len(p.precommits)) && !m.waits {
		m.timer, m.waits = now+m.patience(), true
	}
	if m.due(now) {
		m.start(m.Round + 1)
		return nil, Propose
	}
	return nil, 0
}

func (m *Machine) vote(s Step, v Value) *Vote {
	return &Vote{Voter: m.cfg.Self, Step: s, Round: m.Round, Value: v}
}

func (m *Machine) proposing(p *poll, now int64) (*Vote, Step) {
	if len(p.proposals) == 0 && m.cfg.Proposer(m.Round) == m.cfg.Self && !m.cfg.Silent && m.ValidIn <= m.Round {
		v := m.vote(Propose, m.offer)
		if m.ValidIn > 0 {
			v.Value, v.Lock = m.Valid, m.ValidIn
		}
		if v.Value != (Value{}) {
			return v, 0
		}
	}
	if len(p.proposals) > 0 {
		if v, sure := m.opinion(&p.proposals[0]); sure {
			return m.vote(Prevote, v), Prevote
		}
	}
	if m.due(now) {
		return m.vote(Prevote, Value{}), Prevote
	}
	return nil, 0
}

// opinion is what to vote about a proposal, if that is clear already.
func (m *Machine) opinion(p *Vote) (v Value, sure bool) {
	free := m.LockedIn == 0 || m.Locked == p.Value
	if p.Lock > 0 {
		// Others have voted for it once: that counts more than what this peer finds, and undoes an older lock.
		if before := m.rounds[p.Lock-1]; p.Lock > m.Round || before == nil || !m.Quorum(m.tally(before.prevotes, p.Value)) {
			return v, false
		}
		if free || m.LockedIn <= p.Lock {
			return p.Value, m.known[p.Value]
		}
		return v, true
	}
	if !free {
		return v, true
	}
	// What is not found good now may be in a moment, when what it is of has come.
	return p.Value, m.good[p.Value]
}

func (m *Machine) prevoting(p *poll, now int64) (*Vote, Step) {
	if m.ValidIn == m.Round+1 {
		m.Locked, m.LockedIn = m.Valid, m.ValidIn
		return m.vote(Precommit, m.Valid), Precommit
	}
	if m.Quorum(m.tally(p.prevotes, Value{})) {
		return m.vote(Precommit, Value{}), Precommit
	}
	if m.Quorum(len(p.prevotes)) && !m.waits {
		m.timer, m.waits = now+m.patience(), true
	}
	if m.due(now) {
		return m.vote(Precommit, Value{}), Precommit
	}
	return nil, 0
}

// backed notes the value for which more than two thirds have voted in the newest round in which that was so, also if it comes to light
// later: whoever knows of it proposes it, and remembers why.
func (m *Machine) backed() {
	for _, r := range m.Rounds() {
		if r < m.ValidIn || r > m.Round {
			continue
		}
		for _, v := range m.rounds[r].values() {
			if v != (Value{}) && m.known[v] && m.Quorum(m.tally(m.rounds[r].prevotes, v)) {
				m.Valid, m.ValidIn = v, r+1
			}
		}
	}
}

// decide looks whether a value is decided in any round.
func (m *Machine) decide() bool {
	for _, r := range m.Rounds() {
		p := m.rounds[r]
		for _, v := range p.values() {
			if v != (Value{}) && m.known[v] && m.Quorum(m.tally(p.precommits, v)) {
				m.decided, m.decidedIn, m.done, m.timer = v, r, true, 0
				return true
			}
		}
	}
	return false
}

// newest is the newest round in which, or later, more than a third have voted.
func (m *Machine) newest() uint32 {
	at := make(map[uint64]uint32)
	for voter, r := range m.ahead { // order-free: each is looked at by itself
		if r > m.Round {
			at[voter] = r
		}
	}
	if p := m.rounds[m.Round+1]; p != nil {
		for _, all := range []votes{p.prevotes, p.precommits} {
			for voter := range all { // order-free: each is looked at by itself
				at[voter] = max(at[voter], m.Round+1)
			}
		}
	}
	if !m.some(len(at)) {
		return m.Round
	}
	var rounds []uint32
	for _, r := range at { // order-free: sorted below
		rounds = append(rounds, r)
	}
	return nth(rounds, m.cfg.Total/3)
}

// start goes to another round, and forgets old ones.
func (m *Machine) start(round uint32) {
	m.Round = round
	for r := range m.rounds { // order-free: each is looked at by itself
		if !m.remembers(r) {
			delete(m.rounds, r)
		}
	}
}

// nth is the number of which there are n greater or equal ones beside it.
func nth(numbers []uint32, n int) uint32 {
	slices.SortFunc(numbers, func(a, b uint32) int { return cmp.Compare(b, a) })
	return numbers[min(n, len(numbers)-1)]
}
