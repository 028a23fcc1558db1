package kernel

// A Packed is a right-hand factor in the order in which products read it. It holds a copy, which costs about as much to make as
// a product with a few rows takes, so it pays for a factor that stays as it is for several products. It is not changed by
// products and is safe for concurrent use.
//
// [PackNN] and [PackNT] make one at once. [NewPacked] makes one that is filled piece by piece, and that may hold bytes.
type Packed struct {
	n, k  int
	first int // the column where it begins, and the number of columns in memory, both multiples of 32
	width int

	// For every block of the inner dimension, panels of 32 columns, row by row: floats, or bytes and for every 64 rows of a
	// block the factor of each column.
	data   []float32
	bytes  []int8
	scales []float32
}

// PackNN packs a B of k×n, row-major with the leading dimension ldb, as [MulNN] takes it. It uses the memory of old, which
// becomes invalid, if that is not nil and large enough.
func PackNN(old *Packed, n, k int, b []float32, ldb int) *Packed {
	check("B", b, k, n, ldb)
	return best.pack(old, false, n, k, b, ldb)
}

// PackNT packs a B of n×k, row-major with the leading dimension ldb, as [MulNT] takes it. It uses the memory of old as
// [PackNN] does.
func PackNT(old *Packed, n, k int, b []float32, ldb int) *Packed {
	check("B", b, n, k, ldb)
	return best.pack(old, true, n, k, b, ldb)
}

func (t tier) pack(p *Packed, transposed bool, n, k int, b []float32, ldb int) *Packed {
	width := (n + panelN - 1) / panelN * panelN
	if p == nil {
		p = &Packed{}
	}
	if cap(p.data) < width*k {
		p.data = make([]float32, width*k)
	}
	*p = Packed{n: n, k: k, width: width, data: p.data[:width*k]}
	for k0 := 0; k0 < k; k0 += blockK {
		kb := min(blockK, k-k0)
		for j := 0; j < n; j += panelN {
			panel := p.data[k0*width+j*kb:][:kb*panelN]
			if nb := min(panelN, n-j); transposed {
				t.transpose(panel, panelN, b[j*ldb+k0:], ldb, nb, kb)
			} else {
				t.copyPanel(panel, b[k0*ldb+j:], ldb, kb, nb)
			}
		}
	}
	return p
}

// MulPacked sets C = A·B, or adds to it when accumulate is set, for a packed B of k×n. A is m×k and C is m×n. Everything else is
// as in [MulNN], the bits of the result too.
func MulPacked(accumulate bool, m int, a []float32, lda int, b *Packed, c []float32, ldc int) {
	check("A", a, m, b.k, lda)
	check("C", c, m, b.n, ldc)
	best.multiplyPacked(accumulate, m, a, lda, b, c, ldc)
}

func (t tier) multiplyPacked(accumulate bool, m int, a []float32, lda int, b *Packed, c []float32, ldc int) {
	switch {
	case nothing(accumulate, m, b.n, b.k, c, ldc):
	case b.bytes != nil:
		var panel [blockK * panelN]float32
		t.multiplyPanels(accumulate, m, a, lda, b, c, ldc, panel[:])
	default:
		t.multiplyPanels(accumulate, m, a, lda, b, c, ldc, nil)
	}
}

// multiplyPanels needs room for a panel if B is bytes.
func (t tier) multiplyPanels(accumulate bool, m int, a []float32, lda int, b *Packed, c []float32, ldc int, room []float32) {
	for i0 := 0; i0 < m; i0 += blockM {
		for k0 := 0; k0 < b.k; k0 += blockK {
			mb, kb, add := min(blockM, m-i0), min(blockK, b.k-k0), accumulate || k0 > 0
			ahead := kb * panelN
			if b.bytes != nil {
				ahead = 0
			}
			for j := 0; j < b.n; j += panelN {
				t.panel(add, mb, min(panelN, b.n-j), kb, a[i0*lda+k0:], lda, 1, t.rows(b, room, k0, kb, j, 0, kb), panelN, ahead, c[i0*ldc+j:], ldc)
			}
		}
	}
}

// MulPackedT sets C = A·Bᵀ, or adds to it when accumulate is set, for a packed B of k×n. A is m×n and C is m×k. Everything else is
// as in [MulNN], of which the inner dimension is n here. It is the way back through a layer whose weights are packed for the way
// there. Panels are transposed on the way, once for 256 rows of A, so that fewer rows cost more each.
func MulPackedT(accumulate bool, m int, a []float32, lda int, b *Packed, c []float32, ldc int) {
	check("A", a, m, b.n, lda)
	check("C", c, m, b.k, ldc)
	best.multiplyPackedT(accumulate, m, a, lda, b, c, ldc)
}

func (t tier) multiplyPackedT(accumulate bool, m int, a []float32, lda int, b *Packed, c []float32, ldc int) {
	if nothing(accumulate, m, b.k, b.n, c, ldc) {
		return
	}
	var panel [blockK * panelN]float32
	var square [panelN * panelN]float32
	for i0 := 0; i0 < m; i0 += blockM {
		for n0 := 0; n0 < b.n; n0 += blockK {
			mb, nb, add := min(blockM, m-i0), min(blockK, b.n-n0), accumulate || n0 > 0
			for j := 0; j < b.k; j += panelN {
				k0, wide := j/blockK*blockK, min(panelN, b.k-j)
				kb := min(blockK, b.k-k0)
				for q := 0; q < nb; q += panelN {
					from := t.rows(b, square[:], k0, kb, n0+q, j-k0, wide)
					t.transpose(panel[q*panelN:], panelN, from, panelN, wide, min(panelN, nb-q))
				}
				t.panel(add, mb, wide, nb, a[i0*lda+n0:], lda, 1, panel[:], panelN, 0, c[i0*ldc+j:], ldc)
			}
		}
	}
}

// rows returns rows of the panel of column j in the block k0 of height kb: from a row on, a multiple of 32, in rows of 32. Bytes become
// floats in room.
func (t tier) rows(b *Packed, room []float32, k0, kb, j, from, rows int) []float32 {
	at := k0*b.width + (b.first+j)*kb + from*panelN
	if b.bytes == nil {
		return b.data[at:]
	}
	for done := 0; done < rows; {
		row := k0 + from + done
		next := min(rows-done, scaleK-row%scaleK)
		t.widen(room[done*panelN:], b.bytes[at+done*panelN:], b.scales[row/scaleK*b.width+b.first+j:], next)
		done += next
	}
	return room
}
