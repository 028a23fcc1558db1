package kernel

import "fmt"

const (
	// blockK is the length of one block of the inner dimension. It is part of the definition of a matrix product, see [MulNN]:
	// changing it changes results. A panel of B of this height is 48 KiB.
	blockK = 384

	// panelN is the number of columns that are computed together; blockM is the number of rows that share a panel of B, so
	// that the part of A in use stays in the second-level cache. Neither changes results.
	panelN, blockM = 32, 256

	// pieceN is the number of columns of a piece of C that is computed transposed.
	pieceN = 128
)

// MulNN sets C = A·B, or adds to it, C += A·B, when accumulate is set. A is m×k, B is k×n and C is m×n, all row-major:
// element (i, j) of A is a[i*lda+j], and so on, with lda >= k, ldb >= n, ldc >= n. C must not overlap A or B.
//
// The inner dimension is cut into blocks of 384. The sum of a block begins with 0 and takes up its products one after the
// other, each by [FMA]; the sums of the blocks are added to the element in order, after what it held when accumulate is set.
func MulNN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, m, k, lda)
	check("B", b, k, n, ldb)
	check("C", c, m, n, ldc)
	best.multiply(accumulate, m, n, k, a, lda, 1, b, ldb, c, ldc)
}

// MulTN sets C = Aᵀ·B, or adds to it when accumulate is set. A is k×m, B is k×n, C is m×n. Everything else is as in [MulNN].
// It is the gradient of a layer's weights: A the gradients of its outputs, B its inputs, k the rows of the batch.
func MulTN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, k, m, lda)
	check("B", b, k, n, ldb)
	check("C", c, m, n, ldc)
	best.multiply(accumulate, m, n, k, a, 1, lda, b, ldb, c, ldc)
}

// MulNT sets C = A·Bᵀ, or adds to it when accumulate is set. A is m×k, B is n×k, C is m×n. Everything else is as in [MulNN].
// It is the forward pass of a layer: A its inputs, B its weights as outputs×inputs. One of the two is transposed on the way,
// the one that costs less; weights that stay the same for many products are better transposed once, by [PackNT].
func MulNT(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, m, k, lda)
	check("B", b, n, k, ldb)
	check("C", c, m, n, ldc)
	best.multiplyNT(accumulate, m, n, k, a, lda, b, ldb, c, ldc)
}

func check(name string, v []float32, rows, cols, ld int) {
	if rows < 0 || cols < 0 || ld < cols || rows > 0 && cols > 0 && len(v) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("kernel: internal error: %s is %d×%d with leading dimension %d, but has %d elements", name, rows, cols, ld, len(v)))
	}
}

// nothing deals with products without elements or terms.
func nothing(accumulate bool, m, n, k int, c []float32, ldc int) bool {
	if m == 0 || n == 0 {
		return true
	}
	if k == 0 && !accumulate {
		for i := range m {
			clear(c[i*ldc : i*ldc+n])
		}
	}
	return k == 0
}

// multiply is the product for an A with any strides: element (i, p) is a[i*row+p*step].
func (t tier) multiply(accumulate bool, m, n, k int, a []float32, row, step int, b []float32, ldb int, c []float32, ldc int) {
	switch {
	case nothing(accumulate, m, n, k, c, ldc):
	case packs(m, n, k, ldb):
		t.multiplyCopied(accumulate, m, n, k, a, row, step, b, ldb, c, ldc)
	default:
		for i0 := 0; i0 < m; i0 += blockM {
			for k0 := 0; k0 < k; k0 += blockK {
				mb, kb, add := min(blockM, m-i0), min(blockK, k-k0), accumulate || k0 > 0
				for j := 0; j < n; j += panelN {
					t.panel(add, mb, min(panelN, n-j), kb, a[i0*row+k0*step:], row, step, b[k0*ldb+j:], ldb, panelN, c[i0*ldc+j:], ldc)
				}
			}
		}
	}
}

// packs reports whether panels of B are better copied before they are used: when there are many rows of A to use them, and
// the rows of B lie so far apart that they fall on few lines of the first-level cache.
func packs(m, n, k, ldb int) bool { return m > 48 && k > 48 && ldb >= 256 && n > 16 }

