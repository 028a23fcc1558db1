package mesh

import (
	"cmp"
	"slices"

	"starling/node"
)

// clearing is the number of heartbeats between two clearings of back-offs that have run out.
const clearing = 15

// Heartbeat carries out the heartbeat that a node asked for at this time: it mends the mesh and advertises. A call that
// is no longer due does nothing.
func (t *Topic) Heartbeat(now node.Instant, n int) {
	m := &t.nodes[n]
	if m.armed != now {
		return
	}
	m.armed = 0
	if !m.joined {
		return
	}
	t.stats.Beats++
	if len(m.mesh) < t.cfg.Dlo {
		t.graft(now, n, t.cfg.D-len(m.mesh), anyone)
	}
	if len(m.mesh) >= t.cfg.Dhi {
		t.shrink(now, n)
	}
	if out := m.outbound(); len(m.mesh) >= t.cfg.Dlo && out < t.cfg.Dout {
		t.graft(now, n, t.cfg.Dout-out, dialled)
	}
	t.improve(now, n)
	t.advertise(now, n)
	t.plan(now, n)
}

func anyone(*edge) bool    { return true }
func dialled(e *edge) bool { return e.outbound }

func (m *member) outbound() int {
	count := 0
	for _, i := range m.mesh {
		if m.edges[i].outbound {
			count++
		}
	}
	return count
}

// graft takes up to count peers into the mesh, drawn from those that may be and are liked.
func (t *Topic) graft(now node.Instant, n, count int, like func(*edge) bool) {
	m := &t.nodes[n]
	t.pick = t.pick[:0]
	for i := range m.edges {
		if e := &m.edges[i]; e.up && e.in && !e.mesh && !t.blocked(m, e, now) && like(e) {
			t.pick = append(t.pick, int32(i))
		}
	}
	for _, i := range t.draw(count) {
		t.enmesh(now, m, i)
		t.send(n, &m.edges[i], RPC{Kind: Graft, Bytes: t.sizes.graft})
	}
}

// draw returns up to count of what is in t.pick.
func (t *Topic) draw(count int) []int32 {
	count = min(count, len(t.pick))
	for i := range count {
		j := i + t.rand.IntN(len(t.pick)-i)
		t.pick[i], t.pick[j] = t.pick[j], t.pick[i]
	}
	return t.pick[:count]
}

func (t *Topic) enmesh(now node.Instant, m *member, i int32) {
	m.edges[i].mesh, m.edges[i].grafted = true, now
	m.mesh = append(m.mesh, i)
}

// shrink prunes the mesh to D peers: the best by score stay, of the rest those that are drawn, but so that Dout
// outbound ones are among them if there are.
func (t *Topic) shrink(now node.Instant, n int) {
	m := &t.nodes[n]
	order := slices.Clone(m.mesh)
	shuffle := func(s []int32) { t.rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }
	shuffle(order)
	slices.SortStableFunc(order, func(a, b int32) int {
		return cmp.Compare(t.score(&m.edges[b], now), t.score(&m.edges[a], now))
	})
	shuffle(order[t.cfg.Dscore:])
	out := 0
	for _, i := range order[:t.cfg.D] {
		if m.edges[i].outbound {
			out++
		}
	}
	if out < t.cfg.Dout {
		// Those outside of the selection come to its front, as many as are missing, after its own outbound ones, so that
		// they push inbound ones out.
		slices.SortStableFunc(order[:t.cfg.D], func(a, b int32) int { return rank(&m.edges[a]) - rank(&m.edges[b]) })
		for i := t.cfg.D; i < len(order) && out < t.cfg.Dout; i++ {
			if m.edges[order[i]].outbound {
				j := order[i]
				copy(order[1:i+1], order[:i])
				order[0] = j
				out++
			}
		}
	}
	for _, i := range order[t.cfg.D:] {
		e := &m.edges[i]
		t.unmesh(m, i)
		e.backoff = max(e.backoff, now+t.cfg.PruneBackoff)
		t.send(n, e, RPC{Kind: Prune, Bytes: t.sizes.prune})
	}
}

// rank puts outbound peers first.
func rank(e *edge) int {
	if e.outbound {
		return 0
	}
	return 1
}

// improve grafts better peers, now and then, when the mesh as a whole has little to show.
func (t *Topic) improve(now node.Instant, n int) {
	m := &t.nodes[n]
	every := int32(t.cfg.OpportunisticTicks)
	if every == 0 || t.tick(m, now)%every != 0 || len(m.mesh) < 2 {
		return
	}
	scores := make([]float64, 0, len(m.mesh))
	for _, i := range m.mesh {
		scores = append(scores, t.score(&m.edges[i], now))
	}
	slices.Sort(scores)
	median := scores[len(scores)/2]
	if median < t.cfg.OpportunisticScore {
		t.graft(now, n, t.cfg.OpportunisticPeers, func(e *edge) bool { return t.score(e, now) > median })
	}
}

