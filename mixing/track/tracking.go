package track

import "fmt"

// Tracking is SCAFCOM among peers (spec 05, 5.7 B). A node has a model x, an estimate m of its own gradient and an estimate V of the
// mean gradient of all, both zero at first, and public copies h of x and G of V. A round is local steps from x to y, each along
//
//	gradient - m + V
//
// and then, with the mean local gradient g = (x-y)/work + m - V,
//
//	m := (1-Beta) m + Beta g
//	x := y + Gamma sum_j w_ij (h_j - h_i)
//	V := V + Gamma sum_j w_ij (G_j - G_i) + change of m
//
// and the changes of copies are sent. At all times the mean over the nodes of V is that of m.
type Tracking struct {
	Beta  float64 // 0.2; 1 is no momentum
	Gamma float64 // as for [Choco]
}

// A Form has the coefficients of a node's vectors: its model before and after the local steps, m and V as before, its public
// copies, and the sums of public copies, weighted and its own included. H and G always have the coefficients of the sums with
// the other sign, so where copies come late, and sums of differences are kept instead, those take the places of the sums; see
// [Tracking.Round].
type Form struct{ X, Y, M, V, H, G, SumH, SumG float64 }

// An Update is the new state as forms over the old one.
type Update struct{ X, M, V Form }

// Correction is what to add to the gradient of every local step.
func Correction() Form { return Form{M: -1, V: 1} }

// Round is the update after local steps whose learning rates sum to work. With no work, x is y, and only consensus is left.
//
// Copies must be those of the same round at both ends of a link: what i takes from j by the tracker, j must take from i. Where
// messages come late, though in order, every node keeps for each link the difference of the copies after the last message
// that has come, its own as it was when that was sent; as each comes, w_ij times the difference counts once. Then the mean of V
// is that of m again when all has come, and the optimum stays exact. Copies of different rounds would leave a part of V for good.
func (t Tracking) Round(work float64) Update {
	u := Update{X: Form{Y: 1, H: -t.Gamma, SumH: t.Gamma}, M: Form{M: 1}, V: Form{V: 1, G: -t.Gamma, SumG: t.Gamma}}
	if work > 0 {
		step := t.Beta / work
		u.M.X, u.M.Y, u.M.V = step, -step, -t.Beta
		u.V.X, u.V.Y, u.V.V = step, -step, 1-t.Beta
	}
	return u
}

// Repair makes the mean of V that of m again after nodes have left without a word, or a partition: all nodes do it in the same
// round, and set their public copies G to zero or send them whole.
func Repair() Update { return Update{X: Form{X: 1}, M: Form{M: 1}, V: Form{M: 1}} }

// Legacy is what a node that leaves has to hand to a neighbour, who adds it to its V, so that nothing needs repair.
func Legacy() Form { return Form{V: 1, M: -1} }

// Stable refuses settings that do not converge.
func (t Tracking) Stable() error {
	if !(t.Beta > 0 && t.Beta <= 1) {
		return fmt.Errorf("tracking beta %g: want more than 0, for otherwise no gradient counts, and at most 1, such as 0.2", t.Beta)
	}
	return stableGamma(t.Gamma)
}
