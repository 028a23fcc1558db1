package sim

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"starling/node"
	"starling/node/compute"
	"starling/sim/chance"
	"starling/sim/churn"
)

// begin queues what happens at the start and what is known to happen later.
func (w *World) begin() error {
	// A configuration that no core accepts is the caller's mistake, and better known before anything runs.
	if _, err := w.newCore(&w.hosts[0], node.State{Weight: 1, Params: 1, Opt: 2}); err != nil {
		return err
	}
	w.later(0, func() {
		for i := range w.hosts {
			if s := w.cfg.Sessions; s == nil || s.Online(i) {
				w.boot(&w.hosts[i])
			}
			w.nextSession(&w.hosts[i])
		}
		for i := range w.hosts {
			w.refresh(&w.hosts[i])
		}
	})
	if p := w.cfg.Network.Partitions; p != nil {
		for _, at := range p.Changes() {
			w.At(at, func() {
				for i := range w.hosts {
					w.refresh(&w.hosts[i])
				}
				w.cutStreams()
			})
		}
	}
	if w.cells > 1 {
		w.later(w.cfg.CellEpoch, func() { w.reshuffle(1) })
	}
	return nil
}

// nextSession queues the end of the node's session, or of its absence.
func (w *World) nextSession(h *host) {
	s := w.cfg.Sessions
	if s == nil || h.left {
		return
	}
	if at, ok := s.Next(h.index, w.now, h.online); ok {
		w.At(at, func() {
			switch {
			case !h.online:
				w.comeBack(h)
			case s.Ending(h.index) == churn.Crash:
				w.crash(h)
			default:
				w.sleep(h)
			}
			w.nextSession(h)
		})
	}
}

func (w *World) newCore(h *host, from node.State) (*node.Core, error) {
	task := w.cfg.Task
	cfg := w.cfg.Node
	cfg.Self, cfg.Seq = h.id, h.seq
	cfg.Len, cfg.Tensors, cfg.Codec, cfg.MaxPayload = task.Len(), task.Tensors(), task.Codec(), task.MaxPayload()
	cfg.Feedback, cfg.OptLen = task.Feedback(), task.OptLen()
	// Every life draws from a stream of its own: what a crash has cut off is not drawn again.
	cfg.Paused = w.resting
	for _, key := range slices.Sorted(maps.Keys(h.log)) {
		r := node.Record{Key: key, Value: h.log[key]}
		if strings.HasPrefix(key, node.WalkKey) {
			cfg.Walk.Log = append(cfg.Walk.Log, r)
		} else {
			cfg.Scalar.Log = append(cfg.Scalar.Log, r)
		}
	}
	cfg.Rand = rand.New(chance.Stream(w.cfg.Seed, chance.Core, h.index|int(h.life)<<20))
	return node.New(cfg, from)
}

// boot starts a node, from its checkpoint if it has one.
func (w *World) boot(h *host) {
	state := node.State{Weight: 1}
	var params, opt *compute.Vector
	switch {
	case h.saved != nil:
		state, params, opt = h.saved.state, h.saved.params.Share(), h.saved.opt.Share()
	case w.start != nil:
		params, opt = w.start[0].Share(), w.start[1].Share()
	default:
		params, opt = w.pool.New(w.length), w.pool.New(w.optLength)
		w.cfg.Task.Init(h.index, params.Data(), opt.Data())
	}
	state.Params, state.Opt = 1, 2
	h.arena.Put(1, params)
	h.arena.Put(2, opt)
	state.Vectors = slices.Clone(state.Vectors)
	for i := range state.Vectors {
		ref := node.VecRef(3 + i)
		state.Vectors[i].Vec = ref
		h.arena.Put(ref, h.saved.vectors[i].Share())
	}
	core, err := w.newCore(h, state)
	if err != nil {
		panic("sim: internal error: " + err.Error()) // the same configuration has worked before
	}
	if w.cfg.scalars() {
		if h.replica, err = compute.NewReplica(w.cfg.Task.Layout(), w.cfg.Node.Scalar, params.Data()); err != nil {
			panic("sim: internal error: " + err.Error()) // the layout is that of the parameters
		}
	}
	h.core, h.online, h.round = core, true, state.Round
	h.work.since = w.now
	w.online++
	if w.cfg.scalars() { // a node has something to say at once: what it may have not said before it died
		w.enter(h)
		w.step(h, node.Tick{})
		return
	}
	w.step(h, node.Tick{})
	w.enter(h)
}

// sleep takes a node offline. Its core notices nothing but a gap in time.
func (w *World) sleep(h *host) {
	if h.online {
		w.counts.leaves++
		w.offline(h)
	}
}

