package node

import (
	"starling/gossip"
	"starling/mixing/scalar"
)

// giveSnapshot answers a peer that wants one, not too often. One that does not fit into a message is not sent.
func (s *scalarMethod) giveSnapshot(c *Core, to PeerID) {
	if s.join.busy() || len(s.replica.Set().Vector()) == 0 || !once(&s.exchange.given, to) {
		return
	}
	if s.closer != nil && (s.closer.last() == nil || !s.asClosed(s.closer.last().Closing)) {
		return
	}
	s.seal(c) // or nobody could confirm it
	snap, err := s.replica.Snapshot()
	if err != nil {
		return
	}
	w := s.toWire(snap)
	msg := &gossip.Message{Run: c.cfg.Run, Author: c.cfg.Self, Body: w}
	if len(w.Tails) > gossip.DefaultLimits().MaxKnown || gossip.SealedSize(msg, false) > gossip.DefaultLimits().MaxDirect {
		return
	}
	c.send(to, w, nil)
}

// giveDigest answers a peer that wants to know whether a sum is right, if this node has all the records of it.
func (s *scalarMethod) giveDigest(c *Core, to PeerID, of [32]byte) {
	if s.closer != nil {
		for _, cert := range s.closer.certs {
			if w := s.closedDigest(cert.Closing); w.VectorDigest == of {
				c.send(to, w, nil)
			}
		}
		return
	}
	v := s.shared()
	if v.Digest() != of {
		if v = s.exchange.vectors[to]; v.Digest() != of {
			return
		}
	}
	if sum, ok := s.replica.DigestAt(v); ok {
		c.send(to, s.digest(v, sum), nil)
	}
}

// closedDigest names the sum that was agreed when an epoch was closed.
func (s *scalarMethod) closedDigest(c *gossip.Closing) *gossip.Snapshot {
	return &gossip.Snapshot{
		Config: s.cfg.ConfigDigest, Base: s.cfg.BaseDigest, Digest: c.Sums,
		VectorDigest: vectorOf(c.Ends()).Digest(), BansDigest: vectorOf(c.Bans).Digest(),
	}
}

// asClosed reports whether the sums here are those that were agreed: no ban has become known since.
func (s *scalarMethod) asClosed(c *gossip.Closing) bool {
	return c.Sums == s.replica.Sums().Digest() && vectorOf(c.Bans).Digest() == s.replica.Set().Bans().Digest()
}

// fits reports whether a snapshot is what its certificate says.
func (s *scalarMethod) fits(w *gossip.Snapshot, snap *scalar.Snapshot) bool {
	if w.Closed == 0 || w.Certificate == nil || w.Certificate.Closing == nil {
		return false // there is nothing that records do not tell as well
	}
	c := w.Certificate.Closing
	if c.Epoch != w.Closed-1 || !s.proves(w.Certificate) || w.Digest != c.Sums || snap.Bans.Digest() != vectorOf(c.Bans).Digest() {
		return false
	}
	ends, tails := vectorOf(c.Ends()), snap.Vector()
	for _, e := range ends {
		if tails.Next(e.Peer) != min(e.Next, voidFrom(snap.Bans, e.Peer)) {
			return false
		}
	}
	return len(tails) <= len(ends)
}

// digest names the sum of a set.
func (s *scalarMethod) digest(v scalar.Vector, sums [32]byte) *gossip.Snapshot {
	return &gossip.Snapshot{
		Config: s.cfg.ConfigDigest, Base: s.cfg.BaseDigest, Digest: sums,
		VectorDigest: v.Digest(), BansDigest: s.replica.Set().Bans().Digest(),
	}
}

func (s *scalarMethod) toWire(snap *scalar.Snapshot) *gossip.Snapshot {
	w := &gossip.Snapshot{
		Config: s.cfg.ConfigDigest, Base: s.cfg.BaseDigest, Digest: s.replica.Sums().Digest(), Whole: true, Closed: snap.Closed,
	}
	if s.closer != nil {
		w.Certificate = s.closer.last()
	}
	for _, t := range snap.Tails {
		w.Tails = append(w.Tails, gossip.Tail{Tag: t.Peer, Next: t.Next, Epoch: t.Epoch, InEpoch: t.InEpoch, Hashes: t.Hashes})
	}
	for _, b := range snap.Bans {
		w.Bans = append(w.Bans, gossip.Place{Tag: b.Peer, Seq: b.Next})
	}
	for _, row := range snap.Sums {
		packed := gossip.PackSums(row.A)
		w.Sums = append(w.Sums, gossip.Sums{
			Generation: row.Generation, Len: uint32(len(row.A)), Packed: gossip.Piece{Inline: packed, Size: uint64(len(packed))},
		})
	}
	return w
}

// fromWire is not ok if sums are not in the message.
func fromWire(w *gossip.Snapshot) (*scalar.Snapshot, bool) {
	s := &scalar.Snapshot{Closed: w.Closed, Clip: scalar.MaxCode, Bans: vectorOf(w.Bans)}
	if w.Certificate != nil {
		s.Clip = w.Certificate.Closing.Clip
	}
	for _, t := range w.Tails {
		s.Tails = append(s.Tails, scalar.Tail{Peer: t.Tag, Next: t.Next, Epoch: t.Epoch, InEpoch: t.InEpoch, Hashes: t.Hashes})
	}
	for i := range w.Sums {
		row, ok := gossip.UnpackSums(w.Sums[i].Packed.Inline, int(w.Sums[i].Len))
		if !ok {
			return nil, false
		}
		s.Sums = append(s.Sums, scalar.Sums{Generation: w.Sums[i].Generation, A: row})
	}
	return s, true
}
