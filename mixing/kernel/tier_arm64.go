package kernel

// A tier is a set of instructions that this machine has. Functions of a tier that return a number did so many of the first
// elements, and leave the rest, all of them for plain, to the caller.
type tier int

const (
	plain tier = iota
	neon       // which every processor has
)

const best = neon

// tiers returns what this machine has, the best last.
func tiers() []tier { return []tier{plain, neon} }

func (t tier) String() string { return [...]string{"plain", "neon"}[t] }

// panelNEON is panel for n a multiple of 4 up to 16, and m and k above 0. Strides are in bytes. Tiles have tall rows, at most 6.
//
//go:noescape
func panelNEON(c *float32, ldc int, a *float32, row, step int, b *float32, ldb int, m, tall, n, k int, add bool)

// axpyNEON is Axpy for n elements, a multiple of 16 and above 0.
//
//go:noescape
func axpyNEON(alpha float32, x, y *float32, n int)

func (t tier) panel(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb, _ int, c []float32, ldc int) {
	if t == plain {
		plainPanel(add, m, n, k, a, row, step, b, ldb, c, ldc)
		return
	}
	whole := n &^ 3
	for j := 0; j < whole; j += 16 {
		panelNEON(&c[j], 4*ldc, &a[0], 4*row, 4*step, &b[j], 4*ldb, m, even(m, 6), min(16, whole-j), k, add)
	}
	if whole < n {
		lastColumns(add, m, n-whole, k, a, row, step, b[whole:], ldb, c[whole:], ldc)
	}
}

// lastColumns is panel for the up to three columns that do not fill a vector: B and C are copied to where they do.
func lastColumns(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb int, c []float32, ldc int) {
	var wideB [4 * blockK]float32
	var wideC [4 * blockM]float32
	for p := range k {
		copy(wideB[4*p:][:n], b[p*ldb:])
	}
	panelNEON(&wideC[0], 16, &a[0], 4*row, 4*step, &wideB[0], 16, m, even(m, 6), 4, k, false)
	for i := range m {
		for j, v := range wideC[4*i:][:n] {
			if add {
				v += c[i*ldc+j]
			}
			c[i*ldc+j] = v
		}
	}
}

func (t tier) axpy(alpha float32, x, y []float32) int {
	n := len(x) &^ 15
	if t == plain || n == 0 {
		return 0
	}
	axpyNEON(alpha, &x[0], &y[0], n)
	return n
}
