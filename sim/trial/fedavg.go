package trial

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim"
	"starling/sim/chance"
	"starling/sim/experiment"
	"starling/sim/report"
)

// fedavg is the reference with a server (McMahan et al. 2017): in each round the server sends its model to some nodes, each
// trains on its own data, and the server takes the mean of what comes back, weighted by examples. The server sits where node 0
// is and waits for everybody, as federated averaging does; nobody is ever away.
func (r *runner) fedavg(ctx context.Context, s *Setup) (report.Run, error) {
	f := &federation{Setup: s, task: s.Config.Task, draw: chance.Stream(r.Seed, chance.Client, 0)}
	for range r.options.Workers {
		f.workers = append(f.workers, f.task.Worker())
	}
	f.model, f.opt = make([]float32, f.task.Len()), make([]float32, f.task.OptLen())
	f.task.Init(0, f.model, f.opt)
	until := node.Instant(math.MaxInt64)
	if r.Stop.Time > 0 {
		until = instant(r.Stop.Time)
	}
	for r.stopped == "" {
		if err := f.round(ctx); err != nil {
			return report.Run{}, err
		}
		if every := r.Evaluate.Every.Rounds; every == 0 || f.rounds%every == 0 {
			r.add(f.tick())
		}
		switch {
		case r.stopped != "":
		case r.Stop.Rounds > 0 && f.rounds >= r.Stop.Rounds:
			r.stopped = fmt.Sprintf("%d rounds were over", r.Stop.Rounds)
		case f.now >= until:
			r.stopped = "its time was over"
		case r.Stop.Events > 0 && uint64(f.messages) >= r.Stop.Events:
			r.stopped = fmt.Sprintf("%d events were over", r.Stop.Events)
		}
		if r.stopped == "" && f.now == 0 && r.Stop.Rounds == 0 && r.Stop.Events == 0 {
			return report.Run{}, errors.New("rounds of the reference take no time, so stop.time never comes: give compute.step, or stop.rounds")
		}
		r.tell(f.share(&r.Stop, until), f.now.Seconds(), float64(f.rounds), r.Nodes)
	}
	res := r.result(s)
	all := report.Tally{Sent: uint64(f.messages), Delivered: uint64(f.messages)}
	bytes := report.Tally{Sent: f.bytes, Delivered: f.bytes}
	res.TraceHash = f.hash()
	res.Rounds, res.VirtualSeconds, res.Events = report.Real(f.rounds), report.Real(f.now.Seconds()), uint64(f.messages)
	res.Messages, res.Bytes, res.DuplicateFactor = all, bytes, 1
	res.Traffic = []report.Traffic{{Kind: "model", Messages: all, Bytes: bytes}}
	res.BytesReceivedPerNodeRound = report.Real(float64(f.bytes) / 2 / float64(r.Nodes) / float64(f.rounds))
	res.Churn.MeanOnline = report.Real(r.Nodes)
	res.TrainCPUSeconds, res.EvalCPUSeconds = seconds(f.trainCost), seconds(f.evalCost)
	r.spend(&res)
	return report.Run{Result: res, Series: r.series}, nil
}

// share is how far the run is on the way to its end.
func (f *federation) share(stop *experiment.Stop, until node.Instant) float64 {
	share := float64(f.now) / float64(until)
	if stop.Rounds > 0 {
		share = max(share, float64(f.rounds)/float64(stop.Rounds))
	}
	if stop.Events > 0 {
		share = max(share, float64(f.messages)/float64(stop.Events))
	}
	return share
}

// federation is the server and its nodes.
type federation struct {
	*Setup
	task    sim.Task
	workers []sim.Worker
	draw    *rand.PCG

	model, opt []float32
	steps      map[int]uint64 // local steps that each node has done
	results    []result       // of the round, by client

	now      node.Instant
	rounds   int
	messages int
	bytes    uint64

	trainCost, evalCost int64
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
	var mu sync.Mutex
	var group sync.WaitGroup
	next := 0
	for _, worker := range f.workers {
		group.Go(func() {
			runtime.LockOSThread() // the clock is the thread's
			defer runtime.UnlockOSThread()
			began := threadTime()
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(clients) || ctx.Err() != nil {
					break
				}
				f.train(worker, clients[i], &f.results[i])
			}
			mu.Lock()
			f.trainCost += threadTime() - began
			mu.Unlock()
		})
	}
	group.Wait()
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
		out.err = fmt.Errorf("node %d diverged in round %d: choose a smaller rate", n, f.rounds+1)
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

// tick evaluates the server's model, which is everybody's.
func (f *federation) tick() report.Tick {
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	began := threadTime()
	accuracy, loss := f.workers[0].Evaluate(f.model)
	f.evalCost += threadTime() - began
	n := float64(f.Config.Nodes)
	per := report.Real(float64(f.bytes) / 2 / n)
	return report.Tick{
		Seconds: report.Real(f.now.Seconds()), Rounds: report.Real(f.rounds), Events: uint64(f.messages), SentPerNode: per, ReceivedPerNode: per,
		Accuracy: report.Accuracies([]float64{accuracy}), Loss: report.Losses([]float64{loss}), Online: f.Config.Nodes, Evaluated: 1,
	}
}

func (f *federation) hash() string {
	h := sha256.New()
	for _, x := range f.model {
		h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
