package topology

import (
	"fmt"
	"slices"
)

// maxLinks bounds the directed links of one graph, so that a mistyped size is an error and not an exhausted memory.
const maxLinks = 1 << 26

// A Graph is a set of peers 0..n-1 and links between them.
type Graph struct {
	// Directed tells whether a link may be missing in the other direction.
	Directed bool
	// Out lists for each peer the peers it sends to, ascending, without itself and without repetition. In an
	// undirected graph j is in Out[i] exactly when i is in Out[j].
	Out [][]int
	// Attempt is how often a random graph was drawn anew, with seed + Attempt, until it was connected.
	Attempt int
}

// NewGraph makes a graph of n peers from links (i, j). Repeated links count once. It returns an error for n < 1, an end
// outside 0..n-1 or a link from a peer to itself.
func NewGraph(n int, directed bool, links [][2]int) (Graph, error) {
	if err := checkSize(n, 0); err != nil {
		return Graph{}, err
	}
	for _, l := range links {
		if l[0] < 0 || l[0] >= n || l[1] < 0 || l[1] >= n {
			return Graph{}, fmt.Errorf("link %d-%d: peers are 0 to %d", l[0], l[1], n-1)
		}
		if l[0] == l[1] {
			return Graph{}, fmt.Errorf("link %d-%d: a peer has no link to itself", l[0], l[1])
		}
	}
	return fromLinks(n, directed, links), nil
}

// fromLinks is NewGraph for links known to be good.
func fromLinks(n int, directed bool, links [][2]int) Graph {
	degree := make([]int, n)
	for _, l := range links {
		degree[l[0]]++
		if !directed {
			degree[l[1]]++
		}
	}
	out := make([][]int, n)
	for i := range out {
		out[i] = make([]int, 0, degree[i])
	}
	for _, l := range links {
		out[l[0]] = append(out[l[0]], l[1])
		if !directed {
			out[l[1]] = append(out[l[1]], l[0])
		}
	}
	for i := range out {
		slices.Sort(out[i])
		out[i] = slices.Compact(out[i])
	}
	return Graph{Directed: directed, Out: out}
}

// checkSize refuses sizes that make no sense or would not fit: degree is the expected number of links per peer.
func checkSize(n int, degree float64) error {
	if n < 1 {
		return fmt.Errorf("topology of %d peers: at least one is needed", n)
	}
	if n > maxLinks || float64(n)*degree > maxLinks {
		return fmt.Errorf("topology of %d peers with about %.0f links each: at most %d links are supported", n, degree, maxLinks)
	}
	return nil
}

// N is the number of peers.
func (g Graph) N() int { return len(g.Out) }

// Degrees returns the number of outgoing links of each peer; in an undirected graph, of all its links.
func (g Graph) Degrees() []int {
	d := make([]int, len(g.Out))
	for i, o := range g.Out {
		d[i] = len(o)
	}
	return d
}

// Has tells whether i sends to j.
func (g Graph) Has(i, j int) bool {
	if i < 0 || i >= len(g.Out) {
		return false
	}
	_, ok := slices.BinarySearch(g.Out[i], j)
	return ok
}

// Links lists all links in ascending order: once each, with the smaller end first, if the graph is undirected.
func (g Graph) Links() [][2]int {
	var links [][2]int
	for i, o := range g.Out {
		for _, j := range o {
			if g.Directed || i < j {
				links = append(links, [2]int{i, j})
			}
		}
	}
	return links
}

// In lists for each peer the peers that send to it, ascending.
func (g Graph) In() [][]int {
	if !g.Directed {
		return g.Out
	}
	in := make([][]int, len(g.Out))
	for i, o := range g.Out {
		for _, j := range o {
			in[j] = append(in[j], i)
		}
	}
	return in
}

// Validate returns an error when the lists break what Graph promises of them: order, range, symmetry.
func (g Graph) Validate() error {
	for i, o := range g.Out {
		for k, j := range o {
			switch {
			case j < 0 || j >= len(g.Out):
				return fmt.Errorf("link %d-%d: peers are 0 to %d", i, j, len(g.Out)-1)
			case j == i:
				return fmt.Errorf("link %d-%d: a peer has no link to itself", i, j)
			case k > 0 && o[k-1] >= j:
				return fmt.Errorf("links of peer %d are not in ascending order", i)
			}
		}
	}
	if g.Directed {
		return nil
	}
	for i, o := range g.Out {
		for _, j := range o {
			if !g.Has(j, i) {
				return fmt.Errorf("link %d-%d of an undirected graph is missing at peer %d", i, j, j)
			}
		}
	}
	return nil
}

// Connected tells whether every peer reaches every other; a directed graph must be strongly connected.
func (g Graph) Connected() bool {
	n := len(g.Out)
	dist := make([]int, n)
	queue := make([]int, 0, n)
	if _, reached := distances(g.Out, 0, dist, queue); reached < n {
		return false
	}
	if !g.Directed {
		return true
	}
	_, reached := distances(g.In(), 0, dist, queue)
	return reached == n
}

// Diameter is the largest number of links on a shortest way between two peers, or -1 when there is a pair without
// one. It takes O(n (n + links)).
func (g Graph) Diameter() int {
	n := len(g.Out)
	dist := make([]int, n)
	queue := make([]int, 0, n)
	most := 0
	for i := range n {
		far, reached := distances(g.Out, i, dist, queue)
		if reached < n {
			return -1
		}
		most = max(most, far)
	}
	return most
}

// distances fills dist with the number of links from a peer, -1 where there is no way, and returns the largest and the
// number of peers reached.
func distances(adj [][]int, from int, dist, queue []int) (far, reached int) {
	if len(adj) == 0 {
		return 0, 0
	}
	for i := range dist {
		dist[i] = -1
	}
	dist[from] = 0
	queue = append(queue[:0], from)
	for at := 0; at < len(queue); at++ {
		i := queue[at]
		far = dist[i]
		for _, j := range adj[i] {
			if dist[j] < 0 {
				dist[j] = dist[i] + 1
				queue = append(queue, j)
			}
		}
	}
	return far, len(queue)
}
