package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// A Split is a time during which nodes are cut off from those of other groups.
type Split struct {
	From   node.Instant
	Until  node.Instant // when it heals; 0 is never
	Groups string       // see [ParsePartitions]
}

// Partitions is who is cut off from whom over time. Where splits overlap, all of them cut.
type Partitions struct {
	starts []node.Instant // of the times between changes; the first is the beginning
	groups [][]int32      // during each: the group of each node, nil for one group
	at     int            // the time that was asked for last
}

// ParsePartitions makes the partitions of n nodes from their splits. Groups are:
//
//	halves                  two groups of equal size, by chance
//	shares:0.2,0.3,0.5      groups of these shares of the nodes, by chance
//	nodes:0-9,12|10,11      groups of node numbers; nodes that are not written are one more group
//	regions                 each region of the latency is a group
//	regions:us-east,us-west|sa-east    groups of regions; those that are not written are one more group
func ParsePartitions(splits []Split, n int, seed uint64, l *Latency) (*Partitions, error) {
	if err := checkNodes("partitions", n); err != nil {
		return nil, err
	}
	p := &Partitions{starts: []node.Instant{0}}
	groups := make([][]int32, len(splits))
	splits = slices.Clone(splits)
	for i := range splits {
		what, s := fmt.Sprintf("partition %d", i+1), &splits[i]
		if s.Until == 0 {
			s.Until = Forever
		}
		if s.From < 0 || s.Until <= s.From {
			return nil, fmt.Errorf("%s: until must come after from, and from not before 0", what)
		}
		g, err := parseGroups(what, s.Groups, n, l, chance.Stream(seed, chance.Partition, i))
		if err != nil {
			return nil, err
		}
		groups[i] = g
		p.starts = append(p.starts, s.From, s.Until)
	}
	slices.Sort(p.starts)
	p.starts = slices.Compact(p.starts)
	for _, at := range p.starts {
		var now []int32
		for i, s := range splits {
			if s.From <= at && at < s.Until {
				now = meet(now, groups[i])
			}
		}
		p.groups = append(p.groups, now)
	}
	return p, nil
}

// meet returns the groups of nodes that share both groups, numbered in the order of their first nodes.
func meet(a, b []int32) []int32 {
	if a == nil {
		return b
	}
	number := make(map[[2]int32]int32)
	out := make([]int32, len(a))
	for i := range out {
		key := [2]int32{a[i], b[i]}
		g, ok := number[key]
		if !ok {
			g = int32(len(number))
			number[key] = g
		}
		out[i] = g
	}
	return out
}

// find moves to the time between changes that now is in. Calls with a time near the last one take constant time.
func (p *Partitions) find(now node.Instant) []int32 {
	for p.at > 0 && now < p.starts[p.at] {
		p.at--
	}
	for p.at+1 < len(p.starts) && now >= p.starts[p.at+1] {
		p.at++
	}
	return p.groups[p.at]
}

// Cut reports whether two nodes are cut off from each other at a time. Times may be in any order; near ones are fastest.
func (p *Partitions) Cut(now node.Instant, a, b int) bool {
	g := p.find(now)
	return g != nil && g[a] != g[b]
}

// Group returns the group of a node at a time: nodes of one group can talk. Numbers of different times mean nothing to each
// other.
func (p *Partitions) Group(now node.Instant, n int) int {
	if g := p.find(now); g != nil {
		return int(g[n])
	}
	return 0
}

// Changes returns the times, after the beginning, at which somebody is cut off or healed, ascending. A split from the
// beginning has its effect from the start.
func (p *Partitions) Changes() []node.Instant {
	var out []node.Instant
	for _, at := range p.starts[1:] {
		if at != Forever {
			out = append(out, at)
		}
	}
	return out
}

func parseGroups(what, text string, n int, l *Latency, source interface{ Uint64() uint64 }) ([]int32, error) {
	s := spec.Parse(what, text)
	switch s.Name {
	case "halves":
		if err := s.Done(); err != nil {
			return nil, err
		}
		return chance.Deal(source, n, []float64{0.5, 0.5}), nil
	case "shares":
		shares, err := parseShares(s.Rest())
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, spec.Brief(text), err)
		}
		return chance.Deal(source, n, shares), nil
	case "nodes":
		of, err := nodeGroups(s.Rest(), n)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, spec.Brief(text), err)
		}
		return of, nil
	case "regions":
		of, err := regionGroups(s.Rest(), n, l)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, spec.Brief(text), err)
		}
		return of, nil
	}
	return nil, s.Unknown("halves", "shares:A,B,…", "nodes:A-B,C|D,…", "regions", "regions:A,B|C,…")
}

func parseShares(text string) ([]float64, error) {
	var shares []float64
	var sum float64
	for _, field := range strings.Split(text, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("%s is not a share from 0 to 1", spec.Brief(field))
		}
		shares = append(shares, v)
		sum += v
	}
	if len(shares) < 2 || !(sum > 1-1e-6 && sum < 1+1e-6) {
		return nil, fmt.Errorf("%d shares add up to %.6g; there must be two or more that add up to 1", len(shares), sum)
	}
	return shares, nil
}

// nodeGroups reads groups of node numbers. Group 0 is the rest.
func nodeGroups(text string, n int) ([]int32, error) {
	of := make([]int32, n)
	for g, group := range strings.Split(text, "|") {
		for _, field := range strings.Split(group, ",") {
			first, last, isRange := strings.Cut(field, "-")
			if !isRange {
				last = first
			}
			a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 31)
			b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 31)
			if errors.Join(err, err2) != nil || a > b {
				return nil, fmt.Errorf("%s is not a node or a range of nodes such as 0-9", spec.Brief(field))
			}
			if b >= uint64(n) {
				return nil, fmt.Errorf("node %d is not there: nodes are from 0 to %d", b, n-1)
			}
			for i := a; i <= b; i++ {
				if of[i] != 0 {
					return nil, fmt.Errorf("node %d is written twice", i)
				}
				of[i] = int32(g) + 1
			}
		}
	}
	return of, nil
}

// regionGroups reads groups of regions by name. Without any, each region is a group.
func regionGroups(text string, n int, l *Latency) ([]int32, error) {
	if l == nil || l.names == nil {
		return nil, fmt.Errorf("there are no regions; set the latency to regions")
	}
	group := make([]int32, len(l.names))
	if text == "" {
		for i := range group {
			group[i] = int32(i)
		}
	} else {
		for g, list := range strings.Split(text, "|") {
			for _, name := range strings.Split(list, ",") {
				at := slices.Index(l.names, strings.TrimSpace(name))
				if at < 0 {
					return nil, fmt.Errorf("there is no region %s; there are %s", spec.Brief(name), strings.Join(l.names, ", "))
				}
				if group[at] != 0 {
					return nil, fmt.Errorf("region %s is written twice", l.names[at])
				}
				group[at] = int32(g) + 1
			}
		}
	}
	of := make([]int32, n)
	for i := range of {
		of[i] = group[l.site[i]]
	}
	return of, nil
}
