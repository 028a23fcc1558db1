package scalar

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
)

// A Model is the weights of a replica: a base that never changes, and for each parameter an integer, theta, that is the sum of all
// records' coefficients times the entries of their directions. The weight of a parameter is base - Unit·theta, computed in float64
// and rounded once, so that equal sums give equal weights. Tensors that are private or statistics stay as in the base.
//
// Changes are queued and cost nothing until [Model.Apply] brings them in with one pass over the parameters for each generation. A
// light model does not keep theta, 8 bytes for each parameter, but the accumulators: it makes theta anew, piece by piece, whenever
// weights are asked for, with one pass for each generation that there ever was. The passes of a structured pool are fast enough.
//
// A Model must not be used concurrently, but for the functions that one call of a Parts method returns.
type Model struct {
	pool    Pool
	unit    float64
	base    []float32
	pieces  []piece // all parameters, in order
	pending table

	theta  []int64  // nil of a light model, which has these instead:
	sums   table    // all that was applied
	sweeps []*Sweep // and the passes that make theta of it
}

// A piece is a part of a tensor that one call of a kernel works on; it stays in the second-level cache.
type piece struct {
	from, to int // in the vector
	tensor   uint32
	first    uint64 // index of the first in its tensor
	fixed    bool   // never moves
}

const pieceLen = 1 << 14

// NewModel makes the model of no records. layout says which parts of the vector are tensors: tensor i of directions is the one with
// index i. base is not copied and must not change.
func NewModel(layout *mixing.Layout, cfg Config, seed uint64, base []float32) (*Model, error) {
	m, err := NewLightModel(layout, cfg, seed, base)
	if err == nil {
		m.theta = make([]int64, len(base))
	}
	return m, err
}

// NewLightModel is NewModel for a light one.
func NewLightModel(layout *mixing.Layout, cfg Config, seed uint64, base []float32) (*Model, error) {
	if layout.Len() != len(base) {
		return nil, fmt.Errorf("the base has %d parameters, the layout %d", len(base), layout.Len())
	}
	m := &Model{pool: cfg.Pool(seed), unit: cfg.Unit, base: base, pending: table{k: cfg.K}, sums: table{k: cfg.K}}
	for i, t := range layout.Tensors {
		statistic := t.Kind == mixing.RunningMean || t.Kind == mixing.RunningVar || t.Kind == mixing.Counter
		for first := 0; first < t.Len(); first += pieceLen {
			m.pieces = append(m.pieces, piece{
				from: t.Offset + first, to: t.Offset + min(first+pieceLen, t.Len()), tensor: uint32(i), first: uint64(first),
				fixed: t.Private || statistic,
			})
		}
	}
	return m, nil
}

// At is the light model that other sums make of the same base: the accumulators of generations, each once and in any order, which it
// copies. It has nothing to do with m afterwards, and looks at nothing of m that changes.
func (m *Model) At(sums []Sums) *Model {
	at := &Model{pool: m.pool, unit: m.unit, base: m.base, pieces: m.pieces, pending: table{k: m.pending.k}, sums: table{k: m.sums.k}}
	at.Rebuild(sums)
	return at
}

// Queue notes changes of accumulators, as [Accumulators.Take] lists them. Their K is below that of the configuration.
func (m *Model) Queue(changes []Change) {
	for _, c := range changes {
		m.pending.row(c.Generation)[c.K] += c.By
	}
}

// Pending reports whether changes wait for [Model.Apply].
func (m *Model) Pending() bool { return len(m.pending.rows) > 0 }

// Apply brings the queued changes into theta.
func (m *Model) Apply() { run(m.ApplyParts(1)) }

func run(parts []func()) {
	for _, f := range parts {
		f()
	}
}

// ApplyParts is Apply as at most n functions, for a caller with several processors: they may run at the same time, and all must have
// returned before the model is used again. It forgets the queue at once. For a light model there are none.
func (m *Model) ApplyParts(n int) []func() {
	rows := m.pending.rows
	m.pending.rows = nil
	if m.theta == nil {
		for _, row := range rows {
			to := m.sums.row(row.Generation)
			for k, by := range row.A {
				to[k] += by
			}
		}
		m.sweeps = m.sweepsOf(m.sums.rows)
		return nil
	}
	sweeps := m.sweepsOf(rows)
	if len(sweeps) == 0 {
		return nil
	}
	return m.parts(n, func(p piece, theta []int64) {
		if !p.fixed {
			add(theta, sweeps, p)
		}
	})
}

func (m *Model) sweepsOf(rows []Sums) []*Sweep {
	var out []*Sweep
	for _, row := range rows {
		if !zero(row.A) {
			out = append(out, m.pool.Sweep(row.Generation, row.A))
		}
	}
	return out
}

