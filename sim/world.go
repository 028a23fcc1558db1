package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"starling/gossip"
	"starling/node"
	"starling/node/compute"
	"starling/sim/adversary"
	"starling/sim/chance"
	"starling/sim/network"
)

// A World is a simulation. It must not be used concurrently.
type World struct {
	cfg   Config
	now   node.Instant
	queue *queue
	hosts []host
	cells uint32
	// anyone says that nodes push to anyone who is there: everybody is connected to everybody, and no links are kept.
	anyone bool

	links   *network.Links
	streams *network.Streams
	pulls   []*pull // by the slot of their stream
	linkKey uint64
	parcels []*parcel // unused ones
	jobList []*job    // unused ones
	// instants are ends of jobs that take no time, of which so many are done.
	instants     []*job
	instantsDone int
	sizes        []int // scratch
	ordered      map[[2]int32]node.Instant

	length, optLength int // of the task's vectors
	pool              *compute.Pool
	nothing           *compute.Vector   // without elements, for whoever needs such a one
	start             []*compute.Vector // parameters and optimizer state that all nodes begin with, if they are common
	blobs             blobs
	view              *adversary.View
	seen              []*compute.Vector // that the view refers to, by node

	crew   *crew
	trace  trace
	counts counts

	epoch     uint64
	keepSaves bool // somebody may crash though there are no sessions
	online    int
	samples   uint64 // that honest nodes have trained on
	resting   bool   // see Rest
	busy      int    // a node that was not at rest
	rounds    progress
	topics    []*topic
	meshSums  meshSums

	// Observe, when set, is told of every batch. It must not change it.
	Observe func(n int, now node.Instant, ev node.Event, b *node.Batch)
}

// host is one simulated machine.
type host struct {
	id     gossip.PeerID
	index  int
	core   *node.Core // nil while it is down
	online bool
	life   uint32
	arena  compute.Arena
	pick   rand.PCG // whom to push to
	attack adversary.Attack
	forked bool            // the attack tells receivers different things
	base   *compute.Vector // what the local steps of the round began from: the newest mixed model
	round  uint64          // the newest that it has trained
	seq    uint64          // survives a crash, as saved does
	// log is what the methods scalar and walk have persisted, by key; it survives a crash, too.
	log     map[string][]byte
	replica *compute.Replica // the integer model of the method scalar; nil with another, and while the node is down
	weights []float32        // of the replica, for who looks at them
	shelf   []shelved
	left    bool // has said goodbye for good
	work    work
	looked  bool // rest is what the status said after the last step
	rest    bool

	links []link // whom it is, or would be, connected to; none if anyone pushes to anyone
	topic *topic
	local int // its number in the topic

	working  []*job    // jobs that others do in the meantime
	deferred []event   // what has ended while the node slept
	pieces   [][]*blob // of the newest vectors that were encoded in parts, oldest first
	saved    *saved    // survives a crash
}

// A link is one node's end of a possible connection.
type link struct {
	peer int32
	back int32 // index of the link at the peer
	up   bool
}

type saved struct {
	state       node.State
	params, opt *compute.Vector
	vectors     []*compute.Vector // in the order of the state's
}

// save takes what a state names, for as long as the checkpoint is kept.
func (h *host) save(s node.State) *saved {
	kept := &saved{state: s, params: h.arena.Share(s.Params), opt: h.arena.Share(s.Opt)}
	for _, v := range s.Vectors {
		kept.vectors = append(kept.vectors, h.arena.Share(v.Vec))
	}
	return kept
}

func (s *saved) drop() {
	if s == nil {
		return
	}
	s.params.Drop()
	s.opt.Drop()
	for _, v := range s.vectors {
		v.Drop()
	}
}

// streamTimer is the reserved ID, after those of the nodes' alarms, of the end of the next stream.
func (w *World) streamTimer() int32 { return int32(w.cfg.Nodes) }

func (w *World) reserved() int32 { return int32(w.cfg.Nodes) + 1 }

// New builds the world. Nothing happens before Run.
func New(cfg Config) (*World, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("simulation: %w", err)
	}
	w := &World{
		length: cfg.Task.Len(), optLength: cfg.Task.OptLen(),
		cfg: cfg, queue: newQueue(cfg.Nodes + 1), hosts: make([]host, cfg.Nodes), cells: 1,
		links: network.NewLinks(cfg.Network.Bandwidth), linkKey: chance.Key(cfg.Seed, chance.Link),
		pool: compute.NewPool(keptVectors), trace: newTrace(), ordered: make(map[[2]int32]node.Instant),
	}
	if cfg.Network.Bandwidth != nil {
		w.streams = network.NewStreams(cfg.Network.Bandwidth)
	}
	if cfg.CellSize > 0 {
		w.cells = uint32(max(1, (cfg.Nodes+cfg.CellSize/2)/cfg.CellSize))
	}
	w.cfg.Node.Cells = w.cells
	w.cfg.Node.Batch = new(node.Batch) // no step begins before the one before has been carried out
	w.nothing = w.pool.New(0)
	w.crew = newCrew(cfg.Task, max(1, cfg.Workers), cfg.CPU)
	if a := cfg.Adversaries; a != nil && a.Sees() {
		w.view, w.seen = adversary.NewView(cfg.Nodes), make([]*compute.Vector, cfg.Nodes)
	}
	for i := range w.hosts {
		w.settle(i)
	}
	if cfg.Task.Common() {
		w.start = []*compute.Vector{w.pool.New(w.length), w.pool.New(w.optLength)}
		cfg.Task.Init(0, w.start[0].Data(), w.start[1].Data())
	}
	if err := w.wire(); err != nil {
		return nil, fmt.Errorf("simulation: %w", err)
	}
	if err := w.begin(); err != nil {
		w.Close()
		return nil, fmt.Errorf("simulation: %w", err)
	}
	return w, nil
}

