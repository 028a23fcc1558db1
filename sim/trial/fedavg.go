package trial

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim"
	"starling/sim/chance"
	"starling/sim/report"
)

// fedavg is the reference with a server (McMahan et al. 2017): in each round the server sends its model to some nodes, each
// trains on its own data, and the server takes the mean of what comes back, weighted by examples. The server sits where node 0
// is and waits for everybody, as federated averaging does; nobody is ever away.
func (r *runner) fedavg(ctx context.Context, s *Setup) (report.Run, error) {
	f := &federation{reference: newReference(s, r.options.Workers), draw: chance.Stream(r.Seed, chance.Client, 0)}
	due := cadence{tokens: r.Evaluate.Every.Tokens}
	until := node.Instant(math.MaxInt64)
	if r.Stop.Time > 0 {
		until = instant(r.Stop.Time)
	}
	for r.stopped == "" {
		if err := f.round(ctx); err != nil {
			return report.Run{}, err
		}
		done := int(f.rounds)
		every := r.Evaluate.Every
		if every.Rounds == 0 && every.Tokens == 0 || every.Rounds > 0 && done%every.Rounds == 0 ||
			due.comes(0, 0, every.Tokens, 0, 0, f.samples*r.perSample) {
			f.tick(r)
		}
		f.limits(r, until)
		if f.timeless(r) {
			return report.Run{}, errors.New("rounds of the reference take no time, so stop.time never comes: give compute.step, or stop.rounds")
		}
		r.tell(f.share(r, until), f.now.Seconds(), f.rounds, r.Nodes)
	}
	return f.report(r, "model"), nil
}

// federation is the server and its nodes.
type federation struct {
	reference
	draw    *rand.PCG
	steps   map[int]uint64 // local steps that each node has done
	results []result       // of the round, by client
}

type result struct {
	params  []float32
	samples float64
	took    node.Instant
	err     error
}

// round has the clients train and takes the mean.
func (f *federation) round(ctx context.Context) error {
	clients := f.clients()
	if f.steps == nil {
		f.steps = make(map[int]uint64)
	}
	f.results = slices.Grow(f.results[:0], len(clients))[:len(clients)]
	f.parallel(len(clients), func(w sim.Worker, i int) {
		if ctx.Err() == nil {
			f.train(w, clients[i], &f.results[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.merge(clients)
}

// clients draws who takes part, ascending.
func (f *federation) clients() []int {
	all := make([]int32, f.Config.Nodes)
	for i := range all {
		all[i] = int32(i)
	}
	count := f.Experiment.Reference.Clients.Of(len(all))
	chance.Shuffle(f.draw, all)
	out := make([]int, count)
	for i, n := range all[:count] {
		out[i] = int(n)
	}
	slices.Sort(out)
	return out
}

// train does the local steps of one client. It only reads what clients share.
func (f *federation) train(w sim.Worker, n int, out *result) {
	if out.params == nil {
		out.params = make([]float32, f.task.Len())
	}
	job := node.TrainJob{Step: f.steps[n], Steps: f.Config.Node.Average.Steps}
	opt := make([]float32, len(f.opt))
	t := w.Train(n, job, f.model, f.opt, nil, out.params, opt)
	out.samples, out.err = float64(t.Samples), nil
	if t.Samples > 0 && !kernel.Finite(out.params) {
		out.err = fmt.Errorf("node %d diverged in round %d: choose a smaller rate", n, int(f.rounds)+1)
		return
	}
	steps := t.Steps
	takes := f.Config.Times.Epoch
	if job.Steps != 0 || takes == 0 {
		takes = f.Config.Times.Step * node.Instant(steps)
	}
	if f.Config.Speeds != nil {
		takes = f.Config.Speeds.Duration(n, f.now, takes)
	}
	out.took = takes + 2*f.Config.Network.Latency.Between(0, n)
}

// merge takes the mean of what has come back, over the codec of the run.
func (f *federation) merge(clients []int) error {
	var vecs [][]float32
	var weights []float64
	var sum float64
	var took node.Instant
	for i, n := range clients {
		r := &f.results[i]
		if r.err != nil {
			return r.err
		}
		f.steps[n] += f.passed(n)
		took = max(took, r.took)
		f.samples += uint64(r.samples)
		b, _, err := f.workers[0].Encode(n, r.params)
		if err != nil {
			return err
		}
		f.messages += 2
		f.bytes += 2 * uint64(len(b))
		if err := f.task.Decode(r.params, f.task.Codec(), b); err != nil {
			return err
		}
		if r.samples > 0 {
			vecs, weights, sum = append(vecs, r.params), append(weights, r.samples), sum+r.samples
		}
	}
	if len(vecs) > 0 {
		for i := range weights {
			weights[i] /= sum
		}
		kernel.WeightedSum(f.model, weights, vecs)
	}
	f.now += took + f.Config.Times.Other
	f.rounds++
	return nil
}

// passed is how many steps a client does in a round.
func (f *federation) passed(n int) uint64 {
	if s := f.Config.Node.Average.Steps; s != 0 {
		return s
	}
	return f.task.Pass(n)
}
