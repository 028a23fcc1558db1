package mesh

import (
	"slices"

	"starling/node"
)

// Publish lets a node that has joined publish a message of size bytes. It returns the message's ID, or 0 if the node
// has not joined.
func (t *Topic) Publish(now node.Instant, n, size int) MsgID {
	m := &t.nodes[n]
	if !m.joined {
		return 0
	}
	t.stats.Published++
	id := t.msgs.add(about{at: now, size: int32(size)}, now-t.cfg.SeenTTL)
	t.msgs.mark(id, n)
	t.dontWant(n, nil, id)
	t.remember(now, m, id)
	if !t.cfg.FloodPublish {
		t.forward(now, n, nil, id)
		return id
	}
	r := RPC{Kind: Message, Msg: id, Bytes: t.sizes.message(size)}
	for i := range t.around(len(m.edges)) {
		if e := &m.edges[i]; e.up && e.in {
			t.send(n, e, r)
		}
	}
	t.plan(now, n)
	return id
}

// around yields the numbers below n in turn from a random one. Gossipsub has no order among peers.
func (t *Topic) around(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if n == 0 {
			return
		}
		start := t.rand.IntN(n)
		for i := start; i < n; i++ {
			if !yield(i) {
				return
			}
		}
		for i := range start {
			if !yield(i) {
				return
			}
		}
	}
}

// Receive handles what arrives at node n from node from. It reports whether this is the first copy of a message, which
// the owner then hands to the node; if the node finds it valid, the owner calls [Topic.Accept].
func (t *Topic) Receive(now node.Instant, n, from int, r RPC) (first bool) {
	m := &t.nodes[n]
	e := m.from(from, r)
	if e == nil {
		if r.Kind.Copy() {
			t.stats.Stray++
		} else {
			t.stats.StrayControl++
		}
		return false
	}
	switch r.Kind {
	case Message, Answer:
		return t.message(n, e, r)
	case Subscribe:
		t.subscribed(now, n, e)
		return false
	case Unsubscribe:
		if e.in {
			e.in = false
			m.known--
		}
		return false
	}
	t.roll(m, e, now)
	if e.control < 1<<16-1 {
		e.control++ // of whatever kind: so gossipsub counts, and many IDONTWANTs therefore silence the IHAVEs
	}
	switch r.Kind {
	case IHave:
		t.have(n, e, r.IDs)
	case IWant:
		t.want(now, n, e, r.IDs)
	case IDontWant:
		t.unwant(m, e, r.Msg)
	case Graft:
		t.grafted(now, n, r.link)
	case Prune:
		t.pruned(now, n, r)
	}
	return false
}

// from returns the edge over which an RPC came, or nil if that connection is gone.
func (m *member) from(peer int, r RPC) *edge {
	if int(r.link) >= len(m.edges) {
		return nil
	}
	e := &m.edges[r.link]
	if int(e.peer) != peer || !e.up || e.life != r.life {
		return nil
	}
	return e
}

func (t *Topic) message(n int, e *edge, r RPC) bool {
	if !t.nodes[n].joined || !t.msgs.known(r.Msg) {
		t.stats.Stray++
		return false
	}
	if t.msgs.has(r.Msg, n) {
		t.stats.Duplicates++
		return false
	}
	t.msgs.mark(r.Msg, n)
	t.stats.Delivered++
	if r.Kind == Answer {
		t.stats.Repaired++
	}
	t.dontWant(n, e, r.Msg)
	return true
}

// dontWant tells the mesh, except for the peer it came from, that a long message is here.
func (t *Topic) dontWant(n int, from *edge, id MsgID) {
	if t.msgs.size(id) < t.cfg.IDontWantSize {
		return
	}
	m := &t.nodes[n]
	r := RPC{Kind: IDontWant, Msg: id, Bytes: t.sizes.want(1)}
	for i := range t.around(len(m.mesh)) {
		if e := &m.edges[m.mesh[i]]; e != from {
			t.send(n, e, r)
		}
	}
}

// Accept passes on a message that Receive reported as a first copy and the node found valid, at the same time or after
// the time the validation took. Without it the node keeps the message to itself, as with one it ignores.
func (t *Topic) Accept(now node.Instant, n, from int, r RPC) {
	m := &t.nodes[n]
	if !m.joined || !t.msgs.known(r.Msg) {
		return
	}
	e := m.from(from, r)
	if e != nil {
		e.firsts = min(t.firsts(e, now)+1, t.cfg.Score.FirstCap)
		e.decayed = now
	}
	t.remember(now, m, r.Msg)
	t.forward(now, n, e, r.Msg)
}

// forward sends a message to the mesh, except to the peer that it came from and those known to have it.
func (t *Topic) forward(now node.Instant, n int, from *edge, id MsgID) {
	m := &t.nodes[n]
	size := t.msgs.size(id)
	long := size >= t.cfg.IDontWantSize
	r := RPC{Kind: Message, Msg: id, Bytes: t.sizes.message(size)}
	for i := range t.around(len(m.mesh)) {
		e := &m.edges[m.mesh[i]]
		if e == from || (long && e.spurns(id, t.tick(m, now))) {
			continue
		}
		t.send(n, e, r)
	}
	t.plan(now, n)
}

