package main_test

import (
	"cmp"
	"slices"
	"time"

	"starling/node"
	"starling/sim/mesh"
)

// A wire is the owner of the modelled topic: what a node sends shares its uplink, packet by packet, among the receivers,
// travels for the latency, and queues at the receiver's downlink.
type wire struct {
	topic     *mesh.Topic
	now       node.Instant
	perByte   float64     // ns
	queue     []wireEvent // the next one last
	seq       uint64
	up        [calibrated]uplink
	down      [calibrated]node.Instant // when the downlink is free
	published []node.Instant           // by message
	delays    []time.Duration
}

type wireEvent struct {
	at  node.Instant
	seq uint64
	do  func()
}

type uplink struct {
	busy  bool
	turn  int
	queue [calibrated][]*parcel // by receiver
}

// A parcel is an RPC under way.
type parcel struct {
	from, to int
	rpc      mesh.RPC
	left     int // bytes not sent yet
}

const (
	packetBody = 1200 // bytes of an RPC that a packet carries at most
	packetHead = 60   // bytes of a packet besides
)

func newWire(bytesPerSecond float64) *wire { return &wire{perByte: 1e9 / bytesPerSecond} }

func (w *wire) at(at node.Instant, do func()) {
	w.seq++
	e := wireEvent{at, w.seq, do}
	i, _ := slices.BinarySearchFunc(w.queue, e, func(a, b wireEvent) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.seq, a.seq))
	})
	w.queue = slices.Insert(w.queue, i, e)
}

func (w *wire) run(until node.Instant) {
	for last := len(w.queue) - 1; last >= 0 && w.queue[last].at <= until; last = len(w.queue) - 1 {
		e := w.queue[last]
		w.queue = w.queue[:last]
		w.now = e.at
		e.do()
	}
	w.now = until
}

// Wake implements mesh.Network.
func (w *wire) Wake(n int, at node.Instant) { w.at(at, func() { w.topic.Heartbeat(at, n) }) }

// Send implements mesh.Network.
func (w *wire) Send(from, to int, r mesh.RPC) {
	u := &w.up[from]
	q := u.queue[to]
	place := len(q)
	if r.Kind.Urgent() {
		place = min(place, 1) // what is being sent is sent to its end
	}
	u.queue[to] = slices.Insert(q, place, &parcel{from: from, to: to, rpc: r, left: int(r.Bytes)})
	if !u.busy {
		w.next(from)
	}
}

// next sends a packet to the next receiver that waits for one.
func (w *wire) next(from int) {
	u := &w.up[from]
	u.busy = false
	for range calibrated {
		u.turn = (u.turn + 1) % calibrated
		q := u.queue[u.turn]
		if len(q) == 0 {
			continue
		}
		p := q[0]
		size := min(p.left, packetBody)
		p.left -= size
		last := p.left == 0
		if last {
			u.queue[u.turn] = q[1:]
		}
		u.busy = true
		cost := node.Instant(float64(size+packetHead) * w.perByte)
		w.at(w.now+cost, func() {
			w.at(w.now+node.Instant(latency(p.from, p.to)), func() { w.land(p, cost, last) })
			w.next(from)
		})
		return
	}
}

// land queues a packet at the downlink.
func (w *wire) land(p *parcel, cost node.Instant, last bool) {
	w.down[p.to] = max(w.down[p.to], w.now) + cost
	if last {
		w.at(w.down[p.to], func() { w.arrive(p) })
	}
}

func (w *wire) arrive(p *parcel) {
	if w.topic.Receive(w.now, p.to, p.from, p.rpc) {
		w.delays = append(w.delays, time.Duration(w.now-w.published[p.rpc.Msg-1]))
		w.topic.Accept(w.now, p.to, p.from, p.rpc)
	}
}
