package sim

import (
	"starling/gossip"
	"starling/node"
	"starling/sim/chance"
	"starling/sim/mesh"
)

// A parcel is a message under way from one node to another.
type parcel struct {
	from, to int32
	life     uint32 // of the receiver, when it was sent
	traffic  Traffic
	bytes    int64

	msg  *gossip.Message   // what it carries: one message,
	more []*gossip.Message // or several,
	rpc  mesh.RPC          // or a record of a mesh
	pull *pull             // or a request for a blob, or the blob
	blob *blob             // of msg, kept while it is under way

	topic *topic
	ends  [2]int32 // numbers of sender and receiver in the topic
}

// parcel returns an empty parcel.
func (w *World) parcel(from, to int, t Traffic, bytes int64) *parcel {
	var p *parcel
	if last := len(w.parcels) - 1; last >= 0 {
		p, w.parcels = w.parcels[last], w.parcels[:last]
	} else {
		p = new(parcel)
	}
	*p = parcel{from: int32(from), to: int32(to), life: w.hosts[to].life, traffic: t, bytes: bytes, more: p.more[:0]}
	return p
}

// empty lets go of what a parcel carries and keeps it for later.
func (w *World) empty(p *parcel) {
	w.blobs.drop(p.blob)
	clear(p.more)
	*p = parcel{more: p.more[:0]}
	w.parcels = append(w.parcels, p)
}

// word draws what happens to one message on one link: a function of the link and the time, so that no other link changes it.
type word struct{ state uint64 }

// Uint64 returns the next random word (SplitMix64).
func (s *word) Uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// luck returns the source of what chance does to a message of a kind on a link now.
func (w *World) luck(from, to int, t Traffic) word {
	key := chance.Pair(w.linkKey, from, to)
	if from > to {
		key = ^key
	}
	return word{key ^ uint64(w.now)*0x9e3779b97f4a7c15 ^ uint64(t)<<56}
}

// send puts a parcel on its way.
func (w *World) send(p *parcel) {
	from, to := int(p.from), int(p.to)
	w.counts.sent(p)
	luck := w.luck(from, to, p.traffic)
	net := &w.cfg.Network
	if net.Loss != nil && !net.Loss.Zero() && p.traffic.losable(p) && net.Loss.Lost(w.now, from, to, &luck) {
		w.links.Send(w.now, from, p.bytes)
		w.counts.lost(p)
		w.gone(p)
		return
	}
	at := w.links.Send(w.now, from, p.bytes) + w.flight(from, to, &luck)
	if p.topic != nil && net.Jitter != nil && !net.Jitter.Zero() {
		// What two nodes of a mesh tell each other goes over one stream, which keeps the order.
		key := [2]int32{p.from, p.to}
		at = max(at, w.ordered[key])
		w.ordered[key] = at
	}
	w.queue.push(w.now, at, event{kind: arrived, parcel: p})
}

// flight is the time that a message needs from one node to another, beside that on their links.
func (w *World) flight(from, to int, luck *word) node.Instant {
	var d node.Instant
	if l := w.cfg.Network.Latency; l != nil {
		d = l.Between(from, to)
	}
	if j := w.cfg.Network.Jitter; j != nil && !j.Zero() {
		d += j.Draw(luck)
	}
	return d
}

// cut reports whether two nodes cannot talk at present, though both may be online.
func (w *World) cut(a, b int) bool {
	net := &w.cfg.Network
	return (net.Partitions != nil && net.Partitions.Cut(w.now, a, b)) || (net.NAT != nil && !net.NAT.Connectable(a, b))
}

// arrive takes a parcel that has reached its receiver, whose downlink may be busy.
func (w *World) arrive(p *parcel) {
	h := &w.hosts[p.to]
	if !h.online || h.life != p.life || w.cut(int(p.from), int(p.to)) {
		w.drop(p)
		return
	}
	if at := w.links.Receive(w.now, int(p.from), int(p.to), p.bytes); at > w.now {
		w.queue.push(w.now, at, event{kind: taken, parcel: p})
		return
	}
	w.take(p)
}

func (w *World) drop(p *parcel) {
	w.counts.dropped(p)
	w.gone(p)
}

// gone ends a parcel that does not arrive.
func (w *World) gone(p *parcel) {
	if p.pull != nil {
		w.pullFailed(p.pull)
	}
	w.empty(p)
}

