package node

import (
	"slices"

	"starling/gossip"
	"starling/mixing/philox"
	"starling/mixing/scalar"
	"starling/node/agree"
)

// closer is what a node of the method scalar does in closed mode (spec 04, 4.11): the records of an epoch count when nodes have agreed which
// of them do.
//
// Who has a vote about an epoch is agreed with those before: whose records have counted in one of the last [voteFor] epochs, and is neither
// banned nor has said that it leaves. Of the first epoch nobody knows who takes part: all peers that the run may have are asked, and more than
// two thirds of these must have records in it, which is why a run says how many peers it is for. More than two thirds of the votes close an
// epoch; less than a third of liars can neither close it in two ways nor keep it open.
//
// An epoch is proposed when more than two thirds of its voters have made all the records they may, so nobody waits for one; or when it has
// taken twice as long as others before, or nothing new comes any more. A closing says where each log ends, what is void, what sums come of
// it, and the clip of the next epoch; a node votes for one if its own records give the same. What it votes is durable before it is
// sent, and two votes for one thing are proof like two versions of a batch: the records of the voter after those epochs are void.
//
// A node that cannot reach more than two thirds makes its records of the epoch, and waits. It learns of epochs that others have closed by
// their certificates; and who comes late has a snapshot, the last certificate, and others who confirm it, for who may vote is known to those
// alone who were there. If more than a third go without a word, no epoch is closed until some come back, and nothing is lost but time: the
// alternative would be two runs that both think they are the one. Who leaves in good order gives its vote back first.
type closer struct {
	machine  *agree.Machine
	members  []gossip.Member // of the last closing; nil before the first
	voters   []uint64        // tags, in the order in which they propose; nil in the first epoch
	closings map[agree.Value]*gossip.Closing
	ballots  map[ballotKey]*gossip.Message
	leaves   map[uint64]*gossip.Message
	twice    map[ballotKey]bool // who has voted twice, and that was told

	since   Instant         // when the epoch was opened
	newAt   Instant         // when a record of it came last; 0 is never
	fullAt  Instant         // when more than two thirds had all theirs; 0 is not yet
	full    map[uint64]bool // who had then
	typical Instant         // smoothed time from since to fullAt; 0 before the first
	patient Instant         // how long a step of a closing may take: twice the smoothed time of a round that closed an epoch
	changed bool            // records or bans have come since proposals were judged

	certs   []*gossip.Certificate // the last ones
	history []closedEpoch         // of all epochs since the origin of the replica
	proven  *gossip.Certificate   // of the epoch that is open, whose records are not all here
	stored  []*gossip.Certificate // what was persisted before the node died: certificates,
	voted   *voted                // and what it had voted
	onDisk  []uint32              // epochs of whose certificates there are records
	abstain uint32                // epochs below were voted in by an earlier life that this one knows nothing of

	askAt   Instant // when a peer is told next where this node stands; 0 is never
	toldAt  Instant // when one was told last
	missAt  Instant // when records that are missing can be asked for again
	asked   map[PeerID]int
	leaveBy Instant // when a node that leaves goes, whatever is agreed; 0: it does not leave
	acting  bool    // closing calls itself by what comes of it
}

// closedEpoch is with what an epoch was closed, and the clip of the next.
type closedEpoch struct {
	ends scalar.Vector
	clip byte
}

const (
	// voteFor is in how many epochs after one in which its records counted a node has a vote.
	voteFor = 4
	// keptCertificates is how many epochs others can be told of one by one.
	keptCertificates = 64
	// quietFor is after which time without a new record an epoch is closed as it is.
	quietFor = 10 * Second
	// leastPatience and mostPatience bound how long a step may take in round 0; a node that has seen no closing yet begins in between.
	leastPatience = Second / 5
	firstPatience = Second
	mostPatience  = 5 * Second
	// patienceGrows is how much a step may take longer from round to round, see [agree.Config].
	patienceGrows = Second
	// leaveWait is how long a node that leaves, and without which there are not enough votes, waits for an epoch to be closed that takes its
	// vote away. An epoch in which nothing happens but that somebody leaves is closed after leaveQuiet.
	leaveWait  = 5 * Second
	leaveQuiet = Second
	// graceOf is the part of an epoch's time for which those who are not among the first two thirds are waited for.
	graceOf = 50
)

