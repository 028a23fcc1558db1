package agree

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	seedFlag  = flag.Uint64("agree.seed", 0, "run TestHonestPeersComeToOneValue with this seed alone")
	seedsFlag = flag.Uint64("agree.seeds", 60, "run it with so many seeds")
)

// A world is peers that agree, some of whom lie, and what lies between them.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	now    int64
	loss   float64
	cut    bool
	peers  []*peer
	flying []flight
}

type peer struct {
	tag    uint64
	m      *Machine
	own    []Vote
	saved  State // with own: what survives a crash
	all    []Vote
	liar   bool
	begins int64
}

type flight struct {
	at   int64
	to   int
	vote Vote
}

const second = int64(1e9)

func valueOf(n uint64) (v Value) {
	v[0], v[1] = byte(n+1), byte(n>>8)
	return v
}

func newWorld(t *testing.T, seed uint64, n, liars int) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 3)), loss: 0.3}
	for i := range n {
		p := &peer{tag: uint64(10 * (i + 1)), liar: i < liars, begins: w.rand.Int64N(3 * second)}
		w.peers = append(w.peers, p)
	}
	for _, p := range w.peers {
		w.boot(p, State{}, nil)
	}
	return w
}

func (w *world) boot(p *peer, s State, own []Vote) {
	p.m = New(Config{
		Self: p.tag, Total: len(w.peers), Patience: second/4 + w.rand.Int64N(second), Growth: second / 2, Silent: p.liar,
		Proposer: func(round uint32) uint64 { return w.peers[int(round)%len(w.peers)].tag },
		Counts:   func(Value, uint64) bool { return true },
	})
	p.all = slices.Clone(own)
	p.m.Offer(valueOf(p.tag))
	for _, o := range w.peers {
		p.m.Know(valueOf(o.tag)) // what the values are of is no secret here
	}
	p.m.Resume(s, own, w.now)
}

func (w *world) send(from int, v Vote, to int) {
	if w.rand.Float64() >= w.loss && !(w.cut && (from^to)&1 != 0) {
		w.flying = append(w.flying, flight{w.now + w.rand.Int64N(second), to, v})
	}
}

// run goes on for a time, in steps of a tenth of a second.
func (w *world) run(d int64, crashes bool) {
	for end := w.now + d; w.now < end && (crashes || !w.decided()); w.now += second / 10 {
		slices.SortStableFunc(w.flying, func(a, b flight) int { return int(a.at - b.at) })
		for len(w.flying) > 0 && w.flying[0].at <= w.now {
			f := w.flying[0]
			w.flying = w.flying[1:]
			p := w.peers[f.to]
			if _, _, news := p.m.Add(f.vote); news && len(p.all) < 3000 {
				p.all = append(p.all, f.vote)
			}
		}
		for i, p := range w.peers {
			if p.liar {
				w.lie(i)
				continue
			}
			w.turn(i, p)
			if crashes && w.rand.IntN(100) == 0 {
				w.boot(p, p.saved, p.own)
			}
		}
	}
}

func (w *world) decided() bool {
	return !slices.ContainsFunc(w.peers, func(p *peer) bool { return !p.liar && !p.m.done })
}

func (w *world) turn(i int, p *peer) {
	if w.now >= p.begins || p.m.Stirred() {
		p.m.Begin(w.now)
	}
	for _, o := range w.peers { // others are found good with time
		if w.rand.IntN(10) == 0 {
			p.m.Judge(valueOf(o.tag))
		}
	}
	out := p.m.Advance(w.now)
	for _, v := range out {
		for _, had := range p.own {
			if had.Step == v.Step && had.Round == v.Round && had != v {
				w.t.Fatalf("peer %d votes %+v after %+v", p.tag, v, had)
			}
		}
	}
	p.own = append(p.own, out...)
	p.saved = p.m.State
	p.all = append(p.all, out...)
	for range 3 { // what was lost is said again, of what this peer has heard
		if len(p.all) > 0 {
			out = append(out, p.all[w.rand.IntN(len(p.all))])
		}
	}
	for _, v := range out {
		for to := range w.peers {
			if to != i {
				w.send(i, v, to)
			}
		}
	}
}

// lie has a liar vote for anything, and for different things.
func (w *world) lie(i int) {
	newest := uint32(0)
	for _, p := range w.peers {
		if !p.liar {
			newest = max(newest, p.m.Round)
		}
	}
	for to := range w.peers {
		v := Vote{Voter: w.peers[i].tag, Step: Step(1 + w.rand.IntN(3)), Round: newest + uint32(w.rand.IntN(2))}
		if w.rand.IntN(3) > 0 {
			v.Value = valueOf(w.peers[w.rand.IntN(len(w.peers))].tag)
		}
		if v.Step == Propose && w.rand.IntN(2) == 0 {
			v.Lock = uint32(w.rand.IntN(int(v.Round) + 1))
		}
		if w.rand.IntN(4) == 0 && to != i {
			w.send(i, v, to)
		}
	}
}

