package adversary

import "math"

// An axis is the direction in which the honest vectors differ most, as the colluding attackers of one mimic group learn it:
// a step of the power method for every new round of theirs (spec 07, section 19.1).
type axis struct {
	seed   uint64
	rounds uint64 // of learning
	steps  uint64 // done
	round  uint64 // of the step or choice done last
	chosen int
	mean   []float64
	along  []float64
	next   []float64
}

// target returns the node to copy; first is the one to copy while learning.
func (a *axis) target(c *Context, first int) int {
	if c.Round > a.round && c.View.ready(c.Own) {
		a.round = c.Round
		if a.steps < a.rounds {
			a.learn(c.View)
			a.chosen = first
		} else {
			a.chosen = a.farthest(c.View)
		}
	}
	if a.round == 0 {
		return first
	}
	return a.chosen
}

func (a *axis) start(d int) {
	a.mean, a.along, a.next = make([]float64, d), make([]float64, d), make([]float64, d)
	n := newNoise(a.seed, forDirection, 0, 0, 0)
	for j := range a.along {
		a.along[j] = n.normal()
	}
	normalise(a.along)
}

// learn does one step. The view must have sums.
func (a *axis) learn(v *View) {
	if len(a.mean) != v.Len() {
		a.start(v.Len())
	}
	t := float64(a.steps)
	keep := (t + 1) / (t + 2)
	for j := range a.mean {
		a.mean[j] = float64(keep*a.mean[j]) + float64((1-keep)*v.mean(j))
	}
	clear(a.next)
	for _, n := range v.nodes {
		vec, dot := v.heard[n].vec, 0.0
		for j, x := range vec {
			dot += float64((float64(x) - a.mean[j]) * a.along[j])
		}
		for j, x := range vec {
			a.next[j] += float64((float64(x) - a.mean[j]) * dot)
		}
	}
	normalise(a.next)
	for j := range a.along {
		a.along[j] = float64(keep*a.along[j]) + float64((1-keep)*a.next[j])
	}
	normalise(a.along)
	a.steps++
}

// farthest returns the node whose vector reaches farthest along the axis, the first of equals.
func (a *axis) farthest(v *View) int {
	best, most := v.nodes[0], -1.0
	for _, n := range v.nodes {
		dot := 0.0
		for j, x := range v.heard[n].vec {
			dot += float64(float64(x) * a.along[j])
		}
		if dot = math.Abs(dot); dot > most {
			best, most = n, dot
		}
	}
	return best
}

// normalise scales to length 1. A zero vector stays.
func normalise(x []float64) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v * v)
	}
	if sum == 0 {
		return
	}
	scale := 1 / math.Sqrt(sum)
	for j := range x {
		x[j] *= scale
	}
}
