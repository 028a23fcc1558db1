package report

import (
	"math"
	"strconv"
	"strings"
)

// A curve is one line of a plot. Points that are not finite leave a gap.
type curve struct {
	label  string
	tag    string // in place of a label for which there is no room beside the curve; may be empty
	class  string // of the stroke: "l0 dash"
	color  string // instead of a class
	x, y   []float64
	silent bool // neither in the legend nor labelled
	hints  []string
	run    int // for the script of a page with several runs, from 1
}

// A ribbon is the area between two curves.
type ribbon struct {
	label, class string
	x, lo, hi    []float64
}

// A dot is a single point.
type dot struct {
	x, y float64
	hint string
	run  int // as in a curve
}

// A plot is curves over one axis.
type plot struct {
	name, title        string
	xName, yName       string
	xKind, yKind       quantity
	log                bool // y
	curves             []curve
	ribbons            []ribbon
	dots               []dot
	zero               bool // the y axis begins at zero
	direct             bool // labels beside the ends of the curves instead of a legend
	width, height      float64
	left, right        float64
	top, bottom        float64
	xAxis, yAxis       *axis
	slanted            bool // the names below the x axis
	fig                *figure
	scaleFrom, scaleTo string // ends of the colour scale of many curves
}

// draw lays the plot out. The legend stands above the data, labels beside it: neither covers it.
func (p *plot) draw() *figure {
	if p.width == 0 {
		p.width, p.height = 440, 290
	}
	p.fig = &figure{name: p.name, title: p.title, width: p.width, height: p.height}
	xlo, xhi, ylo, yhi := p.extent()
	if p.xAxis == nil {
		p.xAxis = costAxis(p.xKind, xlo, xhi)
	}
	if p.yKind == whole || p.zero {
		ylo = math.Min(ylo, 0)
	}
	p.yAxis = newAxis(p.yKind, ylo, yhi, 5, p.log)
	p.fig.label(8, 18, "start", "head", fit(p.title, p.width-16))
	p.top = 30 + p.legend()
	p.bottom = p.height - 42
	p.slant()
	widest := 0.0
	for _, t := range p.yAxis.ticks {
		widest = math.Max(widest, width(t.label, fontSize))
	}
	p.left, p.right = widest+32, p.width-16
	if p.direct {
		room := 30.0
		for _, c := range p.curves {
			room = math.Max(room, width(c.label, fontSize)+14)
		}
		p.right = p.width - math.Min(room, 125) - 8
	}
	p.xAxis.from, p.xAxis.to, p.yAxis.from, p.yAxis.to = p.left, p.right, p.bottom, p.top
	if len(p.dots) > 0 && !p.xAxis.classes {
		p.xAxis.from, p.xAxis.to = p.left+10, p.right-10
	}
	p.frame()
	if math.IsNaN(ylo) {
		p.fig.label((p.left+p.right)/2, (p.top+p.bottom)/2, "middle", "dim", "no values")
		return p.fig
	}
	for _, r := range p.ribbons {
		p.area(r)
	}
	for i := len(p.curves) - 1; i >= 0; i-- { // the first, which matters most, on top
		p.curve(&p.curves[i])
	}
	for _, d := range p.dots {
		p.dot(d)
	}
	if p.direct {
		p.labels()
	}
	return p.fig
}

// slant makes room for the names of classes that would touch if they were written side by side.
func (p *plot) slant() {
	if p.xAxis == nil || !p.xAxis.classes {
		return
	}
	widest := 0.0
	for _, t := range p.xAxis.ticks {
		widest = math.Max(widest, width(t.label, fontSize))
	}
	if float64(len(p.xAxis.ticks))*(widest+8) > p.width-80 {
		p.slanted = true
		p.bottom -= slantHeight(widest) - 12
	}
}

// slantLimit is how long slanted text may be.
const slantLimit = 100

// slantHeight is how much room slanted text of a width takes.
func slantHeight(w float64) float64 { return 8 + float64(math.Min(w, slantLimit)*0.77) }

