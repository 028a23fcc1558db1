package topology

import (
	"fmt"
	"slices"
)

// HyperHypercube is the schedule H(n, b): n is split into factors of at most b, and in round r the peers whose numbers
// differ only in digit r of that mixed radix average in cliques. All rounds, in order, give the exact mean; degrees are
// at most b-1. It returns an error when n has a prime factor above b. (Takezawa et al. 2023; spec 06, section 6.5.)
func HyperHypercube(n, b int) ([][]Edge, error) {
	if b < 2 {
		return nil, fmt.Errorf("hyper-hypercube: b is %d, must be at least 2", b)
	}
	if err := checkSize(n, float64(min(b, n)*(1+log2ceil(n)))); err != nil {
		return nil, err
	}
	factors, rest := smooth(n, b)
	if rest != 1 {
		return nil, fmt.Errorf("hyper-hypercube of %d peers: %d has a prime factor above %d; use base for any number", n, n, b)
	}
	return hyper(n, factors), nil
}

// smooth takes factors of at most b out of n, large ones first, until a rest is left that has only prime factors above
// b. It returns them ascending: the order of the rounds in the vectors.
func smooth(n, b int) (factors []int, rest int) {
	for f := min(b, n); f > 1; {
		if n%f == 0 {
			factors = append(factors, f)
			n /= f
			f = min(f, n)
		} else {
			f--
		}
	}
	slices.Reverse(factors)
	return factors, n
}

func hyper(n int, factors []int) [][]Edge {
	rounds := make([][]Edge, len(factors))
	stride := 1
	for r, f := range factors {
		rounds[r] = make([]Edge, 0, n*(f-1)/2)
		for i := range n {
			for d := i/stride%f + 1; d < f; d++ {
				rounds[r] = append(rounds[r], Edge{i, i + (d-i/stride%f)*stride, 1 / float64(f)})
			}
		}
		stride *= f
	}
	return rounds
}

// SimpleBase is the Simple Base-(k+1) schedule: after all its rounds any number of peers hold the exact mean, with
// degrees of at most k >= 1. Peers without a link in a round keep their value. (Takezawa et al. 2023; spec 06,
// section 6.5.)
func SimpleBase(n, k int) ([][]Edge, error) {
	if err := checkBase(n, k); err != nil {
		return nil, err
	}
	return simpleBase(n, min(k, n)), nil
}

// Base is the Base-(k+1) schedule: the shorter one of [SimpleBase] and of groups that run SimpleBase side by side before
// they are joined by [HyperHypercube]. At most about 2 log n/log(k+1) + 2 rounds.
func Base(n, k int) ([][]Edge, error) {
	if err := checkBase(n, k); err != nil {
		return nil, err
	}
	k = min(k, n)
	simple := simpleBase(n, k)
	across, size := smooth(n, k+1)
	groups := n / size
	if groups == 1 || size == 1 {
		return simple, nil
	}
	inner := simpleBase(size, k)
	if len(inner)+len(across) >= len(simple) {
		return simple, nil
	}
	var rounds [][]Edge
	for _, round := range inner {
		edges := make([]Edge, 0, groups*len(round))
		for g := range groups {
			edges = shifted(edges, round, g*size, 1)
		}
		rounds = append(rounds, edges)
	}
	for _, round := range hyper(groups, across) {
		edges := make([]Edge, 0, size*len(round))
		for r := range size {
			edges = shifted(edges, round, r, size)
		}
		rounds = append(rounds, edges)
	}
	return rounds, nil
}

func checkBase(n, k int) error {
	if k < 1 {
		return fmt.Errorf("base: k is %d, must be at least 1", k)
	}
	return checkSize(n, float64(min(k, n)*(2+2*log2ceil(n))))
}

// shifted appends the edges of a round moved from peer i to start + i stride.
func shifted(to, round []Edge, start, stride int) []Edge {
	for _, e := range round {
		to = append(to, Edge{start + e.I*stride, start + e.J*stride, e.W})
	}
	return to
}

func simpleBase(n, k int) [][]Edge {
	b := k + 1
	if factors, rest := smooth(n, b); rest == 1 {
		return hyper(n, factors)
	}
	// A block is V_l: a sub-blocks of part = b^p peers each, from start.
	type block struct {
		start, a, part int
		whole, inner   [][]Edge
	}
	part := 1
	for part <= n/b {
		part *= b
	}
	var blocks []block
	for start := 0; start < n; part /= b {
		a := (n - start) / part
		if a == 0 {
			continue
		}
		// A block has only prime factors of at most b, since a < b.
		whole, _ := smooth(a*part, b)
		inner, _ := smooth(part, b)
		blocks = append(blocks, block{start, a, part, hyper(a*part, whole), hyper(part, inner)})
		start += a * part
	}
	m := len(blocks[0].whole)
	last := len(blocks) - 1
	rounds := make([][]Edge, m+1+len(blocks[0].inner))
	for t := range rounds {
		var edges []Edge
		for l, v := range blocks {
			given := m + l // the round in which the block gives
			if l == last {
				given = m + last - 1 // it gives to nobody, and receives for the last time then
			}
			switch {
			case t < m:
				if len(v.whole) > 0 {
					edges = shifted(edges, v.whole[t%len(v.whole)], v.start, 1)
				}
			case t == given && l < last:
				w := float64(v.a*v.part) / float64(n-v.start)
				for r := range n - v.start - v.a*v.part {
					for sub := range v.a {
						edges = append(edges, Edge{v.start + sub*v.part + r, v.start + v.a*v.part + r, w / float64(v.a)})
					}
				}
			case t > given && len(v.inner) > 0:
				for sub := range v.a {
					edges = shifted(edges, v.inner[(t-given-1)%len(v.inner)], v.start+sub*v.part, 1)
				}
			}
		}
		rounds[t] = edges
	}
	return rounds
}
