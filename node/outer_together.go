package node

import (
	"maps"

	"starling/gossip"
	"starling/mixing/outer"
)

// together is DiLoCo, also with streaming fragments (spec 03, 3.3 and 3.4), without a server and without an all-reduce that hangs when
// one of its nodes does.
//
// Exchanges are numbered: turns. In a turn everybody announces its pseudo-gradient of a fragment, which follows from the number of the
// turn, in as many pieces as there are shards. Who has announced is a contributor. For every shard one of the contributors, the one
// whose hash with the shard is smallest, pulls the pieces of the others, and announces their mean, with the list of what went into it.
// Everybody pulls the means, and takes the outer step with what receivers decode, so that all end a turn with the same bits, for twice
// the bytes of the fragment in and out however many nodes there are: what a ring of all-reduce takes. Only those that were in the means
// of the turn before sum up, which everybody knows: of a newcomer some may not know in time that it takes part.
//
// Nobody hangs. Contributors are waited for as long as they usually take, up to four times as long as this node itself trains; then
// the turn goes on without them. A node that is late takes the means of the others' turns, one after the other, until it is where
// they are. A shard whose mean does not come is left as it is, local steps and all, until its next turn. A turn that too few take part
// in is tried again. Who does not serve or sum up in time is not waited for in the next turns.
//
// What has happened to an anchor since the beginning is named by its lineage, a hash of all means that went into it. Pseudo-gradients
// of another lineage are not added up, and a node that finds most others elsewhere goes over to their state.
//
// What this does not give: the mean of a shard is what its author says. A contributor that lies about one of its shards is believed,
// as it is believed about its pseudo-gradient, except that the latter is clipped.
type together struct {
	o *outerMethod

	momentum VecRef // 0 is zeros, as below

	at     standing
	clock  uint64 // local steps in the schedule of fragments
	due    bool   // a pseudo-gradient is to be sent when the turn under way ends
	flight *turn
	busy   bool           // vectors are being computed from which the node goes on
	norms  []*outer.Norms // of pieces, by the number of the shard in the model

	members   []gossip.Mark // who share out the sums, ascending: those in the newest means, with the turn up to which each is passed over
	offers    map[PeerID]*offers
	early     []*shardMean   // of turns that are not closed here
	debts     map[PeerID]int // pieces in a row that a member has not served in time
	lastBegan Instant        // when the turn before began
	lateness  Instant        // how long contributors take, smoothed
	failures  int            // turns in a row in which no mean came
	credited  credited       // by this node's own means
}

// A standing is where a node stands: the turn under way, or the next, and the names of its state now and a turn before.
type standing struct{ turn, lineage, parent uint64 }

// offers are the newest pseudo-gradients that a member has announced, of different turns.
type offers struct {
	m           *member
	now, before *offer
}

// An offer is a pseudo-gradient as it was announced.
type offer struct {
	seq uint64
	d   *gossip.Delta
}

func (x *offer) standing() standing { return standing{x.d.Round, x.d.Base, x.d.Version} }

// of returns the offer for a turn, or nil.
func (x *offers) of(turn uint64) *offer {
	if x == nil {
		return nil
	}
	for _, y := range [...]*offer{x.now, x.before} {
		if y != nil && y.d.Round == turn {
			return y
		}
	}
	return nil
}

// put takes an announcement, unless it is older than what is there.
func (x *offers) put(y *offer) bool {
	if x.now != nil && y.seq <= x.now.seq {
		return false
	}
	if x.now != nil && x.now.d.Round != y.d.Round {
		x.before = x.now
	}
	x.now = y
	return true
}

const (
	// maxLag is how many turns a member may be behind and still be expected, and how many turns of others are remembered.
	maxLag = 4
	// maxDebt is how many pieces in a row a member may owe before it is not waited for any more.
	maxDebt = 4
	// passedTurns is for how many turns a member that has not summed up is passed over.
	passedTurns = 16
)

