package kernel

// These functions define what the assembly computes, and stand in for it where there is none.

// plainPanel sets the first n columns of m rows of C to A·B, or adds that when add is set: element (i, p) of A is
// a[i*row+p*step], and k is the number of products of an element.
func plainPanel(add bool, m, n, k int, a []float32, row, step int, b []float32, ldb int, c []float32, ldc int) {
	var four [4]float32
	for i := range m {
		out := c[i*ldc:][:n]
		for j := 0; j < n; j += len(four) {
			if len(out)-j >= len(four) {
				four = plainFour(k, a[i*row:], step, b[j:], ldb)
			} else {
				for l := range out[j:] {
					four[l] = plainOne(k, a[i*row:], step, b[j+l:], ldb)
				}
			}
			for l := range out[j:min(n, j+len(four))] {
				if add {
					out[j+l] += four[l]
				} else {
					out[j+l] = four[l]
				}
			}
		}
	}
}

// plainFour returns the sums of four columns: FMA written out, for its call costs as much as what it does.
func plainFour(k int, a []float32, step int, b []float32, ldb int) [4]float32 {
	var s [4]float32
	for p := range k {
		x, y := a[p*step], (*[4]float32)(b[p*ldb:])
		d0 := float64(float64(x)*float64(y[0])) + float64(s[0])
		d1 := float64(float64(x)*float64(y[1])) + float64(s[1])
		d2 := float64(float64(x)*float64(y[2])) + float64(s[2])
		d3 := float64(float64(x)*float64(y[3])) + float64(s[3])
		if doubtful(d0) || doubtful(d1) || doubtful(d2) || doubtful(d3) {
			for l := range s {
				s[l] = nearest(x, y[l], s[l])
			}
			continue
		}
		s = [4]float32{float32(d0), float32(d1), float32(d2), float32(d3)}
	}
	return s
}

func plainOne(k int, a []float32, step int, b []float32, ldb int) (s float32) {
	for p := range k {
		s = FMA(a[p*step], b[p*ldb], s)
	}
	return s
}

// plainTranspose sets dst[c*ldd+r] to src[r*lds+c].
func plainTranspose(dst []float32, ldd int, src []float32, lds int, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*lds:][:cols] {
			dst[c*ldd+r] = v
		}
	}
}

// plainCopyPanel copies k rows of n elements to rows of 32.
func plainCopyPanel(dst, src []float32, lds int, k, n int) {
	for p := range k {
		copy(dst[p*panelN:][:n], src[p*lds:][:n])
	}
}
