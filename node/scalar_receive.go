package node

import (
	"errors"
	"math"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// checkShared judges what spreads to all: records, and proofs against those who send two versions of them. Both count whatever the
// number of their message, for they are not made void by a later one.
func (s *scalarMethod) checkShared(m *gossip.Message) gossip.Verdict {
	switch b := m.Body.(type) {
	case *gossip.Records:
		if (b.First == 0) != (b.Previous == [32]byte{}) || (b.Sets != [16]byte{}) != (s.cfg.CheckShare > 0) || s.cfg.Check(scalar.Run{First: b.First, Epoch: b.Epoch, Bytes: b.Bytes}) != nil {
			return reject(gossip.ReasonMalformed)
		}
	case *gossip.Proof:
		if b.A == nil || b.B == nil || b.A.Run != s.run.Run {
			return reject(gossip.ReasonProof)
		}
		if _, _, ok := b.Against(); !ok {
			return reject(gossip.ReasonProof)
		}
	case *gossip.Ballot:
		return s.checkBallot(b)
	}
	return accepted
}

// checkDirect judges what comes from one peer for this node alone.
func (s *scalarMethod) checkDirect(body gossip.Body) gossip.Verdict {
	switch b := body.(type) {
	case *gossip.Known:
		if b.Form == gossip.FormRanges {
			if _, err := scalar.ParseMessage(b.Ranges); err != nil {
				return reject(gossip.ReasonMalformed)
			}
		}
	case *gossip.Challenge, *gossip.Basis:
		if s.cfg.CheckShare == 0 {
			return reject(gossip.ReasonUnknownKind)
		}
	case *gossip.Certificate, *gossip.Standing:
		if !s.cfg.Closed {
			return reject(gossip.ReasonUnknownKind)
		}
	case *gossip.Snapshot:
		if b.Config != s.cfg.ConfigDigest || b.Base != s.cfg.BaseDigest {
			return reject(gossip.ReasonWrongRun)
		}
		if !s.cfg.Closed && b.Closed > 0 || b.Closed > 0 && b.Certificate == nil {
			return reject(gossip.ReasonMalformed)
		}
		for i := range b.Sums {
			if b.Sums[i].Len != s.cfg.K {
				return reject(gossip.ReasonLength)
			}
		}
	}
	return accepted
}

func (s *scalarMethod) received(c *Core, from PeerID, msg *gossip.Message) {
	switch b := msg.Body.(type) {
	case *gossip.Records:
		s.records(c, msg, b)
	case *gossip.Proof:
		c.admit(msg, true)
		s.proven(c, b)
	case *gossip.Known:
		if s.exchange.admit(from) {
			s.told(c, from, b)
		}
	case *gossip.Fetch:
		if s.exchange.admit(from) {
			s.wanted(c, from, b)
		}
	case *gossip.Snapshot:
		s.snapshot(c, from, b)
	case *gossip.Challenge:
		s.challenged(c, from, b)
	case *gossip.Basis:
		s.based(c, from, b)
		s.consider(c)
	case *gossip.Ballot:
		s.ballot(c, from, msg, b)
	case *gossip.Certificate:
		s.certified(c, from, b)
	case *gossip.Standing:
		s.stands(c, from, b)
	}
	s.rearm(c)
}

// records takes a batch that somebody has sealed.
func (s *scalarMethod) records(c *Core, msg *gossip.Message, b *gossip.Records) {
	if msg.Author == c.cfg.Self {
		s.ownElsewhere(c, msg, b)
		return
	}
	c.admit(msg, true)
	m := c.member(msg.Author)
	tag := gossip.Tag(c.cfg.Run, msg.Author)
	if !s.kept.admits(tag, s.cfg.Peers) {
		c.observe(Stat{Kind: StatCrowded, Peer: m.id})
		return
	}
	if other, first := s.kept.against(tag, msg); other != nil && s.convict(c, m.id, &gossip.Proof{A: other, B: msg}, first) {
		s.accuseLater(c, tag)
	}
	res, err := s.replica.Insert(s.runOf(tag, b))
	if err != nil {
		return
	}
	if res.Verdict != scalar.Banned {
		s.kept.add(tag, msg)
	}
	switch res.Verdict {
	case scalar.Added:
		s.dirty = true
		s.noteNew(c)
		m.accepted++
		m.gone = false
		m.heardAt, m.round, m.age = c.now, b.End(), b.Base
	case scalar.Parked, scalar.Full:
		s.noteGap(c)
	}
	s.pick(c, m, tag, res.Added)
	if res.Conflict {
		c.observe(Stat{Kind: StatConflict, Peer: m.id, Value: float64(res.Seq)})
	}
}

// voidFrom is the first record of a log that bans make void; the largest number if they do not.
func voidFrom(bans scalar.Vector, tag uint64) uint64 {
	if at, ok := bans.Find(tag); ok {
		return bans[at].Next
	}
	return math.MaxUint64
}

func (s *scalarMethod) banOf(tag uint64) uint64 { return voidFrom(s.replica.Set().Bans(), tag) }

// convict bans an author on proof, and undoes what it has added from there on. It reports whether that was news.
func (s *scalarMethod) convict(c *Core, author PeerID, proof *gossip.Proof, first uint64) bool {
	tag := gossip.Tag(c.cfg.Run, author)
	if !s.kept.admits(tag, s.cfg.Peers) {
		return false // strangers could fill the memory with proofs against themselves
	}
	s.kept.log(tag)
	if s.banOf(tag) <= first {
		if s.proofs[tag] == nil { // the ban was known from a snapshot
			s.proofs[tag] = proof
		}
		return false
	}
	if author != c.cfg.Self {
		c.mark(c.member(author), scoreBanned-scoreBest, "equivocates")
	}
	if err := s.replica.Ban(tag, first); err != nil {
		// The records are part of sums whose source had not heard of this. Somebody who has will give others.
		s.exchange.snapshot = s.exchange.snapshot || errors.Is(err, scalar.ErrForgotten)
		return false
	}
	s.proofs[tag] = proof
	s.dirty = true
	s.noteChange()
	c.observe(Stat{Kind: StatBanned, Peer: author, Value: float64(first)})
	return true
}

// proven takes a proof that somebody else has found.
func (s *scalarMethod) proven(c *Core, p *gossip.Proof) {
	author, first, _ := p.Against()
	s.convict(c, author, p, first)
	tag := gossip.Tag(c.cfg.Run, author)
	if s.banOf(tag) >= first {
		s.accused = slices.DeleteFunc(s.accused, func(a accusation) bool { return a.tag == tag })
	}
	s.goOn(c)
}

// An accusation waits to be published. All nodes may find the same proof at once, and one of them is enough.
type accusation struct {
	tag uint64
	at  Instant
}

const accuseWithin = 2 * Second

func (s *scalarMethod) accuseLater(c *Core, tag uint64) {
	s.accused = append(s.accused, accusation{tag: tag, at: c.now + Instant(c.cfg.Rand.Int64N(int64(accuseWithin)))})
}

// accuse publishes the proofs that nobody else has, when their time has come.
func (s *scalarMethod) accuse(c *Core) {
	s.accused = slices.DeleteFunc(s.accused, func(a accusation) bool {
		if c.now < a.at {
			return false
		}
		c.publish(s.proofs[a.tag])
		return true
	})
}