// keptVectors is how many unused vectors of a length are kept: enough that nothing is allocated in the long run.
const keptVectors = 1 << 16

// settle fills in what a host is for all of its lives.
func (w *World) settle(i int) {
	h := &w.hosts[i]
	h.index = i
	h.pick = *chance.Stream(w.cfg.Seed, chance.Peer, i)
	h.arena = *compute.NewArena(w.pool)
	// A random part, so that cells and tables see identities as they are, and the number, so that it is found again.
	name := chance.Stream(w.cfg.Seed, chance.Identity, i)
	for at := 0; at < idNumber; at += 8 {
		binary.BigEndian.PutUint64(h.id[at:], name.Uint64())
	}
	binary.BigEndian.PutUint64(h.id[idNumber:], uint64(i))
	if w.cfg.Adversaries == nil {
		return
	}
	if h.attack = w.cfg.Adversaries.Of(i); h.attack != nil {
		for to := range w.hosts {
			h.forked = h.forked || h.attack.Version(to) != 0
		}
	}
}

// idNumber is where the number of a node stands in its ID.
const idNumber = 24

// host returns the node of that ID, or nil.
func (w *World) host(id gossip.PeerID) *host {
	n := binary.BigEndian.Uint64(id[idNumber:])
	if n >= uint64(len(w.hosts)) || w.hosts[n].id != id {
		return nil
	}
	return &w.hosts[n]
}

// later calls f after some time, whatever becomes of whom it concerns.
func (w *World) later(after node.Instant, f func()) {
	w.queue.push(w.now, w.now+after, event{kind: control, do: f})
}

// At calls f at a virtual time, or now if that is past. It is how commands and observers are timed; f must not change what happens if
// traces are to be compared with those of runs without it.
func (w *World) At(at node.Instant, f func()) { w.later(max(0, at-w.now), f) }

// Command gives an operator's command to a node at the given time, if it is up then.
func (w *World) Command(n int, at node.Instant, op node.Op) {
	w.At(at, func() {
		if h := &w.hosts[n]; h.online {
			w.step(h, node.Command{Op: op})
		}
	})
}

// Crash ends a node at the given time: all but what it has persisted is gone. Restart brings it back.
func (w *World) Crash(n int, at node.Instant) {
	w.keepSaves = true
	w.At(at, func() { w.crash(&w.hosts[n]) })
}

// Sleep takes a node offline at the given time, without its noticing. Restart brings it back.
func (w *World) Sleep(n int, at node.Instant) { w.At(at, func() { w.sleep(&w.hosts[n]) }) }

// Restart brings a node back that has crashed or sleeps.
func (w *World) Restart(n int, at node.Instant) { w.At(at, func() { w.comeBack(&w.hosts[n]) }) }

// An event is something that happens to a node, or to all.
type event struct {
	kind   kind
	node   int32 // of a beat, in its topic
	job    *job
	parcel *parcel
	topic  *topic
	do     func()
}

type kind uint8

const (
	alarm   kind = iota // the core's, or the end of a stream: reserved IDs
	ended               // a job
	arrived             // a parcel has reached the receiver's downlink
	taken               // and has been taken off it
	beat                // a heartbeat of a mesh
	control             // do
)

// Run goes on until the given virtual time, until nothing is left to happen, or until stop, when set, says so after an event.
func (w *World) Run(until node.Instant, stop func() bool) {
	for {
		if j := w.nextInstant(); j != nil {
			w.counts.events++
			w.jobEnded(j)
		} else if at, ok := w.queue.next(); !ok || at > until {
			w.now = max(w.now, until)
			return
		} else {
			w.happen()
		}
		if stop != nil && stop() {
			return
		}
	}
}

// happen carries out the first event of the queue.
func (w *World) happen() {
	at, id, ev := w.queue.pop(w.reserved())
	w.now = max(w.now, at)
	w.counts.events++
	switch {
	case id < w.streamTimer():
		w.alarmed(&w.hosts[id])
	case id == w.streamTimer():
		w.streamed()
	case ev.kind == ended:
		w.jobEnded(ev.job)
	case ev.kind == arrived:
		w.arrive(ev.parcel)
	case ev.kind == taken:
		w.take(ev.parcel)
	case ev.kind == beat:
		ev.topic.beat(w, int(ev.node))
	default:
		ev.do()
	}
}

