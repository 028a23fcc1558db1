package topology

import (
	"fmt"
	"math"
	"slices"

	"starling/mixing/philox"
)

// A Topology says for every round who mixes with whom. It is immutable and safe for concurrent use. Peers that made
// theirs with equal arguments get matching answers for equal views and rounds; peers whose views differ must not mix.
//
// The view enters only the draws of schedules that draw their partners anew in each round. Those that repeat a cycle
// are to start at round 0 in a new view, and a static random graph belongs to the seed it was made with.
type Topology struct {
	name     string
	n        int
	directed bool
	static   *Graph
	// in and out hold a matrix and its transpose for each round of a fixed cycle; without one, draw is set.
	in, out []Matrix
	period  int
	draw    func(view, round uint64) partners
	other   float64
}

// partners is a round in which each peer has at most one partner each way. The functions return the peer itself when it
// has none.
type partners struct{ from, to func(i int) int }

// String is a spec that [Parse] understands, with all defaults written out.
func (t *Topology) String() string { return t.name }

// N is the number of peers.
func (t *Topology) N() int { return t.n }

// Directed tells whether a peer may send to another without receiving from it.
func (t *Topology) Directed() bool { return t.directed }

// Period is the number of rounds after which the schedule repeats: 1 for a static graph, 0 for never.
func (t *Topology) Period() int { return t.period }

// Graph returns the graph of a static topology. The lists must not be changed.
func (t *Topology) Graph() (Graph, bool) {
	if t.static == nil {
		return Graph{}, false
	}
	return *t.static, true
}

// Row returns the weights of peer i, its own included, ascending by peer: whose values it takes in the round. The slice
// is the caller's. It is empty for a peer outside 0..n-1. It takes time proportional to its length, except for matching
// and ou-equidyn, which draw the whole round: there [Topology.Matrix] is better for all peers.
func (t *Topology) Row(view, round uint64, i int) []Weight {
	if i < 0 || i >= t.n {
		return nil
	}
	if t.draw == nil {
		return slices.Clone(t.in[round%uint64(t.period)][i])
	}
	return t.pair(i, t.draw(view, round).from(i))
}

// Targets returns, ascending, the other peers that take the value of peer i in the round: to whom it sends. The slice is
// the caller's.
func (t *Topology) Targets(view, round uint64, i int) []int {
	if i < 0 || i >= t.n {
		return nil
	}
	var to []int
	if t.draw == nil {
		for _, w := range t.out[round%uint64(t.period)][i] {
			if w.Peer != i && w.W != 0 {
				to = append(to, w.Peer)
			}
		}
		return to
	}
	if j := t.draw(view, round).to(i); j != i {
		to = append(to, j)
	}
	return to
}

// Matrix returns the weights of all peers in a round. It must not be changed.
func (t *Topology) Matrix(view, round uint64) Matrix {
	if t.draw == nil {
		return t.in[round%uint64(t.period)]
	}
	p := t.draw(view, round)
	m := make(Matrix, t.n)
	for i := range m {
		m[i] = t.pair(i, p.from(i))
	}
	return m
}

// pair is the row of a peer with one partner.
func (t *Topology) pair(i, from int) []Weight {
	if from == i {
		return []Weight{{i, 1}}
	}
	return sortRow([]Weight{{i, 1 - t.other}, {from, t.other}})
}

// Static makes a topology of weights that stay the same. The graph must contain all their links.
func Static(name string, g Graph, w Matrix) (*Topology, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("topology %s: %w", name, err)
	}
	for i, row := range w {
		for k, e := range row {
			if e.Peer < 0 || e.Peer >= len(w) || k > 0 && row[k-1].Peer >= e.Peer {
				return nil, fmt.Errorf("topology %s: row %d is not ascending within 0 to %d", name, i, len(w)-1)
			}
		}
	}
	if !w.Within(g) {
		return nil, fmt.Errorf("topology %s: a weight is not on a link of the graph", name)
	}
	return &Topology{name: name, n: g.N(), directed: g.Directed, static: &g, in: []Matrix{w}, out: []Matrix{w.Transpose()}, period: 1}, nil
}

// Cycle makes a topology of n peers that runs through symmetric rounds again and again, such as those of [Base]. No
// rounds at all stand for one in which nobody mixes.
func Cycle(name string, n int, rounds [][]Edge) (*Topology, error) {
	if err := checkSize(n, 0); err != nil {
		return nil, err
	}
	if len(rounds) == 0 {
		rounds = [][]Edge{nil}
	}
	t := &Topology{name: name, n: n, period: len(rounds)}
	for r, edges := range rounds {
		m, err := FromEdges(n, edges)
		if err != nil {
			return nil, fmt.Errorf("topology %s: round %d: %w", name, r, err)
		}
		t.in = append(t.in, m)
	}
	t.out = t.in // symmetric
	return t, nil
}

// OnePeerExponential is directed: with tau = ceil(log2 n), in round t a peer keeps half and takes half from the peer
// 2^(t mod tau) before it. For n a power of two, tau rounds give the exact mean.
func OnePeerExponential(n int) (*Topology, error) {
	if err := checkSize(n, 2); err != nil {
		return nil, err
	}
	tau := max(1, log2ceil(n))
	return &Topology{name: "one-peer-exponential", n: n, directed: true, period: tau, other: 0.5,
		draw: func(_, round uint64) partners { return shift(n, 1<<(round%uint64(tau))%n) }}, nil
}

