package node

import (
	"bytes"
	"cmp"
	"slices"
	"sync/atomic"

	"starling/gossip"
)

// A roster is what a node knows of the other members of its run.
type roster struct {
	byID map[PeerID]*member
	ids  []PeerID // keys of byID in ascending order: whatever walks the roster walks this
	own  *gossip.Message
}

// A member is one other node, whether connected or only heard of.
type member struct {
	id   PeerID
	up   bool // connected
	gone bool // said goodbye, and was not heard of since

	seq      uint64          // of its newest message
	last     *gossip.Message // that message, passed on in repairs
	update   *gossip.Update  // its newest update, nil before the first and after a Leave
	heardAt  Instant         // when update came, or when the peer was first seen
	interval Instant         // smoothed time between its updates; 0 before the second one

	taken uint64 // sequence number of its newest update that this node tried to mix in

	accepted uint64 // updates heard
	mixed    uint64 // of these, mixed in
	refused  [refusalReasons]uint64

	score float64
	view  *memberView
}

const refusalReasons = 5 // one more than the largest gossip.RefusalReason

// A memberView is the part of a member that Check reads.
type memberView struct {
	seq    atomic.Uint64
	banned atomic.Bool
}

// observeInterval takes the time since the previous update into the smoothed interval.
func (m *member) observeInterval(d Instant) {
	if m.interval == 0 {
		m.interval = d
	} else {
		m.interval += (d - m.interval) / 4
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
	if m := c.roster.byID[id]; m != nil {
		return m
	}
	if len(c.roster.ids) >= c.cfg.MaxMembers {
		c.evict()
	}
	m := &member{id: id, view: &memberView{}}
	c.roster.byID[id] = m
	i, _ := slices.BinarySearchFunc(c.roster.ids, id, comparePeers)
	c.roster.ids = slices.Insert(c.roster.ids, i, id)
	c.publishView()
	c.observe(Stat{Kind: StatJoined, Peer: id})
	return m
}

// evict forgets the member that is least likely to be missed: not connected if possible, and silent for longest.
func (c *Core) evict() {
	var worst *member
	for _, id := range c.roster.ids {
		m := c.roster.byID[id]
		if worst == nil || (worst.up && !m.up) || (worst.up == m.up && m.heardAt < worst.heardAt) {
			worst = m
		}
	}
	delete(c.roster.byID, worst.id)
	i, _ := slices.BinarySearchFunc(c.roster.ids, worst.id, comparePeers)
	c.roster.ids = slices.Delete(c.roster.ids, i, i+1)
}

// publishView shows Check the members of now.
func (c *Core) publishView() {
	v := make(map[PeerID]*memberView, len(c.roster.byID))
	for id, m := range c.roster.byID { // order-free: builds a map
		v[id] = m.view
	}
	c.view.Store(&v)
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
		m.view.banned.Store(m.score <= scoreBanned)
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

// credit takes note of what another node's update says about own ones. Every update is heard once, and a node mixes one
// in once, so nobody counts twice.
func (l *sentLog) credit(self PeerID, u *gossip.Update) {
	for _, m := range u.Mixed {
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
	for _, r := range u.Refused {
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