// Now returns the virtual time.
func (w *World) Now() node.Instant { return w.now }

// Next returns when the next event is; ok is false if nothing is left to happen.
func (w *World) Next() (at node.Instant, ok bool) { return w.queue.next() }

// Nodes returns the number of nodes.
func (w *World) Nodes() int { return len(w.hosts) }

// Online returns how many nodes are online.
func (w *World) Online() int { return w.online }

// Up reports whether a node is online.
func (w *World) Up(n int) bool { return w.hosts[n].online }

// Number returns the number of the node with a peer ID.
func (w *World) Number(id gossip.PeerID) (n int, ok bool) {
	if h := w.host(id); h != nil {
		return h.index, true
	}
	return 0, false
}

// ID returns the peer ID of a node.
func (w *World) ID(n int) gossip.PeerID { return w.hosts[n].id }

// Status returns a node's status; ok is false while it is down.
func (w *World) Status(n int) (s node.Status, ok bool) {
	if w.hosts[n].core == nil {
		return s, false
	}
	return w.hosts[n].core.Status(), true
}

// Saved returns the parameters of a node's newest checkpoint, nil if it has none.
func (w *World) Saved(n int) []float32 {
	if s := w.hosts[n].saved; s != nil {
		return s.params.Data()
	}
	return nil
}

// Params returns the parameters that a node holds now, nil while it is down. They are valid until the world goes on.
func (w *World) Params(n int) []float32 {
	h := &w.hosts[n]
	if h.core == nil {
		return nil
	}
	if h.replica == nil {
		shown, _ := h.core.Shown()
		return h.arena.Vec(shown)
	}
	if h.weights == nil {
		h.weights = make([]float32, w.length)
	}
	h.replica.Weights(h.weights)
	return h.weights
}

// token returns the newest model of a token that anybody has, nil if nobody has any.
func (w *World) token(number uint32) []float32 {
	var newest []float32
	var most uint64
	for n := range w.hosts {
		h := &w.hosts[n]
		if h.core == nil || !h.online {
			continue
		}
		if params, hops := h.core.ShownToken(number); params != 0 && (newest == nil || hops > most) {
			newest, most = h.arena.Vec(params), hops
		}
	}
	return newest
}

// tokens is how many models walk, or have walked.
func (w *World) tokens() (n uint32) {
	if n = w.cfg.Node.Walk.Tokens; n == 0 {
		for i := range w.hosts {
			if h := &w.hosts[i]; h.core != nil {
				for _, t := range h.core.Status().Walk.Tokens {
					n = max(n, t.Token+1)
				}
			}
		}
	}
	return max(n, 1)
}

// Model returns the model that a node is judged by. With the exchange announce it is that with which its round began, which is what
// the daemon evaluates: fresh from mixing, without the drift of local steps. With the exchange push, and of a node that rests, it is
// what the node holds. With the method walk, under which a node without a token shows an old copy for long, it is that of a token: of
// number n if there are so many, and else the tokens take turns. It is nil while the node is down, and valid until the world goes on.
func (w *World) Model(n int) []float32 {
	if w.cfg.walks() && w.hosts[n].core != nil {
		if v := w.token(uint32(n) % w.tokens()); v != nil {
			return v
		}
		return w.Params(n)
	}
	if h := &w.hosts[n]; h.core != nil && h.base != nil && !w.cfg.pushes() && !(w.resting && w.rests(h)) {
		return h.base.Data()
	}
	return w.Params(n)
}

// Begun reports whether a node has been there at any time.
func (w *World) Begun(n int) bool { return w.hosts[n].core != nil || w.hosts[n].life > 0 }

// Vectors returns how many vectors a node holds.
func (w *World) Vectors(n int) int { return w.hosts[n].arena.Live() }

// Pool tells what vectors are in use.
func (w *World) Pool() *compute.Pool { return w.pool }

// Close ends the world: jobs that are under way are given up, and every vector is let go. What [Pool.Live] says then was
// forgotten by somebody.
func (w *World) Close() {
	for i := range w.hosts {
		h := &w.hosts[i]
		w.forget(h)
		h.saved.drop()
		h.saved = nil
	}
	for w.queue.len() > 0 {
		if _, _, ev := w.queue.pop(w.reserved()); ev.parcel != nil {
			if p := ev.parcel.pull; p != nil {
				w.blobs.drop(p.blob)
			}
			w.empty(ev.parcel)
		}
	}
	for _, p := range w.pulls {
		if p != nil {
			w.blobs.drop(p.blob)
		}
	}
	for _, v := range append(append(w.start, w.seen...), w.nothing) {
		if v != nil {
			v.Drop()
		}
	}
	w.start, w.seen, w.nothing = nil, nil, nil
	w.crew.stop()
}
