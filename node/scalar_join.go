package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"starling/gossip"
	"starling/mixing/scalar"
)

// joining is how a node that comes late gets a snapshot, and has others confirm it.
type joining struct {
	from  PeerID  // who was asked
	until Instant // when that is given up; 0 if nobody was
	tries int

	snap   *scalar.Snapshot    // what came; nil until then
	cert   *gossip.Certificate // with it, in closed mode
	digest [32]byte            // of its sums
	vector [32]byte            // digests of its vector and bans
	bans   [32]byte
	asks   int
	asked  []PeerID // whether they have the same
	agreed []PeerID

	restAt Instant // no other snapshot is asked for before
}

const (
	joinTimeout    = 5 * Second
	confirmTimeout = 2 * Second
	// maxTries is how many peers are asked in a row; a snapshot of the last one is taken although nobody has confirmed it.
	maxTries = 3
	// confirmations is how many others are asked for the digest of a snapshot.
	confirmations = 2
	// behindFactor is how many times as many records others must have before a node that has some takes a snapshot.
	behindFactor = 8
)

func (j *joining) busy() bool { return j.until != 0 }

// farBehind reports whether a snapshot is less to send than the records that are missing.
func (s *scalarMethod) farBehind(own, theirs uint64) bool {
	const bytesOfSum, bytesOfRecord = 4, 3
	return theirs/behindFactor >= own && (theirs-own)*bytesOfRecord > uint64(s.cfg.K)*bytesOfSum
}

// begin asks a peer for a snapshot.
func (s *scalarMethod) begin(c *Core, from PeerID) {
	j := &s.join
	if j.busy() || c.now < j.restAt || s.phase == scalarClosing {
		return
	}
	*j = joining{from: from, until: c.now + joinTimeout, tries: j.tries + 1}
	c.send(from, &gossip.Fetch{Want: gossip.WantSnapshot}, nil)
}

// joinLate gives up waiting: takes what has come if enough have confirmed it, or asks somebody else.
func (s *scalarMethod) joinLate(c *Core) {
	j := &s.join
	switch {
	case j.snap != nil && (len(j.agreed) > 0 || j.tries >= maxTries && j.asks >= maxTries):
		s.adopt(c)
	case j.snap != nil && j.asks < maxTries:
		s.confirm(c)
	case j.tries >= maxTries:
		// Nobody gives one. Records will do, if somebody has them.
		*j = joining{restAt: c.now + 2*joinTimeout}
		s.joinedBy = c.now + joinWait
	default:
		s.again(c)
	}
}

// again asks another peer than the last one, if there is one.
func (s *scalarMethod) again(c *Core) {
	last := s.join.from
	s.join = joining{tries: s.join.tries}
	to := connected(c, 1, last)
	if len(to) == 0 {
		to = connected(c, 1)
	}
	if len(to) > 0 {
		s.begin(c, to[0])
	}
}

// snapshot takes what a peer says of a sum: all of it, whether it has the same one, or that there is one.
func (s *scalarMethod) snapshot(c *Core, from PeerID, w *gossip.Snapshot) {
	j := &s.join
	switch {
	case w.Whole && j.busy() && from == j.from && j.snap == nil:
		s.wholeSnapshot(c, from, w)
	case w.Whole:
	case j.snap != nil && w.VectorDigest == j.vector && slices.Contains(j.asked, from):
		if w.Digest != j.digest || w.BansDigest != j.bans {
			c.observe(Stat{Kind: StatUnconfirmed, Peer: j.from, Text: "another node has other sums"})
			if j.tries >= maxTries {
				*j = joining{restAt: c.now + 2*joinTimeout}
				return
			}
			s.again(c)
			return
		}
		if !slices.Contains(j.agreed, from) {
			j.agreed = append(j.agreed, from)
		}
		if len(j.agreed) == len(j.asked) {
			s.adopt(c)
		}
	case !j.busy() && w.VectorDigest != s.shared().Digest():
		s.begin(c, from)
	}
}

