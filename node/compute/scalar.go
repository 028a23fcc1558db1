package compute

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"

	"starling/mixing"
	"starling/mixing/scalar"
	"starling/node"
	"starling/node/data"
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
	return node.ScalarConfig{
		Config: s, RunSeed: m.Seed, CheckShare: m.Method.Check, BaseDigest: Digest(p.starts()), ConfigDigest: sha256.Sum256([]byte(s.String())),
		SaveEvery: uint64(m.Checkpoint.Every), EvaluateEvery: uint64(m.Evaluate.Every),
	}, nil
}

// starts is the weights that the records of the method scalar are added to. They must not be changed.
func (p *Program) starts() []float32 {
	if p.base != nil {
		return p.base
	}
	base := make([]float32, p.Len())
	p.model.Clone().Init(base, p.manifest.Seed)
	return base
}

// ScalarModel is the SHA-256 of the weights that sums make of the run's base, as [Replica.Digest] has it. The program's method is scalar.
func (p *Program) ScalarModel(sums []scalar.Sums) [32]byte {
	cfg, err := scalar.Parse(p.manifest.Method.Scalar)
	if err != nil {
		panic("compute: internal error: " + err.Error()) // the manifest is valid
	}
	m, err := scalar.NewLightModel(p.Layout(), cfg, p.manifest.Seed, p.starts())
	if err != nil {
		panic("compute: internal error: " + err.Error())
	}
	return m.At(sums).Digest()
}

func (p *Program) scalar() bool { return p.manifest.Method.Name == "scalar" }

// A Replica is the integer model of a node under the method scalar, which follows what the core says in [node.Batch.Apply]. It is safe
// for concurrent use: what was told is brought in by whoever needs the weights next.
type Replica struct {
	mu     sync.Mutex
	model  *scalar.Model // guarded by mu, as are:
	digest [32]byte      // of its weights
	hashed bool          // digest is up to date

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
		r.hashed = false
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

// SidesOf is Sides of what sums make of the base, whatever the replica was told.
func (r *Replica) SidesOf(sums []scalar.Sums, job node.ProbeJob, plus, minus []float32) {
	m := r.model.At(sums)
	m.Perturb(plus, job.Place.Generation, job.Place.K, job.Eps)
	m.Perturb(minus, job.Place.Generation, job.Place.K, -job.Eps)
}

// WeightsOf sets dst to what sums make of the base, whatever the replica was told.
func (r *Replica) WeightsOf(sums []scalar.Sums, dst []float32) { r.model.At(sums).Floats(dst) }

// Digest is the SHA-256 of the weights, float32 and little-endian: replicas that were told the same have the same. It is a pass over the
// weights, unless nothing was told since the last time.
func (r *Replica) Digest() [32]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.current()
	if !r.hashed {
		r.digest, r.hashed = m.Digest(), true
	}
	return r.digest
}

// Probe measures the slope that a job asks for from the weights on both sides, see [Replica.Sides]. The slope is not a number if
// a loss is not finite, if the node has no rows, or when ctx ends.
func (w *Worker) Probe(ctx context.Context, n *Node, job node.ProbeJob, plus, minus []float32) node.Probed {
	p := node.Probed{Job: job.Job, Slope: math.NaN(), Loss: math.NaN()}
	if n.Rows() == 0 && !job.Drawn || ctx.Err() != nil {
		return p
	}
	x, y := w.examples(n, job)
	above, _ := w.model.Evaluate(plus, x, y)
	below, _ := w.model.Evaluate(minus, x, y)
	labels := float64(max(1, model.Counted(y)))
	above, below = above/labels, below/labels
	p.Slope, p.Loss, p.Samples = scalar.Slope(above, below, job.Eps), (above+below)/2, uint64(len(y)/w.program.labels)
	return p
}

// examples are those that a job measures a slope on.
func (w *Worker) examples(n *Node, job node.ProbeJob) (x []float32, y []int32) {
	if !job.Drawn {
		return w.batch(n, node.TrainJob{Step: job.Step, Steps: 1}, 0)
	}
	rows := w.drawn[:0]
	if batch := int(n.plan.Batch()); cap(rows) < batch {
		rows = make([]int32, batch)
	}
	w.drawn = rows[:n.plan.Batch()]
	data.Drawn(w.drawn, w.program.train.Len(), w.program.manifest.Seed, job.Tag, job.Place.Seq)
	w.fill(n, w.drawn)
	return w.rows(0, len(w.drawn))
}

// CheckReplica measures the slope of a record again, on the sums that the job has and the replica's base. It may be called while other
// workers use the replica.
func (w *Worker) CheckReplica(ctx context.Context, n *Node, job node.CheckJob, r *Replica) node.Checked {
	plus, minus := w.side(0), w.side(1)
	r.SidesOf(job.Sums, job.Probe, plus, minus)
	p := w.Probe(ctx, n, job.Probe, plus, minus)
	return node.Checked{Job: job.Job, Slope: p.Slope, Cut: ctx.Err() != nil}
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
