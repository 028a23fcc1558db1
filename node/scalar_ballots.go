package node

import (
	"bytes"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
	"starling/node/agree"
)

// ballotKey tells ballots about an epoch apart. One that leaves has step 0.
type ballotKey struct {
	step  agree.Step
	round uint32
	voter uint64
	value agree.Value
}

func voteOf(b *gossip.Ballot, voter uint64) agree.Vote {
	return agree.Vote{Voter: voter, Step: agree.Step(b.Step), Round: b.Round, Value: agree.Value(b.Value), Lock: b.Lock}
}

func keyOf(v agree.Vote) ballotKey { return ballotKey{v.Step, v.Round, v.Voter, v.Value} }

// checkBallot judges a ballot without looking at anything that changes.
func (s *scalarMethod) checkBallot(b *gossip.Ballot) gossip.Verdict {
	if !s.cfg.Closed || b.Own > s.cfg.Records || b.Closing != nil && len(b.Closing.Members) > int(s.cfg.Peers) {
		return reject(gossip.ReasonMalformed)
	}
	return accepted
}

// ballot takes what somebody has voted.
func (s *scalarMethod) ballot(c *Core, from PeerID, msg *gossip.Message, b *gossip.Ballot) {
	k := s.closer
	if msg.Author == c.cfg.Self {
		s.ownBallot(b)
		return
	}
	c.admit(msg, true)
	tag := gossip.Tag(c.cfg.Run, msg.Author)
	switch open := s.replica.Closed(); {
	case b.Epoch > open:
		s.ask(c, from)
		return
	case b.Epoch < open, !k.mayVote(s, tag), open > 0 && b.Own != k.own(tag), open == 0 && b.Own > 0:
		return
	}
	s.kept.log(tag) // or strangers could vote without number about the first epoch
	if b.Step == gossip.StepLeave {
		k.leaves[tag] = msg
		return
	}
	v := voteOf(b, tag)
	other, conflict, news := k.machine.Add(v)
	if conflict {
		s.votedTwice(c, msg, other)
	}
	if !news {
		return
	}
	k.ballots[keyOf(v)] = msg
	if b.Closing != nil && k.closings[v.Value] == nil {
		k.closings[v.Value] = b.Closing
		k.machine.Know(v.Value)
	}
}

// votedTwice convicts somebody of two ballots for different things.
func (s *scalarMethod) votedTwice(c *Core, msg *gossip.Message, other agree.Vote) {
	k := s.closer
	about := ballotKey{other.Step, other.Round, other.Voter, agree.Value{}}
	had := k.ballots[keyOf(other)]
	if had == nil || k.twice[about] {
		return
	}
	k.twice[about] = true
	if first, ok := gossip.Equivocation(had, msg); ok && s.convict(c, msg.Author, &gossip.Proof{A: had, B: msg}, first) {
		s.accuseLater(c, other.Voter)
	}
}

// ownBallot takes a ballot of the node's own that others have. If it knows nothing of it, its home is an old copy, and it votes no more
// about that epoch: it could contradict itself.
func (s *scalarMethod) ownBallot(b *gossip.Ballot) {
	k := s.closer
	open := s.replica.Closed()
	if b.Epoch < open || b.Epoch < k.abstain {
		return
	}
	if b.Epoch == open {
		if b.Step == gossip.StepLeave || k.ballots[keyOf(voteOf(b, s.tag))] != nil {
			return
		}
		k.machine.Hush()
	}
	if k.voted == nil || k.voted.epoch != b.Epoch { // else it will know, when it comes to that epoch
		k.abstain = b.Epoch + 1
	}
}

// cast gives the node's votes: they are durable before they are sent.
func (s *scalarMethod) cast(c *Core, votes []agree.Vote) {
	k := s.closer
	for _, v := range votes {
		b := &gossip.Ballot{
			Step: gossip.BallotStep(v.Step), Epoch: s.replica.Closed(), Round: v.Round, Own: k.own(s.tag), Value: v.Value, Lock: v.Lock,
		}
		if v.Step == agree.Propose {
			b.Closing = k.closings[v.Value]
		}
		msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.number(), Body: b}
		k.ballots[keyOf(v)] = msg
		c.out.Publish = append(c.out.Publish, msg)
	}
	if len(votes) > 0 {
		s.keepVotes(c)
	}
}

