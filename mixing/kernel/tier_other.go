//go:build !amd64 && !arm64

package kernel

// A tier is a set of instructions. Here there is only what Go itself offers.
type tier struct{}

// best is the only tier.
var best tier

// tiers returns what this machine has.
func tiers() []tier { return []tier{best} }

func (tier) String() string { return "plain" }

func (tier) panel(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb, ahead int, c []float32, ldc int) {
	plainPanel(add, m, n, k, a, row, step, b, ldb, c, ldc)
}

func (tier) axpy(float32, []float32, []float32) int { return 0 }
