package mesh

import (
	"testing"
	"unsafe"

	"starling/node"
)

// BenchmarkCopy measures a copy of a message, with its share of all that belongs to it, in a topic of a cell's size. The
// owner is as cheap as can be: one latency for all, so that its queue is a list. The metric is the cost of one copy
// handled: sent, queued and received.
func BenchmarkCopy(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"short", 500}, {"long", 2000}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			l := newLoop(b, Default(), 100, 1)
			l.start(30)
			q := &fifo{topic: l.Topic, now: l.now + 2*node.Second}
			l.Topic.net = q
			for i := range l.Topic.nodes {
				l.Topic.nodes[i].armed = 0
			}
			before := l.Stats()
			rpcs := 0
			for b.Loop() {
				l.Topic.Publish(q.now, rpcs%100, c.size)
				rpcs += q.drain()
			}
			s := l.Stats()
			copies := s.Delivered + s.Duplicates - before.Delivered - before.Duplicates
			ns := float64(b.Elapsed().Nanoseconds())
			b.ReportMetric(ns/float64(copies), "ns/copy")
			b.ReportMetric(ns/float64(rpcs), "ns/rpc")
			b.ReportMetric(float64(copies)/float64(s.Delivered-before.Delivered), "copies")
		})
	}
}

// A fifo is an owner with one latency for all; heartbeats come when their second does.
type fifo struct {
	topic *Topic
	now   node.Instant
	queue []event
	beats []event
}

func (q *fifo) Send(from, to int, r RPC) {
	q.queue = append(q.queue, event{from: from, to: to, rpc: r})
}
func (q *fifo) Wake(n int, at node.Instant) {
	q.beats = append(q.beats, event{to: n, at: at})
}

// drain lets a second pass.
func (q *fifo) drain() int {
	end := q.now + node.Second
	handled := 0
	flush := func() {
		for i := 0; i < len(q.queue); i++ {
			e := &q.queue[i]
			if q.topic.Receive(q.now, e.to, e.from, e.rpc) {
				q.topic.Accept(q.now, e.to, e.from, e.rpc)
			}
		}
		handled += len(q.queue)
		q.queue = q.queue[:0]
	}
	flush()
	beats := q.beats
	q.beats = nil
	for _, e := range beats {
		if e.at > end {
			q.beats = append(q.beats, e)
			continue
		}
		q.now = max(q.now, e.at)
		q.topic.Heartbeat(e.at, e.to)
	}
	q.now = end
	flush()
	return handled
}

func TestANodeTakesAFewKilobytes(t *testing.T) {
	const nodes = 100
	l := newLoop(t, Default(), nodes, 1)
	l.start(30)
	for range 300 {
		l.publish(l.rand.IntN(nodes), 2000)
		l.run(l.now + node.Second)
	}
	bytes := 8*cap(l.msgs.sets) + int(unsafe.Sizeof(about{}))*cap(l.msgs.about)
	peers := 0
	for i := range l.Topic.nodes {
		m := &l.Topic.nodes[i]
		bytes += int(unsafe.Sizeof(*m)) + int(unsafe.Sizeof(edge{}))*cap(m.edges) + 4*cap(m.mesh) + 8*cap(m.cache)
		peers += m.known
		for j := range m.edges {
			bytes += 8 * cap(m.edges[j].unwanted)
		}
	}
	per := bytes / nodes
	t.Logf("%d bytes for a node with %d peers, 300 long messages within five minutes", per, peers/nodes)
	if per > 12<<10 {
		t.Errorf("%d bytes for each node with %d peers", per, peers/nodes)
	}
}
