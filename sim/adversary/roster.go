package adversary

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"starling/mixing/philox"
)

// A Roster says which nodes of a run are adversaries, and of what kind. Attacks remember what they have seen, so a roster is
// for one run of a simulation.
type Roster struct {
	attacks []Attack // by node, nil for the honest
	groups  []Group
	sees    bool
	vectors string // the first kind that is about vectors alone; empty if there is none
	records string // the first that is about records alone
}

// A Group is the nodes of one specification.
type Group struct {
	Name  string // the kind with all its settings
	Nodes []int  // ascending
}

// Len returns the number of nodes in the run, honest ones included.
func (r *Roster) Len() int { return len(r.attacks) }

// Of returns the attack of a node, nil for an honest one and for nodes that the roster does not know, which joined later.
func (r *Roster) Of(node int) Attack {
	if node < 0 || node >= len(r.attacks) {
		return nil
	}
	return r.attacks[node]
}

// Groups returns the adversaries in the order of the specifications. It must not be changed.
func (r *Roster) Groups() []Group { return r.groups }

// Sees reports whether any attack looks at the [View]; if not the engine need not keep one.
func (r *Roster) Sees() bool { return r.sees }

// Fits says what is wrong with the kinds in a run whose nodes send records, as with the method scalar, or vectors.
func (r *Roster) Fits(records bool) error {
	switch {
	case records && r.vectors != "":
		return fmt.Errorf("adversary %s changes vectors, and with the method scalar nodes send none; there are slope-max, slope-flip, slope-replay, record-fork and silence", r.vectors)
	case !records && r.records != "":
		return fmt.Errorf("adversary %s changes the records of the method scalar, and with another one there are none", r.records)
	}
	return nil
}

// Adversaries returns the number of nodes that are not honest.
func (r *Roster) Adversaries() int {
	n := 0
	for _, g := range r.groups {
		n += len(g.Nodes)
	}
	return n
}

// honest returns the k-th honest node.
func (r *Roster) honest(k int) (int, error) {
	count := 0
	for node, a := range r.attacks {
		if a != nil {
			continue
		}
		if count == k {
			return node, nil
		}
		count++
	}
	return 0, fmt.Errorf("target %d is not there: the honest nodes are numbered from 0 to %d", k, count-1)
}

// Parse gives kinds of attacks to the nodes of a run of n. A specification is a kind, and after a colon settings as
// key=value, or as plain values in the order of [Names], separated by commas. One setting says which nodes it is for:
//
//	sign-flip:share=0.1             a tenth of all nodes, at least one, drawn by the seed
//	alie:z=1.5,count=5              so many nodes, drawn by the seed
//	scaling:10,nodes=3-7+12         these nodes, counted from 0
//
// Nodes that are named come first, then draws are made among the others in the order of the specifications. The same
// arguments give the same roster on every machine, and a draw is not changed by a specification behind it that names no
// nodes. A node has one kind, and one node at least stays honest.
//
// An error names the specification and what is wrong with it, and for an unknown name the nearest one.
func Parse(specs []string, n int, seed uint64) (*Roster, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("adversaries: a run of %d nodes; there must be from 1 to %d", n, maxNodes)
	}
	if len(specs) > n {
		return nil, fmt.Errorf("adversaries: %d specifications are more than %d nodes", len(specs), n)
	}
	parsed := make([]parsed, len(specs))
	for i, spec := range specs {
		p, err := parse(spec, n)
		if err != nil {
			return nil, fmt.Errorf("adversary %s: %w", brief(spec), err)
		}
		parsed[i] = p
	}
	nodes, err := assign(parsed, n, seed)
	if err != nil {
		return nil, err
	}
	r := &Roster{attacks: make([]Attack, n)}
	for i, p := range parsed {
		r.groups = append(r.groups, Group{Name: p.kind.text(p.values), Nodes: nodes[i]})
		r.sees = r.sees || p.kind.sees(p.values)
		switch name := p.kind.name; {
		case p.kind.ofRecords():
			r.records = cmp.Or(r.records, name)
		case name != silent:
			r.vectors = cmp.Or(r.vectors, name)
		}
		for _, node := range nodes[i] {
			r.attacks[node] = Honest{} // taken, so that honest nodes can be counted before all attacks are made
		}
	}
	for i, p := range parsed {
		g := &group{name: r.groups[i].Name, size: len(nodes[i])}
		for _, node := range nodes[i] {
			m := &member{group: g, node: node, seed: seed, run: r}
			if r.attacks[node], err = p.kind.make(m, p.values); err != nil {
				return nil, fmt.Errorf("adversary %s: %w", brief(specs[i]), err)
			}
		}
	}
	return r, nil
}

// assign returns the nodes of each specification.
func assign(specs []parsed, n int, seed uint64) ([][]int, error) {
	by := make([]int, n) // one more than the specification that has the node
	nodes := make([][]int, len(specs))
	for i, p := range specs {
		for _, span := range p.nodes {
			for node := span[0]; node <= span[1]; node++ {
				if by[node] != 0 {
					return nil, fmt.Errorf("adversary %s: node %d is named already, by %s; a node has one kind",
						brief(p.spec), node, brief(specs[by[node]-1].spec))
				}
				by[node] = i + 1
				nodes[i] = append(nodes[i], node)
			}
		}
		slices.Sort(nodes[i])
	}
	order := shuffled(n, seed)
	for i, p := range specs {
		if p.nodes != nil {
			continue
		}
		count := p.count
		if count == 0 {
			count = max(1, int(math.Floor(float64(p.share*float64(n))+0.5)))
		}
		for len(order) > 0 && len(nodes[i]) < count {
			if node := order[0]; by[node] == 0 {
				by[node] = i + 1
				nodes[i] = append(nodes[i], node)
			}
			order = order[1:]
		}
		if len(nodes[i]) < count {
			return nil, fmt.Errorf("adversary %s: wants %d nodes, and %d of %d are left", brief(p.spec), count, len(nodes[i]), n)
		}
		slices.Sort(nodes[i])
	}
	if !slices.Contains(by, 0) {
		return nil, fmt.Errorf("adversaries: all %d nodes are adversaries; leave one honest at least", n)
	}
	return nodes, nil
}

// shuffled is the order in which nodes are drawn (Fisher–Yates).
func shuffled(n int, seed uint64) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := int(philox.Below(word(seed, forRoster, i, 0), uint32(i+1)))
		order[i], order[j] = order[j], order[i]
	}
	return order
}
