package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"starling/gossip"
)

// A roster is what a node knows of the other members of its run.
type roster struct {
	all     []*member             // whatever walks the roster walks sorted
	ordered bool                  // all is ascending by peer
	table   atomic.Pointer[table] // the same members by peer, for Check as well
	seed    uint64                // of the table's hash: strangers choose their peer IDs
	own     *gossip.Message       // newest broadcast of this node
}

// A member is one other node, whether connected or only heard of. Check reads id, seq, seen and banned; all else belongs to Step. There can
// be very many, so counters are no wider than a member lives.
type member struct {
	id   PeerID
	seq  atomic.Uint64 // of its newest message
	seen atomic.Uint64 // which of its newest messages were there: bit i is for number seq - i

	last     *gossip.Message // newest message, passed on in repairs
	update   *gossip.Update  // its newest update while that can still be mixed in; nil after a Leave
	round    uint64          // of its newest update, as are age and loss
	age      uint64
	heardAt  Instant // when update came, or when the peer was first seen
	interval Instant // smoothed time between its updates; 0 before the second one

	avoidUntil Instant // it does not want this node as a neighbour; see type copies

	taken    uint64 // sequence number of its newest update that this node tried to mix in
	credited credited
	score    float64

	accepted uint32 // updates heard
	mixed    uint32 // of these, mixed in
	refused  [refusalReasons]uint32

	loss   float32
	speed  float32 // local steps in a second, as it says with a pseudo-gradient
	banned atomic.Bool
	up     bool // connected
	gone   bool // said goodbye, and was not heard of since
}

const refusalReasons = 5 // one more than the largest gossip.RefusalReason

// A table finds members by peer, by open addressing with linear probing. One goroutine changes it while others may read: places are
// only ever filled; a table that is too full, or that somebody has to go from, is replaced.
type table struct {
	places []place // a power of two, at least a quarter of them empty
	used   int
}

// A place has the hash beside the member: most who pass by need not look at a member that is not theirs. Once others may read the
// table the hash is written atomically, after the member, and says that it is there.
type place struct {
	hash   uint32 // 0 is an empty place
	member *member
}

func newTable(members int) *table {
	n := 8
	for n*3 < members*4 {
		n *= 2
	}
	return &table{places: make([]place, n)}
}

func (t *table) at(i uint32) *place { return &t.places[i&uint32(len(t.places)-1)] }

// empty returns the place for a new member with that hash.
func (t *table) empty(hash uint32) *place {
	t.used++
	for i := hash; ; i++ {
		if p := t.at(i); p.hash == 0 {
			return p
		}
	}
}

// hashPeer mixes two words of a peer ID, which for honest peers are random, with the seed. The result is not 0.
func hashPeer(seed uint64, id *PeerID) uint32 {
	h := (binary.LittleEndian.Uint64(id[:8]) ^ seed) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ binary.LittleEndian.Uint64(id[8:16])) * 0xbf58476d1ce4e5b9
	return uint32(h>>32) | 1<<31
}

// find returns the member of that name, or nil. It is safe for concurrent use.
func (r *roster) find(id PeerID) *member {
	t := r.table.Load()
	hash := hashPeer(r.seed, &id)
	for i := hash; ; i++ {
		p := t.at(i)
		switch there := atomic.LoadUint32(&p.hash); {
		case there == 0:
			return nil
		case there == hash && p.member.id == id:
			return p.member
		}
	}
}

// sorted returns the members ascending by peer. The slice is valid until the next add or remove.
func (r *roster) sorted() []*member {
	if !r.ordered {
		slices.SortFunc(r.all, func(a, b *member) int { return comparePeers(a.id, b.id) })
		r.ordered = true
	}
	return r.all
}

func (r *roster) add(m *member) {
	r.all, r.ordered = append(r.all, m), false
	t := r.table.Load()
	if (t.used+1)*4 > len(t.places)*3 {
		t = r.rebuild(t.used+1, nil)
	}
	hash := hashPeer(r.seed, &m.id)
	p := t.empty(hash)
	p.member = m
	atomic.StoreUint32(&p.hash, hash)
}

func (r *roster) remove(m *member) {
	i := slices.Index(r.all, m)
	r.all = slices.Delete(r.all, i, i+1)
	r.rebuild(len(r.all), m)
}

// rebuild replaces the table by one with room for so many members and without the one that goes.
func (r *roster) rebuild(members int, goes *member) *table {
	t := newTable(members)
	if old := r.table.Load(); old != nil {
		for _, p := range old.places {
			if p.hash != 0 && p.member != goes {
				*t.empty(p.hash) = p
			}
		}
	}
	r.table.Store(t)
	return t
}

