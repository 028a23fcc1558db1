// Package agree is how peers of whom some may lie come to one and the same value: one decision of a Byzantine agreement with locks
// and a proposer that changes from round to round, as Tendermint has it (Buchman, Kwon and Milosevic 2018; it goes back to Dwork, Lynch and
// Stockmeyer 1988, and Castro and Liskov 1999).
//
// In a round one peer proposes a value. Who finds it good votes for it (a prevote), else for none. Who sees that more than two thirds have
// voted for it locks it and votes to take it (a precommit); a value that more than two thirds have voted to take is decided. While less than
// a third lie no two values are ever decided, however messages are delayed or lost; and once messages come through in time, and values are
// found good by all who are honest, one is decided. Peers that cannot reach more than two thirds stay where they are.
//
// Start with [New], and [Machine.Add] for what others have voted. [Machine.Advance] says what this peer votes; its votes must be durable,
// with [Machine.State], before anybody else sees them, and a machine that goes on after a crash is given both back with [Machine.Resume].
// Whoever decides about values tells the machine with [Machine.Judge].
//
// A value is a digest: what it is of, who may vote, signatures and the repetition of votes that were lost are the caller's. The machine
// holds no clock: times are nanoseconds that the caller counts from anywhere. It must not be used concurrently. Any package may import this
// one, which imports nothing of the project.
package agree

import (
	"bytes"
	"slices"
)

// A Value is a digest of what is voted on. The zero value stands for none.
type Value [32]byte

// A Step is what a vote is for.
type Step uint8

// The steps of a round, in their order.
const (
	Propose Step = iota + 1
	Prevote
	Precommit
)

// A Vote is what somebody says in a step of a round. Lock belongs to proposals: one more than the round in which more than two thirds
// have voted for the value, 0 if none is known.
type Vote struct {
	Voter uint64
	Step  Step
	Round uint32
	Value Value
	Lock  uint32
}

// Config says who agrees.
type Config struct {
	Self  uint64
	Total int // of those who have a vote

	// Proposer is whose proposal is considered in a round. Counts says whether somebody has a vote about a value; about none all have whose
	// votes are added.
	Proposer func(round uint32) uint64
	Counts   func(v Value, voter uint64) bool

	// Patience is how long a step may take in round 0, in nanoseconds, as this peer sees it. In round 1 it is Growth more, in round 2 three
	// times Growth more, then 7, 15, 31 and 63 times: Growth is the same for all, or those with little patience would be through with each
	// round before others, of whom one is to propose, have come to it.
	Patience, Growth int64

	Silent bool // this peer has no vote, or must not use it: Advance gives none
}

// A State is what a machine must remember: see [Machine.Resume]. Rounds are one more than they are, 0 for none.
type State struct {
	Round         uint32
	Step          Step // that the round is in; 0 before the machine has begun
	Locked, Valid Value
	LockedIn      uint32 // one more than the round
	ValidIn       uint32 // likewise: Valid is what had more than two thirds of the votes last
}

// A Machine is the part of one peer in a decision.
type Machine struct {
	cfg Config
	State
	rounds map[uint32]*poll
	ahead  map[uint64]uint32 // the newest round beyond those that are kept in which somebody has voted
	good   map[Value]bool    // judged
	known  map[Value]bool    // somebody has proposed it, and this peer knows what it is of
	offer  Value
	timer  int64 // when the step is given up; 0 is not yet
	began  int64 // when the round did
	waits  bool  // whether timer is that of the votes of a step that more than two thirds have taken

	decided   Value
	decidedIn uint32
	done      bool
}

// A poll is what was voted in a round. Who votes twice is counted for both: some may have seen one vote and some the other, and all have to
// be able to see why somebody has locked a value.
type poll struct {
	proposals  []Vote // that which came first is what this peer votes about
	prevotes   votes
	precommits votes
}

// votes are the values that each voter has voted for.
type votes map[uint64][]Value

// most is how many values that are not known are kept of a voter in a step, and how many proposals of a round.
const most = 3

