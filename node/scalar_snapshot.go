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
	s := &scalar.Snapshot{Closed: w.Closed, Bans: vectorOf(w.Bans)}
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
