package mixing

import (
	"fmt"
	"math"
	"slices"
)

// A Policy says which variances make the target of variance correction (spec 01, 1.3).
type Policy string

const (
	PolicyWeighted Policy = "weighted" // of all, weighted as in the mean
	PolicyOthers   Policy = "others"   // the mean of the received ones
	PolicySelf     Policy = "self"     // the own one
)

// Correction sets variance-corrected averaging (Tian et al. 2024; spec 01).
type Correction struct {
	Policy Policy
	// Guard is relative: a tensor whose mean has less than Guard times the target variance is left as it is, for there is
	// no direction to stretch. Default 1e-12.
	Guard float64
	// RatioMax bounds the stretch. Default 10. A mix in which more than a tenth of the tensors reach it is refused.
	RatioMax float64
	// Biases are corrected too. Default false: they carry signal in single entries, and their variance is mostly noise.
	Biases bool
	// CompatEps, if positive, computes the ratio as the authors' program does, to compare with it: sample variances,
	// this epsilon added to both, no bound, every tensor with more than one element.
	CompatEps float64
}

// DefaultCorrection returns the defaults.
func DefaultCorrection() Correction {
	return Correction{Policy: PolicyWeighted, Guard: 1e-12, RatioMax: 10}
}

// leastElements is how many elements a tensor needs for its variance to mean anything.
const leastElements = 16

// varianceCap bounds what senders say of their variance, in medians: see spec 01, 1.8, Byzantine input.
const varianceCap = 4

// Corrected is the rule that averages with the weigher and then stretches every tensor around its own mean, so that its
// variance is that of the tensors that went in. Where models are unrelated, the plain mean of k has only 1/k of it.
func Corrected(name string, w Weigher, c Correction) Rule {
	return &corrected{name: name, weigh: w, c: c}
}

type corrected struct {
	name  string
	weigh Weigher
	c     Correction
	scratch
	ratios, vars []float64
}

func (r *corrected) Name() string { return r.name }

func (r *corrected) Mix(dst []float32, own Input, in []Input, env *Env) (Report, error) {
	defer r.forget()
	report, err := r.prepare(dst, own, in)
	if err != nil || len(r.all) == 1 {
		return report, err
	}
	var layout *Layout
	if env != nil && env.Layout != nil {
		layout = env.Layout
	} else {
		layout = &Layout{Tensors: []Tensor{{Shape: []int{len(dst)}}}}
	}
	if layout.Len() != len(dst) {
		return report, fmt.Errorf("mix: the layout has %d elements and the vector %d", layout.Len(), len(dst))
	}
	if err := r.average(dst, &report, r.weigh, env); err != nil {
		return report, err
	}
	all := r.all
	r.ratios = slices.Grow(r.ratios[:0], len(layout.Tensors))[:len(layout.Tensors)]
	report.Ratios = r.ratios
	clipped := 0
	for i, t := range layout.Tensors {
		report.Ratios[i] = r.tensor(dst, all, report.Weights, layout, i)
		if report.Ratios[i] >= r.c.RatioMax && r.c.CompatEps == 0 {
			clipped++
		}
		if t.Kind == RunningVar {
			poolVariance(dst, all, report.Weights, layout, i)
		}
	}
	if 10*clipped > len(layout.Tensors) && len(layout.Tensors) > 1 {
		// Nearly opposite models, or somebody inflates variances: neither is worth a mix (spec 01, 1.9).
		copy(dst, own.Vec)
		report.Rejected = fmt.Sprintf("%d of %d tensors reach the largest correction", clipped, len(layout.Tensors))
		return report, nil
	}
	keepPrivate(dst, own.Vec, env)
	return report, nil
}