// crash ends a node: all but what it has persisted is gone.
func (w *World) crash(h *host) {
	if h.core == nil {
		return
	}
	w.counts.crashes++
	if h.online {
		w.offline(h)
	}
	w.forget(h)
}

func (w *World) offline(h *host) {
	h.online = false
	h.work.Online += w.now - h.work.since
	w.online--
	w.queue.cancel(int32(h.index))
	w.hangUp(h)
	w.cancelStreams(h.index)
	w.links.Clear(h.index)
	if w.view != nil && h.attack == nil {
		w.view.Put(h.index, 0, 0, nil)
		w.replaceSeen(h, nil)
	}
}

// forget lets go of all that a node has in memory.
func (w *World) forget(h *host) {
	w.giveUp(h)
	h.core, h.replica = nil, nil
	h.life++
	h.work.pending = 0
	h.arena.Clear()
	for _, s := range h.shelf {
		w.blobs.drop(s.blob)
	}
	h.shelf = h.shelf[:0]
	w.clearPieces(h)
	if h.base != nil {
		h.base.Drop()
		h.base = nil
	}
}

// comeBack brings a node online again.
func (w *World) comeBack(h *host) {
	if h.online || h.left {
		return
	}
	w.counts.joins++
	if h.core == nil {
		w.boot(h)
		w.refresh(h)
		return
	}
	h.online = true
	h.work.since = w.now
	w.online++
	deferred := h.deferred
	h.deferred = nil
	for _, ev := range deferred {
		w.queue.push(w.now, w.now, ev)
	}
	w.enter(h)
	if w.resting {
		w.step(h, node.Command{Op: node.Pause})
	}
	w.step(h, node.Tick{})
	w.refresh(h)
}

func (w *World) alarmed(h *host) { w.step(h, node.Tick{}) }

// step gives an event to a core and carries out what it asks for, in the order of the batch.
func (w *World) step(h *host, ev node.Event) {
	b := h.core.Step(w.now, ev)
	w.counts.steps++
	h.looked = false
	w.tally(h, ev, b)
	w.trace.step(w.now, h.index, ev, b)
	if w.Observe != nil {
		w.Observe(h.index, w.now, ev, b)
	}
	for i := range b.Observe {
		if s := &b.Observe[i]; s.Kind == node.StatTrained {
			h.round = s.Round
			w.rounds.finished(h.index, s.Round)
		}
	}
	said := h.seq
	for i := range b.Persist {
		h.persist(&b.Persist[i])
	}
	for _, m := range b.Publish {
		w.broadcast(h, m)
	}
	for i := range b.Send {
		w.mail(h, &b.Send[i], said)
	}
	w.jobs(h, ev, b)
	for _, v := range b.Release {
		w.released(h, v)
		h.arena.Release(v)
	}
	if b.Done {
		h.left = true
		w.counts.leaves++
		w.offline(h)
		w.forget(h)
		return
	}
	at, ok := h.core.Wake()
	switch was, armed := w.queue.when(int32(h.index)); {
	case !ok:
		w.queue.cancel(int32(h.index))
	case !armed || was != at:
		w.queue.set(int32(h.index), max(at, w.now))
	}
}

// persist keeps what survives a crash: the number of the newest message, and what the methods scalar and walk write down.
func (h *host) persist(r *node.Record) {
	switch {
	case r.Key == node.SeqKey:
		h.seq = binary.BigEndian.Uint64(r.Value)
	case !strings.HasPrefix(r.Key, node.ScalarKey) && !strings.HasPrefix(r.Key, node.WalkKey):
	case len(r.Value) == 0:
		delete(h.log, r.Key)
	default:
		if h.log == nil {
			h.log = make(map[string][]byte)
		}
		h.log[r.Key] = slices.Clone(r.Value)
	}
}

// progress says how far the nodes are.
type progress struct {
	best []uint64 // by node: the newest round that it ever finished
	done []int    // by round: nodes that have finished it
	sum  uint64   // of best
}

func (p *progress) finished(n int, round uint64) {
	for len(p.best) <= n {
		p.best = append(p.best, 0)
	}
	for ; p.best[n] < round; p.best[n]++ {
		if int(p.best[n]) == len(p.done) {
			p.done = append(p.done, 0)
		}
		p.done[p.best[n]]++
		p.sum++
	}
}

// Rounds returns the mean over all nodes of the newest round that each has finished.
func (w *World) Rounds() float64 { return float64(w.rounds.sum) / float64(len(w.hosts)) }

// Round returns the newest round that half of the nodes that are online now, or more, have finished.
func (w *World) Round() int {
	r := len(w.rounds.done)
	for r > 0 && 2*w.rounds.done[r-1] < w.online {
		r--
	}
	return r
}
