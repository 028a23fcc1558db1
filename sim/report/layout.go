package report

import (
	"math"

	"starling/mixing/philox"
	"starling/mixing/topology"
)

// A point is a place in the unit square.
type point struct{ x, y float64 }

// The sizes up to which graphs are drawn around a circle and with springs; what is larger is shown as a matrix.
const (
	circleNodes = 64
	springNodes = 300
)

// layout places the nodes of a graph of at most springNodes: a star around its hub, what is about regular and small or dense
// around a circle, the rest with springs. The same graph always gets the same places, on every machine.
func layout(g topology.Graph) []point {
	n := g.N()
	if n == 1 {
		return []point{{0.5, 0.5}}
	}
	degrees := undirected(g)
	least, most, hub := n, 0, 0
	for i, d := range degrees {
		least = min(least, len(d))
		if len(d) > most {
			most, hub = len(d), i
		}
	}
	switch {
	case n > 3 && most == n-1 && least == 1 && isStar(degrees):
		at := circle(n - 1)
		at = append(at[:hub], append([]point{{0.5, 0.5}}, at[hub:]...)...)
		return at
	case most <= 2 || most-least <= 2 && (n <= circleNodes || 2*most > n):
		return circle(n)
	}
	return springs(degrees)
}

func isStar(links [][]int) bool {
	ends := 0
	for _, l := range links {
		ends += len(l)
	}
	return ends == 2*(len(links)-1)
}

// undirected lists the neighbours of each node, whatever the direction.
func undirected(g topology.Graph) [][]int {
	if !g.Directed {
		return g.Out
	}
	u, err := topology.NewGraph(g.N(), false, g.Links())
	if err != nil {
		return g.Out // not a graph that Validate takes; draw what is there
	}
	return u.Out
}

// circle places n nodes around a circle, the first at the top, clockwise. Sines differ by a bit from machine to machine, so
// places are rounded.
func circle(n int) []point {
	at := make([]point, n)
	round := func(v float64) float64 { return math.Round(v*(1<<20)) / (1 << 20) }
	for i := range at {
		s, c := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		at[i] = point{round(0.5 + float64(0.5*s)), round(0.5 - float64(0.5*c))}
	}
	return at
}

// springIterations is fixed, so that a drawing costs at most 300 * 300 * 200 steps.
const springIterations = 200

// springs is the force-directed placement of Fruchterman and Reingold (1991): nodes repel each other with k^2/d, links
// attract with d^2/k, and no node moves further than the temperature, which falls. Starts are drawn from a fixed seed.
func springs(links [][]int) []point {
	n := len(links)
	at, force := make([]point, n), make([]point, n)
	for i := range at {
		w := philox.Block(1, [4]uint32{uint32(i)})
		at[i] = point{float64(w[0]) / (1 << 32), float64(w[1]) / (1 << 32)}
	}
	k := 1 / math.Sqrt(float64(n))
	for step := range springIterations {
		clear(force)
		for i := range n {
			for j := range i {
				dx, dy := at[i].x-at[j].x, at[i].y-at[j].y
				d2 := math.Max(float64(dx*dx)+float64(dy*dy), 1e-6)
				// Far nodes do not push each other: parts of the graph stay in sight.
				if d2 > float64(64*k*k) {
					continue
				}
				s := float64(k*k) / d2
				force[i].x += float64(dx * s)
				force[i].y += float64(dy * s)
				force[j].x -= float64(dx * s)
				force[j].y -= float64(dy * s)
			}
			for _, j := range links[i] {
				if j >= i {
					continue
				}
				dx, dy := at[i].x-at[j].x, at[i].y-at[j].y
				s := math.Sqrt(float64(dx*dx)+float64(dy*dy)) / k
				force[i].x -= float64(dx * s)
				force[i].y -= float64(dy * s)
				force[j].x += float64(dx * s)
				force[j].y += float64(dy * s)
			}
		}
		heat := 0.1 * (1 - float64(step)/springIterations)
		for i, f := range force {
			if d := math.Sqrt(float64(f.x*f.x) + float64(f.y*f.y)); d > heat {
				f.x, f.y = f.x*heat/d, f.y*heat/d
			}
			at[i].x += f.x
			at[i].y += f.y
		}
	}
	return squared(at)
}

// squared moves and stretches places alike in both directions so that they fill the unit square.
func squared(at []point) []point {
	lo, hi := at[0], at[0]
	for _, p := range at {
		lo, hi = point{math.Min(lo.x, p.x), math.Min(lo.y, p.y)}, point{math.Max(hi.x, p.x), math.Max(hi.y, p.y)}
	}
	size := math.Max(math.Max(hi.x-lo.x, hi.y-lo.y), 1e-9)
	for i, p := range at {
		at[i] = point{0.5 + (p.x-(lo.x+hi.x)/2)/size, 0.5 + (p.y-(lo.y+hi.y)/2)/size}
	}
	return at
}
