package node

import (
	"math"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// A LogStatus is what a node of the method scalar knows of the records of one node, itself among them.
type LogStatus struct {
	Peer    PeerID // zeros if only the sums of its records were ever heard
	Tag     uint64
	Known   uint64
	Missing uint64 // records that are there for sure, or that the peer heard of last says it has, and that are not known here
	Banned  bool

	// Of the records that this node has checked, or wanted to.
	Right, Wrong, Unanswered uint64
}

// Logs lists what the node knows of the records of each node, ascending by tag; nothing with another method than scalar. It must not
// be called concurrently with Step.
func (c *Core) Logs() []LogStatus {
	s, ok := c.method.(*scalarMethod)
	if !ok {
		return nil
	}
	peers := make(map[uint64]PeerID)
	for _, m := range c.roster.sorted() {
		peers[gossip.Tag(c.cfg.Run, m.id)] = m.id
	}
	peers[s.tag] = c.cfg.Self
	set := s.replica.Set()
	tags := slices.Clone(s.kept.order)
	for _, e := range set.Vector() {
		tags = append(tags, e.Peer)
	}
	slices.Sort(tags)
	bans := set.Bans()
	var out []LogStatus
	for _, tag := range slices.Compact(tags) {
		l := LogStatus{Peer: peers[tag], Tag: tag, Known: set.Next(tag), Banned: voidFrom(bans, tag) != math.MaxUint64}
		end := l.Known
		if kept := s.kept.of(tag); len(kept) > 0 && tag != s.tag {
			newest := kept[len(kept)-1]
			l.Peer, end = newest.Author, max(end, recordsOf(newest).End())
		}
		if at, ok := s.exchange.theirs.Find(tag); ok {
			end = max(end, s.exchange.theirs[at].Next)
		}
		if end = min(end, voidFrom(bans, tag)); end > l.Known {
			l.Missing = end - l.Known
		}
		if k := s.checks.conducts[tag]; k != nil {
			l.Right, l.Wrong, l.Unanswered = k.right, k.wrong, k.unanswered
		}
		if l.Known+l.Missing > 0 || l.Banned {
			out = append(out, l)
		}
	}
	return out
}

// settling is how records come to be known by their sums alone. A node that lacks records of which nobody keeps the batches any more takes
// somebody's sums, and adds what it has beyond them one by one; were both sides of a partition to know by sums alone what the other
// lacks, they could never join. So records are forgotten one by one only when all others have said that they have them. A node that has
// gone for good without a goodbye, or one that this node is never connected to, keeps that from happening: then a record takes a byte of
// memory and of each checkpoint, as long as the run lasts.
type settling struct {
	cut scalar.Vector   // what is to be forgotten; nil if there is nothing to forget yet
	by  map[PeerID]bool // who has it
}

// told takes note of what a peer has.
func (t *settling) told(from PeerID, theirs scalar.Vector) {
	if t.cut != nil && len(theirs.Missing(t.cut)) == 0 {
		t.by[from] = true
	}
}

// compact has the replica forget the records that all have and that cannot be shown any more: all but as many of each log as there are
// sealed batches kept of it.
func (s *scalarMethod) compact(c *Core) {
	t, set := &s.settling, s.replica.Set()
	v := set.Vector()
	if t.cut == nil {
		keep := uint64(s.cfg.Batch) * uint64(min(s.kept.ofAuthor, max(1, s.kept.inAll/max(1, len(v)))))
		if set.Kept() <= 2*keep*uint64(len(v)) || s.join.busy() {
			return
		}
		t.cut, t.by = scalar.Vector{}, make(map[PeerID]bool)
		for _, e := range v {
			if e.Next > keep {
				t.cut = append(t.cut, scalar.Entry{Peer: e.Peer, Next: e.Next - keep})
			}
		}
	}
	waits := 0 // for so many
	for _, e := range v {
		if e.Peer != s.tag {
			waits++
		}
	}
	bans := set.Bans()
	for _, m := range c.roster.sorted() {
		tag := gossip.Tag(c.cfg.Run, m.id)
		if v.Next(tag) > 0 && (t.by[m.id] || m.gone || voidFrom(bans, tag) != math.MaxUint64) {
			waits--
		}
	}
	if waits > 0 {
		return
	}
	if snap, ok := s.replica.Compact(t.cut); ok {
		s.origin = snap
	}
	*t = settling{}
}
