package compute

import (
	"context"
	"math"
	"time"

	"starling/gossip"
	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node"
	"starling/node/data"
	"starling/node/model"
	"starling/node/optim"
)

// A Worker runs jobs of the nodes of one program. It owns the memory that jobs need while they run, and does not allocate in
// the long run. It must not be used concurrently; results do not depend on which worker runs a job, or on what it ran before.
type Worker struct {
	program *Program
	model   model.Model
	rule    mixing.Rule // nil for push-sum

	batches data.Batches
	grad    []float32
	full    []float32    // the model of a node that keeps a part of it
	sides   [2][]float32 // weights of a replica
	drawn   []int32      // rows
	x       []float32    // features of some rows
	y       []int32      // their labels

	names   map[node.PeerID]string
	inputs  []mixing.Input
	stats   []mixing.Stat
	vecs    [][]float32
	weights []float64
	env     mixing.Env
}

// Worker returns a worker.
func (p *Program) Worker() *Worker {
	rule, err := p.rule()
	if err != nil {
		panic("compute: internal error: " + err.Error()) // New has made the same one
	}
	return &Worker{
		program: p, model: p.model.Clone(), rule: rule, names: make(map[node.PeerID]string), env: mixing.Env{Layout: p.Layout()},
	}
}

// evalRows is how many rows are evaluated at a time, of any model but a published one.
const evalRows = 256

// reserve makes room for a batch of so many rows.
func (w *Worker) reserve(rows int) {
	if len(w.y) < rows*w.program.labels {
		w.x, w.y = make([]float32, rows*w.program.train.Inputs()), make([]int32, rows*w.program.labels)
	}
}

// Train does the local steps of a job from params and opt and writes the results to out and outOpt. Shift, if it is not nil, is added
// to every gradient. The loss is the mean over
// the steps; it is not a number if training diverged. A node without rows does no steps. Train ends early, with a result of no
// use, when ctx ends.
func (w *Worker) Train(ctx context.Context, n *Node, job node.TrainJob, params, opt, shift, out, outOpt []float32) node.Trained {
	copy(out, params)
	copy(outOpt, opt)
	t := node.Trained{Job: job.Job}
	if n.Rows() == 0 {
		return t
	}
	state := outOpt
	if k := w.program.kept; k != nil {
		w.program.Recall(n, opt)
		shared, own := out, k.own(outOpt)
		if shift != nil {
			wide := make([]float32, k.full.Len())
			k.join(wide, shift, make([]float32, k.length))
			shift = wide
		}
		out, state = w.whole(n, params), outOpt[:len(outOpt)-k.length]
		defer func() {
			k.split(out, shared, own)
			w.program.Recall(n, outOpt)
		}()
	}
	steps := job.Steps
	if steps == 0 {
		steps = n.plan.Pass()
	}
	if w.grad == nil {
		w.grad = make([]float32, len(out))
	}
	for i := range steps {
		if ctx.Err() != nil {
			t.Loss = math.NaN()
			return t
		}
		x, y := w.batch(n, job, i)
		t.Loss += w.model.Gradient(w.grad, out, x, y) / float64(steps)
		if shift != nil {
			kernel.Add(shift, w.grad)
		}
		at := optim.Context{Step: job.Step + i, Age: job.Age + i, LR: w.program.optimizer.Rate(job.Step + i)}
		if job.Aged {
			at.Step, at.LR = job.Age+i, w.program.optimizer.Rate(job.Age+i)
		}
		if err := w.program.optimizer.Step(out, w.grad, state, at); err != nil {
			t.Loss = math.NaN()
			return t
		}
		t.Steps++
		t.Work += at.LR
		t.Samples += uint64(len(y) / w.program.labels)
	}
	if !kernel.Finite(out) {
		t.Loss = math.NaN()
	}
	return t
}

// Gradient writes the gradient of the loss at params on the batch of one step of a node, counted from 0, and returns the loss and
// the number of examples. It is for training that is data-parallel; a node without rows has a gradient of zeros from no examples.
func (w *Worker) Gradient(n *Node, step uint64, params, grad []float32) (loss float64, samples uint64) {
	if n.Rows() == 0 {
		clear(grad)
		return 0, 0
	}
	x, y := w.batch(n, node.TrainJob{Step: step, Steps: 1}, 0)
	return w.model.Gradient(grad, params, x, y), uint64(len(y) / w.program.labels)
}

// readRows is how many rows of a pass are read together if batches are smaller: the processor then waits once for memory, and not
// for every row.
const readRows = 32

