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
	if sum, ok := s.sumOf(v); ok {
		c.send(to, s.digest(v, sum), nil)
	}
}

// sumOf is the digest of the sums of a part of the set, if what is beyond it is known record by record.
func (s *scalarMethod) sumOf(v scalar.Vector) ([32]byte, bool) {
	own := s.replica.Set().Vector()
	if len(own.Missing(v)) > 0 {
		return [32]byte{}, false
	}
	sums := scalar.NewAccumulators(s.cfg.K)
	for _, row := range s.replica.Sums().Generations() {
		for k, a := range row.A {
			if sums.Add(row.Generation, uint32(k), a) != nil {
				return [32]byte{}, false
			}
		}
	}
	for _, beyond := range v.Missing(own) {
		n := uint64(0)
		for _, run := range s.replica.Set().Runs(beyond) {
			n += uint64(len(run.Bytes))
			for i, b := range run.Bytes {
				k := s.cfg.Direction(s.replica.Pool(), run.Peer, run.First+uint64(i), run.Epoch)
				if sums.Subtract(s.cfg.Generation(run.Epoch), k, s.cfg.Coefficient(run.Epoch, b)) != nil {
					return [32]byte{}, false
				}
			}
		}
		if n != beyond.Len() {
			return [32]byte{}, false
		}
	}
	return sums.Digest(), true
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
