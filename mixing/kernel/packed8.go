package kernel

import (
	"fmt"
	"math"
)

// scaleK is the number of rows of a column of packed bytes that share a factor. It divides blockK and is a multiple of panelN.
const scaleK = 64

// NewPacked returns a factor of k×n that is to be filled by [Packed.FillNT]; until then it is zero. With bytes it takes a quarter of
// the memory and a sixteenth of that: elements are whole numbers from -127 to 127, times a factor that 64 elements of a column
// share, the largest of them over 127. Products are then those with the rounded elements, bit for bit.
func NewPacked(n, k int, bytes bool) *Packed {
	if n < 0 || k < 0 {
		panic(fmt.Sprintf("kernel: internal error: a factor of %d×%d", k, n))
	}
	p := &Packed{n: n, k: k, width: (n + panelN - 1) / panelN * panelN}
	if bytes {
		p.bytes, p.scales = make([]int8, p.width*k), make([]float32, p.width*((k+scaleK-1)/scaleK))
	} else {
		p.data = make([]float32, p.width*k)
	}
	return p
}

// FillNT sets columns of B, from first on, a multiple of 32, to the rows of b, row-major with the leading dimension ldb, as
// [PackNT] does with all. rows is a multiple of 32 unless these are the last ones. Elements must be finite if p holds bytes.
func (p *Packed) FillNT(first, rows int, b []float32, ldb int) { best.fill(p, first, rows, b, ldb) }

func (t tier) fill(p *Packed, first, rows int, b []float32, ldb int) {
	check("B", b, rows, p.k, ldb)
	if first%panelN != 0 || rows%panelN != 0 && first+rows != p.n || first < 0 || first+rows > p.n {
		panic(fmt.Sprintf("kernel: internal error: columns %d to %d of %d are filled", first, first+rows, p.n))
	}
	var room [blockK * panelN]float32
	for k0 := 0; k0 < p.k; k0 += blockK {
		kb := min(blockK, p.k-k0)
		for j := 0; j < rows; j += panelN {
			at, wide := k0*p.width+(p.first+first+j)*kb, min(panelN, rows-j)
			if p.bytes == nil {
				t.transpose(p.data[at:], panelN, b[j*ldb+k0:], ldb, wide, kb)
				continue
			}
			clear(room[:])
			t.transpose(room[:], panelN, b[j*ldb+k0:], ldb, wide, kb)
			for r := 0; r < kb; r += scaleK {
				rows := min(scaleK, kb-r)
				narrow(p.bytes[at+r*panelN:][:rows*panelN], room[r*panelN:], p.scales[(k0+r)/scaleK*p.width+p.first+first+j:])
			}
		}
	}
}

// narrow rounds rows of 32 to bytes and sets the factors of their columns.
func narrow(dst []int8, src, scales []float32) {
	var most [panelN]float32
	for i := range dst {
		if v := float32(math.Abs(float64(src[i]))); v > most[i%panelN] {
			most[i%panelN] = v
		}
	}
	for j, m := range most {
		scales[j] = m / 127
	}
	for i := range dst {
		if scale := scales[i%panelN]; scale > 0 {
			dst[i] = int8(max(-127, min(127, math.RoundToEven(float64(src[i])/float64(scale)))))
		} else {
			dst[i] = 0
		}
	}
}

// Columns returns a view of n columns of B from first on, a multiple of 32. It shares the memory of p.
func (p *Packed) Columns(first, n int) Packed {
	if first%panelN != 0 || first < 0 || n < 0 || first+n > p.n {
		panic(fmt.Sprintf("kernel: internal error: columns %d to %d of %d", first, first+n, p.n))
	}
	view := *p
	view.first, view.n = p.first+first, n
	return view
}

// Column sets dst to column j of B: for a factor made by [PackNT], row j of what was packed.
func (p *Packed) Column(dst []float32, j int) {
	if len(dst) != p.k || j < 0 || j >= p.n {
		panic(fmt.Sprintf("kernel: internal error: column %d of %d, of %d elements for %d", j, p.n, p.k, len(dst)))
	}
	j += p.first
	for k0 := 0; k0 < p.k; k0 += blockK {
		kb := min(blockK, p.k-k0)
		at := k0*p.width + j/panelN*panelN*kb + j%panelN
		if p.bytes == nil {
			for r := range kb {
				dst[k0+r] = p.data[at+r*panelN]
			}
			continue
		}
		for r := range kb {
			dst[k0+r] = float32(p.bytes[at+r*panelN]) * p.scales[(k0+r)/scaleK*p.width+j]
		}
	}
}

// Dims returns how many columns and rows B has.
func (p *Packed) Dims() (n, k int) { return p.n, p.k }

// Bytes returns how much memory the elements of the whole factor take.
func (p *Packed) Bytes() int64 { return PackedBytes(p.width, p.k, p.bytes != nil) }

// PackedBytes returns how much memory the elements of a factor of k×n take.
func PackedBytes(n, k int, bytes bool) int64 {
	width := int64((n + panelN - 1) / panelN * panelN)
	if !bytes {
		return 4 * width * int64(k)
	}
	return width * int64(k+4*((k+scaleK-1)/scaleK))
}

// plainWiden sets rows of 32 floats to those of bytes times the factors of their columns.
func plainWiden(dst []float32, src []int8, scales []float32, rows int) {
	scales = scales[:panelN]
	for i := range rows {
		to := dst[i*panelN:][:panelN]
		for j, v := range src[i*panelN:][:panelN] {
			to[j] = float32(v) * scales[j]
		}
	}
}
