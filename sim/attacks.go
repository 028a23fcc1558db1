package sim

import (
	"starling/gossip"
	"starling/node"
	"starling/node/compute"
	"starling/sim/adversary"
)

// attackTraining lets an adversary decide about a training job: it may skip it.
func (w *World) attackTraining(h *host, j *job, steps uint64) {
	samples, loss, idle := h.attack.Idle(w.view, w.cfg.Task.Samples(h.index, *j.train))
	if !idle {
		return
	}
	j.claim()
	copy(j.out[0], j.in[0])
	copy(j.out[1], j.in[1])
	j.result = node.Trained{Job: j.train.Job, Steps: steps, Samples: samples, Loss: loss}
}

// attackVector returns what leaves the node in place of a vector, whose use it takes over.
func (w *World) attackVector(h *host, own *compute.Vector) *compute.Vector {
	if h.attack == nil || h.forked {
		return own
	}
	out := w.pool.New(w.length)
	if !w.forge(h, own.Data(), 0, out.Data()) {
		out.Drop()
		return own
	}
	own.Drop()
	return out
}

// forge asks the attack for what a receiver of that version is told.
func (w *World) forge(h *host, own []float32, version uint32, out []float32) bool {
	c := &adversary.Context{Round: h.round, Own: own, View: w.view, Version: version}
	if h.base != nil {
		c.Base = h.base.Data()
	}
	return h.attack.Announce(c, out)
}

// forgeChange is the same for a vector that is a change already: it counts from zero. It may be longer than a model.
func (w *World) forgeChange(h *host, own, out []float32) bool {
	return h.attack.Announce(&adversary.Context{Round: h.round, Own: own, View: w.view}, out)
}

// witness shows the attackers what an honest node has announced.
func (w *World) witness(h *host, u *gossip.Update) {
	if w.view == nil || h.attack != nil {
		return
	}
	var vec *compute.Vector
	if b := w.blobs.find(u.Blob); u.Inline == nil && b != nil {
		vec = b.vec.Share()
	} else if u.Inline != nil {
		vec = w.pool.New(w.length)
		if w.cfg.Task.Decode(vec.Data(), u.Codec, u.Inline) != nil {
			vec.Drop()
			return
		}
	} else {
		return
	}
	w.view.Put(h.index, u.Samples, float64(u.Loss), vec.Data())
	w.replaceSeen(h, vec)
}

func (w *World) replaceSeen(h *host, vec *compute.Vector) {
	if w.view == nil {
		return
	}
	if old := w.seen[h.index]; old != nil {
		old.Drop()
	}
	w.seen[h.index] = vec
}

// says returns the message that a node sends to another in place of m, nil if nothing goes.
func (h *host) says(to int, m *gossip.Message) *gossip.Message {
	if h.attack == nil || m.Author != h.id {
		return m
	}
	return h.attack.Send(to, m)
}
