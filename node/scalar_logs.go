package node

import (
	"math"
	"slices"

	"starling/gossip"
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

// compact has the replica forget the records that cannot be shown any more: all but as many of each log as there are sealed batches kept
// of it. Memory and checkpoints are then of bounded size, whatever the length of the run.
func (s *scalarMethod) compact() {
	set := s.replica.Set()
	logs := max(1, len(set.Vector()))
	keep := uint64(s.cfg.Batch) * uint64(min(s.kept.ofAuthor, max(1, s.kept.inAll/logs)))
	if set.Kept() <= 2*keep*uint64(logs) {
		return
	}
	if snap, ok := s.replica.Compact(keep); ok {
		s.origin = snap
	}
}
