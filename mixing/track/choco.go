package track

import "fmt"

// Choco is the consensus step of CHOCO: with h the public copies and w the mixing weights, which are symmetric and sum to 1,
//
//	x := x + Gamma sum_j w_ij (h_j - h_i)
//
// It leaves the mean over the nodes as it is, whatever the copies lost.
type Choco struct{ Gamma float64 }

// A ChocoForm has the coefficients of a node's own vector, of its public copy, and of the sum of public copies, weighted and its
// own included.
type ChocoForm struct{ X, Copy, Sum float64 }

// Step is the new vector. The sum is kept up to date by adding w_ij times every change of a copy; one vector is enough for any
// number of neighbours as long as the weights stay. Where weights have changed it is made anew from the copies.
func (c Choco) Step() ChocoForm { return ChocoForm{X: 1, Copy: -c.Gamma, Sum: c.Gamma} }

// Copies is the new vector by the copies themselves: the coefficients of the node's own vector and copy, and appended to dst those
// of the neighbours' copies, for their weights.
func (c Choco) Copies(dst, weights []float64) (x, own float64, neighbours []float64) {
	for _, w := range weights {
		pull := float64(c.Gamma * w)
		own -= pull
		dst = append(dst, pull)
	}
	return 1, own, dst
}

// Stable refuses a gamma that cannot agree: copies that are exact make no more than 1 useful.
func (c Choco) Stable() error { return stableGamma(c.Gamma) }

func stableGamma(gamma float64) error {
	if !(gamma > 0 && gamma <= 1) {
		return fmt.Errorf("consensus gamma %g: want more than 0 and at most 1, and the less the more the codec loses, such as 0.6 for int4", gamma)
	}
	return nil
}

// DefaultGamma is what to start with for a codec that writes with a quantizer the part kept of a vector, 1 for all of it (spec 05,
// 5.6). A quantizer it does not know counts as one that keeps signs.
func DefaultGamma(quantizer string, kept float64) float64 {
	gamma := 0.1
	switch quantizer {
	case "fp32", "bf16":
		gamma = 1
	case "int8":
		gamma = 0.9
	case "int4":
		gamma = 0.6
	case "e3m0":
		gamma = 0.5
	case "ternary":
		gamma = 0.2
	}
	return min(gamma, sparseGamma(kept))
}

// sparseGamma goes in straight lines through 1 for all, 0.3 for a tenth, 0.05 for a hundredth and 0.
func sparseGamma(kept float64) float64 {
	switch {
	case kept >= 1:
		return 1
	case kept >= 0.1:
		return 0.3 + float64((kept-0.1)/0.9*0.7)
	case kept >= 0.01:
		return 0.05 + float64((kept-0.01)/0.09*0.25)
	}
	return 5 * max(kept, 1e-9)
}