// spurns reports whether the peer has said that it has the message. What it said last is the likeliest.
func (e *edge) spurns(id MsgID, tick int32) bool {
	for _, u := range slices.Backward(e.unwanted) {
		if u.until <= tick {
			return false
		}
		if u.msg == id {
			return true
		}
	}
	return false
}

// remember puts a message into the cache, and drops what has left its windows.
func (t *Topic) remember(now node.Instant, m *member, id MsgID) {
	tick := t.tick(m, now)
	old := 0
	for old < len(m.cache) && !t.kept(m.cache[old], tick) {
		old++
	}
	if 2*old >= len(m.cache) { // seldom, so that each is moved but once or so
		m.cache = slices.Delete(m.cache, 0, old)
	}
	m.cache = append(m.cache, cached{id, tick})
}

func (t *Topic) kept(c cached, tick int32) bool { return int(tick-c.tick) < t.cfg.HistoryLength }

// roll starts the counts of a heartbeat anew.
func (t *Topic) roll(m *member, e *edge, now node.Instant) {
	if tick := t.tick(m, now); e.tick != tick {
		e.tick, e.control, e.dontWants, e.asked = tick, 0, 0, 0
	}
}

// have asks for what the node has not seen.
func (t *Topic) have(n int, e *edge, ids []MsgID) {
	if !t.nodes[n].joined || int(e.control) > t.cfg.MaxIHaveMessages || int(e.asked) >= t.cfg.MaxIHaveLength {
		return
	}
	missing := func(id MsgID) bool { return t.msgs.known(id) && !t.msgs.has(id, n) }
	count := 0
	for _, id := range ids {
		if missing(id) {
			count++
		}
	}
	if count == 0 {
		return
	}
	ask := make([]MsgID, 0, count)
	for _, id := range ids {
		if missing(id) {
			ask = append(ask, id)
		}
	}
	if room := t.cfg.MaxIHaveLength - int(e.asked); len(ask) > room {
		t.rand.Shuffle(len(ask), func(i, j int) { ask[i], ask[j] = ask[j], ask[i] })
		ask = ask[:room]
	}
	e.asked += int32(len(ask))
	t.send(n, e, RPC{Kind: IWant, IDs: ask, Bytes: t.sizes.want(len(ask))})
}

// want answers a request with what the cache still holds.
func (t *Topic) want(now node.Instant, n int, e *edge, ids []MsgID) {
	m := &t.nodes[n]
	tick := t.tick(m, now)
	for _, id := range ids {
		i := slices.IndexFunc(m.cache, func(c cached) bool { return c.msg == id })
		if i < 0 || !t.kept(m.cache[i], tick) || !t.msgs.known(id) || e.spurns(id, tick) {
			continue
		}
		t.send(n, e, RPC{Kind: Answer, Msg: id, Bytes: t.sizes.answer(t.msgs.size(id))})
	}
}

// unwant notes that the peer has a message.
func (t *Topic) unwant(m *member, e *edge, id MsgID) {
	if int(e.dontWants) >= t.cfg.MaxIDontWantMessages {
		return
	}
	e.dontWants++
	old := 0
	for old < len(e.unwanted) && e.unwanted[old].until <= e.tick {
		old++
	}
	if 2*old >= len(e.unwanted) {
		e.unwanted = slices.Delete(e.unwanted, 0, old)
	}
	e.unwanted = append(e.unwanted, unwanted{id, e.tick + int32(t.cfg.IDontWantTTL)})
}

func (t *Topic) subscribed(now node.Instant, n int, e *edge) {
	if !e.in {
		e.in = true
		t.nodes[n].known++
		t.plan(now, n)
	}
}

// grafted handles a GRAFT that came over edge i.
func (t *Topic) grafted(now node.Instant, n int, i int32) {
	m := &t.nodes[n]
	e := &m.edges[i]
	switch {
	case !m.joined || e.mesh:
	case now < e.backoff, len(m.mesh) >= t.cfg.Dhi && !e.outbound:
		e.backoff = max(e.backoff, now+t.cfg.PruneBackoff)
		t.send(n, e, RPC{Kind: Prune, Bytes: t.sizes.prune})
	default:
		t.enmesh(now, m, i)
		t.plan(now, n)
	}
}

func (t *Topic) pruned(now node.Instant, n int, r RPC) {
	m := &t.nodes[n]
	if !m.joined {
		return
	}
	t.unmesh(m, r.link)
	backoff := t.cfg.PruneBackoff
	if r.Leave {
		backoff = t.cfg.UnsubscribeBackoff
	}
	e := &m.edges[r.link]
	e.backoff = max(e.backoff, now+backoff)
	t.plan(now, n)
}