// open begins with the epoch after the last closed one.
func (k *closer) open(s *scalarMethod, now Instant) {
	epoch := s.replica.Closed()
	if k.patient == 0 {
		k.patient = firstPatience
	}
	k.closings, k.ballots = make(map[agree.Value]*gossip.Closing), make(map[ballotKey]*gossip.Message)
	k.leaves, k.twice = make(map[uint64]*gossip.Message), make(map[ballotKey]bool)
	k.since, k.newAt, k.fullAt, k.full, k.changed, k.proven, k.askAt = now, 0, 0, nil, true, nil, 0
	k.voters = k.voters[:0]
	for _, m := range k.members {
		if m.Until > epoch {
			k.voters = append(k.voters, m.Tag)
		}
	}
	total := len(k.voters)
	if epoch == 0 {
		total = int(s.cfg.Peers)
	}
	k.inTurn(s, epoch, k.voters)
	k.machine = agree.New(agree.Config{
		Self: s.tag, Total: total, Patience: int64(min(max(k.patient, leastPatience), mostPatience)), Growth: int64(patienceGrows),
		Silent: epoch < k.abstain || k.voted != nil && k.voted.epoch > epoch || epoch > 0 && !slices.Contains(k.voters, s.tag),
		Proposer: func(round uint32) uint64 {
			order := k.voters
			if epoch == 0 {
				order = k.present(s)
			}
			if len(order) == 0 {
				return 0
			}
			return order[int(round)%len(order)]
		},
		Counts: func(v agree.Value, voter uint64) bool {
			c := k.closings[v]
			return c != nil && votesIn(c, voter)
		},
	})
	if k.voted != nil && k.voted.epoch == epoch {
		k.resume(s, now)
	}
	for _, cert := range k.stored {
		if cert.Closing.Epoch == epoch {
			k.proven = cert
		}
	}
}

// votesIn reports whether a closing says that somebody has a vote about it.
func votesIn(c *gossip.Closing, tag uint64) bool {
	at, ok := slices.BinarySearchFunc(c.Members, tag, func(m gossip.Member, tag uint64) int {
		switch {
		case m.Tag < tag:
			return -1
		case m.Tag > tag:
			return 1
		}
		return 0
	})
	return ok && c.Members[at].Votes
}

// inTurn puts tags into the order in which they propose in an epoch.
func (k *closer) inTurn(s *scalarMethod, epoch uint32, tags []uint64) {
	rank := func(tag uint64) uint64 {
		w := philox.Block(s.cfg.RunSeed, [4]uint32{uint32(tag), uint32(tag >> 32), epoch, philox.Turns})
		return uint64(w[1])<<32 | uint64(w[0])
	}
	slices.SortFunc(tags, func(a, b uint64) int {
		if rank(a) < rank(b) {
			return -1
		}
		return 1
	})
}

// present lists who has records of the first epoch, in the order in which they propose: nodes that have heard the same agree about it.
func (k *closer) present(s *scalarMethod) (tags []uint64) {
	for _, e := range s.replica.Set().Vector() {
		tags = append(tags, e.Peer)
	}
	k.inTurn(s, 0, tags)
	return tags
}

// mayVote reports whether ballots of an author about the open epoch are to be kept.
func (k *closer) mayVote(s *scalarMethod, tag uint64) bool {
	if s.replica.Closed() == 0 {
		return s.kept.admits(tag, s.cfg.Peers)
	}
	return slices.Contains(k.voters, tag)
}

// complete reports whether a log has all records of the open epoch that it may have.
func (k *closer) complete(s *scalarMethod, tag uint64, end uint64) bool {
	first, _ := s.replica.Set().InEpoch(tag, s.replica.Closed())
	return end > first && (end-first >= uint64(s.cfg.PerEpoch) || end >= s.cfg.Records)
}

// look notes how far the epoch is, and reports whether it is time to close it.
func (k *closer) look(c *Core, s *scalarMethod) (ripe bool) {
	set, epoch := s.replica.Set(), s.replica.Closed()
	if k.fullAt == 0 && k.changed {
		full := make(map[uint64]bool)
		for _, e := range set.Vector() {
			if _, end := set.InEpoch(e.Peer, epoch); k.mayVote(s, e.Peer) && k.complete(s, e.Peer, end) {
				full[e.Peer] = true
			}
		}
		if k.machine.Quorum(len(full)) {
			k.fullAt, k.full = c.now, full
		}
	}
	return k.fullAt != 0 && c.now >= k.fullAt+k.grace() || k.late(c)
}

func (k *closer) grace() Instant { return (k.fullAt - k.since) / graceOf }

// late reports whether the epoch takes too long, or nothing new comes.
func (k *closer) late(c *Core) bool {
	at := k.lateAt()
	return at != 0 && c.now >= at
}

// lateAt is when the epoch takes too long, or nothing new has come for too long; 0 is never, as there is nothing to close.
func (k *closer) lateAt() (at Instant) {
	if len(k.leaves) > 0 {
		at = max(k.newAt, k.since) + leaveQuiet
	}
	if k.newAt != 0 {
		at = sooner(at, k.newAt+quietFor)
		if k.typical != 0 {
			at = sooner(at, k.since+2*k.typical+2*Second)
		}
	}
	return at
}