func newTogether(o *outerMethod, from State) *together {
	if len(o.cfg.Fragments) == 0 {
		o.cfg.Fragments = []outer.Range{{From: 0, To: o.run.Len}}
	}
	t := &together{
		o: o, at: standing{turn: 1}, offers: make(map[PeerID]*offers), debts: make(map[PeerID]int),
		momentum: from.Vector("momentum", o.run.Len),
	}
	for range len(o.cfg.Fragments) * o.cfg.Shards {
		t.norms = append(t.norms, outer.NewNorms(rememberedNorms))
	}
	if n := from.Numbers; len(n) == 4 {
		t.at, t.clock = standing{turn: n[0], lineage: n[1], parent: n[2]}, n[3]
	}
	return t
}

func (t *together) numbers() []uint64 {
	return []uint64{t.at.turn, t.at.lineage, t.at.parent, t.clock}
}

func (t *together) vectors() []NamedVector {
	return named(t.o.run.Len, "momentum", t.momentum)
}

func (t *together) activity() string {
	switch {
	case t.flight != nil && !t.flight.closed:
		return "gathering"
	case t.flight != nil || t.busy:
		return "summing up"
	}
	return "waiting"
}

func (t *together) rests() bool { return t.flight == nil && !t.busy }

// fragment is the one that a turn exchanges.
func (t *together) fragment(turn uint64) int { return int((turn - 1) % uint64(len(t.o.cfg.Fragments))) }

// shard returns where a shard of a fragment lies.
func (t *together) shard(fragment, s int) outer.Range {
	f := t.o.cfg.Fragments[fragment]
	n := f.To - f.From
	return outer.Range{From: f.From + n*s/t.o.cfg.Shards, To: f.From + n*(s+1)/t.o.cfg.Shards}
}

// lens are the lengths of the shards of a fragment.
func (t *together) lens(fragment int) []int {
	lens := make([]int, t.o.cfg.Shards)
	for s := range lens {
		r := t.shard(fragment, s)
		lens[s] = r.To - r.From
	}
	return lens
}

func (t *together) check(d *gossip.Delta) gossip.Verdict {
	shards := t.o.cfg.Shards
	fragment := t.fragment(d.Round)
	length, pieces, number := 0, 1, int64(d.Fragment)
	switch {
	case d.Part == gossip.PartGradient && number == int64(fragment):
		f := t.o.cfg.Fragments[fragment]
		length, pieces = f.To-f.From, shards
	case d.Part == gossip.PartMean && number/int64(shards) == int64(fragment) && len(d.Mixed) > 0:
		r := t.shard(fragment, int(number)%shards)
		length = r.To - r.From
	default:
		return reject(gossip.ReasonMalformed)
	}
	if int(d.Len) != length || len(d.Pieces) != pieces || d.Codec != t.o.run.Codec {
		return reject(gossip.ReasonLength)
	}
	return accepted
}

// begin trains up to the next point of the schedule, or goes after the others.
func (t *together) begin(c *Core) {
	switch {
	case t.busy:
	case t.flight == nil && t.follow(c):
	case t.due:
		t.sendWhenFree(c)
	case t.flight != nil && t.o.cfg.Overlap == 0:
		t.progress(c)
	case t.o.cfg.Dynamic:
		t.o.train(c, t.o.localSteps(c))
	default:
		t.o.train(c, t.o.cfg.streaming().Next(t.clock)-t.clock)
	}
}

func (t *together) trained(c *Core) {
	o := t.o
	switch {
	case o.early(c) && len(o.cfg.Fragments) == 1 && t.flight == nil:
		o.goOn(c)
		return
	case o.cfg.Dynamic:
		t.clock += o.cfg.Steps
	default:
		t.clock += o.next.Steps
	}
	send, apply := o.cfg.streaming().At(t.clock)
	t.due = t.due || send >= 0
	if apply >= 0 || send >= 0 {
		t.progress(c)
	}
	if t.due && !t.busy {
		t.sendWhenFree(c)
		return
	}
	o.goOn(c)
}

// sendWhenFree announces the fragment whose turn it is, once no other one is under way.
func (t *together) sendWhenFree(c *Core) {
	if t.flight == nil {
		t.send(c)
	}
}