// extent is the range of all points that can be shown, NaN if there is none. The axis of costs covers the others as well: what
// is missing leaves an empty place.
func (p *plot) extent() (xlo, xhi, ylo, yhi float64) {
	xlo, ylo = math.Inf(1), math.Inf(1)
	xhi, yhi = math.Inf(-1), math.Inf(-1)
	add := func(x, y float64) {
		if !Real(x).Finite() {
			return
		}
		xlo, xhi = math.Min(xlo, x), math.Max(xhi, x)
		if Real(y).Finite() && (!p.log || y > 0) {
			ylo, yhi = math.Min(ylo, y), math.Max(yhi, y)
		}
	}
	for _, c := range p.curves {
		for i := range c.x {
			add(c.x[i], c.y[i])
		}
	}
	for _, d := range p.dots {
		add(d.x, d.y)
	}
	for _, r := range p.ribbons {
		for i := range r.x {
			add(r.x[i], r.lo[i])
			add(r.x[i], r.hi[i])
		}
	}
	if xlo > xhi {
		xlo, xhi = math.NaN(), math.NaN()
	}
	if ylo > yhi {
		ylo, yhi = math.NaN(), math.NaN()
	}
	return xlo, xhi, ylo, yhi
}

// frame draws grid, ticks and the names of the axes.
func (p *plot) frame() {
	f := p.fig
	if !p.xAxis.classes {
		p.xAxis.thin(12)
	}
	for _, t := range p.yAxis.ticks {
		y := p.yAxis.at(t.value)
		f.line("grid", p.left, y, p.right, y)
		f.label(p.left-6, y+4, "end", "dim", t.label)
	}
	for _, t := range p.xAxis.ticks {
		x := p.xAxis.at(t.value)
		f.line("axis", x, p.bottom, x, p.bottom+4)
		if p.slanted {
			f.slanted(x+4, p.bottom+12, t.label)
			continue
		}
		f.label(x, p.bottom+17, "middle", "dim", t.label)
	}
	f.line("axis", p.left, p.bottom, p.right, p.bottom)
	f.label((p.left+p.right)/2, p.height-8, "middle", "", axisName(p.xName, p.xAxis))
	f.open("g", "transform", "translate(14 "+number((p.top+p.bottom)/2)+") rotate(-90)")
	f.label(0, 0, "middle", "", axisName(p.yName, p.yAxis))
	f.close("g")
}

func axisName(name string, a *axis) string {
	if a.unit.name != "" {
		name += " (" + a.unit.name + ")"
	}
	if a.log {
		name += ", log scale"
	}
	return name
}

// legend writes the legend below the title and returns its height.
func (p *plot) legend() float64 {
	if p.direct {
		return 0
	}
	f := p.fig
	if p.scaleFrom != "" || p.scaleTo != "" {
		return p.colorScale()
	}
	x, y := 10.0, 38.0
	place := func(label string, mark func(x, y float64)) {
		w := width(label, fontSize) + 34
		if x > 10 && x+w > p.width {
			x, y = 10, y+17
		}
		mark(x, y)
		f.label(x+26, y, "start", "dim", label)
		x += w
	}
	n := 0
	for _, c := range p.curves {
		if !c.silent && c.label != "" {
			n++
			place(c.label, func(x, y float64) { f.line("curve "+c.class, x, y-4, x+20, y-4) })
		}
	}
	for _, r := range p.ribbons {
		if r.label != "" {
			n++
			place(r.label, func(x, y float64) { f.rect("area "+r.class, x, y-10, 20, 11) })
		}
	}
	if n == 0 {
		return 4
	}
	return y - 38 + 20
}

// colorScale is the legend of many curves.
func (p *plot) colorScale() float64 {
	f := p.fig
	x := 10.0
	f.label(x, 38, "start", "dim", p.scaleFrom)
	x += width(p.scaleFrom, fontSize) + 8
	f.colors(x, 28, shade)
	f.label(x+128, 38, "start", "dim", p.scaleTo)
	return 20
}

// area draws a ribbon, one piece for each stretch without a gap.
func (p *plot) area(r ribbon) {
	var d strings.Builder
	for from := 0; from < len(r.x); {
		to := from
		for to < len(r.x) && p.yAxis.shows(r.lo[to]) && p.yAxis.shows(r.hi[to]) && p.xAxis.shows(r.x[to]) {
			to++
		}
		if to-from > 1 {
			for i := from; i < to; i++ {
				step(&d, i == from, p.xAxis.at(r.x[i]), p.yAxis.at(r.hi[i]))
			}
			for i := to - 1; i >= from; i-- {
				step(&d, false, p.xAxis.at(r.x[i]), p.yAxis.at(r.lo[i]))
			}
			d.WriteByte('Z')
		}
		from = to + 1
	}
	if d.Len() > 0 {
		p.fig.void("path", "class", "area "+r.class, "d", d.String())
	}
}

