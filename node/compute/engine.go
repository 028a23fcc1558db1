// Package compute carries out the jobs of a core on vectors: local steps, mixing, encoding and decoding, evaluation. The
// daemon and the simulator share it, so that what is simulated is what is deployed.
//
// Start with [New], which builds everything that a manifest names, and [NewArena], which holds the vectors by name. The
// package decides nothing, starts no goroutine, and neither sends nor stores anything.
//
// The daemon, the simulator and commands may import it.
package compute

import (
	"context"
	"fmt"
	"math"

	"starling/gossip"
	"starling/gossip/codec"
	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node"
	"starling/node/data"
	"starling/node/manifest"
	"starling/node/model"
	"starling/node/optim"
)

// Options are what differs from node to node.
type Options struct {
	Node   uint64 // seed of the node's own randomness
	Shard  int    // which part of the data; counted modulo the number of parts
	Source string // own data, all of it, in place of the manifest's
}

// An Engine does the arithmetic of one node. Its methods may run at the same time as each other, but Train, Evaluate, Mix
// and Encode must each be called from one goroutine at a time.
type Engine struct {
	manifest  manifest.Manifest
	opt       Options
	trainer   model.Model
	evaluator model.Model
	optimizer optim.Optimizer
	codec     codec.Codec
	rule      mixing.Rule // nil for push-sum

	train   *data.Set
	test    *data.Set
	batches *data.Batches
	grad    []float32
	x       []float32 // features of a batch, for Train
	y       []uint8
	evalX   []float32 // for Evaluate
	evalY   []uint8
	encoded uint64 // calls of Encode: the seeds of stochastic rounding
}

// evalRows is how many rows are evaluated at a time.
const evalRows = 256

// New builds the model, the optimizer and the codec that the manifest names, and loads this node's part of the data.
func New(m manifest.Manifest, o Options) (*Engine, error) {
	e := &Engine{manifest: m, opt: o}
	spec := m.Data.Source
	if o.Source != "" {
		spec = o.Source
	}
	if spec == "own" {
		return nil, fmt.Errorf("every node of this run brings its own data: say with --data where it is, idx:DIR or csv:FILE")
	}
	source, err := data.Open(spec)
	if err != nil {
		return nil, err
	}
	if e.trainer, err = model.Parse(m.Model, source.Inputs(), source.Classes()); err != nil {
		return nil, err
	}
	e.evaluator = e.trainer.Clone()
	if e.optimizer, err = optim.Parse(m.Optimizer); err != nil {
		return nil, err
	}
	if e.codec, err = codec.Parse(m.Codec); err != nil {
		return nil, err
	}
	if m.Method.Mix != node.PushSum {
		if e.rule, err = mixing.ParseRule(m.Method.Mix); err != nil {
			return nil, err
		}
	} else if e.codec.Lossy() {
		return nil, fmt.Errorf("push-sum needs a codec that loses nothing, such as fp32: %s would lose mass", e.codec.Name())
	}
	var rows []int32 // nil is all: own data is not divided
	if o.Source == "" {
		parts, err := data.Partition(m.Data.Split, source.Labels(), m.Data.Shards, m.Seed)
		if err != nil {
			return nil, err
		}
		rows = parts[o.Shard%len(parts)]
	}
	if e.train, err = source.Train(rows); err != nil {
		return nil, err
	}
	if e.test, err = source.Test(); err != nil {
		return nil, err
	}
	if e.batches, err = data.NewBatches(e.train.Len(), m.Method.Batch, m.Seed, o.Node); err != nil {
		return nil, err
	}
	if e.Len() > int(min(uint64(m.Limits.Blob)/2, math.MaxInt32)) && e.MaxPayload() > uint64(m.Limits.Blob) {
		return nil, fmt.Errorf("a model of %d parameters takes up to %d bytes in %s, and the run's limit is %s: raise limits.blob",
			e.Len(), e.MaxPayload(), e.codec.Name(), m.Limits.Blob)
	}
	e.grad = make([]float32, e.Len())
	e.x, e.y = make([]float32, m.Method.Batch*source.Inputs()), make([]uint8, m.Method.Batch)
	e.evalX, e.evalY = make([]float32, evalRows*source.Inputs()), make([]uint8, evalRows)
	return e, nil
}

// Layout returns the layout of the parameters.
func (e *Engine) Layout() *mixing.Layout { return e.trainer.Layout() }

// Len returns the number of parameters.
func (e *Engine) Len() int { return e.Layout().Len() }

// OptLen returns the length of the optimizer's state.
func (e *Engine) OptLen() int { return e.optimizer.StateLen(e.Len()) }

// Tensors returns the number of tensors in the layout.
func (e *Engine) Tensors() int { return len(e.Layout().Tensors) }