func shift(n, p int) partners {
	return partners{from: func(i int) int { return (i - p + n) % n }, to: func(i int) int { return (i + p) % n }}
}

func matched(partner []int) partners {
	of := func(i int) int { return partner[i] }
	return partners{of, of}
}

// viewSeed is the seed of the draws in a view. View 0 leaves the seed as it is, which is the one the vectors use.
func viewSeed(seed, view uint64) uint64 {
	if view == 0 {
		return seed
	}
	w := philox.Block(seed, [4]uint32{uint32(view), uint32(view >> 32), tagView, domain})
	return uint64(w[0]) | uint64(w[1])<<32
}

// equiDyn draws the shift 1..n-1 and the start 0..n-1 of a round.
func equiDyn(seed, view, round uint64, n int) (p, start int) {
	w := philox.Block(viewSeed(seed, view), [4]uint32{uint32(round), uint32(round >> 32), tagShift, domain})
	return 1 + below(w[0], n-1), below(w[1], n)
}

func checkEta(name string, n int, eta float64) error {
	if math.IsNaN(eta) || eta <= 0 || eta > 1 {
		return fmt.Errorf("%s: eta is %v, must be above 0 and at most 1", name, eta)
	}
	return checkSize(n, 1)
}

// ODEquiDyn is directed: in each round all peers draw the same shift p, send to i + p and take from i - p:
// W = (1-eta) I + eta [(n-1)/n shift(p) + I/n]. eta in (0, 1]; 0.5 averages, 1 nearly replaces (Song et al. 2022).
func ODEquiDyn(n int, eta float64, seed uint64) (*Topology, error) {
	if err := checkEta("od-equidyn", n, eta); err != nil {
		return nil, err
	}
	return &Topology{name: fmt.Sprintf("od-equidyn:eta=%v", eta), n: n, directed: true, other: eta * float64(n-1) / float64(n),
		draw: func(view, round uint64) partners {
			if n == 1 {
				return shift(1, 0)
			}
			p, _ := equiDyn(seed, view, round, n)
			return shift(n, p)
		}}, nil
}

// OUEquiDyn is the undirected form: from a common random start all peers walk around the ring and match i with i + p
// where both are free; matched peers mix with weight eta (n-1)/n, others keep their value. eta in (0, 1].
func OUEquiDyn(n int, eta float64, seed uint64) (*Topology, error) {
	if err := checkEta("ou-equidyn", n, eta); err != nil {
		return nil, err
	}
	return &Topology{name: fmt.Sprintf("ou-equidyn:eta=%v", eta), n: n, other: eta * float64(n-1) / float64(n),
		draw: func(view, round uint64) partners {
			partner := alone(n)
			if n == 1 {
				return matched(partner)
			}
			p, start := equiDyn(seed, view, round, n)
			for k := range n {
				i := (start + k) % n
				if j := (i + p) % n; partner[i] == i && partner[j] == j {
					partner[i], partner[j] = j, i
				}
			}
			return matched(partner)
		}}, nil
}

// Matching pairs neighbouring entries of the round's [Permutation] and lets each pair take its mean; of an odd number
// one peer keeps its value. In view 0 the pairs are those of the vectors of spec 03.
func Matching(n int, seed uint64) (*Topology, error) {
	if err := checkSize(n, 1); err != nil {
		return nil, err
	}
	return &Topology{name: "matching", n: n, other: 0.5, draw: func(view, round uint64) partners {
		partner := alone(n)
		p := Permutation(viewSeed(seed, view), round, n)
		for i := 0; i+1 < n; i += 2 {
			partner[p[i]], partner[p[i+1]] = p[i+1], p[i]
		}
		return matched(partner)
	}}, nil
}

// GraphMatching draws pairs among the links of an undirected graph: the peers wake in the order of the round's
// [Permutation], and each that is free takes a random free neighbour. Pairs take their mean.
func GraphMatching(name string, g Graph, seed uint64) (*Topology, error) {
	if g.Directed {
		return nil, fmt.Errorf("matching needs an undirected graph")
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("matching: %w", err)
	}
	n := g.N()
	if err := checkSize(n, 1); err != nil {
		return nil, err
	}
	return &Topology{name: name, n: n, other: 0.5, draw: func(view, round uint64) partners {
		seed := viewSeed(seed, view)
		pick := viewSeed(seed, tagPick)
		partner := alone(n)
		var free []int
		for _, i := range Permutation(seed, round, n) {
			if partner[i] != i {
				continue
			}
			free = free[:0]
			for _, j := range g.Out[i] {
				if partner[j] == j {
					free = append(free, j)
				}
			}
			if len(free) > 0 {
				j := free[below(word(pick, uint32(round), uint32(round>>32), uint32(i)), len(free))]
				partner[i], partner[j] = j, i
			}
		}
		return matched(partner)
	}}, nil
}

func alone(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}
