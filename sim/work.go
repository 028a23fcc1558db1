package sim

import (
	"math"

	"starling/gossip"
	"starling/node"
)

// A Work is what an honest node has done since the start, in all of its lives.
type Work struct {
	Online  node.Instant // how long it was online
	Samples uint64       // examples of local steps whose end it saw, but for steps that diverged
	Useful  uint64       // of these, how many are in updates of which another honest node has said that it mixed them in, or in records sent
}

// work keeps the account of one node. Samples wait to be published, and then to be marked.
type work struct {
	Work
	since   node.Instant // when the session began
	pending uint64       // samples since the newest update
	waiting []credit     // ascending by seq
}

// A credit is the samples behind an update.
type credit struct{ seq, samples uint64 }

// waitingCredits bounds the updates of a node that wait for a mark: those before are not expected to be mixed in any more.
const waitingCredits = 64

// Work returns what node n has done. Of an adversary nothing but the time is counted.
func (w *World) Work(n int) Work {
	h := &w.hosts[n]
	out := h.work.Work
	if h.online {
		out.Online += w.now - h.work.since
	}
	return out
}

// Samples returns the sum of [Work.Samples] over all nodes.
func (w *World) Samples() uint64 { return w.samples }

// tally takes what an honest node has heard and what it asks for into the accounts of work.
func (w *World) tally(h *host, ev node.Event, b *node.Batch) {
	if h.attack != nil {
		return
	}
	if t, ok := ev.(node.Trained); ok && !math.IsNaN(t.Loss) && !math.IsInf(t.Loss, 0) {
		h.work.Samples += t.Samples
		h.work.pending += t.Samples
		w.samples += t.Samples
	}
	if p, ok := ev.(node.Probed); ok && !math.IsNaN(p.Slope) && !math.IsInf(p.Slope, 0) {
		h.work.Samples += p.Samples
		h.work.pending += p.Samples
		w.samples += p.Samples
	}
	for _, m := range b.Publish {
		w.published(h, m)
	}
	for i := range b.Send {
		for _, m := range b.Send[i].Forward {
			w.published(h, m)
		}
	}
}

// published credits an update, or the pseudo-gradient, that is a node's own with the samples since the one before, and others with
// those that it says it has mixed in.
func (w *World) published(h *host, m *gossip.Message) {
	if m.Author != h.id {
		return
	}
	switch b := m.Body.(type) {
	case *gossip.Update:
		if w.credited(h, m.Seq) {
			w.credit(h, b.Mixed)
		}
	case *gossip.Records:
		h.work.Useful += h.work.pending // who hears of a record adds it: nobody says so
		h.work.pending = 0
	case *gossip.Delta:
		// All but a pseudo-gradient has no local steps of its own behind it.
		if b.Part != gossip.PartGradient || w.credited(h, m.Seq) {
			w.credit(h, b.Mixed)
		}
	}
}

// credited puts what a node has done since its last update under the number of a new one. It returns false if the update is not new:
// a repair.
func (w *World) credited(h *host, seq uint64) bool {
	k := &h.work
	n := len(k.waiting)
	if n > 0 && k.waiting[n-1].seq >= seq {
		return false
	}
	if n == waitingCredits { // the older half at once: to move all of them each time takes longer than all else here
		k.waiting = append(k.waiting[:0], k.waiting[n/2:]...)
	}
	k.waiting = append(k.waiting, credit{seq, k.pending})
	k.pending = 0
	return true
}

// credit takes what a node says it has mixed in into the useful work of the authors.
func (w *World) credit(h *host, mixed []gossip.Mark) {
	for _, mark := range mixed {
		if author := w.host(mark.Author); author != nil && author != h && author.attack == nil {
			author.work.mixed(mark.Seq, w.cumulative())
		}
	}
}

// cumulative reports whether an update holds the work of those before it, as whole models do.
func (w *World) cumulative() bool { return w.cfg.Node.Method == "average" }

// mixed takes what is behind an update, and with whole models behind those before it, into the useful work.
func (k *work) mixed(seq uint64, cumulative bool) {
	kept := k.waiting[:0]
	for _, c := range k.waiting {
		if c.seq == seq || c.seq < seq && cumulative {
			k.Useful += c.samples
		} else {
			kept = append(kept, c)
		}
	}
	k.waiting = kept
}

// Rest has all nodes pause: each ends the round that it is in, mixes what belongs to it, and begins no other. So do nodes that come
// later.
func (w *World) Rest() {
	w.resting = true
	for i := range w.hosts {
		if h := &w.hosts[i]; h.online {
			w.step(h, node.Command{Op: node.Pause})
		}
	}
}

// AtRest reports whether, after [World.Rest], no honest node that is online has anything left to do in its round.
func (w *World) AtRest() bool {
	if !w.resting {
		return false
	}
	for range w.hosts {
		if h := &w.hosts[w.busy]; h.online && h.attack == nil && !w.rests(h) {
			return false
		}
		w.busy = (w.busy + 1) % len(w.hosts)
	}
	return true
}

// pausedPhase is what the status of a node says that has paused.
const pausedPhase = "paused"

// rests reports whether a node has ended its last round.
func (w *World) rests(h *host) bool {
	if !h.looked {
		h.looked, h.rest = true, h.core.Phase() == pausedPhase
	}
	return h.rest && len(h.working) == 0
}
