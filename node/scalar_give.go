package node

import (
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// give sends a peer the batches that have the records of ranges, and if they are not all kept and it needs them, the news that there is a
// snapshot.
func (s *scalarMethod) give(c *Core, to PeerID, ranges []scalar.Range, needed bool) {
	var out []*gossip.Message
	offer := false
	for _, r := range ranges {
		r.End = min(r.End, s.replica.Set().Next(r.Peer))
		if r.First >= r.End {
			continue
		}
		if open := s.own.open; r.Peer == s.tag && open != nil && r.End > open.First {
			s.seal(c)
		}
		batches, whole := s.kept.overlapping(r)
		offer = offer || !whole
		for _, m := range batches {
			if m.Author != to {
				out = append(out, m)
			} else if recordsOf(m).First >= r.First {
				out = append(out, m) // of a home that is an old copy
			}
		}
	}
	out = out[:min(len(out), maxGiven*maxRepair)]
	if len(out) > 0 {
		c.observe(Stat{Kind: StatRepaired, Peer: to, Value: float64(len(out))})
	}
	for part := range slices.Chunk(out, maxRepair) {
		c.send(to, &gossip.Repair{}, slices.Clone(part))
	}
	if offer && needed && once(&s.exchange.offered, to) {
		s.offerSnapshot(c, to)
	}
}

// offerSnapshot tells a peer that there is a snapshot.
func (s *scalarMethod) offerSnapshot(c *Core, to PeerID) {
	if s.closer != nil {
		if cert := s.closer.last(); cert != nil && s.asClosed(cert.Closing) {
			c.send(to, s.closedDigest(cert.Closing), nil)
		}
		return
	}
	v := s.shared()
	if sum, ok := s.replica.DigestAt(v); ok {
		c.send(to, s.digest(v, sum), nil)
	}
}

// once reports whether a peer is not in a set, and puts it there.
func once(set *map[PeerID]bool, id PeerID) bool {
	if *set == nil {
		*set = make(map[PeerID]bool)
	}
	was := (*set)[id]
	(*set)[id] = true
	return !was
}

// noteGap takes care that records are asked for that others wait for, unless they come soon.
func (s *scalarMethod) noteGap(c *Core) {
	if s.exchange.gapAt == 0 {
		s.exchange.gapAt = c.now + s.cfg.BatchEvery
	}
}

func (s *scalarMethod) fetchGaps(c *Core) {
	if s.join.busy() || s.joinedBy != 0 {
		return // all that is missing will come
	}
	var missing []scalar.Range
	bans := s.replica.Set().Bans()
	for _, tag := range s.kept.order {
		next := s.replica.Set().Next(tag)
		for _, m := range s.kept.of(tag) {
			if b := recordsOf(m); b.End() > next {
				if b.First > next && voidFrom(bans, tag) > next && len(missing) < maxFetched {
					missing = append(missing, scalar.Range{Peer: tag, First: next, End: b.First})
				}
				break
			}
		}
	}
	if to := connected(c, 1); len(to) > 0 && len(missing) > 0 {
		s.fetch(c, to[0], missing)
	}
}

func (s *scalarMethod) fetch(c *Core, from PeerID, ranges []scalar.Range) {
	f := &gossip.Fetch{Want: gossip.WantRecords}
	for _, r := range ranges {
		f.Ranges = append(f.Ranges, gossip.Range{Tag: r.Peer, First: r.First, End: r.End})
	}
	c.send(from, f, nil)
}

// wanted answers a fetch, or not.
func (s *scalarMethod) wanted(c *Core, from PeerID, f *gossip.Fetch) {
	switch f.Want {
	case gossip.WantRecords:
		var ranges []scalar.Range
		for _, r := range f.Ranges {
			ranges = append(ranges, scalar.Range{Peer: r.Tag, First: r.First, End: r.End})
		}
		s.give(c, from, ranges, true)
	case gossip.WantSnapshot:
		s.giveSnapshot(c, from)
	case gossip.WantDigest:
		s.giveDigest(c, from, f.VectorDigest)
	}
}
