package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// drawnLinks is how many lines a drawing has at most; more only make a blot.
const drawnLinks = 5000

// DrawTopology writes a graph as SVG: around a circle or with springs up to 300 nodes and 5,000 links, beyond that as a matrix
// of its links beside a field of its nodes. Nodes are coloured by what they were and how accurate they became, if that is known.
func DrawTopology(w io.Writer, p Picture) error {
	f, err := drawTopology(p)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, f.alone())
	return err
}

func drawTopology(p Picture) (*figure, error) {
	d, err := newDrawing(p)
	if err != nil {
		return nil, err
	}
	d.body(30)
	d.label(8, 18, "start", "head", d.title)
	if p.Roles != nil || d.shades.known() {
		d.key()
	}
	return d.figure, nil
}

// sketch is a drawing without words, for a page that says them beside it.
func sketch(p Picture) (*figure, error) {
	d, err := newDrawing(p)
	if err != nil {
		return nil, err
	}
	d.body(0)
	return d.figure, nil
}

// body draws the graph below top, the matrix alone if nothing is known of the nodes.
func (d drawing) body(top float64) {
	d.width = 440
	switch {
	case d.p.Graph.N() <= springNodes && len(d.p.Graph.Links()) <= drawnLinks:
		d.height = d.width + top
		d.graph(top)
	case d.p.Roles == nil && !d.shades.known():
		d.height = 424 + top
		d.matrix(20, top+2, 400)
	default:
		d.height = 226 + top
		d.matrix(8, top+2, 204)
		d.field(228, top+2, 204)
	}
}

// shades sorts accuracies into five classes.
type shades struct{ lo, hi float64 }

func newShades(values []Real) shades {
	s := shades{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if v.Finite() {
			s.lo, s.hi = math.Min(s.lo, float64(v)), math.Max(s.hi, float64(v))
		}
	}
	return s
}

func (s shades) known() bool { return s.lo <= s.hi }

// class is 0 for the lowest fifth to 4 for the highest.
func (s shades) class(v Real) int {
	if !v.Finite() || !s.known() {
		return 0
	}
	if s.hi == s.lo {
		return 4
	}
	return min(4, int(5*(float64(v)-s.lo)/(s.hi-s.lo)))
}

type drawing struct {
	*figure
	p      Picture
	shades shades
}

func newDrawing(p Picture) (drawing, error) {
	if err := p.Graph.Validate(); err != nil {
		return drawing{}, fmt.Errorf("draw topology: %w", err)
	}
	if err := p.Validate(); err != nil {
		return drawing{}, fmt.Errorf("draw topology: %w", err)
	}
	n, links := p.Graph.N(), len(p.Graph.Links())
	if n == 0 {
		return drawing{}, errors.New("draw topology: there are no nodes")
	}
	title := plural(uint64(n), "node", "nodes") + ", " + plural(uint64(links), "link", "links")
	return drawing{&figure{name: topologyFigure, title: title}, p, newShades(p.Accuracy)}, nil
}

// look is the class of a node and what it says when pointed at.
func (d drawing) look(i int) (class, hint string) {
	role, hint := Honest, "node "+strconv.Itoa(i)
	if d.p.Roles != nil {
		role = d.p.Roles[i]
	}
	if d.p.Accuracy != nil && d.p.Accuracy[i].Finite() {
		hint += ", accuracy " + fraction.format(float64(d.p.Accuracy[i]))
	}
	switch {
	case role == Adversary:
		return "adversary", hint + ", adversary"
	case role == Offline:
		return "offline", hint + ", offline"
	case d.p.Accuracy == nil:
		return "n3", hint
	}
	return "n" + strconv.Itoa(d.shades.class(d.p.Accuracy[i])), hint
}

// graph draws circles and lines.
func (d drawing) graph(top float64) {
	g := d.p.Graph
	at := layout(g)
	r := math.Max(3.5, math.Min(10, 60/math.Sqrt(float64(len(at)))))
	edge := 2 * r
	size := d.width - 16 - edge - edge
	place := func(i int) (x, y float64) {
		return 8 + edge + float64(at[i].x*size), top + 8 + edge + float64(at[i].y*size)
	}
	links := g.Links()
	class := "link"
	switch {
	case len(links) > 1200:
		class += " faint"
	case len(links) < 100:
		class += " clear"
	}
	var path strings.Builder
	for _, l := range links {
		x1, y1 := place(l[0])
		x2, y2 := place(l[1])
		step(&path, true, x1, y1)
		step(&path, false, x2, y2)
	}
	if path.Len() > 0 {
		d.void("path", "class", class, "fill", "none", "d", path.String())
	}
	for i := range at {
		x, y := place(i)
		look, hint := d.look(i)
		d.node(look, hint, x, y, r)
	}
}