// Codec returns the canonical name of the codec.
func (e *Engine) Codec() string { return e.codec.Name() }

// MaxPayload returns the size of the largest encoded vector in bytes.
func (e *Engine) MaxPayload() uint64 { return uint64(e.codec.MaxEncoded(e.Len())) }

// Rows returns how many examples this node trains on.
func (e *Engine) Rows() int { return e.train.Len() }

// Init returns the initial parameters and optimizer state: the same for every node of the run, or the node's own, as the
// manifest says.
func (e *Engine) Init() (params, opt []float32) {
	params, opt = make([]float32, e.Len()), make([]float32, e.OptLen())
	seed := e.manifest.Seed
	if e.manifest.Init == "independent" {
		seed ^= e.opt.Node
	}
	e.trainer.Init(params, seed)
	return params, opt
}

// Train does local steps from params and opt and writes the results to out and outOpt. The loss is the mean over the steps; it is
// not a number if training diverged. It ends early, with a result of no use, when ctx ends.
func (e *Engine) Train(ctx context.Context, params, opt, out, outOpt []float32, step, steps uint64) (samples uint64, loss float64) {
	copy(out, params)
	copy(outOpt, opt)
	for i := range steps {
		if ctx.Err() != nil {
			return samples, math.NaN()
		}
		at := step + i
		e.train.Fill(e.x, e.y, e.batches.Rows(at))
		loss += e.trainer.Gradient(e.grad, out, e.x, e.y) / float64(steps)
		if err := e.optimizer.Step(out, e.grad, outOpt, optim.Context{Step: at, LR: e.optimizer.Rate(at)}); err != nil {
			return samples, math.NaN()
		}
		samples += uint64(len(e.y))
	}
	if !kernel.Finite(out) {
		return samples, math.NaN()
	}
	return samples, loss
}

// Evaluate measures params on all held-out examples: the share that is right, and the mean loss.
func (e *Engine) Evaluate(ctx context.Context, params []float32) (accuracy, loss float64) {
	right, rows := 0, e.test.Len()
	for first := 0; first < rows && ctx.Err() == nil; first += evalRows {
		n := min(evalRows, rows-first)
		x, y := e.evalX[:n*e.test.Inputs()], e.evalY[:n]
		e.test.FillRange(x, y, first, n)
		sum, correct := e.evaluator.Evaluate(params, x, y)
		loss += sum
		right += correct
	}
	return float64(right) / float64(rows), loss / float64(rows)
}

// Mix carries out a mix on the vectors that the job names.
func (e *Engine) Mix(job node.MixJob, vecs map[node.VecRef][]float32, out []float32) (mixing.Report, error) {
	if job.Rule == "" {
		Combine(job.Terms, vecs, out)
		return mixing.Report{}, nil
	}
	others := make([]mixing.Input, len(job.In))
	for i, in := range job.In {
		others[i] = e.input(in, vecs)
	}
	return e.rule.Mix(out, e.input(job.Own, vecs), others, &mixing.Env{Layout: e.Layout()})
}

// Combine writes the sum of the terms to out, accumulated in float64 in their order and rounded once.
func Combine(terms []node.Term, vecs map[node.VecRef][]float32, out []float32) {
	in, w := make([][]float32, len(terms)), make([]float64, len(terms))
	for i, t := range terms {
		in[i], w[i] = vecs[t.Vec], t.Coef
	}
	kernel.WeightedSum(out, w, in)
}

func (e *Engine) input(in node.MixInput, vecs map[node.VecRef][]float32) mixing.Input {
	m := mixing.Meta{Peer: in.Peer.String(), Samples: float64(in.Samples), Age: in.Age, Degree: int(in.Degree)}
	for _, s := range in.Stats {
		m.Stats = append(m.Stats, mixing.Stat{Mean: float64(s.Mean), Var: float64(s.Var)})
	}
	return mixing.Input{Vec: vecs[in.Vec], Meta: m}
}

// Encode encodes a vector in the run's codec. If the codec loses something, the vector's exact statistics come with it.
func (e *Engine) Encode(v []float32) ([]byte, []gossip.TensorStat, error) {
	e.encoded++
	b, err := e.codec.Encode(nil, v, e.opt.Node+e.encoded)
	if err != nil || !e.codec.Lossy() {
		return b, nil, err
	}
	var stats []gossip.TensorStat
	for _, s := range e.Layout().Stats(v) {
		stats = append(stats, gossip.TensorStat{Mean: float32(s.Mean), Var: float32(s.Var)})
	}
	return b, stats, nil
}

// Decode decodes a payload of another node into dst; the error says why it is none.
func (e *Engine) Decode(dst []float32, payload []byte) error { return e.codec.Decode(dst, payload) }