// advertise tells some peers outside of the mesh what came lately.
func (t *Topic) advertise(now node.Instant, n int) {
	m := &t.nodes[n]
	if m.known <= len(m.mesh) {
		return
	}
	ids := t.lately(m, t.tick(m, now)-1)
	if len(ids) == 0 {
		return
	}
	t.pick = t.pick[:0]
	for i := range m.edges {
		if e := &m.edges[i]; e.up && e.in && !e.mesh {
			t.pick = append(t.pick, int32(i))
		}
	}
	target := max(t.cfg.Dlazy, int(t.cfg.GossipFactor*float64(len(t.pick))))
	limit := t.cfg.MaxIHaveLength
	for _, i := range t.draw(target) {
		told := ids
		if len(ids) > limit { // each peer hears of others
			told = slices.Clone(ids)
			t.rand.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
			told = told[:limit]
		}
		t.send(n, &m.edges[i], RPC{Kind: IHave, IDs: told, Bytes: t.sizes.ihave(len(told))})
	}
}

// lately returns what came within the last HistoryGossip heartbeats, of which there had been tick before this one.
func (t *Topic) lately(m *member, tick int32) []MsgID {
	from := slices.IndexFunc(m.cache, func(c cached) bool { return int(tick-c.tick) < t.cfg.HistoryGossip })
	if from < 0 {
		return nil
	}
	ids := make([]MsgID, 0, len(m.cache)-from)
	for _, c := range m.cache[from:] {
		if c.tick <= tick { // what came at this very moment came after
			ids = append(ids, c.msg)
		}
	}
	return ids
}

// score is a peer's score as far as it is modelled.
func (t *Topic) score(e *edge, now node.Instant) float64 {
	s := &t.cfg.Score
	p := float64(s.FirstWeight * t.firsts(e, now))
	if e.mesh {
		seconds := float64((now - e.grafted) / node.Second)
		p += float64(s.MeshWeight * min(seconds, s.MeshCap))
	}
	return float64(s.TopicWeight * p)
}

// firsts is the count of first deliveries of a peer, decayed until now.
func (t *Topic) firsts(e *edge, now node.Instant) float64 {
	after := int((now - e.decayed) / node.Second)
	if e.firsts == 0 || after >= len(t.decay) {
		return 0
	}
	return float64(e.firsts * t.decay[after])
}

// plan asks for the next heartbeat that has something to do.
func (t *Topic) plan(now node.Instant, n int) {
	m := &t.nodes[n]
	if !m.joined {
		return
	}
	next := t.next(m, now)
	if m.armed == next {
		return
	}
	if m.armed < now {
		m.armed = 0 // the owner let it pass: the node slept
	}
	others := m.known > len(m.mesh)
	gossip := others && len(m.cache) > 0 && int(t.tick(m, now)-m.cache[len(m.cache)-1].tick) < t.cfg.HistoryGossip
	if gossip || len(m.mesh) >= t.cfg.Dhi {
		t.arm(m, n, next)
		return
	}
	if !others {
		return
	}
	if every := node.Instant(t.cfg.OpportunisticTicks); every > 0 && len(m.mesh) > 1 {
		done := node.Instant(t.tick(m, now))
		t.arm(m, n, m.first+(done/every*every+every-1)*t.cfg.Heartbeat)
	}
	like := anyone
	if len(m.mesh) >= t.cfg.Dlo {
		if m.outbound() >= t.cfg.Dout {
			return
		}
		like = dialled
	}
	for i := range m.edges {
		if e := &m.edges[i]; e.up && e.in && !e.mesh && like(e) {
			t.arm(m, n, max(next, t.cleared(m, e)))
		}
	}
}

// arm asks for a heartbeat, unless an earlier one was asked for.
func (t *Topic) arm(m *member, n int, at node.Instant) {
	if m.armed == 0 || at < m.armed {
		m.armed = at
		t.net.Wake(n, at)
	}
}

// cleared returns the heartbeat at which a peer's back-off is forgotten: as long as it is remembered, run out or not,
// the node itself does not graft the peer.
func (t *Topic) cleared(m *member, e *edge) node.Instant {
	if e.backoff == 0 {
		return 0
	}
	passed := t.tick(m, e.backoff+2*t.cfg.Heartbeat)
	return m.first + node.Instant(passed/clearing*clearing+clearing-1)*t.cfg.Heartbeat
}

func (t *Topic) blocked(m *member, e *edge, now node.Instant) bool {
	if e.backoff != 0 && now >= t.cleared(m, e) {
		e.backoff = 0
	}
	return e.backoff != 0
}