// close does what there is to do about closing epochs. It is called whenever something has happened.
func (s *scalarMethod) close(c *Core) {
	k := s.closer
	if k == nil || k.acting || s.phase == scalarClosing {
		return
	}
	k.acting = true
	defer func() { k.acting = false }()
	for {
		if k.proven != nil {
			if s.closeBy(c, k.proven) {
				continue
			}
			break
		}
		ripe := k.look(c, s)
		if (ripe || k.machine.Stirred()) && !k.machine.Begun() {
			k.machine.Begin(int64(c.now))
			k.askAt = c.now + s.cfg.BatchEvery
		}
		s.judge(c)
		k.changed = false
		if ripe {
			s.offer(c)
		}
		s.cast(c, k.machine.Advance(int64(c.now)))
		v, round, ok := k.machine.Decided()
		if !ok {
			break
		}
		k.patient += (2*(c.now-Instant(k.machine.Began())) - k.patient) / 4
		k.proven = k.certificate(v, round)
		s.keepCertificate(c, k.proven)
	}
	if k.leaveBy != 0 {
		s.leaveEpochs(c)
	}
}

// closeBy closes the open epoch by a certificate, and reports whether it could.
func (s *scalarMethod) closeBy(c *Core, cert *gossip.Certificate) bool {
	k := s.closer
	for _, b := range cert.Closing.Bans {
		if s.banOf(b.Tag) > b.Seq && !s.banAgreed(b) {
			return false
		}
	}
	ends := vectorOf(cert.Closing.Ends())
	missing, err := s.replica.Close(ends)
	if err != nil {
		s.exchange.snapshot = true // somebody else can tell what comes of it
		k.proven = nil
		return false
	}
	if len(missing) > 0 {
		s.fetchMissing(c, missing)
		return false
	}
	s.replica.SetClip(cert.Closing.Clip)
	if k.fullAt != 0 {
		took := k.fullAt - k.since
		if k.typical == 0 {
			k.typical = took
		}
		k.typical += (took - k.typical) / 4
	}
	k.history = append(k.history, closedEpoch{ends, cert.Closing.Clip})
	k.remember(cert)
	k.open(s, c.now)
	s.dirty = true
	c.observe(Stat{Kind: StatClosed, Value: float64(cert.Closing.Epoch), Text: countOf(len(cert.Ballots))})
	s.goOn(c)
	return true
}

// banAgreed takes a ban that is agreed, and reports whether it could. The proof, if this node lacks it, is for others to give.
func (s *scalarMethod) banAgreed(b gossip.Place) bool {
	if err := s.replica.Ban(b.Tag, b.Seq); err != nil {
		s.exchange.snapshot = true
		return false
	}
	s.dirty = true
	return true
}

// remember takes a certificate as the last one.
func (k *closer) remember(cert *gossip.Certificate) {
	k.members = cert.Closing.Members
	k.certs = append(k.certs, cert)
	if n := len(k.certs) - keptCertificates; n > 0 {
		k.certs = slices.Delete(k.certs, 0, n)
	}
}

// begin goes on from a snapshot that came with a certificate.
func (k *closer) begin(c *Core, s *scalarMethod, cert *gossip.Certificate) {
	again := k.last() != nil && k.last().Closing.Epoch == cert.Closing.Epoch
	k.history, k.certs = nil, nil
	k.remember(cert)
	s.keepCertificate(c, cert)
	if k.changed = true; !again { // else what was voted about the open epoch still is
		k.open(s, c.now)
	}
}

// last is the certificate of the last closed epoch; nil before the first.
func (k *closer) last() *gossip.Certificate {
	if len(k.certs) == 0 {
		return nil
	}
	return k.certs[len(k.certs)-1]
}

// own is how many records of the node count in closed epochs, as its ballots say.
func (k *closer) own(tag uint64) uint64 {
	for _, m := range k.members {
		if m.Tag == tag {
			return m.Next
		}
	}
	return 0
}

// next is when close has something to do although nothing comes; 0 is never.
func (k *closer) next() Instant {
	at := sooner(k.askAt, k.leaveBy)
	if k.proven != nil {
		return at
	}
	at = sooner(at, Instant(k.machine.Next()))
	if k.machine.Begun() {
		return at
	}
	if k.fullAt != 0 {
		at = sooner(at, k.fullAt+k.grace())
	}
	return sooner(at, k.lateAt())
}

// noteNew notes that a record has come or was made.
func (s *scalarMethod) noteNew(c *Core) {
	if k := s.closer; k != nil {
		k.newAt, k.changed = c.now, true
	}
}

// noteChange notes that there is another reason to look at proposals again.
func (s *scalarMethod) noteChange() {
	if s.closer != nil {
		s.closer.changed = true
	}
}

// waits reports whether the node has made all its records of the open epoch.
func (s *scalarMethod) waits() bool {
	if s.closer == nil {
		return false
	}
	place, ok := s.replica.Next(s.tag, 0)
	if s.closer.proven != nil || place.Epoch > s.replica.Closed() {
		return true
	}
	return !ok && place.Seq < s.cfg.Records && s.banOf(s.tag) > place.Seq
}
