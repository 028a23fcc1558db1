package node

import (
	"math"
	"slices"
	"strconv"

	"starling/gossip"
	"starling/mixing/scalar"
	"starling/node/agree"
)

func countOf(n int) string { return strconv.Itoa(n) + " votes" }

// fairRounds is in how many rounds a closing that leaves somebody out who has made all its records is not voted for: then there was
// another proposer.
const fairRounds = 3

// here is the vector of what this node could close the open epoch with.
func (s *scalarMethod) here() (v scalar.Vector) {
	set, epoch := s.replica.Set(), s.replica.Closed()
	for _, e := range set.Vector() {
		if e.Next = set.Until(e.Peer, epoch); e.Next > 0 {
			v = append(v, e)
		}
	}
	return v
}

// closingOf is the closing with some ends, as this node's records and bans have it. leaves says whose votes end with it. It is not ok if
// something of it is missing here, which is returned.
func (s *scalarMethod) closingOf(ends scalar.Vector, leaves func(tag uint64) bool) (c *gossip.Closing, missing []scalar.Range, ok bool) {
	made, missing, err := s.replica.Closing(ends)
	if err != nil || len(missing) > 0 {
		return nil, missing, false
	}
	k, set, epoch := s.closer, s.replica.Set(), s.replica.Closed()
	c = &gossip.Closing{Epoch: epoch, Clip: made.Clip, Sums: made.Digest}
	bans := set.Bans()
	for _, b := range bans {
		c.Bans = append(c.Bans, gossip.Place{Tag: b.Peer, Seq: b.Next})
	}
	before := make(map[uint64]uint32, len(k.members))
	for _, m := range k.members {
		before[m.Tag] = m.Until
	}
	for _, e := range ends {
		m := gossip.Member{Tag: e.Peer, Next: e.Next, Until: before[e.Peer], Votes: slices.Contains(k.voters, e.Peer)}
		first, end := set.InEpoch(e.Peer, epoch)
		counted := end > first && e.Next > first
		if counted {
			m.Until = epoch + 1 + voteFor
		}
		if epoch == 0 {
			m.Votes = counted
		}
		if voidFrom(bans, e.Peer) != math.MaxUint64 || leaves(e.Peer) {
			m.Until = 0
		}
		c.Members = append(c.Members, m)
	}
	return c, nil, true
}

// offer makes what this node proposes, if it is its turn and it has made nothing yet that still holds.
func (s *scalarMethod) offer(c *Core) {
	k := s.closer
	if !k.machine.Proposes() {
		return
	}
	ends := s.here()
	closing, _, ok := s.closingOf(ends, func(tag uint64) bool { return k.leaves[tag] != nil })
	if !ok || !s.enough(closing) {
		return
	}
	v := agree.Value(closing.Digest())
	k.closings[v] = closing
	k.machine.Offer(v)
}

// enough reports whether a closing counts records at all, or takes somebody's vote away who leaves; and in the first epoch, whether it counts
// those of more than two thirds of all peers.
func (s *scalarMethod) enough(c *gossip.Closing) bool {
	counted, leave := 0, false
	for _, m := range c.Members {
		if m.Until == c.Epoch+1+voteFor {
			counted++
		}
		leave = leave || m.Until == 0 && m.Votes && s.closer.leaves[m.Tag] != nil
	}
	if c.Epoch == 0 {
		return s.closer.machine.Quorum(counted)
	}
	return counted > 0 || leave
}

// judge looks at the proposals that were not found good yet.
func (s *scalarMethod) judge(c *Core) {
	k := s.closer
	if !k.machine.Begun() {
		return
	}
	for _, p := range k.machine.Proposals(k.machine.Round) {
		if v := p.Value; !k.machine.Judged(v) && k.closings[v] != nil && s.good(c, p, k.closings[v]) {
			k.machine.Judge(v)
		}
	}
}

// good reports whether this node would close the open epoch as somebody proposes, now.
func (s *scalarMethod) good(c *Core, p agree.Vote, closing *gossip.Closing) bool {
	k := s.closer
	if !s.due(c, p, closing) {
		return false
	}
	author := k.ballots[ballotKey{agree.Propose, p.Round, p.Voter, p.Value}].Author
	ends := vectorOf(closing.Ends())
	set, epoch := s.replica.Set(), s.replica.Closed()
	for _, e := range ends {
		// Records of a later epoch do not belong here; what is banned may end earlier here.
		if e.Next > set.Until(e.Peer, epoch) && set.Next(e.Peer) >= e.Next {
			return false
		}
	}
	if !s.goesOn(ends) || !s.enough(closing) {
		return false
	}
	leaving := func(tag uint64) bool {
		at, ok := ends.Find(tag)
		return ok && k.leaves[tag] != nil && closing.Members[at].Until == 0
	}
	own, missing, ok := s.closingOf(ends, leaving)
	switch {
	case len(missing) > 0:
		s.fetchMissing(c, missing)
		return false
	case !ok:
		return false
	case own.Digest() == closing.Digest():
		return true
	}
	if c.now < k.missAt || !connectedTo(c, author) {
		return false
	}
	// Either one of us knows of a ban that the other does not, or somebody shows us different records.
	k.missAt = c.now + s.cfg.BatchEvery
	bans := set.Bans()
	if bans.Digest() != vectorOf(closing.Bans).Digest() {
		s.tellPlaces(c, author, gossip.FormBans, bans, false)
	} else {
		s.tellRanges(c, author, set.Begin(), false)
	}
	return false
}

// due reports whether it is time for a proposal, and whether it leaves nobody out who should not be.
func (s *scalarMethod) due(c *Core, p agree.Vote, closing *gossip.Closing) bool {
	k, full := s.closer, 0
	counts := make(map[uint64]bool)
	for _, m := range closing.Members {
		if m.Until == closing.Epoch+1+voteFor || m.Until == 0 {
			counts[m.Tag] = true
		}
		if k.mayVote(s, m.Tag) && k.complete(s, m.Tag, m.Next) {
			full++
		}
	}
	if p.Round < fairRounds {
		for tag := range k.full { // order-free: all must be there
			if !counts[tag] {
				return false
			}
		}
	}
	return k.machine.Quorum(full) || k.late(c) || k.machine.Backed(p.Value)
}

// goesOn reports whether no log ends before where it ended in the last closing, but for those that are banned.
func (s *scalarMethod) goesOn(ends scalar.Vector) bool {
	bans := s.replica.Set().Bans()
	for _, m := range s.closer.members {
		if ends.Next(m.Tag) < min(m.Next, voidFrom(bans, m.Tag)) {
			return false
		}
	}
	return true
}

// fetchMissing asks somebody for records without which an epoch cannot be closed.
func (s *scalarMethod) fetchMissing(c *Core, missing []scalar.Range) {
	k := s.closer
	if c.now < k.missAt {
		k.askAt = sooner(k.askAt, k.missAt)
		return
	}
	k.missAt = c.now + s.cfg.BatchEvery
	k.askAt = sooner(k.askAt, k.missAt)
	if to := connected(c, 1); len(to) > 0 {
		s.fetch(c, to[0], missing[:min(len(missing), maxFetched)])
	}
}

func sooner(a, b Instant) Instant {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func connectedTo(c *Core, id PeerID) bool {
	m := c.roster.find(id)
	return m != nil && m.up
}
