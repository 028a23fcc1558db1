package topology

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A Weight is what a peer's value counts.
type Weight struct {
	Peer int
	W    float64
}

// A Matrix holds mixing weights: row i lists, ascending by peer, the peers whose values peer i takes and their weights.
// Peer i itself is in row i. The mixing step is x_i := sum over row i of W x_Peer.
type Matrix [][]Weight

// An Edge is an undirected link of a round and the weight it has at both ends.
type Edge struct {
	I, J int
	W    float64
}

func sortRow(row []Weight) []Weight {
	slices.SortFunc(row, func(a, b Weight) int { return cmp.Compare(a.Peer, b.Peer) })
	return row
}

// finish gives the self weight 1 - rest and sorts the row.
func finish(i int, row []Weight) []Weight {
	rest := 0.0
	for _, w := range row {
		rest += w.W
	}
	return sortRow(append(row, Weight{i, 1 - rest}))
}

// FromEdges makes the symmetric matrix of n peers with the given edges; self weights are 1 - rest. Ends must be
// different peers in 0..n-1, and no pair may repeat.
func FromEdges(n int, edges []Edge) (Matrix, error) {
	m := make(Matrix, max(n, 0))
	for _, e := range edges {
		if e.I < 0 || e.J < 0 || e.I >= n || e.J >= n || e.I == e.J {
			return nil, fmt.Errorf("edge %d-%d: ends must be different peers of 0 to %d", e.I, e.J, n-1)
		}
		m[e.I] = append(m[e.I], Weight{e.J, e.W})
		m[e.J] = append(m[e.J], Weight{e.I, e.W})
	}
	for i := range m {
		m[i] = finish(i, m[i])
		for k := 1; k < len(m[i]); k++ {
			if m[i][k].Peer == m[i][k-1].Peer {
				return nil, fmt.Errorf("edge %d-%d is given twice", i, m[i][k].Peer)
			}
		}
	}
	return m, nil
}

// MetropolisWeight is the weight of a link between peers of the given degrees, 1/(1 + max): all that a peer needs to
// know of a neighbour. Both ends must use the same two degrees, those agreed in the handshake of the link; in doubt, the
// larger ones (Xiao, Boyd 2004; spec 06, section 6.3).
func MetropolisWeight(degreeI, degreeJ int) float64 { return 1 / float64(1+max(degreeI, degreeJ)) }

// ReversibleWeight is the weight w_ij that i gives j when the consensus is to be the mean weighted with mu > 0:
// min(1/(1+deg_i), mu_j/(mu_i (1+deg_j))). With equal mu it is [MetropolisWeight].
func ReversibleWeight(muI, muJ float64, degreeI, degreeJ int) float64 {
	return min(1/float64(1+degreeI), muJ/float64(muI*float64(1+degreeJ)))
}

// Metropolis returns the Metropolis-Hastings weights of an undirected graph: symmetric, doubly stochastic, with positive
// self weights. It returns an error for a directed or broken graph.
func Metropolis(g Graph) (Matrix, error) {
	return fromLocal(g, func(i, j int) float64 { return MetropolisWeight(len(g.Out[i]), len(g.Out[j])) })
}

// Reversible returns row-stochastic weights of an undirected graph whose consensus is the mean weighted with mu, one
// positive finite number per peer: mu is the left fixed vector.
func Reversible(g Graph, mu []float64) (Matrix, error) {
	if len(mu) != g.N() {
		return nil, fmt.Errorf("reversible weights: %d values of mu for %d peers", len(mu), g.N())
	}
	for i, v := range mu {
		if !(v > 0) || math.IsInf(v, 1) {
			return nil, fmt.Errorf("reversible weights: mu of peer %d is %v, must be positive and finite", i, v)
		}
	}
	return fromLocal(g, func(i, j int) float64 {
		return ReversibleWeight(mu[i], mu[j], len(g.Out[i]), len(g.Out[j]))
	})
}

func fromLocal(g Graph, weight func(i, j int) float64) (Matrix, error) {
	if g.Directed {
		return nil, fmt.Errorf("metropolis weights need an undirected graph: use uniform weights for a directed one")
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("metropolis weights: %w", err)
	}
	m := make(Matrix, g.N())
	for i, o := range g.Out {
		m[i] = make([]Weight, 0, len(o)+1)
		for _, j := range o {
			m[i] = append(m[i], Weight{j, weight(i, j)})
		}
		m[i] = finish(i, m[i])
	}
	return m, nil
}