// node draws honest nodes as discs, adversaries as squares on their corner, nodes that are offline as rings.
func (d drawing) node(look, hint string, x, y, r float64) {
	name := "circle"
	if look == "adversary" {
		name = "path"
		w := 1.3 * r
		var path strings.Builder
		step(&path, true, x, y-w)
		for _, to := range []point{{w, 0}, {0, w}, {-w, 0}} {
			step(&path, false, x+to.x, y+to.y)
		}
		d.open(name, "class", "node adversary", "d", path.String()+"Z")
	} else {
		d.open(name, "class", "node "+look, "cx", number(x), "cy", number(y), "r", number(r))
	}
	if hint != "" {
		d.hint(hint)
	}
	d.close(name)
}

// matrixCells is how many squares a side of a matrix has at most.
const matrixCells = 100

// matrix draws a square for each pair of groups of nodes, the darker the more links there are between them.
func (d drawing) matrix(x, y, size float64) {
	n := d.p.Graph.N()
	group := (n + matrixCells - 1) / matrixCells
	cells := (n + group - 1) / group
	sums := make([]int, cells*cells)
	most := 0
	for i, to := range d.p.Graph.Out {
		for _, j := range to {
			c := i/group*cells + j/group
			sums[c]++
			most = max(most, sums[c])
		}
	}
	paths := make([]strings.Builder, 5)
	side := size / float64(cells)
	for c, s := range sums {
		if s > 0 {
			square(&paths[min(4, 5*s/(most+1))], x+float64(float64(c%cells)*side), y+float64(float64(c/cells)*side), side)
		}
	}
	for k := range paths {
		if paths[k].Len() > 0 {
			d.void("path", "class", "n"+strconv.Itoa(k), "d", paths[k].String())
		}
	}
	d.void("rect", "class", "axis", "fill", "none", "x", number(x), "y", number(y), "width", number(size), "height", number(size))
	note := "links by row and column of their ends"
	if group > 1 {
		note = fmt.Sprintf("links, %d × %d nodes a square", group, group)
	}
	d.label(x, y+size+18, "start", "dim", note)
}

// fieldNodes is how many nodes a field shows at most.
const fieldNodes = 2500

// field draws one square a node, row by row.
func (d drawing) field(x, y, size float64) {
	n := d.p.Graph.N()
	every := (n + fieldNodes - 1) / fieldNodes
	shown := (n + every - 1) / every
	columns := int(math.Ceil(math.Sqrt(float64(shown))))
	looks := []string{"n0", "n1", "n2", "n3", "n4", "adversary", "offline"}
	paths := make([]strings.Builder, len(looks))
	side := size / float64(columns)
	for k := range shown {
		look, _ := d.look(k * every)
		for c, l := range looks {
			if l == look {
				gap := side / 8
				square(&paths[c], x+float64(float64(k%columns)*side)+gap, y+float64(float64(k/columns)*side)+gap, side-gap-gap)
			}
		}
	}
	for c, l := range looks {
		if paths[c].Len() > 0 {
			d.void("path", "class", l, "d", paths[c].String())
		}
	}
	note := "nodes, row by row"
	if every > 1 {
		note = fmt.Sprintf("every %dth node, row by row", every)
	}
	d.label(x, y+size+18, "start", "dim", note)
}

func square(b *strings.Builder, x, y, side float64) {
	s := strconv.FormatFloat(math.Round(side*100)/100, 'f', -1, 64)
	step(b, true, x, y)
	b.WriteString("h" + s + "v" + s + "h-" + s + "Z")
}

// key explains the colours below the drawing.
func (d drawing) key() {
	y := d.height + 16
	x := 10.0
	entry := func(look, text string) {
		w := width(text, fontSize) + 34
		if x > 10 && x+w > d.width {
			x, y = 10, y+20
		}
		d.node(look, "", x+6, y-4, 6)
		d.label(x+18, y, "start", "dim", text)
		x += w
	}
	if d.shades.known() {
		text := "accuracy " + fraction.format(d.shades.lo)
		d.label(x, y, "start", "dim", text)
		x += width(text, fontSize) + 6
		for k := range 5 {
			d.rect("n"+strconv.Itoa(k), x+float64(14*k), y-10, 14, 12)
		}
		text = "to " + fraction.format(d.shades.hi)
		d.label(x+76, y, "start", "dim", text)
		x += 76 + width(text, fontSize) + 16
	} else {
		entry("n3", "honest")
	}
	adversaries, offline := 0, 0
	for _, r := range d.p.Roles {
		switch r {
		case Adversary:
			adversaries++
		case Offline:
			offline++
		}
	}
	if adversaries > 0 {
		entry("adversary", plural(uint64(adversaries), "adversary", "adversaries"))
	}
	if offline > 0 {
		entry("offline", count(uint64(offline))+" offline")
	}
	d.height = y + 10
}
