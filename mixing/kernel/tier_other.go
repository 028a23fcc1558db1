//go:build !amd64

package kernel

// A tier is a set of instructions. Elsewhere than on amd64 there is only what Go itself offers: the functions of the tier do
// nothing, say so, and leave all to the plain ones.
type tier struct{}

// best is the only tier.
var best tier

// tiers returns what this machine has.
func tiers() []tier { return []tier{best} }

func (tier) String() string { return "plain" }

func (tier) panel(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb, ahead int, c []float32, ldc int) {
	plainPanel(add, m, n, k, a, row, step, b, ldb, c, ldc)
}

func (tier) transpose(dst []float32, ldd int, src []float32, lds int, rows, cols int) {
	plainTranspose(dst, ldd, src, lds, rows, cols)
}

func (tier) copyPanel(dst, src []float32, lds int, k, n int) { plainCopyPanel(dst, src, lds, k, n) }

func (tier) whole(int, int) int { return 0 }

func (tier) axpy(float32, []float32, []float32) int         { return 0 }
func (tier) add(_, _ []float32) int                         { return 0 }
func (tier) sub(_, _, _ []float32) int                      { return 0 }
func (tier) scale(float32, []float32) int                   { return 0 }
func (tier) relu([]float32) int                             { return 0 }
func (tier) gate(_, _ []float32) int                        { return 0 }
func (tier) finite([]float32) (int, bool)                   { return 0, true }
func (tier) grey([]float32, []uint8) int                    { return 0 }
func (tier) dot(_, _ []float32, _ *[32]float64) int         { return 0 }
func (tier) weighted([]float32, []float64, [][]float32) int { return 0 }
func (tier) exp(_, _ []float64) int                         { return 0 }

func (tier) adam(_ *Adam, _, _, _, _ []float32) int { return 0 }
