package topology

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"starling/mixing/philox"
)

// domain keeps the draws of this package apart from others of the same seed: the last word of the counter (spec 04,
// section 4.4).
const domain = 6

// Third words of the counters. Permutations put an index below n there, so per-round draws stand at the far end.
const (
	tagErdos      = 0xE0
	tagRewire     = 0x50
	tagRewireTo   = 0x10000
	tagEquiStatic = 0xE9
	tagGeometric  = 0x6E0
	tagShift      = 0xFFFF00E9
	tagView       = 0xFFFF0001
	tagPick       = 0xFFFF0002
)

// attempts is how many graphs are drawn before a random family is given up as unable to connect: at the threshold
// p = ln n/n, where a third of the draws connect, all of them fail once in 10^11.
const attempts = 64

// maxOffsets bounds the offsets of an EquiStatic graph, far above what a norm of 0.01 needs.
const maxOffsets = 1 << 20

// word draws one word.
func word(seed uint64, a, b, c uint32) uint32 {
	return philox.Block(seed, [4]uint32{a, b, c, domain})[0]
}

// below maps a word to 0..n-1.
func below(w uint32, n int) int {
	hi, lo := bits.Mul64(uint64(w), uint64(n))
	return int(hi<<32 | lo>>32)
}

// Permutation is the Fisher-Yates shuffle of 0..n-1 that all peers draw for a round (spec 03, section 3.7; vectors 03).
// n must not be negative.
func Permutation(seed, round uint64, n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := below(word(seed, uint32(round), uint32(round>>32), uint32(i)), i+1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// connect draws with seed, seed+1, ... until the graph is connected.
func connect(what string, seed uint64, draw func(seed uint64) Graph) (Graph, error) {
	for a := range attempts {
		if g := draw(seed + uint64(a)); g.Connected() {
			g.Attempt = a
			return g, nil
		}
	}
	return Graph{}, fmt.Errorf("%s: no connected graph in %d attempts: ask for more links", what, attempts)
}

// RandomRegular is the union of d/2 random Hamiltonian cycles, and of one random matching if d is odd: degree d, less
// where cycles share a link. It is connected, its gap does not depend on n, and drawing takes O(n d). With d >= n-1 it
// is the complete graph. d must be at least 2.
func RandomRegular(n, d int, seed uint64) (Graph, error) {
	if d < 2 {
		return Graph{}, fmt.Errorf("regular: d is %d, must be at least 2 to connect", d)
	}
	if d >= n-1 {
		return Complete(n)
	}
	if err := checkSize(n, float64(d)); err != nil {
		return Graph{}, err
	}
	links := make([][2]int, 0, n*(d+1)/2)
	for r := range d / 2 {
		p := Permutation(seed, uint64(r), n)
		for i := range p {
			links = append(links, [2]int{p[i], p[(i+1)%n]})
		}
	}
	if d%2 == 1 {
		p := Permutation(seed, uint64(d/2), n)
		for i := 0; i+1 < n; i += 2 {
			links = append(links, [2]int{p[i], p[i+1]})
		}
	}
	return fromLinks(n, false, links), nil
}

// ErdosRenyi links each pair with probability p, at most 1; p <= 0 stands for the default 2 ln n/n. It is drawn anew
// until it is connected, and is an error if that does not happen. Drawing takes O(n^2).
func ErdosRenyi(n int, p float64, seed uint64) (Graph, error) {
	if math.IsNaN(p) || p > 1 {
		return Graph{}, fmt.Errorf("erdos-renyi: p is %v, must be a probability", p)
	}
	if n > 1<<16 {
		return Graph{}, fmt.Errorf("erdos-renyi: %d peers are too many for a draw per pair: use regular", n)
	}
	if p <= 0 && n > 1 {
		p = min(1, 2*ln(n)/float64(n))
	}
	if err := checkSize(n, p*float64(n)); err != nil {
		return Graph{}, err
	}
	if n >= 64 && p*float64(n) < ln(n)/4 {
		// About n^(3/4) peers would have no link in each draw.
		return Graph{}, fmt.Errorf("erdos-renyi: p is %v, far too small to connect %d peers: ask for 2 ln n/n", p, n)
	}
	limit := p * (1 << 32)
	return connect("erdos-renyi", seed, func(seed uint64) Graph {
		var links [][2]int
		for i := range n {
			for j := i + 1; j < n; j++ {
				if float64(word(seed, uint32(i), uint32(j), tagErdos)) < limit {
					links = append(links, [2]int{i, j})
				}
			}
		}
		return fromLinks(n, false, links)
	})
}

// WattsStrogatz is a ring in which each peer is linked with its k nearest (k even, at least 2) and each link is moved
// to a random peer with probability p. With k >= n-1 it is the complete graph. It is drawn anew until it is connected.
func WattsStrogatz(n, k int, p float64, seed uint64) (Graph, error) {
	if k < 2 || k%2 != 0 {
		return Graph{}, fmt.Errorf("watts-strogatz: k is %d, must be even and at least 2", k)
	}
	if math.IsNaN(p) || p < 0 || p > 1 {
		return Graph{}, fmt.Errorf("watts-strogatz: p is %v, must be a probability", p)
	}
	if k >= n-1 {
		return Complete(n)
	}
	if err := checkSize(n, float64(k)); err != nil {
		return Graph{}, err
	}
	limit := p * (1 << 32)
	return connect("watts-strogatz", seed, func(seed uint64) Graph {
		adj := make([][]int, n)
		link := func(i, j int) { adj[i], adj[j] = append(adj[i], j), append(adj[j], i) }
		cut := func(i, j int) {
			adj[i] = slices.DeleteFunc(adj[i], func(x int) bool { return x == j })
			adj[j] = slices.DeleteFunc(adj[j], func(x int) bool { return x == i })
		}
		for o := 1; o <= k/2; o++ {
			for i := range n {
				link(i, (i+o)%n)
			}
		}
		for o := 1; o <= k/2; o++ {
			for i := range n {
				if float64(word(seed, uint32(i), uint32(o), tagRewire)) >= limit || len(adj[i]) >= n-1 {
					continue
				}
				for t := uint32(0); ; t++ {
					v := below(word(seed, uint32(i), uint32(o), tagRewireTo+t), n)
					if v != i && !slices.Contains(adj[i], v) {
						cut(i, (i+o)%n)
						link(i, v)
						break
					}
				}
			}
		}
		for i := range adj {
			slices.Sort(adj[i])
		}
		return Graph{Out: adj}
	})
}

// Geometric puts the peers at random places of the unit square and links those at most r apart; r <= 0 stands for the
// default sqrt(2 ln n/n). It is drawn anew until it is connected. Drawing takes O(n + links).
func Geometric(n int, r float64, seed uint64) (Graph, error) {
	if math.IsNaN(r) {
		return Graph{}, fmt.Errorf("geometric: r is %v, must be a distance", r)
	}
	if r <= 0 && n > 1 {
		r = math.Sqrt(2 * ln(n) / float64(n))
	}
	r = min(r, math.Sqrt2)
	if err := checkSize(n, min(float64(n), 4*r*r*float64(n))); err != nil {
		return Graph{}, err
	}
	// Cells at least r wide, and not many more cells than peers: all links join peers of touching cells.
	side := 1
	if r > 0 {
		side = max(1, int(min(1/r, math.Sqrt(float64(n)))))
	}
	return connect("geometric", seed, func(seed uint64) Graph {
		x, y := make([]float64, n), make([]float64, n)
		cells := make([][]int, side*side)
		cell := func(v float64) int { return min(side-1, int(v*float64(side))) }
		for i := range n {
			w := philox.Block(seed, [4]uint32{uint32(i), 0, tagGeometric, domain})
			x[i], y[i] = philox.Unit(w[0]), philox.Unit(w[1])
			c := cell(y[i])*side + cell(x[i])
			cells[c] = append(cells[c], i)
		}
		var links [][2]int
		for i := range n {
			cx, cy := cell(x[i]), cell(y[i])
			for gy := max(0, cy-1); gy <= min(side-1, cy+1); gy++ {
				for gx := max(0, cx-1); gx <= min(side-1, cx+1); gx++ {
					for _, j := range cells[gy*side+gx] {
						dx, dy := x[i]-x[j], y[i]-y[j]
						if i < j && float64(dx*dx)+float64(dy*dy) <= float64(r*r) {
							links = append(links, [2]int{i, j})
						}
					}
				}
			}
		}
		return fromLinks(n, false, links)
	})
}

// EquiOffsets draws the m offsets in 1..n-1 of an EquiStatic graph (Song et al. 2022), with repetition; m <= 0 stands
// for the default ceil(log2 n), and m is at most 2^20. It draws anew, with seed + attempt, until gcd(offsets, n) is 1, which is when the graph
// is connected. One peer has no offsets.
func EquiOffsets(n, m int, seed uint64) (offsets []int, attempt int, err error) {
	if m <= 0 {
		m = max(1, log2ceil(n))
	}
	if m > maxOffsets {
		return nil, 0, fmt.Errorf("equistatic: %d offsets, at most %d are supported", m, maxOffsets)
	}
	if err := checkSize(n, float64(min(m, n))); err != nil {
		return nil, 0, err
	}
	if n == 1 {
		return nil, 0, nil
	}
	offsets = make([]int, m)
	for a := range attempts {
		g := n
		for i := range offsets {
			offsets[i] = 1 + below(word(seed+uint64(a), uint32(i), 0, tagEquiStatic), n-1)
			g = gcd(g, offsets[i])
		}
		if g == 1 {
			return offsets, a, nil
		}
	}
	return nil, 0, fmt.Errorf("equistatic: no connected offsets in %d attempts: ask for more of them", attempts)
}

// EquiStatic makes the graph and the weights of given offsets: W is the mean over the offsets a of (n-1)/n shift(a) +
// 1/n I, and without direction the mean of that and its transpose. Offsets must be in 1..n-1.
func EquiStatic(n int, offsets []int, directed bool) (Graph, Matrix, error) {
	for _, a := range offsets {
		if a < 1 || a >= n {
			return Graph{}, nil, fmt.Errorf("equistatic: offset %d is not in 1 to %d", a, n-1)
		}
	}
	g, err := circulant(n, directed, offsets)
	if err != nil {
		return Graph{}, nil, err
	}
	if n > 1 && len(offsets) == 0 {
		return Graph{}, nil, fmt.Errorf("equistatic: no offsets")
	}
	// share[s] is the weight of the peer s places before.
	share := make([]float64, n)
	share[0] = 1
	if n > 1 {
		share[0] = 1 / float64(n)
		one := float64(n-1) / float64(n) / float64(len(offsets))
		for _, a := range offsets {
			if directed {
				share[a] += one
			} else {
				share[a] += one / 2
				share[n-a] += one / 2
			}
		}
	}
	in := g.In()
	w := make(Matrix, n)
	for i := range w {
		w[i] = make([]Weight, 0, len(in[i])+1)
		w[i] = append(w[i], Weight{i, share[0]})
		for _, j := range in[i] {
			w[i] = append(w[i], Weight{j, share[(i-j+n)%n]})
		}
		w[i] = sortRow(w[i])
	}
	return g, w, nil
}

// gcd is the greatest common divisor of two positive integers.
func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// ln is the natural logarithm of an integer >= 1, the same to the last bit on every machine, unlike math.Log, whose
// products may be fused: n = 2^e f, ln f = 2 atanh((f-1)/(f+1)).
func ln(n int) float64 {
	e := bits.Len(uint(n)) - 1
	f := float64(n) / float64(uint64(1)<<e)
	t := (f - 1) / (f + 1)
	power, sum := t, t
	for k := 3; k < 60; k += 2 {
		power *= float64(t * t)
		sum += power / float64(k)
	}
	return float64(float64(e)*math.Ln2) + float64(2*sum)
}
