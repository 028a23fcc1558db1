package trial

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"

	"starling/node"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/report"
)

// A reference trains without the nodes' method, for comparison. All nodes have one model.
type reference struct {
	*Setup
	task    sim.Task
	workers []sim.Worker

	model, opt []float32

	now      node.Instant
	rounds   float64 // halves of a round are possible
	messages int
	bytes    uint64 // sent by all
	samples  uint64

	trainCost, evalCost int64
}

func newReference(s *Setup, workers int) reference {
	f := reference{Setup: s, task: s.Config.Task}
	for range workers {
		f.workers = append(f.workers, f.task.Worker())
	}
	f.model, f.opt = make([]float32, f.task.Len()), make([]float32, f.task.OptLen())
	f.task.Init(0, f.model, f.opt)
	return f
}

// parallel calls f for 0 to n-1, on all workers. The cost of it is that of training.
func (f *reference) parallel(n int, do func(w sim.Worker, i int)) {
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
				if i >= n {
					break
				}
				do(worker, i)
			}
			mu.Lock()
			f.trainCost += threadTime() - began
			mu.Unlock()
		})
	}
	group.Wait()
}

// tick evaluates the model, which is everybody's. Of the bytes between a server and its clients half are the clients'.
func (f *reference) tick(r *runner) {
	runtime.LockOSThread() // the clock is the thread's
	defer runtime.UnlockOSThread()
	began := threadTime()
	accuracy, loss := f.workers[0].Evaluate(f.model)
	f.evalCost += threadTime() - began
	per := f.perNode(f.bytes)
	r.add(report.Tick{
		Seconds: report.Real(f.now.Seconds()), Rounds: report.Real(f.rounds), Events: uint64(f.messages), SentPerNode: per, ReceivedPerNode: per,
		Accuracy: report.Accuracies([]float64{accuracy}), Loss: report.Losses([]float64{loss}), Online: f.Config.Nodes, Evaluated: 1,
		Samples: f.samples, Tokens: f.samples * r.perSample,
	})
}

// perNode is what a node has sent, which is what it has received, of the bytes that all have sent.
func (f *reference) perNode(bytes uint64) report.Real {
	of := float64(f.Config.Nodes)
	if f.Experiment.Reference.Name == experiment.FedAvg {
		of *= 2 // the server sends the other half
	}
	return report.Real(float64(bytes) / of)
}

// limits says why the run is over, if it is, besides goals.
func (f *reference) limits(r *runner, until node.Instant) {
	switch {
	case r.stopped != "":
	case r.Stop.Rounds > 0 && f.rounds >= float64(r.Stop.Rounds):
		r.stopped = fmt.Sprintf("%d rounds were over", r.Stop.Rounds)
	case f.now >= until:
		r.stopped = "its time was over"
	case r.Stop.Events > 0 && uint64(f.messages) >= r.Stop.Events:
		r.stopped = fmt.Sprintf("%d events were over", r.Stop.Events)
	case r.Stop.Received > 0 && float64(f.perNode(f.bytes)) >= float64(r.Stop.Received):
		r.stopped = fmt.Sprintf("a node had received %s on average", r.Stop.Received)
	case r.Stop.Tokens > 0 && f.samples*r.perSample >= r.Stop.Tokens:
		r.stopped = fmt.Sprintf("the nodes had trained on %d tokens", r.Stop.Tokens)
	}
}

// share is how far the run is on the way to its end.
func (f *reference) share(r *runner, until node.Instant) float64 {
	share := float64(f.now) / float64(until)
	if stop := r.Stop.Rounds; stop > 0 {
		share = max(share, f.rounds/float64(stop))
	}
	if stop := r.Stop.Events; stop > 0 {
		share = max(share, float64(f.messages)/float64(stop))
	}
	if stop := r.Stop.Received; stop > 0 {
		share = max(share, float64(f.perNode(f.bytes))/float64(stop))
	}
	if stop := r.Stop.Tokens; stop > 0 {
		share = max(share, float64(f.samples*r.perSample)/float64(stop))
	}
	return share
}

// timeless reports whether nothing but time can end the run, and none has passed.
func (f *reference) timeless(r *runner) bool {
	s := r.Stop
	return r.stopped == "" && f.now == 0 && s.Rounds == 0 && s.Events == 0 && s.Tokens == 0 && s.Received == 0
}

// report puts together what is known at the end.
func (f *reference) report(r *runner, kind string) report.Run {
	res := r.result(f.Setup)
	all := report.Tally{Sent: uint64(f.messages), Delivered: uint64(f.messages)}
	bytes := report.Tally{Sent: f.bytes, Delivered: f.bytes}
	res.TraceHash = f.hash()
	res.Rounds, res.VirtualSeconds, res.Events = report.Real(f.rounds), report.Real(f.now.Seconds()), uint64(f.messages)
	res.Messages, res.Bytes, res.DuplicateFactor = all, bytes, 1
	res.Traffic = []report.Traffic{{Kind: kind, Messages: all, Bytes: bytes}}
	res.BytesSentPerNode = f.perNode(f.bytes)
	res.BytesReceivedPerNodeRound = f.perNode(f.bytes) / report.Real(f.rounds)
	res.Churn.MeanOnline = report.Real(r.Nodes)
	res.TrainCPUSeconds, res.EvalCPUSeconds = seconds(f.trainCost), seconds(f.evalCost)
	r.spend(&res)
	return report.Run{Result: res, Series: r.series}
}

func (f *reference) hash() string {
	h := sha256.New()
	for _, x := range f.model {
		h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
