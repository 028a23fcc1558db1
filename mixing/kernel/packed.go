package kernel

// A Packed is a right-hand factor in the order in which products read it. It holds a copy, which costs about as much to make as
// a product with a few rows takes, so it pays for a factor that stays as it is for several products. It is not changed by
// products and is safe for concurrent use.
type Packed struct {
	n, k int
	data []float32 // for every block of the inner dimension, panels of 32 columns, row by row
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
	p.n, p.k, p.data = n, k, p.data[:width*k]
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
	n, k := b.n, b.k
	if nothing(accumulate, m, n, k, c, ldc) {
		return
	}
	width := len(b.data) / k
	for i0 := 0; i0 < m; i0 += blockM {
		for k0 := 0; k0 < k; k0 += blockK {
			mb, kb, add := min(blockM, m-i0), min(blockK, k-k0), accumulate || k0 > 0
			for j := 0; j < n; j += panelN {
				t.panel(add, mb, min(panelN, n-j), kb, a[i0*lda+k0:], lda, 1, b.data[k0*width+j*kb:], panelN, kb*panelN, c[i0*ldc+j:], ldc)
			}
		}
	}
}