// certificate makes the proof of a decision.
func (k *closer) certificate(v agree.Value, round uint32) *gossip.Certificate {
	cert := &gossip.Certificate{Closing: k.closings[v]}
	for key, m := range k.ballots { // order-free: sorted below
		if key.step == agree.Precommit && key.round == round && key.value == v && votesIn(cert.Closing, key.voter) {
			cert.Ballots = append(cert.Ballots, m)
		}
	}
	slices.SortFunc(cert.Ballots, func(a, b *gossip.Message) int { return bytes.Compare(a.Author[:], b.Author[:]) })
	return cert
}

// proves reports whether a certificate is one: more than two thirds of those with a vote have given theirs. If the epoch is the open one,
// it is known who has a vote; else what the closing itself says has to do.
func (s *scalarMethod) proves(cert *gossip.Certificate) bool {
	if !cert.Proves() || cert.Ballots[0].Run != s.run.Run || len(cert.Closing.Members) > int(s.cfg.Peers) {
		return false
	}
	total := 0
	open := cert.Closing.Epoch == s.replica.Closed()
	for _, m := range cert.Closing.Members {
		if m.Votes {
			total++
		}
		if open && cert.Closing.Epoch > 0 && m.Votes != slices.Contains(s.closer.voters, m.Tag) {
			return false
		}
	}
	switch {
	case cert.Closing.Epoch == 0:
		total = int(s.cfg.Peers)
	case open:
		total = len(s.closer.voters)
	}
	given := 0
	for _, m := range cert.Ballots {
		if votesIn(cert.Closing, gossip.Tag(s.run.Run, m.Author)) {
			given++
		}
	}
	return 3*given > 2*total
}

// certified takes a certificate that somebody else has.
func (s *scalarMethod) certified(c *Core, from PeerID, cert *gossip.Certificate) {
	k := s.closer
	if cert.Closing.Epoch != s.replica.Closed() || k.proven != nil {
		return
	}
	if !s.proves(cert) {
		c.mark(c.member(from), scoreCorrupt, "its certificate proves nothing")
		return
	}
	k.proven = cert
	s.keepCertificate(c, cert)
	s.close(c)
	if s.replica.Closed() > cert.Closing.Epoch {
		s.ask(c, from) // there may be more
	}
}

// ask tells a peer where this node stands, not too often.
func (s *scalarMethod) ask(c *Core, id PeerID) {
	if k := s.closer; c.now >= k.toldAt+Second/5 && connectedTo(c, id) {
		k.toldAt = c.now
		c.send(id, s.standing(false), nil)
	}
}

// askAgain has a random peer say what this node misses while an epoch is being closed.
func (s *scalarMethod) askAgain(c *Core) {
	k := s.closer
	if k == nil || k.askAt == 0 || c.now < k.askAt {
		return
	}
	k.askAt = 0
	if to := connected(c, 1); len(to) > 0 && (k.machine.Begun() || k.proven != nil) {
		c.send(to[0], s.standing(false), nil)
	}
	if k.machine.Begun() || k.proven != nil {
		half := int64(s.cfg.BatchEvery / 2)
		k.askAt = c.now + Instant(half+c.cfg.Rand.Int64N(half+1))
	}
}

// standing says what this node knows about closing the open epoch.
func (s *scalarMethod) standing(reply bool) *gossip.Standing {
	k := s.closer
	st := &gossip.Standing{Epoch: s.replica.Closed(), Reply: reply}
	for tag := range k.leaves { // order-free: sorted below
		st.Leaves = append(st.Leaves, tag)
	}
	slices.Sort(st.Leaves)
	for _, r := range k.machine.Rounds() {
		for _, p := range k.machine.Polled(r) {
			st.Polled = append(st.Polled, gossip.Polled{Round: r, Value: p.Value, Proposal: p.Proposed, Prevotes: p.Prevotes, Precommits: p.Precommits})
		}
	}
	st.Polled = st.Polled[max(0, len(st.Polled)-gossip.MaxPolled):]
	return st
}

// stands answers a peer that says where it stands.
func (s *scalarMethod) stands(c *Core, from PeerID, st *gossip.Standing) {
	k := s.closer
	k.asked[from]++
	if k.asked[from] > scalar.MaxMessages {
		return
	}
	own := s.standing(true)
	switch {
	case st.Epoch < own.Epoch:
		s.giveCertificates(c, from, st.Epoch)
	case st.Epoch > own.Epoch:
		if !st.Reply {
			c.send(from, own, nil)
		}
	default:
		for part := range slices.Chunk(s.ballotsWithout(st), maxRepair) {
			c.send(from, &gossip.Repair{}, slices.Clone(part))
		}
		if !st.Reply && beyond(st, own) {
			c.send(from, own, nil)
		}
	}
}

