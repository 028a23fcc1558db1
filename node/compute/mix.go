package compute

import (
	"fmt"
	"slices"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node"
)

// Vectors finds the vectors that a job names; an [Arena] does, and [Held].
type Vectors interface {
	Vec(ref node.VecRef) []float32
}

// Held are the vectors of one job, for a goroutine that does not own the arena.
type Held []HeldVector

// A HeldVector is one vector of a job and its name.
type HeldVector struct {
	Ref node.VecRef
	Vec []float32
}

// HoldMix holds the vectors that a mix reads, for Drop to let go of.
func (a *Arena) HoldMix(job node.MixJob) Held {
	var h Held
	hold := func(ref node.VecRef) { h = append(h, HeldVector{ref, a.Hold(ref)}) }
	if job.Rule != "" {
		hold(job.Own.Vec)
	}
	for _, in := range job.In {
		hold(in.Vec)
	}
	for _, t := range job.Terms {
		hold(t.Vec)
	}
	for _, s := range job.Spans {
		for _, t := range s.Terms {
			hold(t.Vec)
		}
	}
	return h
}

// OutLen returns the length of the vector that a mix makes in a run whose model has so many parameters.
func OutLen(job node.MixJob, model int) int {
	if job.Rule != "" || len(job.Spans) == 0 {
		return model
	}
	n := 0
	for _, s := range job.Spans {
		n += s.Len
	}
	return n
}

// CloneMix copies what of a job belongs to the core, for a goroutine that does it later.
func CloneMix(job node.MixJob) node.MixJob {
	job.In, job.Terms, job.Spans = slices.Clone(job.In), slices.Clone(job.Terms), slices.Clone(job.Spans)
	for i := range job.Spans {
		job.Spans[i].Terms = slices.Clone(job.Spans[i].Terms)
	}
	return job
}

// Vec returns the vector of that name.
func (h Held) Vec(ref node.VecRef) []float32 {
	for i := range h {
		if h[i].Ref == ref {
			return h[i].Vec
		}
	}
	panic(fmt.Sprintf("compute: internal error: vector %d is not held", ref))
}

// Mix carries out a mix on the vectors that the job names. The slices of the report are valid until the worker's next Mix.
func (w *Worker) Mix(job node.MixJob, vecs Vectors, out []float32) (mixing.Report, error) {
	switch {
	case job.Rule != "":
	case len(job.Spans) > 0:
		for _, s := range job.Spans {
			w.combine(s.Terms, vecs, out[:s.Len], true)
			out = out[s.Len:]
		}
		return mixing.Report{}, nil
	default:
		w.combine(job.Terms, vecs, out, false)
		return mixing.Report{}, nil
	}
	w.inputs, w.stats = w.inputs[:0], w.stats[:0]
	own := w.input(&job.Own, vecs)
	for i := range job.In {
		w.inputs = append(w.inputs, w.input(&job.In[i], vecs))
	}
	report, err := w.rule.Mix(out, own, w.inputs, &w.env)
	clear(w.inputs)
	return report, err
}

// combine writes the sum of the terms, or of parts of their vectors, to out, accumulated in float64 in their order and rounded once.
func (w *Worker) combine(terms []node.Term, vecs Vectors, out []float32, parts bool) {
	w.vecs, w.weights = w.vecs[:0], w.weights[:0]
	for _, t := range terms {
		v := vecs.Vec(t.Vec)
		if parts {
			v = v[t.At : t.At+len(out)]
		}
		w.vecs, w.weights = append(w.vecs, v), append(w.weights, t.Coef)
	}
	if len(terms) == 1 && terms[0].Coef == 1 {
		copy(out, w.vecs[0])
		return
	}
	kernel.WeightedSum(out, w.weights, w.vecs)
	clear(w.vecs)
}

func (w *Worker) input(in *node.MixInput, vecs Vectors) mixing.Input {
	m := mixing.Meta{Peer: w.name(in.Peer), Samples: float64(in.Samples), Age: in.Age, Degree: int(in.Degree)}
	if len(in.Stats) > 0 {
		from := len(w.stats)
		for _, s := range in.Stats {
			w.stats = append(w.stats, mixing.Stat{Mean: float64(s.Mean), Var: float64(s.Var)})
		}
		m.Stats = w.stats[from:] // still whole if a later append moves the others
	}
	return mixing.Input{Vec: vecs.Vec(in.Vec), Meta: m}
}

// maxNames bounds the memory for names, of which a run can show a node as many as it likes.
const maxNames = 1 << 16

// name returns the 32 bytes of a peer's ID as a string, without making it anew each time.
func (w *Worker) name(p node.PeerID) string {
	s, ok := w.names[p]
	if !ok {
		if len(w.names) >= maxNames {
			clear(w.names)
		}
		s = string(p[:])
		w.names[p] = s
	}
	return s
}
