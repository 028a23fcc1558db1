package outer

import (
	"fmt"
	"slices"

	"starling/mixing/topology"
)

// NoLoCo is an outer step in small groups that change from round to round, without all-reduce (spec 03, 3.7). With phi the
// parameters where a node began its local steps and Delta what they changed, after minus before, and means over its group,
//
//	m   := Alpha m + Beta mean(Delta) + Gamma (mean(phi) - phi)
//	phi := phi + m
type NoLoCo struct {
	Alpha, Beta, Gamma float64 // 0.5, 0.7 and 0.7 in groups of two
}

// A GroupForm has the coefficients of a node's own phi and m and of the means of phi and Delta over its group, itself included.
type GroupForm struct{ Phi, Momentum, MeanPhi, MeanDelta float64 }

// Step is the new m and phi of a node in a group of size nodes. Alone, it has nobody to agree with.
func (n NoLoCo) Step(size int) (momentum, phi GroupForm) {
	momentum = GroupForm{Momentum: n.Alpha, MeanDelta: n.Beta}
	if size > 1 {
		momentum.Phi, momentum.MeanPhi = -n.Gamma, n.Gamma
	}
	phi = momentum
	phi.Phi++
	return momentum, phi
}

// GammaMax is the gamma from which on random groups of n drift apart by themselves, whatever the gradients [derived, confirmed by
// simulation].
func GammaMax(alpha float64, n int) float64 {
	if n < 2 {
		return 0
	}
	k := float64(n)
	return 2 * k * (1 - float64(alpha*alpha)) / (float64((k-1)*(1-alpha)) + (1 + alpha))
}

// margin is how close to GammaMax a gamma may come: near it nodes hardly agree.
const margin = 0.9

// Stable refuses settings for groups of size nodes that drift apart or diverge.
func (n NoLoCo) Stable(size int) error {
	most := margin * GammaMax(n.Alpha, size)
	switch {
	case size < 2:
		return fmt.Errorf("groups of %d: want at least 2, for nobody agrees with itself alone", size)
	case !(n.Alpha >= 0 && n.Alpha < 1):
		return fmt.Errorf("alpha %g: want at least 0 and less than 1, such as 0.5", n.Alpha)
	case !(n.Gamma > 0):
		return fmt.Errorf("gamma %g: want more than 0, for otherwise nodes never agree", n.Gamma)
	case !(n.Gamma < most):
		return fmt.Errorf("gamma %g with alpha %g in groups of %d: the momentum carries nodes past each other, and from %.4g on they drift apart without end; want less than %.4g, or a smaller alpha",
			n.Gamma, n.Alpha, size, GammaMax(n.Alpha, size), most)
	}
	if err := (Optimizer{LR: n.Beta, Momentum: n.Alpha, HeavyBall: true}).Stable(); err != nil {
		return fmt.Errorf("beta is the outer learning rate and alpha the momentum: %w", err)
	}
	return nil
}

// Groups cuts the permutation that all nodes draw for a round of a seed into groups of size, each ascending. Nodes are positions in
// the sorted list of live members. Those left at the end, too few for a group, step alone in this round.
func Groups(seed, round uint64, members, size int) [][]int {
	var out [][]int
	for p := topology.Permutation(seed, round, members); len(p) >= max(1, size); p = p[max(1, size):] {
		group := p[:max(1, size):max(1, size)]
		slices.Sort(group)
		out = append(out, group)
	}
	return out
}

// Group is that of [Groups] which a node is in; nil if it steps alone.
func Group(seed, round uint64, members, size, self int) []int {
	for _, group := range Groups(seed, round, members, size) {
		if slices.Contains(group, self) {
			return group
		}
	}
	return nil
}