// send encodes a fragment's pseudo-gradient, anchor - local, and announces it.
func (t *together) send(c *Core) {
	o := t.o
	t.due, t.busy = false, true
	fragment := t.fragment(t.at.turn)
	f := o.cfg.Fragments[fragment]
	n := f.To - f.From
	gradient := []Span{take(f.From, n, Term{Vec: o.anchor, Coef: 1}, Term{Vec: o.model(), Coef: -1})}
	life := o.life
	o.combine(c, func(c *Core, in []VecRef) {
		job := EncodeJob{Vec: in[0], Lens: t.lens(fragment), Apart: true, Sent: c.newRef()}
		if o.run.Feedback {
			job.Lost = c.newRef()
		}
		o.encode(c, job, func(c *Core, ev Encoded) {
			c.release(in[0])
			o.announce(c, func(c *Core) {
				if len(ev.Pieces) > 0 && life == o.life {
					t.announce(c, n, job, ev)
					return
				}
				c.release(job.Sent)
				c.release(job.Lost)
				if life == o.life {
					t.busy = false
					o.goOn(c)
				}
			})
		})
	}, gradient)
}

// announce begins a turn.
func (t *together) announce(c *Core, n int, job EncodeJob, ev Encoded) {
	o := t.o
	f := t.newTurn(c)
	f.sent, f.lost, f.steps = job.Sent, job.Lost, o.steps
	f.deadline = c.now + t.gatherTime()
	d := &gossip.Delta{
		Fragment: uint32(f.fragment), Round: t.at.turn, Base: t.at.lineage, Version: t.at.parent, Len: uint32(n), Pieces: ev.Pieces,
	}
	o.describe(d)
	f.seq = o.tell(c, d)
	o.announced(c, d, f.seq)
	t.flight, t.busy = f, false
	o.goOn(c)
	t.progress(c)
}

func (t *together) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	if d.Part == gossip.PartMean {
		t.meanCame(c, &shardMean{author: m.id, seq: seq, d: d})
		return
	}
	x := t.offers[m.id]
	if x == nil || x.m != m {
		x = &offers{m: m}
		t.offers[m.id] = x
		forget(c, t.offers)
		forget(c, t.debts)
	}
	if x.put(&offer{seq, d}) {
		t.learnLateness(c, d.Round)
	}
	if to := t.elsewhere(c); to != nil && c.mode == running {
		if closed, _ := t.closedByOthers(c); !closed { // else it will catch up
			t.o.states.want(c, to)
		}
	}
	t.progress(c)
}

// forget keeps what is known of members only, once it has become twice as many.
func forget[T any](c *Core, of map[PeerID]T) {
	if len(of) <= 2*c.cfg.MaxMembers {
		return
	}
	maps.DeleteFunc(of, func(id PeerID, _ T) bool { return c.roster.find(id) == nil }) // whatever the order
}

// learnLateness takes from a pseudo-gradient that comes when its turn is closed how long it would have had to be waited for.
func (t *together) learnLateness(c *Core, turn uint64) {
	switch f := t.flight; {
	case f != nil && f.closed && turn == t.at.turn:
		smooth(&t.lateness, c.now-f.began)
	case turn+1 == t.at.turn && t.lastBegan != 0:
		smooth(&t.lateness, c.now-t.lastBegan)
	}
}

// gatherTime is how long contributors are waited for.
func (t *together) gatherTime() Instant {
	if t.lateness == 0 {
		return firstGather
	}
	longest := max(leastWait, 3*t.o.trainTime())
	return min(longest, max(leastWait, 2*t.lateness, t.o.roundTime/2))
}

// patience is how long a node waits for another mean.
func (t *together) patience() Instant {
	return min(longestWait, t.o.pullWait()<<min(t.failures, 2))
}

// wake gives up what has taken too long.
func (t *together) wake(c *Core) Instant {
	t.progress(c)
	f := t.flight
	switch {
	case f == nil || t.busy:
		return 0
	case f.closed && c.now < f.cut:
		return min(f.cut, f.deadline)
	}
	return f.deadline
}
