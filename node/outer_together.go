package node

import (
	"encoding/binary"
	"maps"

	"starling/gossip"
	"starling/mixing/outer"
)

// together is DiLoCo, also with streaming fragments (spec 03, 3.3 and 3.4), without a server and without an all-reduce that hangs when
// one of its nodes does.
//
// Exchanges are numbered: turns. In a turn everybody announces its pseudo-gradient of a fragment in as many pieces as there are shards.
// Who has announced is a contributor. For every shard one of the contributors, the one whose hash with the shard is smallest, pulls
// the pieces of the others, and announces their mean, with the list of what went into it. Everybody pulls the means, and takes the
// outer step with what receivers decode, so that all end a turn with the same bits, for twice the bytes of the fragment in and out
// however many nodes there are: what a ring of all-reduce takes.
//
// Nobody hangs. Contributors are waited for as long as they usually take, then the turn goes on without them; a shard whose mean does
// not come is left as it is, local steps and all, until the next turn; a turn that too few take part in is tried again. What has
// happened to an anchor since the beginning is named by its lineage, a hash of all means that went into it. Pseudo-gradients of another
// lineage are not added up, and a node that finds most others elsewhere goes over to their state.
type together struct {
	o *outerMethod

	momentum VecRef // 0 is zeros, as below
	residual VecRef // what the codec lost of own pseudo-gradients
	lost     VecRef // and of means

	turn    uint64 // the one under way, or the next
	lineage uint64
	clock   uint64 // local steps in the schedule of fragments
	due     int    // the fragment to be sent when the turn under way ends; -1 is none
	flight  *turn
	busy    bool // the next state is being computed
	norms   *outer.Norms

	offers   map[PeerID]*offer // the newest pseudo-gradient of each member
	early    []*shardMean      // means of the next turn
	lateness Instant           // how long contributors take, smoothed
	turnTime Instant           // from announcement to the last mean, smoothed
	failures int               // turns in a row that were not completed
}

// An offer is a pseudo-gradient that a member has announced.
type offer struct {
	m   *member
	seq uint64
	d   *gossip.Delta
}

// A turn is one exchange of a fragment, from the own announcement on.
type turn struct {
	number   uint64
	fragment int
	sent     VecRef // what others decode of the own pseudo-gradient
	lost     VecRef // what they do not, with what was lost before
	seq      uint64 // of the announcement
	steps    uint64
	began    Instant
	closed   bool // the contributors are known
	deadline Instant
	means    []*shardMean // by shard
}

// A shardMean is the mean of a shard as its author has announced it.
type shardMean struct {
	author PeerID
	seq    uint64
	d      *gossip.Delta
	vec    VecRef // 0 until it is there
}

// How long a node waits for what it has no experience with yet, and at least.
const (
	firstGather = 10 * Second
	firstTurn   = 60 * Second
	leastWait   = 2 * Second
	longestWait = 600 * Second
)

func newTogether(o *outerMethod, from State) *together {
	if len(o.cfg.Fragments) == 0 {
		o.cfg.Fragments = []outer.Range{{From: 0, To: o.run.Len}}
	}
	t := &together{
		o: o, turn: 1, due: -1, norms: outer.NewNorms(64), offers: make(map[PeerID]*offer),
		momentum: from.Vector("momentum", o.run.Len), residual: from.Vector("residual", o.run.Len), lost: from.Vector("lost", o.run.Len),
	}
	if len(from.Numbers) == 3 {
		t.turn, t.lineage, t.clock = from.Numbers[0], from.Numbers[1], from.Numbers[2]
	}
	return t
}

func (t *together) numbers() []uint64 { return []uint64{t.turn, t.lineage, t.clock} }

func (t *together) vectors() []NamedVector {
	return named(t.o.run.Len, "momentum", t.momentum, "residual", t.residual, "lost", t.lost)
}

// named lists the vectors that are there.
func named(length int, namesAndVectors ...any) []NamedVector {
	var out []NamedVector
	for i := 0; i < len(namesAndVectors); i += 2 {
		if ref := namesAndVectors[i+1].(VecRef); ref != 0 {
			out = append(out, NamedVector{Name: namesAndVectors[i].(string), Vec: ref, Len: length})
		}
	}
	return out
}

