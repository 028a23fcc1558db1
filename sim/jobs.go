package sim

import (
	"encoding/binary"
	"slices"

	"starling/gossip"
	"starling/node"
)

// jobs carries out the jobs of a batch: the arithmetic at once, its end after the virtual duration.
func (w *World) jobs(n *simNode, b *node.Batch) {
	t := w.cfg.Task
	for _, j := range b.Fetch {
		w.fetch(n, j)
	}
	for _, j := range b.Train {
		params, opt := n.arena.Hold(j.Params), n.arena.Hold(j.Opt)
		out, outOpt := n.arena.Alloc(j.Out, t.Len()), n.arena.Alloc(j.OutOpt, t.OptLen())
		samples, loss := t.Train(n.index, params, opt, out, outOpt, j.Step, j.Steps)
		slow := 1.0
		if w.cfg.Slow != nil {
			slow = w.cfg.Slow(n.index)
		}
		w.end(n, node.Instant(float64(w.cfg.Step)*float64(j.Steps)*slow), node.Trained{Job: j.Job, Samples: samples, Loss: loss},
			j.Params, j.Opt, j.Out, j.OutOpt)
	}
	for _, j := range b.Mix {
		vecs := n.arena.HoldMix(j)
		held := []node.VecRef{j.Out}
		for _, v := range vecs {
			held = append(held, v.Ref)
		}
		w.end(n, w.cfg.Other, t.Mix(j, vecs, n.arena.Alloc(j.Out, t.Len())), held...)
	}
	for _, j := range b.Encode {
		v := n.arena.Hold(j.Vec)
		id := n.serve(v)
		w.end(n, w.cfg.Other, node.Encoded{Job: j.Job, Payload: node.Payload{Blob: id, Size: 4 * uint64(len(v))}}, j.Vec)
	}
	for _, j := range b.Evaluate {
		accuracy, loss := t.Evaluate(n.arena.Hold(j.Params))
		w.end(n, w.cfg.Other, node.Evaluated{Job: j.Job, Accuracy: accuracy, Loss: loss}, j.Params)
	}
	for _, j := range b.Save {
		s := &savedState{state: j.State, params: slices.Clone(n.arena.Hold(j.State.Params)), opt: slices.Clone(n.arena.Hold(j.State.Opt))}
		// Durable when it ends, not before: a crash in between loses it.
		w.afterwards(n.index, w.cfg.Other, func(w *World, n *simNode) {
			n.saved = s
			n.arena.Drop(j.State.Params)
			n.arena.Drop(j.State.Opt)
			w.step(n, node.Saved{Job: j.Job})
		})
	}
}

// end delivers the end of a job, and lets go of the vectors it held.
func (w *World) end(n *simNode, after node.Instant, ev node.Event, held ...node.VecRef) {
	w.afterwards(n.index, after, func(w *World, n *simNode) {
		for _, v := range held {
			n.arena.Drop(v)
		}
		w.step(n, ev)
	})
}

// serve keeps a copy of the vector for others to fetch, and names it.
func (n *simNode) serve(v []float32) gossip.BlobID {
	n.count++
	var id gossip.BlobID
	copy(id[:], n.id[:4])
	binary.BigEndian.PutUint32(id[4:], n.life)
	binary.BigEndian.PutUint64(id[8:], n.count)
	n.blobs[id] = slices.Clone(v)
	n.served = append(n.served, id)
	if len(n.served) > keptBlobs {
		delete(n.blobs, n.served[0])
		n.served = n.served[1:]
	}
	return id
}

// fetch copies the vector from its author, if that one is up and still has it when the request arrives.
func (w *World) fetch(n *simNode, j node.FetchJob) {
	out := n.arena.Alloc(j.Out, w.cfg.Task.Len())
	author, blob := w.nodes[w.index[j.Author]], j.Update.Blob
	w.afterwards(n.index, 2*w.cfg.Latency, func(w *World, n *simNode) {
		err := node.FetchUnavailable
		if v, ok := author.blobs[blob]; ok {
			copy(out, v)
			err = node.FetchOK
		}
		n.arena.Drop(j.Out)
		w.step(n, node.Fetched{Job: j.Job, Err: err})
	})
}
