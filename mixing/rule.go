package mixing

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"starling/mixing/kernel"
)

// VectorKind says what a vector is.
type VectorKind uint8

const (
	Model VectorKind = iota
	Delta            // new model minus base
	Gradient
)

// Meta is what the sender said of a vector or the receiver measured. The zero value of each field is unknown.
type Meta struct {
	Peer      string    // stable ID: canonical order, ties, history
	Samples   float64   // examples behind the vector
	Steps     int       // local steps since the sender's base
	Staleness int       // receiver's round minus the round of the sender's base
	Age       uint64    // local steps that the model has seen
	Degree    int       // how many peers the sender mixes with
	Topology  float64   // mixing-matrix entry, if the overlay fixes one
	Stats     []Stat    // the sender's exact statistics of each tensor
	Labels    []float64 // label counts
	Interval  float64   // mean rounds between two contributions
	Frequency float64   // share of mixing events that the peer took part in
	Bits      int       // width the sender computes with; 0 is 32
	QuantStep float64   // quantisation step of the payload
	Fisher    []float32 // diagonal curvature, as long as the vector
	Loss      *float64  // of this vector on our held-out batch
}

// An Input is one contribution to a mix.
type Input struct {
	Kind VectorKind
	Vec  []float32
	Meta Meta
}

// Env is what a rule may know besides its inputs.
type Env struct {
	F      int                       // bound on bad received vectors
	Base   []float32                 // anchor shared by all inputs, nil if none
	Layout *Layout                   // nil is one shared tensor
	Seed   uint64                    // the only source of randomness
	Loss   func([]float32) float64   // held-out loss, may be nil
	Grad   func([]float32) []float32 // held-out gradient, may be nil
}

// Dropped is a contribution that did not count.
type Dropped struct {
	Peer, Why string
}

// A Report says what a mix did. Its slices are valid until the next Mix of the rule, which uses their memory again; Clone keeps
// them.
type Report struct {
	Weights  []float64 // as used: the own one first, then those of the inputs that counted, ascending by peer
	Ratios   []float64 // variance correction of each tensor; nil if the rule does not correct
	Dropped  []Dropped
	Rejected string // not empty: why dst is a copy of the own vector
}

// Clone returns a copy that shares nothing with r.
func (r Report) Clone() Report {
	r.Weights, r.Ratios, r.Dropped = slices.Clone(r.Weights), slices.Clone(r.Ratios), slices.Clone(r.Dropped)
	return r
}

// A Rule combines a node's own vector with those of others. Rules do not modify their inputs, dst must not alias one, and
// the result does not depend on the order of in: the own vector comes first, then the others ascending by peer. A
// received vector of another length or kind or with a number that is not finite is left out. With nothing left dst is
// the own vector, bit for bit. A Rule must not be used concurrently.
type Rule interface {
	Name() string
	Mix(dst []float32, own Input, in []Input, env *Env) (Report, error)
}

// A Weigher gives each contribution a weight: it appends them to w, own first, then the others in order. Weights are not
// negative and at least one is positive; they need not sum to one.
type Weigher func(w []float64, own Input, in []Input, env *Env) ([]float64, error)

// Linear is the rule whose result is the weighted mean.
func Linear(name string, w Weigher) Rule { return &linear{name: name, weigh: w} }

type linear struct {
	name  string
	weigh Weigher
	scratch
}

func (r *linear) Name() string { return r.name }

func (r *linear) Mix(dst []float32, own Input, in []Input, env *Env) (Report, error) {
	defer r.forget()
	report, err := r.prepare(dst, own, in)
	if err != nil || len(r.all) == 1 {
		return report, err
	}
	if err := r.average(dst, &report, r.weigh, env); err != nil {
		return report, err
	}
	keepPrivate(dst, own.Vec, env)
	return report, nil
}

// scratch is memory that a rule uses again from mix to mix.
type scratch struct {
	all     []Input // own first, then those that count, ascending by peer
	weights []float64
	vecs    [][]float32
}

// forget drops what belongs to the caller.
func (s *scratch) forget() {
	clear(s.all)
	clear(s.vecs)
}

// prepare sorts out the inputs. With the own vector alone it has copied it to dst.
func (s *scratch) prepare(dst []float32, own Input, in []Input) (Report, error) {
	var report Report
	s.all = append(s.all[:0], own)
	switch {
	case len(own.Vec) != len(dst):
		return report, fmt.Errorf("mix: the own vector has %d elements and the result %d", len(own.Vec), len(dst))
	case !kernel.Finite(own.Vec):
		return report, errors.New("mix: the own vector is not finite")
	}
	for i := range in {
		x := &in[i]
		switch {
		case len(x.Vec) != len(dst):
			report.Dropped = append(report.Dropped, Dropped{x.Meta.Peer, fmt.Sprintf("has %d elements instead of %d", len(x.Vec), len(dst))})
		case x.Kind != own.Kind:
			report.Dropped = append(report.Dropped, Dropped{x.Meta.Peer, "is of another kind"})
		case !kernel.Finite(x.Vec):
			report.Dropped = append(report.Dropped, Dropped{x.Meta.Peer, "is not finite"})
		default:
			s.all = append(s.all, *x)
		}
	}
	slices.SortStableFunc(s.all[1:], func(a, b Input) int { return strings.Compare(a.Meta.Peer, b.Meta.Peer) })
	if len(s.all) == 1 {
		copy(dst, own.Vec)
		s.weights = append(s.weights[:0], 1)
		report.Weights = s.weights
	}
	return report, nil
}

func (s *scratch) average(dst []float32, report *Report, weigh Weigher, env *Env) error {
	w, err := weigh(s.weights[:0], s.all[0], s.all[1:], env)
	if err != nil {
		return err
	}
	s.weights = w
	sum := 0.0
	for _, x := range w {
		if !(x >= 0) {
			return fmt.Errorf("mix: weight %g", x)
		}
		sum += x
	}
	if len(w) != len(s.all) || !(sum > 0) {
		return fmt.Errorf("mix: %d weights of sum %g for %d vectors", len(w), sum, len(s.all))
	}
	for i := range w {
		w[i] /= sum
	}
	report.Weights = w
	s.vecs = s.vecs[:0]
	for i := range s.all {
		s.vecs = append(s.vecs, s.all[i].Vec)
	}
	kernel.WeightedSum(dst, w, s.vecs)
	return nil
}

// keepPrivate puts the own values back where tensors are not shared.
func keepPrivate(dst, own []float32, env *Env) {
	if env == nil || env.Layout == nil {
		return
	}
	for i := range env.Layout.Tensors {
		if t := &env.Layout.Tensors[i]; t.Private {
			copy(t.Of(dst), t.Of(own))
		}
	}
}