func step(d *strings.Builder, first bool, x, y float64) {
	c := byte('L')
	if first {
		c = 'M'
	}
	d.WriteByte(c)
	d.WriteString(number(x) + " " + number(y))
}

// curve draws a line, and a point between two gaps as a dot.
func (p *plot) curve(c *curve) {
	var line, lone strings.Builder
	points := p.points(c)
	gap := func(i int) bool { return i < 0 || i >= len(points) || math.IsNaN(points[i][0]) }
	for i, at := range points {
		switch {
		case gap(i):
		case gap(i-1) && gap(i+1):
			step(&lone, true, at[0], at[1])
			lone.WriteString("h.01") // round ends make a dot of it
		default:
			step(&line, gap(i-1), at[0], at[1])
		}
	}
	p.stroke(c, "curve "+c.class, line.String())
	p.stroke(c, "curve lone "+c.class, lone.String())
	for i, h := range c.hints {
		if p.xAxis.shows(c.x[i]) && p.yAxis.shows(c.y[i]) {
			p.fig.open("circle", "class", "spot", "r", "3.5", "cx", number(p.xAxis.at(c.x[i])), "cy", number(p.yAxis.at(c.y[i])))
			p.fig.hint(h)
			p.fig.close("circle")
		}
	}
}

// stroke writes a path of a curve, if there is any.
func (p *plot) stroke(c *curve, class, path string) {
	if path == "" {
		return
	}
	style, run := "", ""
	if c.color != "" {
		style = "stroke:" + c.color
	}
	if c.run > 0 {
		run = strconv.Itoa(c.run)
	}
	p.fig.open("path", "class", class, "style", style, "data-run", run, "d", path)
	if c.label != "" && c.hints == nil {
		p.fig.hint(c.label)
	}
	p.fig.close("path")
}

func (p *plot) dot(d dot) {
	if !p.xAxis.shows(d.x) || !p.yAxis.shows(d.y) {
		return
	}
	p.fig.open("circle", "class", "dot f0", "r", "4", "cx", number(p.xAxis.at(d.x)), "cy", number(p.yAxis.at(d.y)), "data-run", strconv.Itoa(d.run))
	p.fig.hint(d.hint)
	p.fig.close("circle")
}

// points are the places of a curve, NaN for gaps. Of more points than the plot can show, each column keeps its first, last,
// lowest and highest.
func (p *plot) points(c *curve) [][2]float64 {
	nan := math.NaN()
	all := make([][2]float64, len(c.x))
	for i := range c.x {
		all[i] = [2]float64{nan, nan}
		if p.xAxis.shows(c.x[i]) && p.yAxis.shows(c.y[i]) {
			all[i] = [2]float64{p.xAxis.at(c.x[i]), p.yAxis.at(c.y[i])}
		}
	}
	const columns = 150
	if len(all) <= 4*columns {
		return all
	}
	var out [][2]float64
	for k := range columns {
		lo, hi := k*len(all)/columns, (k+1)*len(all)/columns
		low, high := lo, lo
		for i := lo; i < hi; i++ {
			if math.IsNaN(all[low][1]) || all[i][1] < all[low][1] {
				low = i
			}
			if math.IsNaN(all[high][1]) || all[i][1] > all[high][1] {
				high = i
			}
		}
		last := -1
		for _, i := range []int{lo, min(low, high), max(low, high), hi - 1} {
			if i != last {
				out = append(out, all[i])
			}
			last = i
		}
	}
	return out
}

// shade is a colour of a scale from blue over green to orange that reads on light and dark and to the colour-blind.
func shade(x float64) string {
	return blend([][3]float64{{0x2f, 0x6f, 0xc0}, {0x2a, 0x9d, 0x8f}, {0xb0, 0x98, 0x20}, {0xd9, 0x54, 0x1e}}, x)
}
