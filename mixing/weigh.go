package mixing

import "slices"

// MeanWeights gives everybody the same weight.
func MeanWeights(w []float64, _ Input, in []Input, _ *Env) ([]float64, error) {
	for range 1 + len(in) {
		w = append(w, 1)
	}
	return w, nil
}

// ageCap bounds how much older than the median a model may count (spec 06, 6.8): a fast peer, or a liar, must not replace
// everybody's model by its own.
const ageCap = 10

// AgeWeights weighs by age (Hegedus et al.; spec 06, 6.8). Ages above ten times the median of the positive ones are cut.
// If all are zero it is the plain mean; a model of age zero among older ones counts for nothing.
func AgeWeights(w []float64, own Input, in []Input, env *Env) ([]float64, error) {
	first := len(w)
	w = append(slices.Grow(w, 2*(1+len(in))), float64(own.Meta.Age))
	for i := range in {
		w = append(w, float64(in[i].Meta.Age))
	}
	ages := w[first:]
	known := ages[len(ages):] // behind the weights, so that the memory serves the next mix too
	for _, a := range ages {
		if a > 0 {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return MeanWeights(w[:first], own, in, env)
	}
	slices.Sort(known)
	limit := ageCap * known[(len(known)-1)/2]
	for i, a := range ages {
		ages[i] = min(a, limit)
	}
	return w, nil
}

// MetropolisWeights gives each peer 1/(1 + max of both degrees) and the rest to the own vector (Xiao and Boyd 2004; spec
// 06, 6.3): symmetric and doubly stochastic where both ends know each other's degree. A degree that is unknown or too
// small counts as the number of inputs, so that the own weight stays positive.
func MetropolisWeights(w []float64, own Input, in []Input, _ *Env) ([]float64, error) {
	degree := max(own.Meta.Degree, len(in))
	first, left := len(w), 1.0
	w = append(w, 0)
	for i := range in {
		share := 1 / float64(1+max(degree, in[i].Meta.Degree))
		w = append(w, share)
		left -= share
	}
	w[first] = left
	return w, nil
}
