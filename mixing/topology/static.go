package topology

import (
	"fmt"
	"math/bits"
	"slices"
)

// The functions of this file take the number of peers n >= 1; one peer has no links. Degrees and gaps are those of the
// table in spec 06, section 6.4.

// Ring links each peer with its two neighbours. The gap falls as 1/n^2.
func Ring(n int) (Graph, error) { return circulant(n, false, []int{1}) }

// Line is a ring that lacks the link between the last peer and the first.
func Line(n int) (Graph, error) {
	if err := checkSize(n, 2); err != nil {
		return Graph{}, err
	}
	links := make([][2]int, 0, n)
	for i := 1; i < n; i++ {
		links = append(links, [2]int{i - 1, i})
	}
	return fromLinks(n, false, links), nil
}

// Star links peer 0 with all others: the shortest ways and the busiest hub.
func Star(n int) (Graph, error) {
	if err := checkSize(n, 2); err != nil {
		return Graph{}, err
	}
	links := make([][2]int, 0, n)
	for i := 1; i < n; i++ {
		links = append(links, [2]int{0, i})
	}
	return fromLinks(n, false, links), nil
}

// Complete links everybody with everybody. Metropolis weights are 1/n then, and one round gives the mean.
func Complete(n int) (Graph, error) {
	if err := checkSize(n, float64(n-1)); err != nil {
		return Graph{}, err
	}
	out := make([][]int, n)
	for i := range out {
		out[i] = make([]int, 0, n-1)
		for j := range n {
			if j != i {
				out[i] = append(out[i], j)
			}
		}
	}
	return Graph{Out: out}, nil
}

// Torus is a grid of rows x columns peers, numbered row by row, whose opposite sides meet; degree 4, or less where a
// side is shorter than 3.
func Torus(rows, columns int) (Graph, error) {
	if rows < 1 || columns < 1 || rows > maxLinks/columns {
		return Graph{}, fmt.Errorf("torus of %d x %d peers: both sides must be at least 1, the product at most %d", rows, columns, maxLinks)
	}
	n := rows * columns
	if err := checkSize(n, 4); err != nil {
		return Graph{}, err
	}
	links := make([][2]int, 0, 2*n)
	for r := range rows {
		for c := range columns {
			i := r*columns + c
			if j := r*columns + (c+1)%columns; j != i {
				links = append(links, [2]int{i, j})
			}
			if j := (r+1)%rows*columns + c; j != i {
				links = append(links, [2]int{i, j})
			}
		}
	}
	return fromLinks(n, false, links), nil
}

// NearSquare returns the two factors of n >= 1 nearest to each other, the smaller first: 1 and n for a prime, so that
// its torus is a ring.
func NearSquare(n int) (rows, columns int) {
	rows = 1
	for r := 2; r <= n/r; r++ {
		if n%r == 0 {
			rows = r
		}
	}
	return rows, n / rows
}

// Hypercube links peers whose numbers differ in one bit. It returns an error unless n is a power of two.
func Hypercube(n int) (Graph, error) {
	if err := checkSize(n, float64(log2ceil(n))); err != nil {
		return Graph{}, err
	}
	if n&(n-1) != 0 {
		return Graph{}, fmt.Errorf("hypercube of %d peers: the number must be a power of two, such as %d; for any number use base", n, 1<<(bits.Len(uint(n))-1))
	}
	links := make([][2]int, 0, n*log2ceil(n)/2)
	for i := range n {
		for b := 1; b < n; b <<= 1 {
			if i&b == 0 {
				links = append(links, [2]int{i, i | b})
			}
		}
	}
	return fromLinks(n, false, links), nil
}

// Exponential is the static exponential graph of Ying et al. (2021), directed: i sends to i + 2^j mod n for
// j < ceil(log2 n).
func Exponential(n int) (Graph, error) {
	var shifts []int
	for s := 1; s < n; s <<= 1 {
		shifts = append(shifts, s)
	}
	return circulant(n, true, shifts)
}

// circulant links i with i + s mod n for each shift s in 1..n-1; shifts may repeat. One peer has no links.
func circulant(n int, directed bool, shifts []int) (Graph, error) {
	shifts = slices.Compact(slices.Sorted(slices.Values(shifts)))
	if err := checkSize(n, float64(2*len(shifts))); err != nil {
		return Graph{}, err
	}
	links := make([][2]int, 0, n*len(shifts))
	for i := range n {
		for _, s := range shifts {
			if j := (i + s) % n; j != i {
				links = append(links, [2]int{i, j})
			}
		}
	}
	return fromLinks(n, directed, links), nil
}

// log2ceil is the smallest t >= 0 with 2^t >= n.
func log2ceil(n int) int {
	if n < 2 {
		return 0
	}
	return bits.Len(uint(n - 1))
}
