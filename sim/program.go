package sim

import (
	"context"
	"fmt"

	"starling/gossip"

	"starling/node"
	"starling/node/compute"
	"starling/sim/adversary"
)

// Program returns the task of so many nodes that train what a program says. Node n has part n of the data, and seed + n of its own
// randomness, as a daemon has that takes the shard of that number. Adversaries, which may be nil, may train on other labels.
func Program(p *compute.Program, nodes int, seed uint64, adversaries *adversary.Roster) (Task, error) {
	t := &program{Program: p, nodes: make([]*compute.Node, nodes)}
	for i := range t.nodes {
		var err error
		if t.nodes[i], err = p.Node(seed+uint64(i), i); err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		if adversaries == nil {
			continue
		}
		if a := adversaries.Of(i); a != nil {
			t.nodes[i].Relabel(func(labels []int32) { a.Labels(labels, p.Classes()) })
		}
	}
	return t, nil
}

type program struct {
	*compute.Program
	nodes []*compute.Node
}

func (t *program) Plain() (uint64, bool) { return t.MaxPayload(), t.Codec() == "fp32" }

func (t *program) Init(n int, params, opt []float32) { t.Program.Init(t.nodes[n], params, opt) }

func (t *program) Pass(n int) uint64 { return t.nodes[n].Pass() }

func (t *program) Samples(n int, job node.TrainJob) uint64 {
	return t.nodes[n].Samples(job.Steps, job.Steps == 0)
}

func (t *program) Worker() Worker { return programWorker{t.Program.Worker(), t} }

type programWorker struct {
	*compute.Worker
	task *program
}

func (w programWorker) Train(n int, job node.TrainJob, params, opt, shift, out, outOpt []float32) node.Trained {
	return w.Worker.Train(context.Background(), w.task.nodes[n], job, params, opt, shift, out, outOpt)
}

func (w programWorker) Probe(n int, job node.ProbeJob, plus, minus []float32) node.Probed {
	return w.Worker.Probe(context.Background(), w.task.nodes[n], job, plus, minus)
}

func (w programWorker) Gradient(n int, step uint64, params, grad []float32) (float64, uint64) {
	return w.Worker.Gradient(w.task.nodes[n], step, params, grad)
}

func (w programWorker) Encode(n int, v []float32) ([]byte, []gossip.TensorStat, error) {
	return w.Worker.Encode(w.task.nodes[n], v)
}

func (w programWorker) EncodePieces(n int, job node.EncodeJob, e compute.Encoding) ([][]byte, float64, error) {
	return w.Worker.EncodePieces(w.task.nodes[n], job, e)
}

func (w programWorker) Evaluate(params []float32) (accuracy, loss float64) {
	return w.Worker.Evaluate(context.Background(), params)
}