// tensor corrects one tensor of the average and returns the ratio.
func (r *corrected) tensor(dst []float32, all []Input, w []float64, l *Layout, i int) float64 {
	t := l.Tensors[i]
	if r.leave(t) {
		return 1
	}
	x := t.Of(dst)
	r.vars = slices.Grow(r.vars[:0], 2*len(all))[:len(all)]
	vars := r.vars
	for j, in := range all {
		if len(in.Meta.Stats) == len(l.Tensors) {
			vars[j] = in.Meta.Stats[i].Var
		} else {
			vars[j] = Moments(t.Of(in.Vec)).Var
		}
	}
	capVariances(vars, all, len(l.Tensors))
	avg := Moments(x)
	ratio := r.ratio(avg.Var, vars, w, len(x))
	if ratio == 1 {
		return 1
	}
	for j, v := range x {
		x[j] = float32(avg.Mean + float64(ratio*(float64(v)-avg.Mean)))
	}
	return ratio
}

// leave reports whether a tensor is not corrected at all (spec 01, 1.5).
func (r *corrected) leave(t Tensor) bool {
	if r.c.CompatEps > 0 {
		return t.Len() < 2 || t.Kind >= RunningMean && t.Kind <= Counter
	}
	switch t.Kind {
	case Weight:
		return t.Len() < leastElements
	case Bias:
		return !r.c.Biases || t.Len() < leastElements
	}
	return true
}

// ratio is the r of spec 01, 1.3, for a tensor of n elements.
func (r *corrected) ratio(avg float64, vars, w []float64, n int) float64 {
	target, nonzero := 0.0, 0.0
	switch r.c.Policy {
	case PolicyOthers:
		for _, v := range vars[1:] {
			target += v / float64(len(vars)-1)
		}
	case PolicySelf:
		target = vars[0]
	default:
		for i, v := range vars {
			target += float64(w[i] * v)
		}
	}
	if e := r.c.CompatEps; e > 0 {
		sample := float64(n) / float64(n-1)
		return math.Sqrt((float64(target*sample) + e) / (float64(avg*sample) + e))
	}
	for i, v := range vars {
		if v > 0 {
			nonzero += w[i]
		}
	}
	// A tensor that starts at zero and that only a minority has trained yet: stretching would undo the averaging.
	if nonzero < 0.5 || target == 0 || avg <= float64(r.c.Guard*target) {
		return 1
	}
	ratio := min(r.c.RatioMax, math.Sqrt(target/avg))
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return 1
	}
	return ratio
}

// capVariances bounds the variances that senders claim, where there are enough to tell what is usual.
func capVariances(vars []float64, all []Input, tensors int) {
	if len(vars) < 3 {
		return
	}
	sorted := append(vars[len(vars):], vars...) // behind them, where there is room
	slices.Sort(sorted)
	limit := varianceCap * sorted[(len(sorted)-1)/2]
	for i := range vars {
		if i > 0 && len(all[i].Meta.Stats) == tensors {
			vars[i] = min(max(vars[i], 0), limit)
		}
	}
}

// poolVariance merges running variances: that of the pooled data, by the running means before them (spec 01, 1.5).
func poolVariance(dst []float32, all []Input, w []float64, l *Layout, i int) {
	if i == 0 || l.Tensors[i-1].Kind != RunningMean || l.Tensors[i-1].Len() != l.Tensors[i].Len() {
		return
	}
	mt, vt := l.Tensors[i-1], l.Tensors[i]
	mean, out := mt.Of(dst), vt.Of(dst)
	for j := range out {
		sum := 0.0
		for k, in := range all {
			m, v := float64(mt.Of(in.Vec)[j]), float64(vt.Of(in.Vec)[j])
			sum += float64(w[k] * (v + float64(m*m)))
		}
		m := float64(mean[j])
		out[j] = float32(max(0, sum-float64(m*m)))
	}
}

// Correlation estimates how related k models are, from the ratio that corrected their equally weighted mean: 0 for
// unrelated ones, 1 for equal ones (spec 01, 1.4).
func Correlation(ratio float64, k int) float64 {
	if k < 2 {
		return 1
	}
	return (float64(k)/float64(ratio*ratio) - 1) / float64(k-1)
}
