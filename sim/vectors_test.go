package sim

import (
	"fmt"

	"starling/node"
)

// A vectorWatch checks what cores do with vectors: a job reads only what is there, and everything is let go of once.
type vectorWatch struct {
	lives []uint32
	there []map[node.VecRef]bool // by node; false is one that a job under way makes, or one that was let go of
	gone  []map[node.VecRef]bool
	outs  []map[node.JobID][]node.VecRef
	err   error
}

// firstVectors is more than the vectors that a core can begin with.
const firstVectors = 10

// watchVectors looks at all steps from now on.
func watchVectors(w *World) *vectorWatch {
	n := w.Nodes()
	v := &vectorWatch{
		lives: make([]uint32, n), there: make([]map[node.VecRef]bool, n), gone: make([]map[node.VecRef]bool, n), outs: make([]map[node.JobID][]node.VecRef, n),
	}
	for i := range n {
		v.begin(i, 0)
	}
	seen := w.Observe
	w.Observe = func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		if seen != nil {
			seen(n, now, ev, b)
		}
		if life := w.hosts[n].life; v.lives[n] != life {
			v.begin(n, life)
		}
		v.ended(n, ev)
		v.begun(n, now, b)
		for _, ref := range b.Release {
			if v.gone[n][ref] || !v.has(n, ref) {
				v.fail("at %.3f s node %d lets go of vector %d, which is not there", now.Seconds(), n, ref)
			}
			v.gone[n][ref], v.there[n][ref] = true, false
		}
	}
	return v
}

func (v *vectorWatch) begin(n int, life uint32) {
	v.lives[n] = life
	v.there[n], v.gone[n], v.outs[n] = make(map[node.VecRef]bool), make(map[node.VecRef]bool), make(map[node.JobID][]node.VecRef)
}

func (v *vectorWatch) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

// has reports whether a vector is there. Those of the state that a core begins with are.
func (v *vectorWatch) has(n int, ref node.VecRef) bool {
	is, made := v.there[n][ref]
	return is || !made && ref < firstVectors
}

func (v *vectorWatch) ended(n int, ev node.Event) {
	var job node.JobID
	switch ev := ev.(type) {
	case node.Fetched:
		job = ev.Job
	case node.Trained:
		job = ev.Job
	case node.Encoded:
		job = ev.Job
	case node.Mixed:
		job = ev.Job
	}
	for _, ref := range v.outs[n][job] {
		v.there[n][ref] = true
	}
	delete(v.outs[n], job)
}

func (v *vectorWatch) begun(n int, now node.Instant, b *node.Batch) {
	job := func(id node.JobID, out []node.VecRef, in ...node.VecRef) {
		for _, ref := range in {
			if ref != 0 && !v.has(n, ref) {
				v.fail("at %.3f s a job of node %d reads vector %d, which is not there", now.Seconds(), n, ref)
			}
		}
		for _, ref := range out {
			if ref != 0 {
				v.there[n][ref] = false
				v.outs[n][id] = append(v.outs[n][id], ref)
			}
		}
	}
	for _, j := range b.Fetch {
		job(j.Job, []node.VecRef{j.Out})
	}
	for _, j := range b.Train {
		job(j.Job, []node.VecRef{j.Out, j.OutOpt}, j.Params, j.Opt)
	}
	for _, j := range b.Mix {
		var in []node.VecRef
		for _, s := range j.Spans {
			for _, t := range s.Terms {
				in = append(in, t.Vec)
			}
		}
		job(j.Job, []node.VecRef{j.Out}, in...)
	}
	for _, j := range b.Encode {
		job(j.Job, []node.VecRef{j.Sent, j.Lost}, j.Vec)
	}
	for _, j := range b.Evaluate {
		job(j.Job, nil, j.Params)
	}
	for _, j := range b.Save {
		in := []node.VecRef{j.State.Params, j.State.Opt}
		for _, x := range j.State.Vectors {
			in = append(in, x.Vec)
		}
		job(j.Job, nil, in...)
	}
}
