//go:build !amd64

package kernel

// What has no assembly elsewhere than on amd64 leaves all elements to plain Go.

func (tier) transpose(dst []float32, ldd int, src []float32, lds int, rows, cols int) {
	plainTranspose(dst, ldd, src, lds, rows, cols)
}

func (tier) copyPanel(dst, src []float32, lds int, k, n int) { plainCopyPanel(dst, src, lds, k, n) }

func (tier) widen(dst []float32, src []int8, scales []float32, rows int) {
	plainWiden(dst, src, scales, rows)
}

func (tier) whole(int, int) int { return 0 }

func (tier) add(_, _ []float32) int                         { return 0 }
func (tier) sub(_, _, _ []float32) int                      { return 0 }
func (tier) scale(float32, []float32) int                   { return 0 }
func (tier) relu([]float32) int                             { return 0 }
func (tier) gate(_, _ []float32) int                        { return 0 }
func (tier) finite([]float32) (int, bool)                   { return 0, true }
func (tier) largest([]float32, *[16]float32) int            { return 0 }
func (tier) grey([]float32, []uint8) int                    { return 0 }
func (tier) dot(_, _ []float32, _ *[32]float64) int         { return 0 }
func (tier) weighted([]float32, []float64, [][]float32) int { return 0 }
func (tier) exp(_, _ []float64) int                         { return 0 }
func (tier) exps32([]float32, float32, float32) int         { return 0 }
func (tier) mul(_, _ []float32) int                         { return 0 }
func (tier) gelu(_, _ []float32) int                        { return 0 }
func (tier) silu(_, _ []float32) int                        { return 0 }

func (tier) adam(_ *Adam, _, _, _, _ []float32) int { return 0 }

func (tier) blocks([]uint32, uint64, uint64, uint32, uint32) int                   { return 0 }
func (tier) poolAdd(_, _ []int64, _ *halves, _ int) int                            { return 0 }
func (tier) poolPerturb(_, _ []float32, _ float32, _ uint32, _ *halves, _ int) int { return 0 }
func (tier) thetaFloats(_, _ []float32, _ []int64, _ float64) int                  { return 0 }
func (tier) signsAdd(_, _ []int64, _ *signs, _ int) int                            { return 0 }
func (tier) signsPerturb(_, _ []float32, _ float32, _ []uint32, _ int) int         { return 0 }