// late reports whether a message that is not the newest one was not there before, as far back as is remembered. What it reads is
// not all of one moment while Step runs; Step asks again.
func (m *member) late(seq uint64) bool {
	newest := m.seq.Load()
	return newest-seq < 64 && m.seen.Load()>>(newest-seq)&1 == 0
}

// observeInterval takes the time since the previous update into the smoothed interval.
func (m *member) observeInterval(d Instant) { smooth(&m.interval, d) }

// smooth takes a duration into an average.
func smooth(average *Instant, d Instant) {
	if *average == 0 {
		*average = d
	} else {
		*average += (d - *average) / 4
	}
}

// active reports whether the member still takes part as far as can be told: it was heard of not much longer ago than its
// own rhythm, or ours if that is slower, makes likely.
func (m *member) active(now, round Instant) bool {
	if m.gone || m.update == nil {
		return false
	}
	return m.up || now-m.heardAt <= 4*max(m.interval, round)
}

// member returns the roster's entry for id, made anew if it has to be.
func (c *Core) member(id PeerID) *member {
	if m := c.roster.find(id); m != nil {
		return m
	}
	if len(c.roster.all) >= c.cfg.MaxMembers {
		c.evict()
	}
	m := &member{id: id}
	c.roster.add(m)
	c.observe(Stat{Kind: StatJoined, Peer: id})
	return m
}

// evict forgets the member that is least likely to be missed: not connected if possible, and silent for longest.
func (c *Core) evict() {
	var worst *member
	for _, m := range c.roster.sorted() {
		if worst == nil || (worst.up && !m.up) || (worst.up == m.up && m.heardAt < worst.heardAt) {
			worst = m
		}
	}
	c.roster.remove(worst)
}

func comparePeers(a, b PeerID) int { return bytes.Compare(a[:], b[:]) }

// Scores of the application's part of peer scoring. A member is banned from the run at the lower bound: libp2p.md's
// table gives it no gossip then either.
const (
	scoreBanned  = -400
	scoreBest    = 40
	scoreGood    = 1    // an update that was mixed in
	scoreCorrupt = -150 // a payload that does not decode: the third one bans
)

// mark changes a member's score.
func (c *Core) mark(m *member, by float64, why string) {
	was := m.score
	m.score = min(scoreBest, max(scoreBanned, m.score+by))
	if m.score != was {
		if banned := m.score <= scoreBanned; banned != m.banned.Load() { // a store that others see at once takes long
			m.banned.Store(banned)
		}
		c.out.Score = append(c.out.Score, PeerMark{Peer: m.id, Score: m.score, Why: why})
	}
}

// A sentLog remembers the newest own updates and how many peers mixed them in.
type sentLog struct {
	entries   []sentEntry // ascending by seq, the newest sentKept
	published uint64
	counted   uint64 // updates that at least one peer mixed in
	refused   [refusalReasons]uint64
}

// sentKept covers minutes: as long as slow peers take to mix.
const sentKept = 1024

type sentEntry struct {
	seq uint64
	by  int
}

func (l *sentLog) add(seq uint64) {
	if len(l.entries) == sentKept {
		l.entries = slices.Delete(l.entries, 0, sentKept/4)
	}
	l.published++
	l.entries = append(l.entries, sentEntry{seq: seq})
}

// credited is the newest own message that means of a node had in them.
type credited uint64

// untold returns the mark of an own message in a mean, unless another mean of the same node has told of that one already: a node sums up
// several pieces of the same model.
func (c *credited) untold(self PeerID, mixed []gossip.Mark) []gossip.Mark {
	for i, k := range mixed {
		if k.Author == self && k.Seq > uint64(*c) {
			*c = credited(k.Seq)
			return mixed[i : i+1]
		}
	}
	return nil
}

// credit takes note of what another node's message says about own ones. Every message is heard once, and a node mixes one
// in once, so nobody counts twice.
func (l *sentLog) credit(self PeerID, mixed []gossip.Mark, refused []gossip.Refusal) {
	for _, m := range mixed {
		if m.Author != self {
			continue
		}
		i, ok := slices.BinarySearchFunc(l.entries, m.Seq, func(e sentEntry, seq uint64) int { return cmp.Compare(e.seq, seq) })
		if !ok {
			continue
		}
		if l.entries[i].by++; l.entries[i].by == 1 {
			l.counted++
		}
	}
	for _, r := range refused {
		if r.Author == self && int(r.Why) < refusalReasons {
			l.refused[r.Why]++
		}
	}
}

// newest returns the newest own update that anybody has mixed in, and how many have.
func (l *sentLog) newest() (seq uint64, by int) {
	for _, e := range slices.Backward(l.entries) {
		if e.by > 0 {
			return e.seq, e.by
		}
	}
	return 0, 0
}
