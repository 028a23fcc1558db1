package mixing

import "slices"

// MeanWeights gives everybody the same weight.
func MeanWeights(_ Input, in []Input, _ *Env) ([]float64, error) {
	w := make([]float64, 1+len(in))
	for i := range w {
		w[i] = 1
	}
	return w, nil
}

// ageCap bounds how much older than the median a model may count (spec 06, 6.8): a fast peer, or a liar, must not replace
// everybody's model by its own.
const ageCap = 10

// AgeWeights weighs by age (Hegedus et al.; spec 06, 6.8). Ages above ten times the median of the positive ones are cut.
// If all are zero it is the plain mean; a model of age zero among older ones counts for nothing.
func AgeWeights(own Input, in []Input, env *Env) ([]float64, error) {
	ages := []uint64{own.Meta.Age}
	for _, x := range in {
		ages = append(ages, x.Meta.Age)
	}
	var known []uint64
	for _, a := range ages {
		if a > 0 {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return MeanWeights(own, in, env)
	}
	slices.Sort(known)
	limit := ageCap * float64(known[(len(known)-1)/2])
	w := make([]float64, len(ages))
	for i, a := range ages {
		w[i] = min(float64(a), limit)
	}
	return w, nil
}

// MetropolisWeights gives each peer 1/(1 + max of both degrees) and the rest to the own vector (Xiao and Boyd 2004; spec
// 06, 6.3): symmetric and doubly stochastic where both ends know each other's degree. A degree that is unknown or too
// small counts as the number of inputs, so that the own weight stays positive.
func MetropolisWeights(own Input, in []Input, _ *Env) ([]float64, error) {
	degree := max(own.Meta.Degree, len(in))
	w := make([]float64, 1+len(in))
	w[0] = 1
	for i, x := range in {
		w[1+i] = 1 / float64(1+max(degree, x.Meta.Degree))
		w[0] -= w[1+i]
	}
	return w, nil
}