// ballotsWithout lists the ballots of this node that a standing lacks, those of proposals first.
func (s *scalarMethod) ballotsWithout(st *gossip.Standing) (out []*gossip.Message) {
	k := s.closer
	add := func(v agree.Vote, have bool) {
		if m := k.ballots[keyOf(v)]; m != nil && !have && len(out) < maxGiven*maxRepair {
			out = append(out, m)
		}
	}
	for _, r := range k.machine.Rounds() {
		for _, p := range k.machine.Polled(r) {
			theirs := &gossip.Polled{}
			for i := range st.Polled {
				if st.Polled[i].Round == r && st.Polled[i].Value == p.Value {
					theirs = &st.Polled[i]
				}
			}
			for _, o := range k.machine.Proposals(r) {
				if o.Value == p.Value {
					add(o, theirs.Proposal)
				}
			}
			for _, t := range p.Prevotes {
				add(agree.Vote{Voter: t, Step: agree.Prevote, Round: r, Value: p.Value}, contains(theirs.Prevotes, t))
			}
			for _, t := range p.Precommits {
				add(agree.Vote{Voter: t, Step: agree.Precommit, Round: r, Value: p.Value}, contains(theirs.Precommits, t))
			}
		}
	}
	for _, tag := range s.standing(false).Leaves {
		if !contains(st.Leaves, tag) && k.leaves[tag] != nil {
			out = append(out, k.leaves[tag])
		}
	}
	return out
}

func contains(tags []uint64, tag uint64) bool {
	_, ok := slices.BinarySearch(tags, tag)
	return ok
}

// beyond reports whether a standing has something that another lacks.
func beyond(a, b *gossip.Standing) bool {
	less := func(x, y []uint64) bool {
		return slices.ContainsFunc(x, func(t uint64) bool { return !contains(y, t) })
	}
	return less(a.Leaves, b.Leaves) || slices.ContainsFunc(a.Polled, func(x gossip.Polled) bool {
		at := slices.IndexFunc(b.Polled, func(y gossip.Polled) bool { return x.Round == y.Round && x.Value == y.Value })
		if at < 0 {
			return true
		}
		y := b.Polled[at]
		return x.Proposal && !y.Proposal || less(x.Prevotes, y.Prevotes) || less(x.Precommits, y.Precommits)
	})
}

// maxCertificates is how many a peer that is behind gets at a time.
const maxCertificates = 8

// giveCertificates sends a peer those of the epochs from the one on that it has open; or, if it is too far behind for that, the news that
// there is a snapshot.
func (s *scalarMethod) giveCertificates(c *Core, to PeerID, from uint32) {
	k := s.closer
	given := 0
	for _, cert := range k.certs {
		if cert.Closing.Epoch >= from && given < maxCertificates {
			if given == 0 && cert.Closing.Epoch > from {
				break
			}
			c.send(to, cert, nil)
			given++
		}
	}
	if given == 0 && once(&s.exchange.offered, to) {
		s.offerSnapshot(c, to)
	}
}

// leaveEpochs says that the node leaves, and reports that it has left when an epoch was closed that says so, or that takes too long.
func (s *scalarMethod) leaveEpochs(c *Core) {
	k := s.closer
	if c.now < k.leaveBy && slices.Contains(k.voters, s.tag) {
		s.sayLeave(c)
		return
	}
	k.leaveBy = 0
	s.goAway(c)
}

// sayLeave says, once in an epoch, that the node wants no vote any more.
func (s *scalarMethod) sayLeave(c *Core) {
	k := s.closer
	if k.leaves[s.tag] != nil {
		return
	}
	b := &gossip.Ballot{Step: gossip.StepLeave, Epoch: s.replica.Closed(), Own: k.own(s.tag)}
	msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.number(), Body: b}
	k.leaves[s.tag] = msg
	c.out.Publish = append(c.out.Publish, msg)
}

// mustWait reports whether the node is to wait, before it leaves, until its vote is taken away: those that it is connected to have not
// enough votes without it, and with it they have. Others are told, and it goes.
func (s *scalarMethod) mustWait(c *Core) bool {
	k := s.closer
	if k == nil || !slices.Contains(k.voters, s.tag) {
		return false
	}
	up := 1
	for _, m := range c.roster.sorted() {
		if m.up && slices.Contains(k.voters, gossip.Tag(c.cfg.Run, m.id)) {
			up++
		}
	}
	s.sayLeave(c)
	return k.machine.Quorum(up) && !k.machine.Quorum(up-1)
}