func add(theta []int64, sweeps []*Sweep, p piece) {
	for _, s := range sweeps {
		s.Add(theta, p.tensor, p.first)
	}
}

// parts splits the pieces among at most n functions, which call do for each with its part of theta.
func (m *Model) parts(n int, do func(p piece, theta []int64)) []func() {
	n = max(1, min(n, len(m.pieces)))
	out := make([]func(), n)
	for i := range out {
		mine := m.pieces[len(m.pieces)*i/n : len(m.pieces)*(i+1)/n]
		out[i] = func() {
			var buffer []int64
			if m.theta == nil {
				buffer = make([]int64, pieceLen)
			}
			for _, p := range mine {
				do(p, m.integers(p, buffer))
			}
		}
	}
	return out
}

// integers is the piece of theta, made in buffer if the model is light.
func (m *Model) integers(p piece, buffer []int64) []int64 {
	if m.theta != nil {
		return m.theta[p.from:p.to]
	}
	theta := buffer[:p.to-p.from]
	clear(theta)
	if !p.fixed {
		add(theta, m.sweeps, p)
	}
	return theta
}

// Theta is the integers of the parameters, without what is queued; nil of a light model. They must not be changed.
func (m *Model) Theta() []int64 { return m.theta }

// Floats sets dst to the weights, without what is queued. dst must have their number, and must not be the base.
func (m *Model) Floats(dst []float32) { run(m.FloatsParts(dst, 1)) }

// FloatsParts is Floats as at most n functions, as with [Model.ApplyParts].
func (m *Model) FloatsParts(dst []float32, n int) []func() {
	m.fits(dst)
	return m.parts(n, func(p piece, theta []int64) { m.floats(dst[p.from:p.to], theta, p) })
}

func (m *Model) fits(dst []float32) {
	if len(dst) != len(m.base) {
		panic(fmt.Sprintf("scalar: internal error: weights for %d of %d parameters", len(dst), len(m.base)))
	}
}

func (m *Model) floats(dst []float32, theta []int64, p piece) {
	if p.fixed {
		copy(dst, m.base[p.from:p.to])
		return
	}
	kernel.ThetaFloats(dst, m.base[p.from:p.to], theta, m.unit)
}

// Perturb sets dst to the weights, moved by eps along a direction; eps is negative on the other side. What is queued is left out:
// a slope may be measured on a model that lacks some records. dst must not be the base.
func (m *Model) Perturb(dst []float32, generation, k uint32, eps float64) {
	run(m.PerturbParts(dst, generation, k, eps, 1))
}

// PerturbParts is Perturb as at most n functions, as with [Model.ApplyParts].
func (m *Model) PerturbParts(dst []float32, generation, k uint32, eps float64, n int) []func() {
	m.fits(dst)
	d := m.pool.Direction(generation, k)
	return m.parts(n, func(p piece, theta []int64) {
		to := dst[p.from:p.to]
		m.floats(to, theta, p)
		if !p.fixed {
			d.Perturb(to, to, eps, p.tensor, p.first)
		}
	})
}

// Rebuild makes theta anew from the accumulators of all generations, in any order, and forgets the queue. The result is the one
// of applying all changes one by one.
func (m *Model) Rebuild(sums []Sums) { run(m.RebuildParts(sums, 1)) }

// RebuildParts is Rebuild as at most n functions, as with [Model.ApplyParts].
func (m *Model) RebuildParts(sums []Sums, n int) []func() {
	m.pending.rows, m.sums.rows = nil, nil
	if m.theta == nil {
		for _, s := range sums {
			copy(m.sums.row(s.Generation), s.A)
		}
		m.sweeps = m.sweepsOf(m.sums.rows)
		return nil
	}
	sweeps := m.sweepsOf(sums)
	return m.parts(n, func(p piece, theta []int64) {
		clear(theta)
		if !p.fixed {
			add(theta, sweeps, p)
		}
	})
}

// ThetaDigest is the [DigestOf] theta.
func (m *Model) ThetaDigest() [32]byte {
	h := sha256.New()
	run(m.parts(1, func(_ piece, theta []int64) { write(h, theta) }))
	return [32]byte(h.Sum(nil))
}

// Digest is the SHA-256 of the weights, float32 and little-endian.
func (m *Model) Digest() [32]byte {
	h := sha256.New()
	weights, form := make([]float32, pieceLen), make([]byte, 4*pieceLen)
	run(m.parts(1, func(p piece, theta []int64) {
		n := p.to - p.from
		m.floats(weights[:n], theta, p)
		for i, w := range weights[:n] {
			binary.LittleEndian.PutUint32(form[4*i:], math.Float32bits(w))
		}
		h.Write(form[:4*n])
	}))
	return [32]byte(h.Sum(nil))
}