// batch returns the examples of step i of a job. Steps are asked for in order.
func (w *Worker) batch(n *Node, job node.TrainJob, i uint64) (x []float32, y []int32) {
	if job.Steps != 0 {
		rows := w.batches.Rows(n.plan, job.Step+i)
		w.read(n, rows)
		return w.rows(0, len(rows))
	}
	batch := n.plan.Batch()
	together := max(1, readRows/batch)
	if i%together == 0 {
		w.read(n, w.batches.Of(n.plan, job.Step, i, together))
	}
	return w.rows(int(i%together*batch), int(min(batch, uint64(n.plan.Len())-i*batch)))
}

// read reads rows of a node.
func (w *Worker) read(n *Node, rows []int32) {
	if n.rows != nil {
		for j, row := range rows {
			rows[j] = n.rows[row]
		}
	}
	w.fill(n, rows)
}

// fill reads rows of the program.
func (w *Worker) fill(n *Node, rows []int32) {
	w.reserve(len(rows))
	w.program.train.Fill(w.x, w.y, rows)
	if n.relabel != nil {
		n.relabel(w.y[:len(rows)*w.program.labels])
	}
}

// rows returns some of the rows that were read last.
func (w *Worker) rows(from, count int) (x []float32, y []int32) {
	inputs, labels := w.program.train.Inputs(), w.program.labels
	return w.x[from*inputs:][:count*inputs], w.y[from*labels:][:count*labels]
}

// EvaluateOf is [Worker.Evaluate] of what a node computes with: params, and what it keeps of the model.
func (w *Worker) EvaluateOf(ctx context.Context, n *Node, params []float32) (accuracy, loss float64) {
	return w.Evaluate(ctx, w.whole(n, params))
}

// Evaluate measures the parameters of a model on all held-out examples: the share of the labels that count which is right, and their mean loss; that
// of a text is the logarithm of the perplexity. It ends early, with a result of no use, when ctx ends.
func (w *Worker) Evaluate(ctx context.Context, params []float32) (accuracy, loss float64) {
	test := w.program.test
	right, labels, rows, together := 0, 0, test.Len(), w.program.evalRows
	for first := 0; first < rows && ctx.Err() == nil; first += together {
		sum, correct, counted := w.examine(params, first, min(together, rows-first))
		loss += sum
		right += correct
		labels += counted
	}
	return float64(right) / float64(labels), loss / float64(labels)
}

// examine evaluates params on n held-out rows, of which the first is a multiple of the rows that are evaluated at a time, and returns the sum of the losses of
// the labels that count, how many are predicted right, and how many count.
func (w *Worker) examine(params []float32, first, n int) (loss float64, right, counted int) {
	if exams := w.program.exams; exams != nil {
		loss, right = exams[first/w.program.evalRows](params)
		return loss, right, n * w.program.labels
	}
	test := w.program.test
	x, y, ok := test.Range(first, n)
	if !ok {
		w.reserve(n)
		x, y = w.rows(0, n)
		test.FillRange(x, y, first, n)
	}
	loss, right = w.model.Evaluate(params, x, y)
	return loss, right, model.Counted(y)
}

// Encode encodes a vector of a node in the run's codec. If the codec loses something, the vector's exact statistics come with it.
func (w *Worker) Encode(n *Node, v []float32) ([]byte, []gossip.TensorStat, error) {
	n.encoded++
	b, err := w.program.codec.Encode(nil, v, n.seed+n.encoded)
	if err != nil || !w.program.lossy {
		return b, nil, err
	}
	tensors := w.program.Layout().Tensors
	stats := make([]gossip.TensorStat, len(tensors))
	for i, t := range tensors {
		s := mixing.Moments(t.Of(v))
		stats[i] = gossip.TensorStat{Mean: float32(s.Mean), Var: float32(s.Var)}
	}
	return b, stats, nil
}

// Pace measures how long a step of training takes: that of one row, times the rows of a batch.
func (w *Worker) Pace(n *Node) time.Duration {
	if n.Rows() == 0 {
		return 0
	}
	x, y := w.batch(n, node.TrainJob{Steps: 1}, 0)
	all := w.program.model.Layout().Len()
	params, grad := make([]float32, all), make([]float32, all)
	w.program.model.Init(params, w.program.manifest.Seed)
	rows := len(y) / w.program.labels
	began := time.Now()
	w.model.Gradient(grad, params, x[:len(x)/rows], y[:w.program.labels])
	return time.Duration(rows) * time.Since(began)
}