// wholeSnapshot checks a snapshot that was asked for, and asks others whether it is true.
func (s *scalarMethod) wholeSnapshot(c *Core, from PeerID, w *gossip.Snapshot) {
	j := &s.join
	snap, ok := fromWire(w)
	ok = ok && len(w.Tails) <= int(s.cfg.Peers) && (s.closer == nil || s.fits(w, snap))
	var sums *scalar.Replica
	var err error
	if ok {
		sums, err = scalar.Restore(s.cfg.Config, s.cfg.RunSeed, snap)
	}
	if !ok || err != nil || sums.Sums().Digest() != w.Digest {
		if m := c.roster.find(from); m != nil {
			c.mark(m, scoreCorrupt, "its snapshot makes no sense")
		}
		s.again(c)
		return
	}
	j.snap, j.digest, j.vector, j.bans = snap, w.Digest, snap.Vector().Digest(), snap.Bans.Digest()
	if s.closer != nil {
		j.cert, j.vector = w.Certificate, vectorOf(w.Certificate.Closing.Ends()).Digest()
	}
	j.asked = connected(c, confirmations, from)
	if len(j.asked) == 0 {
		s.adopt(c)
		return
	}
	s.confirm(c)
}

// confirm asks others whether they have the same sum. Who does not have all of its records yet is silent, and is asked again.
func (s *scalarMethod) confirm(c *Core) {
	j := &s.join
	j.asks++
	j.until = c.now + confirmTimeout
	for _, id := range j.asked {
		// Told what the vector is they can tell what the sum of just these records is, and they send what comes after them.
		s.tellPlaces(c, id, gossip.FormVector, j.snap.Vector(), true)
		c.send(id, &gossip.Fetch{Want: gossip.WantDigest, VectorDigest: j.vector}, nil)
	}
}

// adopt goes over to the snapshot that has come, with what this node has beyond it.
func (s *scalarMethod) adopt(c *Core) {
	j := s.join
	s.join = joining{}
	next, err := s.merged(j.snap)
	if err == nil && next.Closed() < s.replica.Closed() {
		err = errors.New("it is of an epoch before the one that is open here")
	}
	if err != nil {
		s.join.restAt = c.now + 2*joinTimeout
		c.observe(Stat{Kind: StatUnconfirmed, Peer: j.from, Text: err.Error()})
		s.goOn(c)
		return
	}
	s.origin = j.snap
	before := s.replica.Set().Next(s.tag)
	s.replace(next)
	if o := &s.own; next.Set().Next(s.tag) > before {
		// Others have records of this node that it has only the sum of: what it has not sent yet was meant for their places, and what it sends
		// next follows a batch that it has to be shown.
		if o.open != nil {
			c.out.Persist = append(c.out.Persist, Record{Key: loggedKey(o.open.First)})
		}
		o.open, o.sealAt, o.previous = nil, 0, [32]byte{}
	}
	if s.closer != nil {
		s.closer.begin(c, s, j.cert)
	}
	for _, tag := range s.kept.order { // what came before what it follows
		for _, m := range s.kept.of(tag) {
			if _, err := next.Insert(s.runOf(tag, recordsOf(m))); err != nil {
				return
			}
		}
	}
	s.joinedBy, s.dirty = 0, true
	s.exchange.snapshot, s.exchange.missing = false, 0
	var agreed []string
	for _, id := range j.agreed {
		agreed = append(agreed, id.Short())
	}
	c.observe(Stat{Kind: StatCaughtUp, Peer: j.from, Value: float64(j.snap.Vector().Count()), Text: strings.Join(agreed, " ")})
	s.goOn(c)
}

// replace goes over to other sums, and has the driver's model follow.
func (s *scalarMethod) replace(next *scalar.Replica) {
	s.changes = append(s.changes, s.replica.Take()...)
	for _, row := range s.replica.Sums().Generations() {
		for k, a := range row.A {
			if a != 0 {
				s.changes = append(s.changes, scalar.Change{Generation: row.Generation, K: uint32(k), By: -a})
			}
		}
	}
	s.replica = next
}

// merged is the replica of a snapshot with the records and bans that this node has and it has not.
func (s *scalarMethod) merged(snap *scalar.Snapshot) (*scalar.Replica, error) {
	r, err := scalar.Restore(s.cfg.Config, s.cfg.RunSeed, snap)
	if err != nil {
		return nil, err
	}
	old := s.replica.Set()
	for _, b := range old.Bans() {
		if err := r.Ban(b.Peer, b.Next); err != nil {
			return nil, err
		}
	}
	theirs, bans := snap.Vector(), r.Set().Bans()
	for _, missing := range theirs.Missing(old.Vector()) {
		missing.End = min(missing.End, voidFrom(bans, missing.Peer))
		if missing.First >= missing.End {
			continue
		}
		runs := old.Runs(missing)
		if len(runs) == 0 || runs[0].First != missing.First {
			return nil, fmt.Errorf("the snapshot lacks records %d to %d of log %016x, which this node knows by their sum alone", missing.First, missing.End-1, missing.Peer)
		}
		for _, run := range runs {
			if _, err := r.Insert(run); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}
