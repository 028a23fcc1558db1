package compute

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"

	"starling/mixing"
	"starling/mixing/scalar"
	"starling/node"
	"starling/node/model"
)

// Scalar returns the configuration of the method scalar that the manifest names; the zero value with other methods.
func (p *Program) Scalar() (node.ScalarConfig, error) {
	m := p.manifest
	if !p.scalar() {
		return node.ScalarConfig{}, nil
	}
	s, err := scalar.Parse(m.Method.Scalar)
	if err != nil {
		return node.ScalarConfig{}, err
	}
	base := p.base
	if base == nil {
		base = make([]float32, p.Len())
		p.model.Clone().Init(base, m.Seed)
	}
	return node.ScalarConfig{
		Config: s, RunSeed: m.Seed, BaseDigest: Digest(base), ConfigDigest: sha256.Sum256([]byte(s.String())),
		SaveEvery: uint64(m.Checkpoint.Every), EvaluateEvery: uint64(m.Evaluate.Every),
	}, nil
}

func (p *Program) scalar() bool { return p.manifest.Method.Name == "scalar" }

// A Replica is the integer model of a node under the method scalar, which follows what the core says in [node.Batch.Apply]. It is safe
// for concurrent use: what was told is brought in by whoever needs the weights next.
type Replica struct {
	mu    sync.Mutex
	model *scalar.Model // guarded by mu

	toldMu sync.Mutex // never held for long, so that whoever steps a core need not wait for a pass over the model
	told   []scalar.Change
}

// NewReplica makes the model of no records, of the weights that the run starts from. base must not change any more.
func NewReplica(layout *mixing.Layout, cfg node.ScalarConfig, base []float32) (*Replica, error) {
	m, err := scalar.NewModel(layout, cfg.Config, cfg.RunSeed, base)
	if err != nil {
		return nil, err
	}
	return &Replica{model: m}, nil
}

// Tell notes changes, which it copies.
func (r *Replica) Tell(changes []scalar.Change) {
	r.toldMu.Lock()
	defer r.toldMu.Unlock()
	r.told = append(r.told, changes...)
}

// current returns the model with all that was told. The caller holds mu.
func (r *Replica) current() *scalar.Model {
	r.toldMu.Lock()
	told := r.told
	r.told = nil
	r.toldMu.Unlock()
	if len(told) > 0 {
		r.model.Queue(told)
		r.model.Apply()
	}
	return r.model
}

// Weights sets dst, of the model's length, to the weights.
func (r *Replica) Weights(dst []float32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current().Floats(dst)
}

// Sides sets two vectors of the model's length to the weights on both sides of it, along the direction of a job.
func (r *Replica) Sides(job node.ProbeJob, plus, minus []float32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.current()
	m.Perturb(plus, job.Place.Generation, job.Place.K, job.Eps)
	m.Perturb(minus, job.Place.Generation, job.Place.K, -job.Eps)
}

// Digest is the SHA-256 of the weights, float32 and little-endian: replicas that were told the same have the same.
func (r *Replica) Digest() [32]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current().Digest()
}

// Probe measures the slope that a job asks for from the weights on both sides, see [Replica.Sides]. The slope is not a number if
// a loss is not finite, if the node has no rows, or when ctx ends.
func (w *Worker) Probe(ctx context.Context, n *Node, job node.ProbeJob, plus, minus []float32) node.Probed {
	p := node.Probed{Job: job.Job, Slope: math.NaN(), Loss: math.NaN()}
	if n.Rows() == 0 || ctx.Err() != nil {
		return p
	}
	x, y := w.batch(n, node.TrainJob{Step: job.Step, Steps: 1}, 0)
	above, _ := w.model.Evaluate(plus, x, y)
	below, _ := w.model.Evaluate(minus, x, y)
	labels := float64(max(1, model.Counted(y)))
	above, below = above/labels, below/labels
	p.Slope, p.Loss, p.Samples = scalar.Slope(above, below, job.Eps), (above+below)/2, uint64(len(y)/w.program.labels)
	return p
}

// ProbeReplica is [Worker.Probe] of a replica, in memory of the worker's own.
func (w *Worker) ProbeReplica(ctx context.Context, n *Node, job node.ProbeJob, r *Replica) node.Probed {
	plus, minus := w.side(0), w.side(1)
	r.Sides(job, plus, minus)
	return w.Probe(ctx, n, job, plus, minus)
}

// EvaluateReplica is [Worker.Evaluate] of a replica.
func (w *Worker) EvaluateReplica(ctx context.Context, r *Replica) (accuracy, loss float64) {
	weights := w.side(0)
	r.Weights(weights)
	return w.Evaluate(ctx, weights)
}

func (w *Worker) side(i int) []float32 {
	if w.sides[i] == nil {
		w.sides[i] = make([]float32, w.program.Len())
	}
	return w.sides[i]
}
