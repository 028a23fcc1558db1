package sim

import "starling/gossip"

// Replicas is how far the nodes of the method scalar that are online agree.
type Replicas struct {
	Nodes     int
	Different int      // sums that there are: 1 if all nodes have heard the same
	Least     uint64   // records that the node knows that knows fewest
	Most      uint64   // and most
	Banned    int      // logs that are cut off, at the node that knows most
	Digest    [32]byte // of the sums of that node
	Model     [32]byte // of its weights
}

// Replicas compares the sums of the nodes. With another method there are none: Nodes is 0.
func (w *World) Replicas() Replicas {
	var r Replicas
	seen := make(map[[32]byte]bool)
	most := -1
	for i := range w.hosts {
		h := &w.hosts[i]
		if !h.online || h.replica == nil {
			continue
		}
		s := h.core.MethodStatus().Scalar
		r.Nodes++
		seen[s.Digest] = true
		if most < 0 || s.Records < r.Least {
			r.Least = s.Records
		}
		if most < 0 || s.Records > r.Most {
			most, r.Most, r.Digest, r.Banned = i, s.Records, s.Digest, s.Banned
		}
	}
	r.Different = len(seen)
	if most >= 0 {
		r.Model = w.hosts[most].replica.Digest()
	}
	return r
}

// broadcastTraffic is the kind of a message to all.
func broadcastTraffic(m *gossip.Message) Traffic {
	switch m.Body.(type) {
	case *gossip.Records, *gossip.Proof:
		return RecordTraffic
	case *gossip.Token:
		return TokenTraffic
	}
	return UpdateTraffic
}
