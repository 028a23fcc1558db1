package srrw

import (
	"cmp"
	"math"
	"slices"

	"starling/mixing/kernel"
	"starling/mixing/philox"
	"starling/mixing/topology"
)

// A Peer is what a token's holder knows of a peer: of itself, or of a neighbour.
type Peer struct {
	Tag    uint64
	Degree int     // links as last announced; below 1 is read as 1
	Mu     float64 // the peer's share of the visits, in any unit; peers with one that is not above 0 and finite are not visited
	Visits float64 // the history's value, in any unit, above 0; see [History.Around]
}

// A Place is a peer and those that it can hand a token to.
type Place struct {
	Self       Peer
	Neighbours []Peer // ascending by Tag, without Self and without repetition
	// Previous is the peer from which the token came to Self, if Came. A visit that stayed leaves it alone. [NonBacktracking] wants it.
	Previous uint64
	Came     bool
}

// A Step is a peer and the probability that it is next.
type Step struct {
	Tag uint64
	P   float64
}

// A Row holds the probabilities of the next peer, the present one included, ascending by Tag. They sum to 1.
type Row []Step

// Row returns the probabilities of the next hop. A peer without neighbours keeps the token.
func (c Config) Row(at Place) Row { return c.AppendRow(make(Row, 0, len(at.Neighbours)+1), at) }

// AppendRow is [Config.Row] in memory that the caller has: it appends to a row that is empty.
func (c Config) AppendRow(row Row, at Place) Row {
	rest, self := 1.0, -1
	for _, j := range at.Neighbours {
		if self < 0 && j.Tag > at.Self.Tag {
			row, self = append(row, Step{Tag: at.Self.Tag}), len(row)
		}
		p := c.propose(at, j)
		rest -= p
		row = append(row, Step{j.Tag, p})
	}
	if self < 0 {
		row, self = append(row, Step{Tag: at.Self.Tag}), len(row)
	}
	// What is left of 1 by rounding is no reason to stay.
	proposes := c.proposes(at)
	if rest >= rounding && (c.Target(at.Self) > 0 || proposes || len(row) == 1) {
		row[self].P = rest
	}
	if c.Alpha > 0 && !proposes {
		c.repel(row, at, self)
	}
	return row.normalised(self)
}

// propose is the probability of a step before it is repelled or, where the walk proposes, of a proposal that is accepted.
func (c Config) propose(at Place, j Peer) float64 {
	if c.proposes(at) {
		return c.Accept(at.Self, j) / float64(len(at.Neighbours))
	}
	return c.step(at, j)
}

// rounding is more than the error of the sum of a row, and less than any probability that a peer keeps on purpose.
const rounding = 1e-12

// repel multiplies the steps of the base chain by (x/mu)^-alpha, in the unit of the largest of these factors: in the logarithm, where
// no power is too large. The peer itself has place self. None counts as less than e^-clamp.
func (c Config) repel(row Row, at Place, self int) {
	largest := math.Inf(-1)
	var room [widest + 1]float64
	exponents := room[:0]
	for k := range row {
		p := at.Self
		switch {
		case k < self:
			p = at.Neighbours[k]
		case k > self:
			p = at.Neighbours[k-1]
		}
		e := -float64(c.Alpha * c.excess(p))
		if exponents = append(exponents, e); row[k].P > 0 {
			largest = max(largest, e)
		}
	}
	for k := range row {
		if row[k].P > 0 {
			row[k].P *= kernel.Exp(max(exponents[k]-largest, -clamp))
		}
	}
}

func (r Row) find(tag uint64) (int, bool) {
	return slices.BinarySearchFunc(r, tag, func(s Step, tag uint64) int { return cmp.Compare(s.Tag, tag) })
}

// normalised makes the row sum to 1; if nobody can be next, self is.
func (r Row) normalised(self int) Row {
	sum := r.sum()
	if sum == 0 {
		r[self].P = 1
		return r
	}
	for i := range r {
		r[i].P /= sum
	}
	return r
}

func (r Row) sum() (sum float64) {
	for _, s := range r {
		sum += s.P
	}
	return sum
}

// P is the probability of a peer, 0 if it is not in the row.
func (r Row) P(tag uint64) float64 {
	if i, ok := r.find(tag); ok {
		return r[i].P
	}
	return 0
}

