package report

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"

	"starling/mixing/topology"
)

// Facts are what decides how well a topology mixes.
type Facts struct {
	Spec     string // with all defaults written out
	Nodes    int
	Directed bool
	// Period is the number of rounds after which the links repeat: 1 for a graph, 0 for links drawn anew each round.
	Period int
	// Links are those of all rounds of the period together, or of [DrawnRounds].
	Links int
	// LeastDegree and MostDegree count the nodes that a node sends to in a round.
	LeastDegree, MostDegree int
	// Diameter is that of all links together; -1 if some node does not reach another.
	Diameter int
	// Gap is the spectral gap of the weights of a graph. Of a schedule it is that of a mean round: 1 - s^(1/r) if r rounds
	// shrink differences to s.
	Gap float64
	// RoundsTo is how many rounds leave 1 % of the differences, math.MaxInt for never.
	RoundsTo int
	// Exact tells that one period makes all nodes equal.
	Exact bool
}

// DrawnRounds is how many rounds of a schedule without a cycle are looked at.
const DrawnRounds = 32

// denseNodes bounds the products of the rounds of a schedule, which take n^3 steps a round.
const denseNodes = 512

// Measure finds the facts of a topology, and the picture of all its links. For schedules of more than 512 nodes the gap is
// NaN.
func Measure(t *topology.Topology) (Facts, Picture, error) {
	f := Facts{Spec: t.String(), Nodes: t.N(), Directed: t.Directed(), Period: t.Period(), LeastDegree: math.MaxInt}
	rounds := f.Period
	if rounds == 0 {
		rounds = DrawnRounds
	}
	var links [][2]int
	for r := range rounds {
		for i := range f.Nodes {
			to := t.Targets(0, uint64(r), i)
			f.LeastDegree, f.MostDegree = min(f.LeastDegree, len(to)), max(f.MostDegree, len(to))
			for _, j := range to {
				links = append(links, [2]int{i, j})
			}
		}
	}
	g, err := topology.NewGraph(f.Nodes, f.Directed, links)
	if err != nil {
		return Facts{}, Picture{}, fmt.Errorf("%s: %w", f.Spec, err)
	}
	f.Links, f.Diameter = len(g.Links()), g.Diameter()
	f.Gap = meanGap(t, rounds)
	f.Exact = f.Period > 0 && f.Gap > 1-1e-6
	f.RoundsTo = topology.RoundsTo(f.Gap, 0.01)
	if f.Exact {
		f.RoundsTo = f.Period
	}
	if math.IsNaN(f.Gap) || f.Gap < 1e-12 {
		f.RoundsTo = math.MaxInt
	}
	return f, Picture{Graph: g}, nil
}

// meanGap is 1 - s^(1/r) for the r rounds together.
func meanGap(t *topology.Topology, rounds int) float64 {
	if rounds == 1 {
		return topology.Gap(t.Matrix(0, 0))
	}
	n := t.N()
	if n > denseNodes {
		return math.NaN()
	}
	product := topology.Matrix(nil)
	for r := range rounds {
		m := t.Matrix(0, uint64(r))
		if product == nil {
			product = m
		} else {
			product = multiply(m, product)
		}
	}
	left := 1 - topology.Gap(product)
	if left < 1e-9 {
		return 1
	}
	return 1 - math.Pow(left, 1/float64(rounds))
}

// multiply is the product of two matrices, a after b.
func multiply(a, b topology.Matrix) topology.Matrix {
	n := len(a)
	out := make(topology.Matrix, n)
	sums := make([]float64, n)
	for i, row := range a {
		clear(sums)
		for _, w := range row {
			for _, v := range b[w.Peer] {
				sums[v.Peer] += float64(w.W * v.W)
			}
		}
		for j, s := range sums {
			if s != 0 {
				out[i] = append(out[i], topology.Weight{Peer: j, W: s})
			}
		}
	}
	return out
}

type topologiesPage struct {
	frame
	Drawn    int
	Facts    table
	Refused  *table
	Drawings []section
}

// Topologies writes a page that compares topologies of one number of nodes: degree, diameter, spectral gap and a drawing of
// each. What cannot have so many nodes is listed with the reason. The seed is that of random graphs.
func Topologies(w io.Writer, nodes int, seed uint64, specs []string) error {
	if len(specs) == 0 {
		return errors.New("topologies: none is named")
	}
	f, err := newFrame("Topologies of "+plural(uint64(max(0, nodes)), "node", "nodes"), false)
	if err != nil {
		return err
	}
	page := topologiesPage{frame: f, Drawn: DrawnRounds}
	page.Facts.Head = columns("topology", "links", "nodes a node sends to", "diameter", "spectral gap", "rounds to 1 %", "period")
	refused := &table{Head: []column{{"topology", true, false}, {"why", true, true}}}
	for _, spec := range specs {
		t, err := topology.Parse(spec, nodes, seed)
		if err != nil {
			refused.add("", spec, err.Error())
			continue
		}
		facts, picture, err := Measure(t)
		if err != nil {
			return err
		}
		page.Facts.add("", facts.fields()...)
		drawing, err := sketch(picture)
		if err != nil {
			return err
		}
		s := section{Title: facts.Spec, Figures: []template.HTML{drawing.html()}}
		s.Note = plural(uint64(facts.Links), "link", "links")
		switch {
		case facts.Period > 1:
			s.Note += ", all rounds together"
		case facts.Period == 0:
			s.Note += fmt.Sprintf(", %d rounds together", DrawnRounds)
		}
		page.Drawings = append(page.Drawings, s)
	}
	if len(refused.Rows) > 0 {
		page.Refused = refused
	}
	return render(w, "topologies.html", page)
}

// fields are the facts as a row of the table.
func (f *Facts) fields() []string {
	degree := fmt.Sprint(f.LeastDegree)
	if f.MostDegree != f.LeastDegree {
		degree += " to " + fmt.Sprint(f.MostDegree)
	}
	diameter, rounds, period := fmt.Sprint(f.Diameter), "never", "none"
	if f.Diameter < 0 {
		diameter = "not connected"
	}
	switch {
	case math.IsNaN(f.Gap):
		rounds = missing
	case f.Exact && f.Period > 1:
		rounds = fmt.Sprintf("%d, exact", f.Period)
	case f.RoundsTo < math.MaxInt:
		rounds = count(uint64(f.RoundsTo))
	}
	switch {
	case f.Period == 1:
		period = "always the same"
	case f.Period > 1:
		period = plural(uint64(f.Period), "round", "rounds")
	}
	return []string{f.Spec, count(uint64(f.Links)), degree, diameter, digits(math.Max(0, f.Gap)), rounds, period}
}
