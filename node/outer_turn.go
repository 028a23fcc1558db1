package node

import (
	"cmp"
	"encoding/binary"
	"slices"

	"starling/gossip"
)

// A turn is one exchange of a fragment, from the own announcement on.
type turn struct {
	number   uint64
	fragment int
	began    Instant

	seq   uint64 // of the own announcement; 0 if this node only follows
	sent  VecRef // what others decode of the own pseudo-gradient
	lost  VecRef // what they do not
	steps uint64

	closed   bool // the contributors are known
	with     []contributor
	order    [][]PeerID // by shard, who sums it up: the first, or, if that one does not, the next
	cut      Instant    // from then on what is there will do
	deadline Instant    // until then contributors, and later means, are waited for
	sums     []*shardSum
	means    []*shardMean // by shard; nil until it is there
	asked    []int        // by shard: the rank of the best mean that was pulled
	pulls    int          // of means, under way
}

// A contributor has announced a pseudo-gradient for a turn.
type contributor struct {
	gossip.Mark
	m     *member // nil is this node
	steps uint64
	d     *gossip.Delta
}

func (t *together) newTurn(c *Core) *turn {
	shards := t.o.cfg.Shards
	f := &turn{
		number: t.at.turn, fragment: t.fragment(t.at.turn), began: c.now, means: make([]*shardMean, shards), asked: make([]int, shards),
	}
	for s := range f.asked {
		f.asked[s] = noRank
	}
	return f
}

// noRank is behind all ranks; unknownRank is that of authors who are not known as contributors.
const (
	unknownRank = maxDegree
	noRank      = maxDegree + 1
)

// rank is the place of a member among those that may sum up a shard.
func (f *turn) rank(s int, id PeerID) int {
	if i := slices.Index(f.order[s], id); i >= 0 {
		return i
	}
	return unknownRank
}

// progress takes a turn as far as it can be taken at the moment.
func (t *together) progress(c *Core) {
	f := t.flight
	if f == nil || t.busy {
		return
	}
	if !f.closed {
		if closed, _ := t.closedByOthers(c); !closed && c.now < f.deadline && t.missing(c, f.number) > 0 {
			return
		}
		if t.close(c, f); t.flight != f {
			return
		}
	}
	if c.now >= f.cut {
		for _, sum := range f.sums {
			t.mean(c, f, sum)
		}
	}
	there, complete := 0, true
	for s, mean := range f.means {
		if mean != nil {
			there++
		}
		complete = complete && mean != nil && (c.now >= f.cut || f.rank(s, mean.author) == 0)
	}
	if !complete && c.now >= f.deadline && f.pulls > 0 {
		f.deadline = c.now + leastWait // pulls end by themselves
	}
	if !complete && c.now < f.deadline {
		return
	}
	if t.o.phase == outerTraining {
		f.deadline = max(f.deadline, c.now+leastWait) // applied when the local steps end
		return
	}
	t.audit(f)
	if there > 0 {
		t.failures = 0
		t.apply(c, f)
		return
	}
	t.failures++
	t.fail(c)
}

// fail gives up a turn, which is tried again.
func (t *together) fail(c *Core) {
	t.drop(c)
	if to := t.elsewhere(c); to != nil && c.mode == running {
		t.o.states.want(c, to)
	}
	if t.o.phase != outerTraining {
		t.o.goOn(c)
	}
}

// missing counts the nodes that are expected to contribute to a turn and have not.
func (t *together) missing(c *Core, turn uint64) int {
	n := 0
	for _, m := range c.roster.sorted() {
		if t.expected(c, m, turn) && t.offers[m.id].of(turn) == nil {
			n++
		}
	}
	return n
}

// expected reports whether a member is waited for in a turn, or was: those are who have not fallen behind and, before there was a turn,
// all who are there.
func (t *together) expected(c *Core, m *member, turn uint64) bool {
	if m.gone || m.banned.Load() {
		return false
	}
	x := t.offers[m.id]
	if x == nil || x.m != m {
		return turn == 1 && m.up
	}
	if !t.o.active(c, m) {
		return false
	}
	switch y := x.now; {
	case y.d.Round == turn:
		return y.d.Base == t.at.lineage
	case y.d.Round+1 == turn:
		return y.d.Base == t.at.parent
	default:
		return y.d.Round+maxLag >= turn
	}
}

// contributors lists whose pseudo-gradients make up a turn, ascending by peer. If they are more than a message can name, a choice that
// changes from turn to turn is made, the same everywhere.
func (t *together) contributors(c *Core, f *turn) []contributor {
	var with []contributor
	if f.seq != 0 {
		with = append(with, contributor{Mark: gossip.Mark{Author: t.o.self, Seq: f.seq}, steps: f.steps})
	}
	for _, m := range c.roster.sorted() {
		x := t.offers[m.id]
		if x == nil || x.m != m || m.banned.Load() {
			continue
		}
		if y := x.of(f.number); y != nil && y.d.Base == t.at.lineage {
			with = append(with, contributor{Mark: gossip.Mark{Author: m.id, Seq: y.seq}, m: m, steps: y.d.Steps, d: y.d})
		}
	}
	if len(with) > maxDegree {
		chance := func(x contributor) uint64 { return hashMember(f.number, &x.Author) }
		slices.SortFunc(with, func(a, b contributor) int { return cmp.Compare(chance(a), chance(b)) })
		with = with[:maxDegree]
	}
	slices.SortFunc(with, func(a, b contributor) int { return comparePeers(a.Author, b.Author) })
	return with
}

