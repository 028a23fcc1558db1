// Package sim runs many nodes of a run in one process on virtual time, with the node code that the daemon runs.
//
// Start with [New] and [World.Run]. A world is a queue of events ordered by time; what a core asks for becomes later
// events: messages arrive after the latency of their link or are lost, jobs end after their duration. Training is real,
// only its duration is virtual. The same [Config] gives the same trace, bit for bit: [World.TraceHash].
//
// The package models messages over links with latency, jitter and loss, pulls of vectors, crashes and restarts. It does
// not model the mesh of gossipsub: a broadcast goes to every connected node once. It opens no sockets and reads no clock.
//
// Commands and tests may import it. It imports the core, models, data, messages and mixing: never gossip/swarm or
// node/daemon.
package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"slices"

	"starling/gossip"
	"starling/node"
	"starling/node/compute"
)

// A Task is what the nodes learn. Its methods must be pure functions of their arguments.
type Task interface {
	Len() int    // parameters
	OptLen() int // floats of optimizer state
	Tensors() int
	Init(n int) (params, opt []float32)
	Train(n int, params, opt, out, outOpt []float32, step, steps uint64) (samples uint64, loss float64)
	Mix(job node.MixJob, vecs compute.Vectors, out []float32) node.Mixed
	Evaluate(params []float32) (accuracy, loss float64)
}

// Config describes a world.
type Config struct {
	Seed  uint64
	Nodes int
	Task  Task
	Node  node.Config // Self, Rand, Seq, Len, Tensors and MaxPayload are filled in

	Latency node.Instant // of every link
	Jitter  node.Instant // added uniformly, for each message anew
	Loss    float64      // share of messages that get lost
	Step    node.Instant // duration of one local step
	Other   node.Instant // duration of every other job
	// Slow multiplies the duration of a node's steps; nil is 1 for all.
	Slow func(n int) float64
}

// Stats counts what happened to messages. Sent = Delivered + Lost + Dropped + InFlight always.
type Stats struct {
	Events, Sent, Delivered, Lost, Dropped, InFlight uint64
	Refused                                          uint64 // delivered, but not taken by Check
}

// A World is a simulation. It must not be used concurrently.
type World struct {
	cfg   Config
	now   node.Instant
	queue queue
	nodes []*simNode
	index map[gossip.PeerID]int
	pool  *compute.Pool
	trace hash.Hash
	stats Stats
	// Observe, when set, is told of every batch. It must not change it.
	Observe func(n int, now node.Instant, b *node.Batch)
}

type simNode struct {
	id    gossip.PeerID
	index int
	core  *node.Core // nil while it is down
	life  uint32
	arena *compute.Arena
	alarm uint64 // sequence number of the newest alarm in the queue

	// What survives a crash.
	seq   uint64
	saved *savedState

	blobs  map[gossip.BlobID][]float32 // the newest ones this node serves
	served []gossip.BlobID             // oldest first
	count  uint64
	rand   *rand.Rand // of its outgoing links
}

type savedState struct {
	state       node.State
	params, opt []float32
}

// keptBlobs is how many of its newest vectors a node serves.
const keptBlobs = 4