func (t *together) activity() string {
	switch {
	case t.flight == nil:
		return "waiting"
	case !t.flight.closed:
		return "gathering"
	}
	return "summing up"
}

// shard returns where a shard of a fragment lies.
func (t *together) shard(fragment, s int) outer.Range {
	f := t.o.cfg.Fragments[fragment]
	n := f.To - f.From
	return outer.Range{From: f.From + n*s/t.o.cfg.Shards, To: f.From + n*(s+1)/t.o.cfg.Shards}
}

func (t *together) lens(fragment int) []int {
	lens := make([]int, t.o.cfg.Shards)
	for s := range lens {
		r := t.shard(fragment, s)
		lens[s] = r.To - r.From
	}
	return lens
}

func (t *together) check(d *gossip.Delta) gossip.Verdict {
	fragments, shards := uint64(len(t.o.cfg.Fragments)), uint64(t.o.cfg.Shards)
	length, pieces := 0, 1
	switch fragment := uint64(d.Fragment); {
	case d.Part == gossip.PartGradient && fragment < fragments:
		f := t.o.cfg.Fragments[fragment]
		length, pieces = f.To-f.From, t.o.cfg.Shards
	case d.Part == gossip.PartMean && fragment < fragments*shards:
		r := t.shard(int(fragment/shards), int(fragment%shards))
		length = r.To - r.From
		if len(d.Mixed) == 0 {
			return reject(gossip.ReasonMalformed)
		}
	default:
		return reject(gossip.ReasonMalformed)
	}
	if int(d.Len) != length || len(d.Pieces) != pieces || d.Codec != t.o.run.Codec {
		return reject(gossip.ReasonLength)
	}
	return accepted
}

// summer returns who of the contributors sums up a shard. It depends on nothing else, so that who does it keeps what its codec lost,
// and everybody can tell whether a mean comes from whom it should.
func (t *together) summer(fragment uint32, contributors []gossip.Mark) PeerID {
	var best PeerID
	least := uint64(0)
	for i, m := range contributors {
		h := hashPeer(uint64(fragment)*0xd6e8feb86659fd93, &m.Author)
		h ^= binary.LittleEndian.Uint64(m.Author[16:24])
		h = (h ^ h>>31) * 0x94d049bb133111eb
		if i == 0 || h < least {
			best, least = m.Author, h
		}
	}
	return best
}

