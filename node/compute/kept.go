package compute

import (
	"slices"

	"starling/mixing"
)

// kept says which tensors of a model stay with each node, such as the B of adapters of which only A is shared (spec 08, section 12). Cores
// know nothing of them: the vectors that they mix and send have the shared tensors alone, and what stays is at the end of the
// optimizer's state, which is the node's own, too, and is saved with it.
type kept struct {
	full, shared *mixing.Layout
	tensors      []mixing.Tensor // that stay, with offsets among themselves
	length       int             // of these
}

// keptOf returns what stays of a model with a layout; nil if nothing does.
func keptOf(full *mixing.Layout) (*kept, error) {
	if !slices.ContainsFunc(full.Tensors, func(t mixing.Tensor) bool { return t.Private }) {
		return nil, nil
	}
	k := &kept{full: full}
	var shared []mixing.Tensor
	for _, t := range full.Tensors {
		if !t.Private {
			shared = append(shared, t)
			continue
		}
		t.Offset = k.length
		k.length += t.Len()
		k.tensors = append(k.tensors, t)
	}
	var err error
	k.shared, err = mixing.NewLayout(shared...)
	return k, err
}

// join sets full to what is shared and what is kept.
func (k *kept) join(full, shared, own []float32) {
	for _, t := range k.full.Tensors {
		from := &shared
		if t.Private {
			from = &own
		}
		copy(t.Of(full), (*from)[:t.Len()])
		*from = (*from)[t.Len():]
	}
}

// split is the reverse of join.
func (k *kept) split(full, shared, own []float32) {
	for _, t := range k.full.Tensors {
		to := &shared
		if t.Private {
			to = &own
		}
		copy(*to, t.Of(full))
		*to = (*to)[t.Len():]
	}
}

// Kept lists the tensors of the model that stay with each node, as they lie, one after the other, at the end of the optimizer's state.
func (p *Program) Kept() []mixing.Tensor {
	if p.kept == nil {
		return nil
	}
	return p.kept.tensors
}

// own is the part of an optimizer's state that is kept of the model.
func (k *kept) own(opt []float32) []float32 { return opt[len(opt)-k.length:] }

// Recall tells a node which state of the optimizer it goes on from: what is evaluated has what is kept of the newest one.
func (p *Program) Recall(n *Node, opt []float32) {
	if p.kept != nil {
		own := slices.Clone(p.kept.own(opt))
		n.own.Store(&own)
	}
}

// whole returns the parameters of the model that a node computes with: those that are shared, and its own.
func (w *Worker) whole(n *Node, params []float32) []float32 {
	k := w.program.kept
	if k == nil {
		return params
	}
	if w.full == nil {
		w.full = make([]float32, k.full.Len())
	}
	own := n.own.Load()
	if own == nil { // a node that has not begun
		fresh := make([]float32, k.length)
		own = &fresh
	}
	k.join(w.full, params, *own)
	return w.full
}