// New builds the world; all nodes start at time 0, connected to each other.
func New(cfg Config) (*World, error) {
	w := &World{cfg: cfg, index: make(map[gossip.PeerID]int), pool: compute.NewPool(4 * cfg.Nodes), trace: sha256.New()}
	for i := range cfg.Nodes {
		n := &simNode{index: i, rand: rand.New(rand.NewPCG(cfg.Seed, streamOf(purposeLink, i)))}
		binary.BigEndian.PutUint32(n.id[:], uint32(i+1))
		w.index[n.id] = i
		w.nodes = append(w.nodes, n)
	}
	for i := range w.nodes {
		if err := w.start(i); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// The purposes of random streams: one stream for each (seed, purpose, node), so that adding a node changes nobody else's.
const (
	purposeLink = 1
	purposeCore = 2
)

func streamOf(purpose uint64, n int) uint64 { return purpose<<56 | uint64(n) }

func (w *World) start(i int) error {
	n := w.nodes[i]
	n.life++
	n.arena = compute.NewArena(w.pool)
	n.blobs, n.served = make(map[gossip.BlobID][]float32), nil
	cfg := w.cfg.Node
	cfg.Self, cfg.Seq = n.id, n.seq
	cfg.Len, cfg.Tensors, cfg.MaxPayload = w.cfg.Task.Len(), w.cfg.Task.Tensors(), 4*uint64(w.cfg.Task.Len())
	cfg.Rand = rand.New(rand.NewPCG(w.cfg.Seed, streamOf(purposeCore, i)+uint64(n.life)<<32))
	state := node.State{Weight: 1}
	var params, opt []float32
	if n.saved != nil {
		state, params, opt = n.saved.state, slices.Clone(n.saved.params), slices.Clone(n.saved.opt)
	} else {
		params, opt = w.cfg.Task.Init(i)
	}
	state.Params, state.Opt = 1, 2
	n.arena.Put(1, w.pool.Of(params))
	n.arena.Put(2, w.pool.Of(opt))
	core, err := node.New(cfg, state)
	if err != nil {
		return err
	}
	n.core = core
	w.later(i, 0, node.Tick{})
	for _, o := range w.nodes {
		if o.core != nil && o != n {
			w.later(i, 0, node.PeerUp{Peer: o.id})
			w.later(o.index, 0, node.PeerUp{Peer: n.id})
		}
	}
	return nil
}

// Crash ends a node at the given time: all but what it has persisted is gone.
func (w *World) Crash(n int, at node.Instant) { w.queue.push(entry{at: at, node: n, kind: crash}) }

// Restart brings a crashed node back at the given time.
func (w *World) Restart(n int, at node.Instant) { w.queue.push(entry{at: at, node: n, kind: restart}) }

// Command gives an operator's command to a node at the given time.
func (w *World) Command(n int, at node.Instant, op node.Op) {
	w.queue.push(entry{at: at, node: n, life: w.nodes[n].life, ev: node.Command{Op: op}})
}

// later delivers an event of the node's own making after some time, unless it crashes before.
func (w *World) later(n int, after node.Instant, ev node.Event) {
	w.queue.push(entry{at: w.now + after, node: n, life: w.nodes[n].life, ev: ev})
}

func (w *World) afterwards(n int, after node.Instant, job func(*World, *simNode)) {
	w.queue.push(entry{at: w.now + after, node: n, life: w.nodes[n].life, job: job})
}

// Run goes on until the given virtual time, or until nothing is left to happen.
func (w *World) Run(until node.Instant) {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= until {
		e := w.queue.pop()
		w.now = e.at
		w.stats.Events++
		n := w.nodes[e.node]
		switch e.kind {
		case crash:
			w.crash(n)
			continue
		case restart:
			if n.core == nil {
				if err := w.start(n.index); err != nil {
					panic("sim: internal error: " + err.Error()) // the same configuration has worked before
				}
			}
			continue
		case message:
			w.stats.InFlight--
			if n.core == nil || n.life != e.life {
				w.stats.Dropped++
				continue
			}
			w.stats.Delivered++
			w.receive(n, e.ev.(node.Received))
			continue
		}
		if n.core == nil || n.life != e.life || (e.kind == wakeUp && n.alarm != e.seq) {
			continue
		}
		if e.job != nil {
			e.job(w, n)
			continue
		}
		w.step(n, e.ev)
	}
	w.now = max(w.now, until)
}

func (w *World) crash(n *simNode) {
	if n.core == nil {
		return
	}
	n.core, n.blobs = nil, nil
	n.arena.Clear()
	n.life++
	for _, o := range w.nodes {
		if o.core != nil {
			w.later(o.index, 0, node.PeerDown{Peer: n.id})
		}
	}
}

// receive judges a message as the daemon would, and unpacks repairs.
func (w *World) receive(n *simNode, r node.Received) {
	if repair, ok := r.Msg.Body.(*envelope); ok {
		for _, m := range repair.messages {
			w.receive(n, node.Received{From: r.From, Msg: m})
		}
		return
	}
	if n.core.Check(r.Msg).Decision != gossip.Accept {
		w.stats.Refused++
		return
	}
	w.step(n, r)
}

// An envelope stands for a Repair: the messages themselves instead of their sealed bytes.
type envelope struct {
	gossip.Repair
	messages []*gossip.Message
}

func (w *World) step(n *simNode, ev node.Event) {
	b := n.core.Step(w.now, ev)
	if w.Observe != nil {
		w.Observe(n.index, w.now, b)
	}
	w.record(n, b)
	for _, r := range b.Persist {
		if r.Key == node.SeqKey {
			n.seq = binary.BigEndian.Uint64(r.Value)
		}
	}
	for _, m := range b.Publish {
		for _, o := range w.nodes {
			if o != n && o.core != nil {
				w.send(n, o, m)
			}
		}
	}
	for _, e := range b.Send {
		if i, ok := w.index[e.To]; ok && w.nodes[i].core != nil {
			msg := *e.Msg
			if len(e.Forward) > 0 {
				msg.Body = &envelope{messages: slices.Clone(e.Forward)}
			}
			w.send(n, w.nodes[i], &msg)
		}
	}
	w.jobs(n, b)
	for _, v := range b.Release {
		n.arena.Release(v)
	}
	if b.Done {
		w.crash(n)
		return
	}
	if at, ok := n.core.Wake(); ok {
		w.queue.push(entry{at: max(at, w.now), node: n.index, life: n.life, kind: wakeUp, ev: node.Tick{}})
		n.alarm = w.queue.seq
	}
}

func (w *World) send(from, to *simNode, m *gossip.Message) {
	w.stats.Sent++
	lost := from.rand.Float64() < w.cfg.Loss
	delay := w.cfg.Latency
	if w.cfg.Jitter > 0 {
		delay += node.Instant(from.rand.Int64N(int64(w.cfg.Jitter)))
	}
	if lost {
		w.stats.Lost++
		return
	}
	w.stats.InFlight++
	w.queue.push(entry{at: w.now + delay, node: to.index, life: to.life, kind: message, ev: node.Received{From: from.id, Msg: m}})
}

// record takes a batch into the trace.
func (w *World) record(n *simNode, b *node.Batch) {
	var buf [8]byte
	put := func(vs ...uint64) {
		for _, v := range vs {
			binary.LittleEndian.PutUint64(buf[:], v)
			w.trace.Write(buf[:])
		}
	}
	put(uint64(w.now), uint64(n.index), w.stats.Events, uint64(len(b.Publish)), uint64(len(b.Send)), uint64(len(b.Fetch)), uint64(len(b.Mix)))
	for _, m := range b.Publish {
		put(m.Seq)
		if u, ok := m.Body.(*gossip.Update); ok {
			put(u.Round, u.Age, uint64(math.Float32bits(u.Loss)))
		}
	}
	for _, s := range b.Save {
		put(s.State.Round)
		for _, x := range n.arena.Hold(s.State.Params) {
			put(uint64(math.Float32bits(x)))
		}
		n.arena.Drop(s.State.Params)
	}
}

// TraceHash names everything that has happened so far.
func (w *World) TraceHash() string { return fmt.Sprintf("%x", w.trace.Sum(nil)[:16]) }

// Stats returns the counts so far.
func (w *World) Stats() Stats { return w.stats }

// Now returns the virtual time.
func (w *World) Now() node.Instant { return w.now }

// Status returns a node's status; ok is false while it is down.
func (w *World) Status(n int) (s node.Status, ok bool) {
	if w.nodes[n].core == nil {
		return s, false
	}
	return w.nodes[n].core.Status(), true
}

// Saved returns the parameters of a node's newest checkpoint, nil if it has none.
func (w *World) Saved(n int) []float32 {
	if s := w.nodes[n].saved; s != nil {
		return s.params
	}
	return nil
}

// Vectors returns how many vectors a node holds.
func (w *World) Vectors(n int) int { return w.nodes[n].arena.Live() }