// take hands a parcel to its receiver. A blob comes here from its stream: for it alone nobody has looked whether the network let
// it through.
func (w *World) take(p *parcel) {
	h := &w.hosts[p.to]
	if !h.online || h.life != p.life || (p.traffic == BlobTraffic && w.cut(int(p.from), int(p.to))) {
		w.drop(p)
		return
	}
	w.counts.delivered(p)
	from := &w.hosts[p.from]
	switch {
	case p.pull != nil && p.traffic == RequestTraffic:
		w.serve(p.pull)
	case p.pull != nil:
		w.pulled(p.pull)
	case p.topic != nil:
		p.topic.receive(w, h, from, p)
	case p.msg != nil:
		w.deliver(h, from, p.msg)
	default:
		for _, m := range p.more {
			w.deliver(h, from, m)
		}
	}
	w.empty(p)
}

// deliver judges a message as the daemon would, and gives it to the core.
func (w *World) deliver(h, from *host, m *gossip.Message) bool {
	if !h.online || h.core.Check(m).Decision != gossip.Accept {
		w.counts.refused++
		return false
	}
	w.step(h, node.Received{From: from.id, Msg: m})
	return true
}

// mail sends a direct message, with the broadcast messages it passes on. Own ones beyond number said are new.
func (w *World) mail(h *host, e *node.Envelope, said uint64) {
	var to *host
	if e.To == (gossip.PeerID{}) {
		to = w.anybody(h)
	} else {
		to = w.host(e.To)
	}
	if to == nil || to == h {
		return
	}
	msg := h.says(to.index, e.Msg)
	if msg == nil {
		return
	}
	p := w.parcel(h.index, to.index, DigestTraffic, 0)
	if _, ok := msg.Body.(*gossip.Repair); !ok {
		if s, ok := msg.Body.(*gossip.Snapshot); ok && s.Whole {
			p.traffic = SnapshotTraffic
		}
		p.msg = msg
		p.bytes = int64(gossip.SealedSize(msg, false)) + directFrame
		w.send(p)
		return
	}
	p.traffic = RepairTraffic
	if e.To == (gossip.PeerID{}) {
		p.traffic = PushTraffic
	}
	limits := gossip.DefaultLimits()
	size, sizes := repairSlack, w.sizes[:0]
	for _, m := range e.Forward {
		if m = h.says(to.index, m); m == nil {
			continue
		}
		n := gossip.SealedSize(m, false)
		if size += n + repairEntry; size > limits.MaxDirect || len(p.more) == limits.MaxRepair {
			break
		}
		p.more, sizes = append(p.more, m), append(sizes, n)
		if m.Author == h.id && m.Seq > said {
			p.traffic = spreadTraffic(m, p.traffic)
		}
		if u, ok := m.Body.(*gossip.Update); ok && m.Author == h.id {
			w.witness(h, u)
			if b := w.blobs.find(u.Blob); u.Inline == nil && b != nil && w.cfg.pushes() {
				b.uses++
				p.blob = b
			}
		}
	}
	w.sizes = sizes
	if len(p.more) == 0 {
		w.empty(p)
		return
	}
	p.bytes = int64(gossip.SealedSize(msg, false, sizes...)) + directFrame
	w.send(p)
}

// spreadTraffic is the kind of what a node tells one after the other instead of publishing it; otherwise it is that of other repairs.
func spreadTraffic(m *gossip.Message, other Traffic) Traffic {
	switch m.Body.(type) {
	case *gossip.Delta:
		return UpdateTraffic
	case *gossip.Records:
		return RecordTraffic
	}
	return other
}

// What the daemon's direct messages need beside the sealed message, and its bounds on repairs: see node/daemon.
const (
	directFrame = int64(4 + len(gossip.ProtocolDirect) + 2)
	repairSlack = 256
	repairEntry = 8
)

// anybody picks a peer that the node is connected to, or nil.
func (w *World) anybody(h *host) *host {
	if w.anyone {
		for range min(64, 64*(len(w.hosts)-1)) { // and never alone
			n := int(chance.Below(h.pick.Uint64(), uint64(len(w.hosts)-1)))
			if n >= h.index {
				n++
			}
			if o := &w.hosts[n]; o.online && !w.cut(h.index, n) {
				return o
			}
		}
		return nil
	}
	up := 0
	for i := range h.links {
		if h.links[i].up {
			up++
		}
	}
	if up == 0 {
		return nil
	}
	n := int(chance.Below(h.pick.Uint64(), uint64(up)))
	for i := range h.links {
		if h.links[i].up {
			if n == 0 {
				return &w.hosts[h.links[i].peer]
			}
			n--
		}
	}
	return nil
}