func TestHonestPeersComeToOneValue(t *testing.T) {
	first, last := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	rounds := uint32(0)
	for seed := first; seed <= last && !t.Failed(); seed++ {
		n := 1 + int(seed%10)
		w := newWorld(t, seed, n, (n-1)/3)
		w.cut = seed%2 == 0
		w.run(12*second, true)
		w.cut = false
		w.run(10*second, true)
		w.loss = 0
		w.run(300*second, false)
		decided := make(map[Value]int)
		for _, p := range w.peers {
			if v, round, ok := p.m.Decided(); ok && !p.liar {
				decided[v]++
				rounds = max(rounds, round)
			} else if !p.liar {
				t.Errorf("peer %d decides nothing: %+v", p.tag, p.m.State)
			}
			if n := len(p.m.Rounds()); n > 7 {
				t.Errorf("%d rounds are remembered", n)
			}
		}
		if len(decided) != 1 {
			t.Errorf("decided are %v", decided)
		}
		if t.Failed() {
			t.Logf("repeat with: go test ./node/agree -run TestHonestPeersComeToOneValue -agree.seed %d", seed)
		}
	}
	if *seedFlag == 0 && rounds < 3 {
		t.Errorf("nothing took more than %d rounds: this does not test what it should", rounds+1)
	}
}

// machine is that of one of four, who are 1 to 4; in round r it is the turn of 1 + r%4.
func machine(self uint64) *Machine {
	m := New(Config{
		Self: self, Total: 4, Patience: second, Growth: second,
		Proposer: func(r uint32) uint64 { return 1 + uint64(r%4) }, Counts: func(Value, uint64) bool { return true },
	})
	m.Begin(0)
	return m
}

func expect(t *testing.T, got []Vote, want ...Vote) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("votes %+v, want %+v", got, want)
	}
}

func TestALockHoldsUntilNewerVotesUndoIt(t *testing.T) {
	a, b := Value{1}, Value{2}
	m := machine(4)
	m.Judge(a)
	m.Judge(b)
	add := func(votes ...Vote) {
		for _, v := range votes {
			m.Add(v)
		}
	}
	add(Vote{1, Propose, 0, a, 0})
	expect(t, m.Advance(1), Vote{4, Prevote, 0, a, 0})
	add(Vote{1, Prevote, 0, a, 0}, Vote{2, Prevote, 0, a, 0})
	expect(t, m.Advance(2), Vote{4, Precommit, 0, a, 0})
	add(Vote{1, Precommit, 0, Value{}, 0}, Vote{2, Precommit, 0, Value{}, 0})
	expect(t, m.Advance(3))
	expect(t, m.Advance(3+second)) // the next round
	add(Vote{2, Propose, 1, b, 0})
	expect(t, m.Advance(4+second), Vote{4, Prevote, 1, Value{}, 0}) // not what is locked
	add(Vote{1, Prevote, 1, b, 0}, Vote{2, Prevote, 1, b, 0}, Vote{3, Prevote, 1, b, 0})
	expect(t, m.Advance(5+second), Vote{4, Precommit, 1, b, 0}) // more than two thirds think otherwise
	if m.Locked != b || m.LockedIn != 2 {
		t.Errorf("locked is %v in %d", m.Locked, m.LockedIn)
	}
	// Resumed, it says the same, and nothing that contradicts it.
	again := machine(4)
	again.Know(b)
	again.Resume(m.State, []Vote{{4, Prevote, 1, Value{}, 0}, {4, Precommit, 1, b, 0}}, 0)
	expect(t, again.Advance(1))
	if other, conflict, news := again.Add(Vote{4, Precommit, 1, a, 0}); !conflict || !news || other.Value != b {
		t.Errorf("a second vote: %+v %v %v", other, conflict, news)
	}
	again.Add(Vote{1, Precommit, 1, b, 0})
	again.Add(Vote{3, Precommit, 1, b, 0})
	again.Advance(2)
	if v, round, ok := again.Decided(); v != b || round != 1 || !ok || again.Next() != 0 {
		t.Errorf("decided is %v in round %d, %v", v, round, ok)
	}
}

func TestAProposerOffersWhatOthersHaveVotedFor(t *testing.T) {
	m := machine(2)
	m.Offer(Value{7})
	m.Know(Value{1})
	m.Add(Vote{1, Propose, 0, Value{1}, 0})
	expect(t, m.Advance(1)) // not found good
	expect(t, m.Advance(second), Vote{2, Prevote, 0, Value{}, 0})
	for _, voter := range []uint64{1, 3, 4} {
		m.Add(Vote{voter, Prevote, 0, Value{1}, 0})
	}
	expect(t, m.Advance(second+1), Vote{2, Precommit, 0, Value{1}, 0})
	for _, voter := range []uint64{1, 3} {
		m.Add(Vote{voter, Precommit, 0, Value{}, 0})
	}
	m.Advance(second + 2)
	expect(t, m.Advance(2*second+2), Vote{2, Propose, 1, Value{1}, 1}, Vote{2, Prevote, 1, Value{1}, 0})
	silent := machine(3)
	silent.cfg.Silent = true
	silent.Offer(Value{7})
	expect(t, silent.Advance(100*second))
}

func TestAThirdWhoAreAheadAreFollowed(t *testing.T) {
	m := machine(4)
	m.Add(Vote{1, Prevote, 9, Value{}, 0})
	if m.Advance(1); m.Round != 0 || m.Stirred() {
		t.Fatal("one alone is followed")
	}
	m.Add(Vote{2, Prevote, 7, Value{}, 0})
	if m.Advance(2); m.Round != 7 || !m.Stirred() {
		t.Errorf("in round %d, want 7", m.Round)
	}
	if m.Add(Vote{3, Prevote, 2, Value{}, 0}); len(m.Rounds()) != 1 {
		t.Errorf("%v are remembered", m.Rounds())
	}
}