func (t tier) multiplyCopied(accumulate bool, m, n, k int, a []float32, row, step int, b []float32, ldb int, c []float32, ldc int) {
	var panel [blockK * panelN]float32
	for i0 := 0; i0 < m; i0 += blockM {
		for k0 := 0; k0 < k; k0 += blockK {
			mb, kb, add := min(blockM, m-i0), min(blockK, k-k0), accumulate || k0 > 0
			for j := 0; j < n; j += panelN {
				nb := min(panelN, n-j)
				t.copyPanel(panel[:], b[k0*ldb+j:], ldb, kb, nb)
				t.panel(add, mb, nb, kb, a[i0*row+k0*step:], row, step, panel[:], panelN, 0, c[i0*ldc+j:], ldc)
			}
		}
	}
}

// multiplyNT transposes either B, panel by panel, or A, and then the result.
func (t tier) multiplyNT(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	switch {
	case nothing(accumulate, m, n, k, c, ldc):
	case turns(m, n, k, accumulate):
		if k <= 128 && n <= 32 { // less to clear
			var panel [128 * panelN]float32
			var piece [32 * panelN]float32
			t.multiplyTurned(accumulate, m, n, k, a, lda, b, ldb, c, ldc, panel[:], piece[:])
			return
		}
		var panel [blockK * panelN]float32
		var piece [pieceN * panelN]float32
		t.multiplyTurned(accumulate, m, n, k, a, lda, b, ldb, c, ldc, panel[:], piece[:])
	case k <= 128:
		var panel [128 * panelN]float32
		t.multiplyTransposed(accumulate, m, n, k, a, lda, b, ldb, c, ldc, panel[:])
	default:
		var panel [blockK * panelN]float32
		t.multiplyTransposed(accumulate, m, n, k, a, lda, b, ldb, c, ldc, panel[:])
	}
}

// turns compares the costs of the two ways, in multiply-adds. Their constants were measured with AVX-512 and choose well with
// AVX2: all lanes count, full or not; rows count as four at least, or sums wait for themselves; a panel of one vector has more
// to load for every sum; and there are elements to transpose.
func turns(m, n, k int, accumulate bool) bool {
	const lanes, move = 16, 7
	tiles := func(rows, cols int) int {
		cost := max(rows, 4) * ((cols + lanes - 1) / lanes * lanes) * k
		if cols <= lanes {
			cost += cost * 2 / 5
		}
		return cost
	}
	straight := tiles(m, n) + move*n*k
	turned := tiles(n, m) + move*m*k + move*m*n
	if accumulate {
		turned += move * m * n
	}
	return turned < straight
}

func (t tier) multiplyTransposed(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, panel []float32) {
	for i0 := 0; i0 < m; i0 += blockM {
		for k0 := 0; k0 < k; k0 += blockK {
			mb, kb, add := min(blockM, m-i0), min(blockK, k-k0), accumulate || k0 > 0
			for j := 0; j < n; j += panelN {
				nb := min(panelN, n-j)
				t.transpose(panel, panelN, b[j*ldb+k0:], ldb, nb, kb)
				t.panel(add, mb, nb, kb, a[i0*lda+k0:], lda, 1, panel, panelN, 0, c[i0*ldc+j:], ldc)
			}
		}
	}
}

// multiplyTurned computes Cᵀ = B·Aᵀ in pieces of 32 rows and up to 128 columns of C.
func (t tier) multiplyTurned(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, panel, piece []float32) {
	for i := 0; i < m; i += panelN {
		mb := min(panelN, m-i)
		for j := 0; j < n; j += pieceN {
			nb, to := min(pieceN, n-j), c[i*ldc+j:]
			if accumulate {
				t.transpose(piece, panelN, to, ldc, mb, nb)
			}
			for k0 := 0; k0 < k; k0 += blockK {
				kb := min(blockK, k-k0)
				t.transpose(panel, panelN, a[i*lda+k0:], lda, mb, kb)
				t.panel(accumulate || k0 > 0, nb, mb, kb, b[j*ldb+k0:], ldb, 1, panel, panelN, 0, piece, panelN)
			}
			t.transpose(to, ldc, piece, panelN, nb, mb)
		}
	}
}

// even returns the height of the fewest tiles of at most so many rows that m rows can be cut into, about evenly.
func even(m, most int) int {
	count := (m + most - 1) / most
	return (m + count - 1) / count
}