// Uniform returns the weights by which each peer takes the plain mean of itself and those that send to it. They are
// row-stochastic, and doubly stochastic when all peers have as many incoming as outgoing links and the same number.
func Uniform(g Graph) (Matrix, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("uniform weights: %w", err)
	}
	m := make(Matrix, g.N())
	for i, in := range g.In() {
		w := 1 / float64(1+len(in))
		m[i] = make([]Weight, 0, len(in)+1)
		m[i] = append(m[i], Weight{i, w})
		for _, j := range in {
			m[i] = append(m[i], Weight{j, w})
		}
		m[i] = sortRow(m[i])
	}
	return m, nil
}

// Shares returns the column-stochastic weights of push-sum, for any directed graph: each peer sends the share
// 1/(1 + outgoing links) to itself and to each peer of Out (spec 06, section 6.7).
func Shares(g Graph) (Matrix, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("shares: %w", err)
	}
	m := make(Matrix, g.N())
	for i, in := range g.In() {
		m[i] = append(m[i], Weight{i, 1 / float64(1+len(g.Out[i]))})
		for _, j := range in {
			m[i] = append(m[i], Weight{j, 1 / float64(1+len(g.Out[j]))})
		}
		m[i] = sortRow(m[i])
	}
	return m, nil
}

// Lazy returns (I + W)/2, whose eigenvalues are not negative.
func (m Matrix) Lazy() Matrix {
	l := make(Matrix, len(m))
	for i, row := range m {
		l[i] = slices.Clone(row)
		for k := range l[i] {
			l[i][k].W /= 2
			if l[i][k].Peer == i {
				l[i][k].W += 0.5
			}
		}
	}
	return l
}

// N is the number of peers.
func (m Matrix) N() int { return len(m) }

// At returns w_ij, 0 where there is no entry.
func (m Matrix) At(i, j int) float64 {
	if i < 0 || i >= len(m) {
		return 0
	}
	k, ok := slices.BinarySearchFunc(m[i], j, func(w Weight, j int) int { return cmp.Compare(w.Peer, j) })
	if !ok {
		return 0
	}
	return m[i][k].W
}

// Mul writes W x into dst. Both have one number per peer and must not be the same slice.
func (m Matrix) Mul(dst, x []float64) {
	for i, row := range m {
		sum := 0.0
		for _, w := range row {
			sum += float64(w.W * x[w.Peer])
		}
		dst[i] = sum
	}
}

// Transpose returns the matrix whose row i says where the value of peer i goes, and with what weight.
func (m Matrix) Transpose() Matrix {
	t := make(Matrix, len(m))
	for i, row := range m {
		for _, w := range row {
			t[w.Peer] = append(t[w.Peer], Weight{i, w.W})
		}
	}
	return t
}

// Dense returns the n x n matrix, row by row.
func (m Matrix) Dense() [][]float64 {
	d := make([][]float64, len(m))
	for i, row := range m {
		d[i] = make([]float64, len(m))
		for _, w := range row {
			d[i][w.Peer] = w.W
		}
	}
	return d
}

// IsRowStochastic tells whether no entry is negative and every row sums to 1 within tol: consensus on some mean.
func (m Matrix) IsRowStochastic(tol float64) bool {
	for _, row := range m {
		sum := 0.0
		for _, w := range row {
			if !(w.W >= 0) {
				return false
			}
			sum += w.W
		}
		if !(math.Abs(sum-1) <= tol) {
			return false
		}
	}
	return true
}

// IsColumnStochastic tells the same of columns: the sum over the peers is kept.
func (m Matrix) IsColumnStochastic(tol float64) bool { return m.Transpose().IsRowStochastic(tol) }

// IsDoublyStochastic tells whether both rows and columns sum to 1 within tol: consensus on the plain mean.
func (m Matrix) IsDoublyStochastic(tol float64) bool {
	return m.IsRowStochastic(tol) && m.IsColumnStochastic(tol)
}

// IsSymmetric tells whether w_ij and w_ji differ by at most tol everywhere.
func (m Matrix) IsSymmetric(tol float64) bool {
	for i, row := range m {
		for _, w := range row {
			if !(math.Abs(w.W-m.At(w.Peer, i)) <= tol) {
				return false
			}
		}
	}
	return true
}

// Within tells whether every weight other than self weights and zeros lies on a link of g.
func (m Matrix) Within(g Graph) bool {
	if len(m) != g.N() {
		return false
	}
	for i, row := range m {
		for _, w := range row {
			if w.Peer != i && w.W != 0 && !g.Has(w.Peer, i) {
				return false
			}
		}
	}
	return true
}
