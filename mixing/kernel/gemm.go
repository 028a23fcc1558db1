package kernel

import "fmt"

// blockK is the length of one block of the inner dimension. It is part of the definition of a matrix product, see [MulNN]:
// changing it changes results. 384 floats of a 2-row and a 4-column strip are 9 KiB and stay in the first-level cache.
const blockK = 384

// blockM is the number of rows of C that share a packed strip of B. It does not change results.
const blockM = 32

// MulNN sets C = A·B, or adds to it, C += A·B, when accumulate is set. A is m×k, B is k×n and C is m×n, all row-major:
// element (i, j) of A is a[i*lda+j], and so on, with lda >= k, ldb >= n, ldc >= n. C must not overlap A or B.
//
// The inner dimension is cut into blocks of 384. The products of one block are added one after the other, each rounded to
// float32, and the sums of the blocks are added to the element in order, after what it held when accumulate is set.
func MulNN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, m, k, lda)
	check("B", b, k, n, ldb)
	check("C", c, m, n, ldc)
	multiply(false, false, accumulate, m, n, k, a, lda, b, ldb, c, ldc)
}

// MulTN sets C = Aᵀ·B, or adds to it when accumulate is set. A is k×m, B is k×n, C is m×n. Everything else is as in [MulNN].
// It is the gradient of a layer's weights: A the gradients of its outputs, B its inputs, k the rows of the batch.
func MulTN(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, k, m, lda)
	check("B", b, k, n, ldb)
	check("C", c, m, n, ldc)
	multiply(true, false, accumulate, m, n, k, a, lda, b, ldb, c, ldc)
}

// MulNT sets C = A·Bᵀ, or adds to it when accumulate is set. A is m×k, B is n×k, C is m×n. Everything else is as in [MulNN].
// It is the forward pass of a layer: A its inputs, B its weights as outputs×inputs.
func MulNT(accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	check("A", a, m, k, lda)
	check("B", b, n, k, ldb)
	check("C", c, m, n, ldc)
	multiply(false, true, accumulate, m, n, k, a, lda, b, ldb, c, ldc)
}

func check(name string, v []float32, rows, cols, ld int) {
	if rows < 0 || cols < 0 || ld < cols || rows > 0 && cols > 0 && len(v) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("kernel: internal error: %s is %d×%d with leading dimension %d, but has %d elements", name, rows, cols, ld, len(v)))
	}
}

// multiply is the product with either factor transposed. The inner loop wants two rows of A and four columns of B as
// contiguous strips; what does not lie so in memory is copied to the stack first.
func multiply(transA, transB, accumulate bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 && !accumulate {
		for i := range m {
			clear(c[i*ldc : i*ldc+n])
		}
	}
	for k0 := 0; k0 < k; k0 += blockK {
		kb := min(blockK, k-k0)
		add := accumulate || k0 > 0
		for i0 := 0; i0 < m; i0 += blockM {
			mb := min(blockM, m-i0)
			cb := c[i0*ldc:]
			switch {
			case transA:
				rowsPacked(add, mb, n, kb, a[k0*lda+i0:], lda, b[k0*ldb:], ldb, cb, ldc)
			case transB:
				rowsDirect(add, mb, n, kb, a[i0*lda+k0:], lda, b[k0:], ldb, cb, ldc)
			default:
				rowsNN(add, mb, n, kb, a[i0*lda+k0:], lda, b[k0*ldb:], ldb, cb, ldc)
			}
		}
	}
}

// rowsDirect is a block of A·Bᵀ: all strips lie in memory as they are wanted.
func rowsDirect(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	for j := 0; j < n; j += 4 {
		cols := min(4, n-j)
		b0 := b[j*ldb:]
		b1, b2, b3 := b0, b0, b0 // strips past the end repeat the first and are dropped in store
		if cols > 1 {
			b1 = b[(j+1)*ldb:]
		}
		if cols > 2 {
			b2 = b[(j+2)*ldb:]
		}
		if cols > 3 {
			b3 = b[(j+3)*ldb:]
		}
		strip(add, m, cols, k, a, lda, b0, b1, b2, b3, c[j:], ldc)
	}
}

// rowsNN is a block of A·B: four columns of B are copied, once for all rows of the block.
func rowsNN(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	var pack [4 * blockK]float32
	for j := 0; j < n; j += 4 {
		cols := min(4, n-j)
		packColumns(&pack, cols, k, b[j:], ldb)
		strip(add, m, cols, k, a, lda, pack[:blockK], pack[blockK:2*blockK], pack[2*blockK:3*blockK], pack[3*blockK:], c[j:], ldc)
	}
}

// rowsPacked is a block of Aᵀ·B: both factors are copied, A once for all columns.
func rowsPacked(add bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	var packA [blockM * blockK]float32
	for p := range k {
		row := a[p*lda:]
		row = row[:m]
		q := p
		for _, v := range row {
			packA[q] = v
			q += k
		}
	}
	rowsNN(add, m, n, k, packA[:m*k], k, b, ldb, c, ldc)
}

// packColumns copies the first cols of four columns of k elements into strips of blockK. Missing columns are left as they
// are: what comes out of them is dropped.
func packColumns(pack *[4 * blockK]float32, cols, k int, b []float32, ldb int) {
	if cols == 4 {
		for p := range min(k, blockK) {
			row := b[p*ldb:]
			_ = row[3]
			pack[p] = row[0]
			pack[blockK+p] = row[1]
			pack[2*blockK+p] = row[2]
			pack[3*blockK+p] = row[3]
		}
		return
	}
	for j := range cols {
		for p := range k {
			pack[j*blockK+p] = b[p*ldb+j]
		}
	}
}

// strip computes four columns of C, of which the first cols count, for m rows of A against four strips of B.
func strip(add bool, m, cols, k int, a []float32, lda int, b0, b1, b2, b3, c []float32, ldc int) {
	for i := 0; i < m; i += 2 {
		a0 := a[i*lda:]
		a1, last := a0, i+1 == m
		if !last {
			a1 = a[(i+1)*lda:]
		}
		t := tile(a0[:k], a1, b0, b1, b2, b3)
		store(add, cols, c[i*ldc:], t[:4])
		if !last {
			store(add, cols, c[(i+1)*ldc:], t[4:])
		}
	}
}

func store(add bool, cols int, c, t []float32) {
	c, t = c[:cols], t[:cols]
	if !add {
		copy(c, t)
		return
	}
	for j := range c {
		c[j] += t[j]
	}
}

// tile multiplies two rows by four columns of len(a0) elements. Eight sums, four loads of B and two of A are what fits into
// the fifteen registers that the compiler has for floats.
func tile(a0, a1, b0, b1, b2, b3 []float32) (t [8]float32) {
	a1, b0, b1, b2, b3 = a1[:len(a0)], b0[:len(a0)], b1[:len(a0)], b2[:len(a0)], b3[:len(a0)]
	var s00, s01, s02, s03, s10, s11, s12, s13 float32
	for p := range a0 {
		x, y := a0[p], a1[p]
		u, v, w, z := b0[p], b1[p], b2[p], b3[p]
		s00 += float32(x * u)
		s01 += float32(x * v)
		s02 += float32(x * w)
		s03 += float32(x * z)
		s10 += float32(y * u)
		s11 += float32(y * v)
		s12 += float32(y * w)
		s13 += float32(y * z)
	}
	return [8]float32{s00, s01, s02, s03, s10, s11, s12, s13}
}
