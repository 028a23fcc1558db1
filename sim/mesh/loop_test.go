package mesh

import (
	"container/heap"
	"math/rand/v2"
	"testing"

	"starling/node"
)

// A loop is the least owner of a topic: links of constant latency per pair, and loss.
type loop struct {
	*Topic
	rand    *rand.Rand
	now     node.Instant
	queue   events
	seq     uint64
	latency func(from, to int) node.Instant
	loss    float64
	lossy   func(Kind) bool          // what may be lost
	rate    float64                  // bytes that a node sends in a second; 0 is any number
	free    []node.Instant           // when a node has sent what it had to
	lost    uint64                   // copies
	arrived map[MsgID][]node.Instant // by message and node; -1 is never
	nodes   int
	refuse  func(n int) bool // the node finds every message invalid
	trace   uint64
}

type event struct {
	at       node.Instant
	seq      uint64
	from, to int
	rpc      RPC
	beat     bool
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || (q[i].at == q[j].at && q[i].seq < q[j].seq)
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

func (l *loop) push(e event) {
	l.seq++
	e.seq = l.seq
	heap.Push(&l.queue, e)
}

func (l *loop) Send(from, to int, r RPC) {
	if l.lossy(r.Kind) && l.rand.Float64() < l.loss {
		if r.Kind.Copy() {
			l.lost++
		}
		return
	}
	at := l.now
	if l.rate > 0 {
		at = max(at, l.free[from])
		if !r.Kind.Urgent() {
			at += node.Instant(float64(r.Bytes) / l.rate * 1e9)
			l.free[from] = at
		}
	}
	l.push(event{at: at + l.latency(from, to), from: from, to: to, rpc: r})
}

func (l *loop) Wake(n int, at node.Instant) { l.push(event{at: at, to: n, beat: true}) }

func newLoop(t testing.TB, cfg Config, nodes int, seed uint64) *loop {
	t.Helper()
	l := &loop{rand: rand.New(rand.NewPCG(seed, 1)), arrived: make(map[MsgID][]node.Instant), nodes: nodes, lossy: Kind.Droppable, free: make([]node.Instant, nodes)}
	l.latency = func(from, to int) node.Instant { return node.Instant(20e6 + 1e5*float64((from*7+to*13)%200)) }
	var err error
	if l.Topic, err = New(cfg, nodes, rand.New(rand.NewPCG(seed, 2)), l); err != nil {
		t.Fatal(err)
	}
	return l
}

// start lets all nodes join and each dial so many others.
func (l *loop) start(dials int) {
	for n := range l.nodes {
		l.Join(l.now, n)
		l.run(l.now + 13e6)
	}
	for n := range l.nodes {
		for range dials {
			l.Connect(l.now, n, l.rand.IntN(l.nodes))
		}
	}
	l.run(l.now + 10*node.Second)
}

func (l *loop) run(until node.Instant) {
	for len(l.queue) > 0 && l.queue[0].at <= until {
		e := heap.Pop(&l.queue).(event)
		l.now = e.at
		l.trace = (l.trace ^ uint64(e.at) ^ uint64(e.to)<<40 ^ uint64(e.rpc.Kind)<<60) * 0x9e3779b97f4a7c15
		if e.beat {
			l.Heartbeat(l.now, e.to)
			continue
		}
		if l.Receive(l.now, e.to, e.from, e.rpc) {
			l.arrived[e.rpc.Msg][e.to] = l.now
			if l.refuse == nil || !l.refuse(e.to) {
				l.Accept(l.now, e.to, e.from, e.rpc)
			}
		}
	}
	l.now = until
}

func (l *loop) publish(n, size int) MsgID {
	id := l.Publish(l.now, n, size)
	l.arrived[id] = make([]node.Instant, l.nodes)
	for i := range l.arrived[id] {
		l.arrived[id][i] = -1
	}
	l.arrived[id][n] = l.now
	return id
}

// missing counts the pairs of message and node that never met.
func (l *loop) missing() (count int) {
	for _, at := range l.arrived {
		for _, a := range at {
			if a < 0 {
				count++
			}
		}
	}
	return count
}

// chatter publishes so many messages from nodes drawn by lot, and waits for the last of them to be everywhere.
func (l *loop) chatter(messages, size int, pause node.Instant) {
	for range messages {
		l.publish(l.rand.IntN(l.nodes), size)
		l.run(l.now + pause)
	}
	l.run(l.now + 15*node.Second)
}