// close settles who has contributed, and sums up what falls to this node.
func (t *together) close(c *Core, f *turn) {
	f.with = t.contributors(c, f)
	missing := t.missing(c, f.number)
	closed, without := t.closedByOthers(c)
	late := f.seq == 0 || closed && without
	if f.seq != 0 && missing == 0 && !closed {
		smooth(&t.lateness, max(1, c.now-f.began))
	}
	if !closed && !late && t.leftBehind(c) != nil {
		t.failures++
		t.fail(c) // the means of this turn were missed
		return
	}
	if !closed && !late && (missing > len(f.with) || t.elsewhere(c) != nil) {
		t.fail(c) // too few, here: the local steps go on
		return
	}
	f.closed = true
	wait := t.patience()
	f.cut, f.deadline = c.now+wait/2, c.now+wait
	for s := range f.means {
		f.order = append(f.order, t.summers(f, s, late))
	}
	early := t.early
	t.early = nil
	for _, mean := range early {
		t.meanCame(c, mean)
	}
	if late {
		return // the others have shared out the work
	}
	for s := range f.means {
		if order := f.order[s]; len(order) > 0 && order[0] == t.o.self {
			t.sum(c, f, s)
		}
	}
}

// summers orders the contributors by who is to sum up a shard. Who is late does not do it.
func (t *together) summers(f *turn, s int, late bool) []PeerID {
	var all []PeerID
	for _, x := range f.with {
		if x.m != nil || !late {
			all = append(all, x.Author)
		}
	}
	order := t.order(f, s, all)
	if n := len(order); n > 0 && t.failures > 0 {
		order = slices.Concat(order[t.failures%n:], order[:t.failures%n]) // of what was tried nothing has come
	}
	return order
}

// order puts all in the order in which they are to sum up a shard: members first. It depends on what everybody knows alone, so that
// everybody can tell whether a mean comes from whom it should, and changes little from turn to turn, so that who sums up keeps what its
// codec lost. Those that did not do it a while ago come after the other members; those that are no members come last, since one may
// know of them and another not: it is their turn only when of what was tried nothing has come.
func (t *together) order(f *turn, s int, all []PeerID) []PeerID {
	number := uint64(f.fragment*t.o.cfg.Shards + s)
	passed := make(map[PeerID]bool, len(t.members))
	for _, x := range t.members {
		passed[x.Author] = x.Seq >= f.number
	}
	last := func(id PeerID) int {
		switch behind, is := passed[id]; {
		case !is:
			return 2
		case behind:
			return 1
		}
		return 0
	}
	order := slices.Clone(all)
	slices.SortFunc(order, func(a, b PeerID) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(hashMember(number, &a), hashMember(number, &b)), comparePeers(a, b))
	})
	return order
}

// hashMember draws lots among members, the same everywhere.
func hashMember(number uint64, id *PeerID) uint64 {
	h := (binary.LittleEndian.Uint64(id[:8]) ^ number*0xd6e8feb86659fd93) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ binary.LittleEndian.Uint64(id[8:16])) * 0xbf58476d1ce4e5b9
	h = h ^ h>>32 ^ binary.LittleEndian.Uint64(id[16:24])
	h = (h ^ h>>31) * 0x94d049bb133111eb
	return h ^ h>>29
}

// audit takes note of those whose pieces a turn has waited for in vain.
func (t *together) audit(f *turn) {
	for _, sum := range f.sums {
		for i, x := range f.with {
			switch {
			case x.m == nil:
			case sum.served[i]:
				delete(t.debts, x.Author)
			default:
				t.debts[x.Author]++
			}
		}
	}
}

// closedByOthers reports whether the others have settled who contributes to the turn of this node, as their means and the announcements
// of most say: then it is of no use to wait. Without says that they have done it without this node.
func (t *together) closedByOthers(c *Core) (closed, without bool) {
	without = true
	for _, mean := range t.early {
		if mean.d.Round != t.at.turn || mean.d.Base != t.at.lineage {
			continue
		}
		known, own := 0, false
		for _, mark := range mean.d.Mixed {
			own = own || mark.Author == t.o.self && t.flight != nil && mark.Seq == t.flight.seq
			if x := t.offers[mark.Author]; mark.Author == t.o.self || x != nil && x.of(t.at.turn) != nil {
				known++
			}
		}
		if 2*known >= len(mean.d.Mixed) {
			closed, without = true, without && !own
		}
	}
	if !closed {
		return false, false
	}
	ahead, all := 0, 0
	for _, m := range c.roster.sorted() {
		if x := t.offers[m.id]; x != nil && x.m == m && t.o.active(c, m) {
			all++
			if x.now.d.Round >= t.at.turn {
				ahead++
			}
		}
	}
	return 2*ahead > all, without
}

// follow takes part in a turn that is over for the others, without a contribution.
func (t *together) follow(c *Core) bool {
	if closed, _ := t.closedByOthers(c); !closed {
		return false
	}
	t.flight = t.newTurn(c)
	t.progress(c)
	return true
}

// drop gives up the turn under way.
func (t *together) drop(c *Core) {
	f := t.flight
	t.flight, t.lastBegan = nil, f.began
	c.release(f.sent)
	c.release(f.lost)
	for _, mean := range f.means {
		if mean != nil {
			mean.release(c)
		}
	}
	for _, sum := range f.sums {
		sum.done = true
		sum.release(c)
	}
}
