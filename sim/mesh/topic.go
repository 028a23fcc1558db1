package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"starling/node"
)

// Network carries out what a topic decides. Its methods must not call the topic back; they queue.
type Network interface {
	// Send brings rpc to the node to later, where [Topic.Receive] takes it, or loses it.
	Send(from, to int, rpc RPC)
	// Wake asks for a call of [Topic.Heartbeat] for the node at the time at. A later request does not replace an
	// earlier one.
	Wake(n int, at node.Instant)
}

// A Topic is one gossipsub topic among a fixed number of nodes, which are numbered from 0. It must not be used
// concurrently. Times handed to its methods must never go back.
type Topic struct {
	cfg   Config
	net   Network
	rand  *rand.Rand
	nodes []member
	msgs  messages
	sizes sizes
	decay []float64 // of first deliveries after so many seconds
	stats Stats
	pick  []int32 // scratch
}

// A member is one node's part of the topic.
type member struct {
	joined  bool
	started bool
	first   node.Instant // first heartbeat
	armed   node.Instant // the heartbeat asked for; 0 is none
	known   int          // connected peers whose subscription is known
	edges   []edge       // never shrinks: indices are stable
	mesh    []int32      // indices of edges
	cache   []cached     // what can be asked for, oldest first
}

// A cached message came before heartbeat number tick.
type cached struct {
	msg  MsgID
	tick int32
}

// An edge is what a node knows of a peer.
type edge struct {
	peer     int32
	back     int32 // index of the peer's edge to this node
	life     uint32
	up       bool
	in       bool // the peer is in the topic
	mesh     bool // and in this node's mesh
	outbound bool // this node dialled

	// Of heartbeat number tick.
	tick      int32
	control   uint16 // records of control received
	dontWants uint16 // IDONTWANTs among them
	asked     int32  // IDs asked for

	backoff  node.Instant // no GRAFT before; 0 is none
	grafted  node.Instant // since when it is in the mesh
	firsts   float64      // first deliveries, decayed
	decayed  node.Instant // when
	unwanted []unwanted   // oldest first
}

// An unwanted message is one that the peer has already; it is remembered until heartbeat number until.
type unwanted struct {
	msg   MsgID
	until int32
}

// New returns a topic of n nodes, none of which has joined or is connected. random decides every choice.
func New(cfg Config, n int, random *rand.Rand, net Network) (*Topic, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("mesh config: %w", err)
	}
	t := &Topic{cfg: cfg, net: net, rand: random, nodes: make([]member, n), msgs: newMessages(n), sizes: newSizes(&cfg)}
	for left := 1.0; left*cfg.Score.FirstCap > 0.01; { // below that gossipsub takes it for nothing
		t.decay = append(t.decay, left)
		left = float64(left * cfg.Score.FirstDecay)
	}
	return t, nil
}

// Join lets a node into the topic, and starts its heart if it did not beat already.
func (t *Topic) Join(now node.Instant, n int) {
	m := &t.nodes[n]
	if m.joined {
		return
	}
	m.joined = true
	if !m.started {
		m.started, m.first = true, now+t.cfg.InitialDelay
	}
	for i := range m.edges {
		if m.edges[i].up {
			t.send(n, &m.edges[i], RPC{Kind: Subscribe, Bytes: t.sizes.subscribe})
		}
	}
	t.graft(now, n, t.cfg.D, anyone)
	t.plan(now, n)
}

// Leave takes a node out of the topic in an orderly way. It still answers requests for what it has.
func (t *Topic) Leave(now node.Instant, n int) {
	m := &t.nodes[n]
	if !m.joined {
		return
	}
	m.joined = false
	for i := range m.edges {
		if m.edges[i].up {
			t.send(n, &m.edges[i], RPC{Kind: Unsubscribe, Bytes: t.sizes.subscribe})
		}
	}
	for _, i := range m.mesh {
		e := &m.edges[i]
		e.mesh = false
		e.backoff = max(e.backoff, now+t.cfg.UnsubscribeBackoff)
		t.send(n, e, RPC{Kind: Prune, Leave: true, Bytes: t.sizes.leave})
	}
	m.mesh = m.mesh[:0]
}