// Without returns the row for a draw among the others with the same weights, for when a peer is busy or does not answer. It returns
// false if no other could be next.
func (r Row) Without(tags ...uint64) (Row, bool) {
	out := make(Row, 0, len(r))
	for _, s := range r {
		if !slices.Contains(tags, s.Tag) {
			out = append(out, s)
		}
	}
	sum := out.sum()
	if sum == 0 {
		return nil, false
	}
	for i := range out {
		out[i].P /= sum
	}
	return out, true
}

// Draw returns the peer in whose share of [0, 1) u is. No u gives one whose probability is 0. The row must not be empty.
func (r Row) Draw(u float64) uint64 {
	var sum float64
	last := r[0].Tag
	for _, s := range r {
		if s.P > 0 {
			last = s.Tag
		}
		if sum += s.P; u < sum {
			return last
		}
	}
	return last // rounding left the sum below u
}

// step is P_ij of the base chain. For the lazy one it is half of that.
func (c Config) step(at Place, j Peer) float64 {
	p := c.hurried(at, j)
	if c.Lazy {
		p /= 2
	}
	return p
}

func (c Config) hurried(at Place, j Peer) float64 {
	n := len(at.Neighbours)
	mi, mj := c.Target(at.Self), c.Target(j)
	di, dj := max(1, at.Self.Degree, n), max(1, j.Degree)
	switch {
	case mj == 0:
		return 0
	case c.Base == NonBacktracking && at.Came && n > 1 && at.knows(at.Previous):
		if j.Tag == at.Previous {
			return 0
		}
		return 1 / float64(n-1)
	case c.Base == Simple || c.Base == NonBacktracking:
		return 1 / float64(n)
	case mi == 0:
		return 1 / float64(di)
	case c.Base == Averaging:
		return topology.ReversibleWeight(mi, mj, di, dj)
	}
	return min(1/float64(di), mj/float64(mi*float64(dj)))
}

func (p Place) knows(tag uint64) bool {
	_, ok := slices.BinarySearchFunc(p.Neighbours, tag, func(j Peer, tag uint64) int { return cmp.Compare(j.Tag, tag) })
	return ok
}

// excess is ln(x/mu).
func (c Config) excess(p Peer) float64 {
	mu := c.Target(p)
	if mu == 0 {
		return 0
	}
	if q := p.Visits / mu; q > 1e-300 && q < 1e300 {
		return kernel.Log(q)
	}
	return kernel.Log(p.Visits) - kernel.Log(mu)
}

func (c Config) proposes(at Place) bool {
	return c.Form == Proposals || c.Form == Auto && len(at.Neighbours) > widest && c.Base != NonBacktracking && !c.Lazy
}

// Accept is the probability that a proposal to go from peer i to its neighbour j is taken (spec 02, section 2.7):
// min(1, mu_j (x_j/mu_j)^-alpha deg_i / (mu_i (x_i/mu_i)^-alpha deg_j)).
func (c Config) Accept(i, j Peer) float64 {
	mi, mj := c.Target(i), c.Target(j)
	switch {
	case mj == 0:
		return 0
	case mi == 0:
		return 1
	}
	ratio := float64(mj/mi) * (float64(max(1, i.Degree)) / float64(max(1, j.Degree)))
	e := c.Alpha * (c.excess(i) - c.excess(j))
	return min(1, float64(ratio*kernel.Exp(min(max(e, -clamp), clamp))))
}

// Next draws the next peer, which may be the present one, with a uniform number u in [0, 1). It is a draw from [Config.Row]; a
// walk by proposals looks at two peers only.
func (c Config) Next(at Place, u float64) uint64 {
	n := len(at.Neighbours)
	if n == 0 {
		return at.Self.Tag
	}
	if !c.proposes(at) {
		var room [widest + 1]Step
		return c.AppendRow(room[:0], at).Draw(u)
	}
	// The whole part of n u proposes, the fraction accepts: they are independent.
	k := min(int(u*float64(n)), n-1)
	if j := at.Neighbours[k]; float64(u*float64(n))-float64(k) < c.Accept(at.Self, j) {
		return j.Tag
	}
	return at.Self.Tag
}

// Uniform is the number in [0, 1) with which the token of a seed draws hop number hop, for the first time or, if peers turned out
// to be busy, for the try after.
func Uniform(seed, hop uint64, try uint32) float64 {
	w := philox.Block(seed, [4]uint32{uint32(hop), uint32(hop >> 32), try, philox.Walk})
	return philox.Unit(w[0])
}