// begin trains up to the next point of the schedule.
func (t *together) begin(c *Core) {
	switch {
	case t.busy:
	case t.due >= 0:
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
	if send >= 0 {
		t.due = send
	}
	if apply >= 0 || send >= 0 {
		if t.progress(c); t.busy {
			return
		}
	}
	o.goOn(c)
}

// sendWhenFree announces the fragment that is due, once no other one is under way.
func (t *together) sendWhenFree(c *Core) {
	if t.flight == nil {
		t.send(c, t.due)
	}
}

// send encodes a fragment's pseudo-gradient, anchor - local, and announces it.
func (t *together) send(c *Core, fragment int) {
	o := t.o
	t.due, t.busy = -1, true
	f := o.cfg.Fragments[fragment]
	n := f.To - f.From
	gradient := []Span{take(f.From, n, Term{Vec: o.anchor, Coef: 1}, Term{Vec: o.model(), Coef: -1})}
	residual := []Span{take(f.From, n, Term{Vec: t.residual, Coef: 1})}
	life := o.life
	o.combine(c, func(c *Core, in []VecRef) {
		job := EncodeJob{Vec: in[0], Lens: t.lens(fragment), Apart: true, Sent: c.newRef()}
		if o.run.Feedback {
			job.Residual, job.NewResidual = in[1], c.newRef()
		}
		o.encode(c, job, func(c *Core, ev Encoded) {
			c.release(in[0])
			c.release(in[1])
			o.announce(c, func(c *Core) {
				failed := len(ev.Pieces) == 0
				if failed || life != o.life {
					c.release(job.Sent)
					c.release(job.NewResidual)
					if life == o.life {
						t.busy = false
						o.goOn(c)
					}
					return
				}
				t.announce(c, fragment, n, job, ev)
			})
		})
	}, gradient, residual)
}

func (t *together) announce(c *Core, fragment, n int, job EncodeJob, ev Encoded) {
	o := t.o
	f := &turn{
		number: t.turn, fragment: fragment, sent: job.Sent, lost: job.NewResidual, steps: o.steps, began: c.now,
		deadline: c.now + t.gatherTime(), means: make([]*shardMean, o.cfg.Shards),
	}
	d := &gossip.Delta{Fragment: uint32(fragment), Round: t.turn, Base: t.lineage, Len: uint32(n), Pieces: ev.Pieces}
	o.describe(d)
	f.seq = o.announced(c, d)
	t.flight, t.busy = f, false
	early := t.early
	t.early = nil
	for _, mean := range early {
		t.meanCame(c, mean)
	}
	o.goOn(c)
}

// gatherTime is how long contributors are waited for.
func (t *together) gatherTime() Instant {
	if t.lateness == 0 {
		return firstGather
	}
	return max(leastWait, 2*t.lateness, t.o.roundTime/gatherShare)
}

// patience is how long the means of a turn are waited for.
func (t *together) patience() Instant {
	p := firstTurn
	if t.turnTime != 0 {
		p = max(leastWait, 3*t.turnTime)
	}
	return min(longestWait, p<<min(t.failures, 8))
}

func (t *together) delta(c *Core, m *member, seq uint64, d *gossip.Delta) {
	if d.Part == gossip.PartMean {
		mean := &shardMean{author: m.id, seq: seq, d: d}
		switch {
		case d.Round != t.turn || d.Base != t.lineage:
		case t.flight != nil:
			t.meanCame(c, mean)
		case len(t.early) < 2*t.o.cfg.Shards:
			t.early = append(t.early, mean)
		}
		return
	}
	if was := t.offers[m.id]; was == nil || was.seq < seq {
		m.speed = d.Speed
		t.offers[m.id] = &offer{m, seq, d}
		forget(c, t.offers)
	}
	if x := t.elsewhere(c); x != nil {
		t.o.states.want(c, x.m)
	}
	t.progress(c)
}

// forget keeps what is known of members only, once it has become twice as many.
func forget[T any](c *Core, of map[PeerID]T) {
	if len(of) <= 2*c.cfg.MaxMembers {
		return
	}
	kept := make(map[PeerID]T, len(c.roster.all))
	for _, m := range c.roster.sorted() {
		if x, ok := of[m.id]; ok {
			kept[m.id] = x
		}
	}
	clear(of)
	maps.Copy(of, kept)
}

// wake gives up what has taken too long.
func (t *together) wake(c *Core) Instant {
	f := t.flight
	if f == nil || t.busy {
		return 0
	}
	if c.now >= f.deadline {
		t.progress(c)
		if f = t.flight; f == nil || t.busy {
			return 0
		}
	}
	return f.deadline
}

// progress takes a turn as far as it can be taken at the moment.
func (t *together) progress(c *Core) {
	f := t.flight
	if f == nil || t.busy {
		return
	}
	if !f.closed {
		if missing := t.missing(c, f); missing > 0 && c.now < f.deadline {
			return
		}
		t.close(c, f)
		if f = t.flight; f == nil || t.busy {
			return
		}
	}
	there := 0
	for _, m := range f.means {
		if m != nil && m.vec != 0 {
			there++
		}
	}
	complete := there == len(f.means)
	if !complete && c.now < f.deadline {
		return
	}
	if t.o.phase == outerTraining {
		// Applied when the local steps end.
		f.deadline = max(f.deadline, c.now+leastWait)
		return
	}
	if complete {
		t.failures = 0
		smooth(&t.turnTime, c.now-f.began)
	} else {
		t.failures++
	}
	if there == 0 {
		t.drop(c)
		t.o.goOn(c)
		return
	}
	t.apply(c, f)
}

func smooth(average *Instant, d Instant) {
	if *average == 0 {
		*average = d
	} else {
		*average += (d - *average) / 4
	}
}

// missing counts the nodes that are expected to contribute to a turn and have not: those that did to the turn before, and, before
// there was one, all who are there.
func (t *together) missing(c *Core, f *turn) int {
	n := 0
	for _, m := range c.roster.sorted() {
		if m.gone || m.banned.Load() {
			continue
		}
		switch x := t.offers[m.id]; {
		case x == nil && f.number == 1 && m.up:
			n++
		case x != nil && x.d.Round+1 == f.number && t.o.active(c, m):
			n++
		}
	}
	return n
}

// contributors lists whose pseudo-gradients go with the own one, and that, ascending by peer.
func (t *together) contributors(c *Core, f *turn) (with []*offer, marks []gossip.Mark) {
	own := gossip.Mark{Author: t.o.self, Seq: f.seq}
	added := false
	for _, m := range c.roster.sorted() {
		x := t.offers[m.id]
		if x == nil || m.banned.Load() || x.d.Round != f.number || x.d.Base != t.lineage || int(x.d.Fragment) != f.fragment || len(marks) >= maxDegree-1 {
			continue
		}
		if !added && comparePeers(t.o.self, m.id) < 0 {
			with, marks, added = append(with, nil), append(marks, own), true
		}
		with, marks = append(with, x), append(marks, gossip.Mark{Author: m.id, Seq: x.seq})
	}
	if !added {
		with, marks = append(with, nil), append(marks, own)
	}
	return with, marks
}

// close settles who has contributed, and sums up what falls to this node.
func (t *together) close(c *Core, f *turn) {
	with, marks := t.contributors(c, f)
	missing := t.missing(c, f)
	if missing == 0 {
		smooth(&t.lateness, c.now-f.began)
	}
	if len(with) < (len(with)+missing+1)/2 {
		t.failures++
		t.drop(c) // too few: the local steps go on and the turn is tried again
		if t.o.phase != outerTraining {
			t.o.goOn(c)
		}
		return
	}
	f.closed = true
	f.deadline = c.now + t.patience()
	for s := range f.means {
		number := uint32(f.fragment*t.o.cfg.Shards + s)
		if t.summer(number, marks) == t.o.self {
			t.sum(c, f, s, with, marks)
		}
	}
}

// sum pulls the pieces of a shard and announces their mean.
func (t *together) sum(c *Core, f *turn, s int, with []*offer, marks []gossip.Mark) {
	r := t.shard(f.fragment, s)
	n := r.To - r.From
	vecs, clips := make([]VecRef, len(with)), make([]float64, len(with))
	left := len(with) - 1
	for i, x := range with {
		if x == nil {
			continue
		}
		t.o.fetch(c, x.m, x.seq, x.d, s, n, func(c *Core, vec VecRef, norm float64) {
			if vecs[i] = vec; vec != 0 {
				clips[i] = t.norms.Clip(norm)
			}
			if left--; left == 0 {
				t.mean(c, f, s, with, marks, vecs, clips)
			}
		})
	}
	if left == 0 {
		t.mean(c, f, s, with, marks, vecs, clips)
	}
}

// mean computes, encodes and announces the mean of a shard: each pseudo-gradient with the weight of its local steps.
func (t *together) mean(c *Core, f *turn, s int, with []*offer, marks []gossip.Mark, vecs []VecRef, clips []float64) {
	r := t.shard(f.fragment, s)
	n := r.To - r.From
	at := r.From - t.o.cfg.Fragments[f.fragment].From
	if t.flight != f {
		for _, v := range vecs {
			c.release(v)
		}
		return
	}
	var terms []Term
	var mixed []gossip.Mark
	total := uint64(0)
	for i, x := range with {
		term := Term{Vec: vecs[i], Coef: clips[i]}
		steps := f.steps
		if x == nil {
			term = Term{Vec: f.sent, Coef: 1, At: at}
		} else {
			steps = x.d.Steps
		}
		if term.Vec == 0 {
			continue
		}
		term.Coef *= float64(max(1, steps))
		total += max(1, steps)
		terms, mixed = append(terms, term), append(mixed, marks[i])
		if x != nil {
			t.o.counted(c, x.m, x.seq)
		}
	}
	for i := range terms {
		terms[i].Coef /= float64(total)
	}
	old := []Span{take(r.From, n, Term{Vec: t.lost, Coef: 1})}
	t.o.combine(c, func(c *Core, in []VecRef) {
		for _, v := range vecs {
			c.release(v)
		}
		job := EncodeJob{Vec: in[0], Lens: []int{n}, Sent: c.newRef()}
		if t.o.run.Feedback {
			job.Residual, job.NewResidual = in[1], c.newRef()
		}
		t.o.encode(c, job, func(c *Core, ev Encoded) {
			c.release(in[0])
			c.release(in[1])
			t.announceMean(c, f, s, job, ev, mixed, total)
		})
	}, []Span{{Len: n, Terms: terms}}, old)
}

func (t *together) announceMean(c *Core, f *turn, s int, job EncodeJob, ev Encoded, mixed []gossip.Mark, steps uint64) {
	number := uint32(f.fragment*t.o.cfg.Shards + s)
	if t.flight != f || len(ev.Pieces) == 0 || t.summer(number, mixed) != t.o.self {
		// Too late, or some have not served their pieces, and without them it would fall to somebody else.
		c.release(job.Sent)
		c.release(job.NewResidual)
		return
	}
	r := t.shard(f.fragment, s)
	d := &gossip.Delta{
		Part: gossip.PartMean, Fragment: number, Round: f.number, Base: t.lineage, Age: t.o.age, Steps: steps,
		Mixed: mixed, Codec: t.o.run.Codec, Len: uint32(r.To - r.From), Pieces: ev.Pieces,
	}
	seq := c.publish(d)
	c.sent.credit(t.o.self, mixed, nil)
	if job.NewResidual != 0 {
		t.keepLost(c, r, job.NewResidual)
	}
	t.settle(c, f, s, &shardMean{author: t.o.self, seq: seq, d: d, vec: job.Sent})
}

// keepLost puts what the codec has lost of a mean where the next mean of the shard finds it.
func (t *together) keepLost(c *Core, r outer.Range, part VecRef) {
	was := t.lost
	spans := []Span{
		take(0, r.From, Term{Vec: was, Coef: 1}),
		{Len: r.To - r.From, Terms: []Term{{Vec: part, Coef: 1}}},
		take(r.To, t.o.run.Len-r.To, Term{Vec: was, Coef: 1}),
	}
	job := MixJob{Job: c.newJob(), Spans: spans, Out: c.newRef()}
	t.lost = job.Out
	t.o.calls[job.Job] = func(c *Core, _ Event) {}
	c.out.Mix = append(c.out.Mix, job)
	c.release(was)
	c.release(part)
}

// meanCame pulls a mean that somebody has announced, if it is from whom it should be and no better one is there.
func (t *together) meanCame(c *Core, mean *shardMean) {
	f := t.flight
	fragment, s := int(mean.d.Fragment)/t.o.cfg.Shards, int(mean.d.Fragment)%t.o.cfg.Shards
	if mean.d.Round != f.number || mean.d.Base != t.lineage || fragment != f.fragment || t.summer(mean.d.Fragment, mean.d.Mixed) != mean.author {
		return
	}
	if was := f.means[s]; was != nil && !better(mean, was) {
		return
	}
	m := c.roster.find(mean.author)
	if m == nil {
		return
	}
	t.o.fetch(c, m, mean.seq, mean.d, 0, int(mean.d.Len), func(c *Core, vec VecRef, _ float64) {
		if vec == 0 {
			return
		}
		mean.vec = vec
		t.settle(c, f, s, mean)
	})
}

// better decides between two means of a shard, the same everywhere: more contributors, then the smaller author.
func better(a, b *shardMean) bool {
	if len(a.d.Mixed) != len(b.d.Mixed) {
		return len(a.d.Mixed) > len(b.d.Mixed)
	}
	return comparePeers(a.author, b.author) < 0
}

// settle takes a mean that is there.
func (t *together) settle(c *Core, f *turn, s int, mean *shardMean) {
	was := f.means[s]
	if t.flight != f || t.busy || was != nil && !better(mean, was) {
		c.release(mean.vec)
		return
	}
	if was != nil {
		c.release(was.vec)
	}
	f.means[s] = mean
	t.progress(c)
}

// drop gives up the turn under way.
func (t *together) drop(c *Core) {
	f := t.flight
	t.flight = nil
	c.release(f.sent)
	c.release(f.lost)
	for _, m := range f.means {
		if m != nil {
			c.release(m.vec)
		}
	}
}