// kept is how many rounds before the present one are remembered.
const kept = 3

// New makes a machine that waits for [Machine.Begin], and takes votes until then.
func New(cfg Config) *Machine {
	return &Machine{
		cfg: cfg, rounds: make(map[uint32]*poll), ahead: make(map[uint64]uint32), good: make(map[Value]bool), known: make(map[Value]bool),
	}
}

// Resume goes on from what was remembered: the state, and this peer's own votes. now is the time.
func (m *Machine) Resume(s State, own []Vote, now int64) {
	m.State = s
	for _, v := range own {
		m.Add(v)
	}
	if m.Step != 0 {
		m.enter(m.Step, now)
	}
}

// Begin has the machine take part, from round 0 on. It changes nothing in one that has begun.
func (m *Machine) Begin(now int64) {
	if m.Step == 0 {
		m.enter(Propose, now)
	}
}

// Begun reports whether the machine takes part.
func (m *Machine) Begun() bool { return m.Step != 0 }

// Offer says what this peer proposes when it is its turn.
func (m *Machine) Offer(v Value) {
	m.offer = v
	m.Judge(v)
}

// Know says that this peer knows what a value is of. No other is voted for, or decided.
func (m *Machine) Know(v Value) { m.known[v] = true }

// Judge says that this peer finds a value good. What is good stays so: it could be locked, and nobody else be able to undo that. Until it
// is, the machine waits, for the time of the step, before it votes for none.
func (m *Machine) Judge(v Value) { m.known[v], m.good[v] = true, true }

// Hush has the machine give no more votes.
func (m *Machine) Hush() { m.cfg.Silent = true }

// Proposes reports whether it is this peer's turn to propose something new.
func (m *Machine) Proposes() bool {
	p := m.rounds[m.Round]
	return m.Step == Propose && m.ValidIn == 0 && !m.cfg.Silent && m.cfg.Proposer(m.Round) == m.cfg.Self && (p == nil || len(p.proposals) == 0)
}

// Proposals lists the proposals of a round, the first one that came first.
func (m *Machine) Proposals(round uint32) []Vote {
	if p := m.rounds[round]; p != nil {
		return p.proposals
	}
	return nil
}

// Judged reports whether a value was found good.
func (m *Machine) Judged(v Value) bool { return m.good[v] }

// Quorum reports whether so many are more than two thirds of all.
func (m *Machine) Quorum(n int) bool { return 3*n > 2*m.cfg.Total }

// some reports whether so many are more than a third: one of them at least is honest.
func (m *Machine) some(n int) bool { return 3*n > m.cfg.Total }

// Add takes a vote. news is whether it was not known and is remembered: of rounds far ahead only the number is; if it contradicts another of the same voter, that is returned.
func (m *Machine) Add(v Vote) (other Vote, conflict, news bool) {
	switch {
	case v.Round > m.Round+1:
		m.ahead[v.Voter] = max(m.ahead[v.Voter], v.Round)
		return other, false, false
	case !m.remembers(v.Round):
		return other, false, false
	}
	p := m.poll(v.Round)
	if v.Step == Propose {
		if v.Voter != m.cfg.Proposer(v.Round) || slices.Contains(p.proposals, v) {
			return other, false, false
		}
		if len(p.proposals) > 0 {
			other, conflict = p.proposals[0], true
		}
		if news = len(p.proposals) < most; news {
			p.proposals = append(p.proposals, v)
		}
		return other, conflict, news
	}
	all := p.of(v.Step)
	had := all[v.Voter]
	if slices.Contains(had, v.Value) {
		return other, false, false
	}
	if len(had) > 0 {
		other, conflict = v, true
		other.Value = had[0]
	}
	if news = len(had) < most || m.known[v.Value]; news {
		all[v.Voter] = append(had, v.Value)
	}
	return other, conflict, news
}