// Crash ends a node: its connections close and all that it knew is lost. It may Join again later.
func (t *Topic) Crash(now node.Instant, n int) {
	m := &t.nodes[n]
	for i := range m.edges {
		e := &m.edges[i]
		if e.up {
			t.Disconnect(now, n, int(e.peer))
		}
		e.backoff, e.firsts = 0, 0
	}
	m.joined, m.started, m.armed = false, false, 0
	m.cache = m.cache[:0]
	t.msgs.forget(n)
}

// Connect connects two nodes; from is the one that dialled. Connecting them again does nothing.
func (t *Topic) Connect(now node.Instant, from, to int) {
	if from == to {
		return
	}
	a, b := t.edge(now, from, to), t.edge(now, to, from)
	ea, eb := &t.nodes[from].edges[a], &t.nodes[to].edges[b]
	if ea.up {
		return
	}
	ea.up, eb.up = true, true
	ea.back, eb.back = b, a
	ea.life = max(ea.life, eb.life) + 1
	eb.life = ea.life
	ea.outbound, eb.outbound = true, false
	if t.nodes[from].joined {
		t.send(from, ea, RPC{Kind: Subscribe, Bytes: t.sizes.subscribe})
	}
	if t.nodes[to].joined {
		t.send(to, eb, RPC{Kind: Subscribe, Bytes: t.sizes.subscribe})
	}
}

// Disconnect closes the connection of two nodes. What is under way between them is lost.
func (t *Topic) Disconnect(now node.Instant, a, b int) {
	i := t.find(a, b)
	if i < 0 || !t.nodes[a].edges[i].up {
		return
	}
	t.close(now, a, i)
	t.close(now, b, t.nodes[a].edges[i].back)
}

func (t *Topic) close(now node.Instant, n int, i int32) {
	m := &t.nodes[n]
	e := &m.edges[i]
	t.unmesh(m, i)
	if e.in {
		m.known--
	}
	e.up, e.in, e.unwanted = false, false, nil
	t.plan(now, n)
}

// find returns the index of a node's edge to peer, or -1.
func (t *Topic) find(n, peer int) int32 {
	return int32(slices.IndexFunc(t.nodes[n].edges, func(e edge) bool { return e.peer == int32(peer) }))
}

// edge returns the index of a node's edge to peer, which it makes if there is none. It takes the place of one that is
// down and has nothing left to remember, so that memory follows the connections of a moment.
func (t *Topic) edge(now node.Instant, n, peer int) int32 {
	i := t.find(n, peer)
	if i >= 0 {
		return i
	}
	m := &t.nodes[n]
	for j := range m.edges {
		if e := &m.edges[j]; !e.up && !t.blocked(m, e, now) && t.firsts(e, now) == 0 {
			*e = edge{peer: int32(peer), life: e.life}
			return int32(j)
		}
	}
	m.edges = append(m.edges, edge{peer: int32(peer)})
	return int32(len(m.edges) - 1)
}

// unmesh takes a peer out of the mesh, if it is in.
func (t *Topic) unmesh(m *member, i int32) {
	if e := &m.edges[i]; e.mesh {
		e.mesh = false
		m.mesh = slices.DeleteFunc(m.mesh, func(j int32) bool { return j == i })
	}
}

func (t *Topic) send(n int, e *edge, r RPC) {
	r.link, r.life = e.back, e.life
	s := &t.stats.Sent[r.Kind]
	s.RPCs++
	s.Bytes += uint64(r.Bytes)
	t.net.Send(n, int(e.peer), r)
}

// Peers returns how many connected peers a node knows to be in the topic.
func (t *Topic) Peers(n int) int { return t.nodes[n].known }

// Mesh appends the peers in a node's mesh to to.
func (t *Topic) Mesh(n int, to []int) []int {
	for _, i := range t.nodes[n].mesh {
		to = append(to, int(t.nodes[n].edges[i].peer))
	}
	return to
}

// tick returns how many heartbeats a node has had, the one at now included.
func (t *Topic) tick(m *member, now node.Instant) int32 {
	if !m.started || now < m.first {
		return 0
	}
	return int32((now-m.first)/t.cfg.Heartbeat) + 1
}

// next returns the time of the first heartbeat after now.
func (t *Topic) next(m *member, now node.Instant) node.Instant {
	return m.first + node.Instant(t.tick(m, now))*t.cfg.Heartbeat
}
