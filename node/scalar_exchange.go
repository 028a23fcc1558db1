package node

import (
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// exchange is how two nodes find out what records they do not share.
type exchange struct {
	at       Instant // when the next one begins
	gapAt    Instant // when batches that wait for others give cause to ask for these; 0 is never
	count    int     // of those that this node has begun
	turns    map[PeerID]int
	vectors  map[PeerID]scalar.Vector // what peers have said since the last one that they have: what they may want a digest of
	offered  map[PeerID]bool          // who was told since then that there is a snapshot
	given    map[PeerID]bool          // who was given one
	theirs   scalar.Vector            // what the last peer said it has that told this node
	missing  uint64                   // records that another node had and this one did not, when that was last heard
	snapshot bool                     // records that others undo are known here by their sum alone
}

const (
	// In every so many exchanges fingerprints of the records are compared in place of their number: only that finds out that somebody shows
	// different records of the same number to different nodes.
	fingerprintEvery = 4
	// Runs of more logs than this do not list them all.
	maxListed = 64
	// maxGiven is how many repairs a question gets as an answer.
	maxGiven = 4
	// maxFetched is how many ranges a fetch asks for.
	maxFetched = 256
)

// admit reports whether a peer is to be answered: it has not asked too often since the node's last exchange.
func (e *exchange) admit(from PeerID) bool {
	if e.turns == nil {
		e.turns = make(map[PeerID]int)
	}
	e.turns[from]++
	return e.turns[from] <= scalar.MaxMessages
}

// schedule sets the time of the next exchange, such that nodes do not fall into step.
func (s *scalarMethod) schedule(c *Core) {
	half := int64(s.cfg.ExchangeEvery / 2)
	s.exchange.at = c.now + Instant(half+c.cfg.Rand.Int64N(2*half+1))
}

// met greets a peer that came up: a newcomer learns at once what there is.
func (s *scalarMethod) met(c *Core, id PeerID) {
	if c.greeted < maxGreeted {
		c.greeted++
		s.tellDigest(c, id)
		if s.closer != nil {
			c.send(id, s.standing(false), nil)
		}
	}
}

// connected picks up to n members at random to which the node is connected, and none of those to be left out.
func connected(c *Core, n int, without ...PeerID) []PeerID {
	var up []PeerID
	for _, m := range c.roster.sorted() {
		if m.up && !slices.Contains(without, m.id) {
			up = append(up, m.id)
		}
	}
	c.cfg.Rand.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	return up[:min(n, len(up))]
}

func (s *scalarMethod) beginExchange(c *Core) {
	e := &s.exchange
	clear(e.turns)
	clear(e.vectors)
	clear(e.offered)
	clear(e.given)
	c.greeted = 0
	to := connected(c, 1)
	if len(to) == 0 {
		return
	}
	if s.closer != nil {
		clear(s.closer.asked)
		c.send(to[0], s.standing(false), nil)
	}
	e.count++
	switch {
	case s.join.busy():
	case e.snapshot:
		s.begin(c, to[0])
	case e.count%fingerprintEvery == 0:
		s.tellRanges(c, to[0], s.replica.Set().Begin(), false)
	default:
		s.tellDigest(c, to[0])
	}
	if next := s.replica.Set().Next(s.tag); s.behind(c) {
		first := max(next, 1) - 1
		s.fetch(c, to[0], []scalar.Range{{Peer: s.tag, First: first, End: max(next, s.own.elsewhere, 1)}})
	}
}

// shared is the version vector of the records that others can have: without the batch that is still open.
func (s *scalarMethod) shared() scalar.Vector {
	v := s.replica.Set().Vector()
	if s.own.open == nil {
		return v
	}
	if at, ok := v.Find(s.tag); ok && v[at].Next > s.own.open.First {
		if v[at].Next = s.own.open.First; v[at].Next == 0 {
			v = slices.Delete(v, at, at+1)
		}
	}
	return v
}

func (s *scalarMethod) tellDigest(c *Core, to PeerID) {
	v := s.shared()
	c.send(to, &gossip.Known{
		Form: gossip.FormDigest, VectorDigest: v.Digest(), BansDigest: s.replica.Set().Bans().Digest(), Count: v.Count(),
	}, nil)
}

func (s *scalarMethod) tellRanges(c *Core, to PeerID, m scalar.Message, reply bool) {
	form, _ := m.AppendBinary(nil)
	c.send(to, &gossip.Known{Form: gossip.FormRanges, Reply: reply, Ranges: form}, nil)
}

func (s *scalarMethod) tellPlaces(c *Core, to PeerID, form gossip.KnownForm, v scalar.Vector, reply bool) {
	k := &gossip.Known{Form: form, Reply: reply}
	for _, e := range v[:min(len(v), gossip.DefaultLimits().MaxKnown)] {
		k.Places = append(k.Places, gossip.Place{Tag: e.Peer, Seq: e.Next})
	}
	c.send(to, k, nil)
}

func vectorOf(places []gossip.Place) scalar.Vector {
	v := make(scalar.Vector, len(places))
	for i, p := range places {
		v[i] = scalar.Entry{Peer: p.Tag, Next: p.Seq}
	}
	return v
}

// upTo is what a list of another node can be compared with: if it is as long as lists may be, it says nothing of what is behind its end.
func upTo(own, theirs scalar.Vector) scalar.Vector {
	if len(theirs) < gossip.DefaultLimits().MaxKnown {
		return own
	}
	last := theirs[len(theirs)-1].Peer
	at, there := own.Find(last)
	if there {
		at++
	}
	return own[:at]
}

// told answers what a peer says it has, see the wire format.
func (s *scalarMethod) told(c *Core, from PeerID, k *gossip.Known) {
	switch k.Form {
	case gossip.FormDigest:
		s.toldDigest(c, from, k)
	case gossip.FormVector:
		s.toldVector(c, from, vectorOf(k.Places), k.Reply)
	case gossip.FormRanges:
		m, err := scalar.ParseMessage(k.Ranges)
		if err != nil {
			return
		}
		answer, err := s.replica.Set().Reconcile(m)
		if err != nil {
			return
		}
		if len(answer.Message) > 0 {
			s.tellRanges(c, from, answer.Message, true)
		}
		s.give(c, from, append(answer.Give, answer.Differing...), len(answer.Give) > 0)
	case gossip.FormBans:
		s.toldBans(c, from, vectorOf(k.Places), k.Reply)
	}
}

func (s *scalarMethod) toldDigest(c *Core, from PeerID, k *gossip.Known) {
	set := s.replica.Set()
	v := s.shared()
	if k.BansDigest != set.Bans().Digest() {
		s.tellPlaces(c, from, gossip.FormBans, set.Bans(), false)
	}
	switch own := v.Count(); {
	case k.VectorDigest == v.Digest():
		s.settling.told(from, v)
		s.exchange.missing = 0
		if !s.join.busy() {
			s.joinedBy = 0
		}
		s.goOn(c)
	case s.join.busy():
	case s.farBehind(own, k.Count):
		s.exchange.missing = k.Count - own
		s.begin(c, from)
	case len(v) <= maxListed:
		s.tellPlaces(c, from, gossip.FormVector, v, false)
	default:
		s.tellRanges(c, from, set.Begin(), false)
	}
}

func (s *scalarMethod) toldVector(c *Core, from PeerID, theirs scalar.Vector, reply bool) {
	if s.exchange.vectors == nil {
		s.exchange.vectors = make(map[PeerID]scalar.Vector)
	}
	s.exchange.vectors[from] = theirs
	s.exchange.theirs = theirs
	s.settling.told(from, theirs)
	s.claimed(c, theirs.Next(s.tag))
	own := upTo(s.shared(), theirs)
	s.give(c, from, theirs.Missing(own), true)
	s.exchange.missing = 0
	bans := s.replica.Set().Bans()
	for _, r := range own.Missing(theirs) {
		if voidFrom(bans, r.Peer) > r.First {
			s.exchange.missing += r.Len()
		}
	}
	if s.exchange.missing > 0 && !reply && !s.join.busy() {
		s.tellPlaces(c, from, gossip.FormVector, own, true)
	}
}

func (s *scalarMethod) toldBans(c *Core, from PeerID, theirs scalar.Vector, reply bool) {
	own := upTo(s.replica.Set().Bans(), theirs)
	var give []*gossip.Message
	for _, b := range own {
		if at, there := theirs.Find(b.Peer); (!there || theirs[at].Next > b.Next) && s.proofs[b.Peer] != nil && len(give) < maxRepair {
			give = append(give, &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Seq: c.number(), Body: s.proofs[b.Peer]})
		}
	}
	if len(give) > 0 {
		c.send(from, &gossip.Repair{}, give)
	}
	lacks := slices.ContainsFunc(theirs, func(b scalar.Entry) bool { return voidFrom(own, b.Peer) > b.Next })
	if lacks && !reply {
		s.tellPlaces(c, from, gossip.FormBans, own, true)
	}
}
