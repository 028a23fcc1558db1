package sim

import (
	"slices"

	"starling/gossip"
	"starling/node"
	"starling/sim/chance"
)

// wire lays out who is, or would be, connected to whom at the start.
func (w *World) wire() error {
	g := w.cfg.Graph
	if g == nil {
		if w.cfg.Mesh == nil && w.cfg.pushes() && w.cells == 1 {
			w.anyone = true // see anybody
			return nil
		}
		return w.wireCells(0)
	}
	for i, out := range g.Out {
		for _, j := range out {
			if i < j || !g.Has(j, i) {
				w.join(i, j)
			}
		}
	}
	if w.cfg.Mesh == nil {
		return nil
	}
	members := make([]int32, len(w.hosts))
	for i := range members {
		members[i] = int32(i)
	}
	return w.assemble(members, 0)
}

// join makes a link between two nodes, which is not up.
func (w *World) join(a, b int) {
	x, y := &w.hosts[a], &w.hosts[b]
	x.links = append(x.links, link{peer: int32(b), back: int32(len(y.links))})
	y.links = append(y.links, link{peer: int32(a), back: int32(len(x.links) - 1)})
}

// assemble makes the topic of some nodes.
func (w *World) assemble(members []int32, number int) error {
	t, err := w.newTopic(members, number)
	if err != nil {
		return err
	}
	w.topics = append(w.topics, t)
	for local, n := range members {
		w.hosts[n].topic, w.hosts[n].local = t, local
	}
	return nil
}

// wireCells divides the nodes into the cells of an epoch and links the members of each.
func (w *World) wireCells(epoch uint64) error {
	cells := make([][]int32, w.cells)
	for i := range w.hosts {
		c := gossip.Cell(w.hosts[i].id, epoch, w.cells)
		cells[c] = append(cells[c], int32(i))
		w.hosts[i].links = w.hosts[i].links[:0]
	}
	for _, t := range w.topics {
		w.meshSums.add(t.mesh.Stats())
	}
	w.topics = w.topics[:0]
	for c, members := range cells {
		w.connect(members, epoch<<32|uint64(c))
		if w.cfg.Mesh != nil {
			if err := w.assemble(members, int(epoch)*int(w.cells)+c); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect links the members of a cell: all of them, or each to some that it dials.
func (w *World) connect(members []int32, cell uint64) {
	if w.cfg.Dial == 0 || len(members) <= 2*w.cfg.Dial || w.cfg.Mesh == nil {
		for i, a := range members {
			for _, b := range members[:i] {
				w.join(int(b), int(a))
			}
		}
		return
	}
	draw := chance.Stream(w.cfg.Seed^cell, chance.Dial, 0)
	for _, a := range members {
		for dialled := 0; dialled < w.cfg.Dial; {
			b := members[chance.Below(draw.Uint64(), uint64(len(members)))]
			if a == b {
				continue
			}
			dialled++
			if !slices.ContainsFunc(w.hosts[a].links, func(l link) bool { return l.peer == b }) {
				w.join(int(a), int(b))
			}
		}
	}
}

// refresh brings the links of a node up or down, as both ends and the network allow now.
func (w *World) refresh(h *host) {
	for i := range h.links {
		w.refreshLink(h, int32(i))
	}
}

func (w *World) refreshLink(h *host, i int32) {
	l := &h.links[i]
	o := &w.hosts[l.peer]
	up := h.online && o.online && !w.cut(h.index, o.index)
	if up == l.up {
		return
	}
	l.up, o.links[l.back].up = up, up
	if h.topic != nil {
		if up {
			h.topic.mesh.Connect(w.now, h.local, o.local)
		} else {
			h.topic.mesh.Disconnect(w.now, h.local, o.local)
		}
	}
	w.tell(h, o.id, up)
	w.tell(o, h.id, up)
}

// tell says to a core that a peer came or went. Cores that push do not care: they take whom the driver picks.
func (w *World) tell(h *host, peer gossip.PeerID, up bool) {
	switch {
	case !h.online || w.cfg.pushes():
	case up:
		w.step(h, node.PeerUp{Peer: peer})
	default:
		w.step(h, node.PeerDown{Peer: peer})
	}
}

// broadcast sends a message to all members of the run, or of the cell.
func (w *World) broadcast(h *host, m *gossip.Message) {
	if u, ok := m.Body.(*gossip.Update); ok {
		w.witness(h, u)
	}
	if h.topic != nil {
		h.topic.publish(w, h, m)
		return
	}
	size := int64(gossip.SealedSize(m, false))
	for i := range h.links {
		if !h.links[i].up {
			continue
		}
		to := int(h.links[i].peer)
		if said := h.says(to, m); said != nil {
			p := w.parcel(h.index, to, broadcastTraffic(m), size)
			p.msg = said
			w.send(p)
		}
	}
}

// reshuffle begins an epoch: everybody who is online moves to another cell.
func (w *World) reshuffle(epoch uint64) {
	w.epoch = epoch
	for i := range w.hosts {
		h := &w.hosts[i]
		w.hangUp(h)
		h.topic = nil
	}
	if err := w.wireCells(epoch); err != nil {
		panic("sim: internal error: " + err.Error()) // the same configuration has worked before
	}
	for i := range w.hosts {
		if h := &w.hosts[i]; h.online {
			w.enter(h)
		}
	}
	for i := range w.hosts {
		w.refresh(&w.hosts[i])
	}
	w.later(w.cfg.CellEpoch, func() { w.reshuffle(epoch + 1) })
}

// enter brings a node into the cell of the epoch.
func (w *World) enter(h *host) {
	if h.topic != nil {
		h.topic.mesh.Join(w.now, h.local)
	}
	if w.epoch > 0 {
		w.step(h, node.Epoch{Number: w.epoch})
	}
}

// hangUp takes all links of a node down.
func (w *World) hangUp(h *host) {
	if h.topic != nil {
		h.topic.mesh.Crash(w.now, h.local)
	}
	for i := range h.links {
		l := &h.links[i]
		if !l.up {
			continue
		}
		o := &w.hosts[l.peer]
		l.up, o.links[l.back].up = false, false
		w.tell(o, h.id, false)
		w.tell(h, o.id, false)
	}
}
