package sim

// A Score is what a model is worth on the held-out data.
type Score struct {
	Accuracy, Loss float64
}

// Evaluate measures the models of nodes, see [World.Model], with the help of the crew. Nodes that are down have no score: ok is false
// for them. The world does not notice.
func (w *World) Evaluate(nodes []int) (scores []Score, ok []bool) {
	jobs := make([]*job, len(nodes))
	scores, ok = make([]Score, len(nodes)), make([]bool, len(nodes))
	for i, n := range nodes {
		v := w.Model(n)
		if v == nil {
			continue
		}
		ok[i] = true
		jobs[i] = w.job(&w.hosts[n], evaluateJob)
		jobs[i].in[0], jobs[i].small = v, w.length < small
		if !jobs[i].small {
			w.crew.offer(jobs[i])
		}
	}
	for i, j := range jobs {
		if j != nil {
			w.crew.join(j)
			scores[i] = Score{j.accuracy, j.loss}
			w.recycle(j)
		}
	}
	return scores, ok
}

// Finished counts the rounds that nodes have finished, all together: it grows whenever one finishes a round.
func (w *World) Finished() uint64 { return w.rounds.sum }