// remembers reports whether votes of a round are kept: of the last ones, of that whose votes this peer would propose a value for, and of
// that which the present proposal names.
func (m *Machine) remembers(round uint32) bool {
	if round+kept >= m.Round || round+1 == m.ValidIn {
		return true
	}
	p := m.rounds[m.Round]
	return p != nil && len(p.proposals) > 0 && p.proposals[0].Lock == round+1
}

func (m *Machine) poll(round uint32) *poll {
	p := m.rounds[round]
	if p == nil {
		p = &poll{prevotes: make(votes), precommits: make(votes)}
		m.rounds[round] = p
	}
	return p
}

func (p *poll) of(s Step) votes {
	if s == Precommit {
		return p.precommits
	}
	return p.prevotes
}

// tally is how many have voted for a value. The order of the votes does not matter.
func (m *Machine) tally(all votes, v Value) (n int) {
	for voter, values := range all { // order-free: it is counted
		if slices.Contains(values, v) && (v == Value{} || m.cfg.Counts(v, voter)) {
			n++
		}
	}
	return n
}

// Votes is how many have voted in the step that the present round is in.
func (m *Machine) Votes() int {
	if p := m.rounds[m.Round]; p != nil {
		return len(p.of(max(m.Step, Prevote)))
	}
	return 0
}

// Backed reports whether more than a third have voted for a value in a round that is remembered: then one who is honest has found it good.
func (m *Machine) Backed(v Value) bool {
	for _, p := range m.rounds { // order-free: each is looked at by itself
		if m.some(m.tally(p.prevotes, v)) {
			return true
		}
	}
	return false
}

// Stirred reports whether more than a third have voted for anything: then one who is honest has begun.
func (m *Machine) Stirred() bool {
	voters := make(map[uint64]bool, len(m.ahead))
	for v := range m.ahead { // order-free: a set of them is made
		voters[v] = true
	}
	for _, p := range m.rounds { // order-free: it is counted
		for v := range p.prevotes { // order-free: it is counted
			voters[v] = true
		}
		for v := range p.precommits { // order-free: it is counted
			voters[v] = true
		}
	}
	return m.some(len(voters))
}

// Decided is the value that was decided, and in which round, if it is known what it is of.
func (m *Machine) Decided() (v Value, round uint32, ok bool) { return m.decided, m.decidedIn, m.done }

// Began is when the present round began here.
func (m *Machine) Began() int64 { return m.began }

// Next is when Advance has something to do although nothing comes; 0 is never.
func (m *Machine) Next() int64 {
	if m.done {
		return 0
	}
	return m.timer
}

// Rounds lists the rounds of which votes are remembered, ascending.
func (m *Machine) Rounds() []uint32 {
	out := make([]uint32, 0, len(m.rounds))
	for r := range m.rounds { // order-free: sorted below
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// A Polled is who has voted for a value in a round, ascending, and whether it was proposed there.
type Polled struct {
	Value      Value
	Proposed   bool
	Prevotes   []uint64
	Precommits []uint64
}

// Polled lists what was voted for in a round, in order of values.
func (m *Machine) Polled(round uint32) []Polled {
	p := m.rounds[round]
	if p == nil {
		return nil
	}
	var out []Polled
	for _, v := range p.values() {
		proposed := slices.ContainsFunc(p.proposals, func(o Vote) bool { return o.Value == v })
		out = append(out, Polled{v, proposed, p.prevotes.of(v), p.precommits.of(v)})
	}
	return out
}

// values lists what was voted for, ascending.
func (p *poll) values() (out []Value) {
	for _, o := range p.proposals {
		out = append(out, o.Value)
	}
	for _, all := range []votes{p.prevotes, p.precommits} {
		for _, values := range all { // order-free: sorted below
			out = append(out, values...)
		}
	}
	slices.SortFunc(out, func(a, b Value) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out)
}

// of lists the voters for a value, ascending.
func (all votes) of(v Value) (out []uint64) {
	for voter, values := range all { // order-free: sorted below
		if slices.Contains(values, v) {
			out = append(out, voter)
		}
	}
	slices.Sort(out)
	return out
}
