package report

import (
	"fmt"
	"math"
	"strings"
)

// The names of figures that are not a spread against a cost.
const (
	consensusFigure = "consensus-rounds"
	onlineFigure    = "online-time"
	topologyFigure  = "topology"
)

// figureFiles are the names of all figures that a run may have.
func figureFiles() []string {
	out := []string{consensusFigure + ".svg", onlineFigure + ".svg", topologyFigure + ".svg"}
	for _, x := range abscissas() {
		out = append(out, "perplexity-"+x.name+".svg", "accuracy-"+x.name+".svg", "loss-"+x.name+".svg")
	}
	return out
}

// figures draws all plots of a run and its topology, in the order of the page.
func figures(run Run) ([]*figure, error) {
	var out []*figure
	s := run.Series
	accuracy := func(t *Tick) *Distribution { return &t.Accuracy }
	loss := func(t *Tick) *Distribution { return &t.Loss }
	text := run.Result.ofText()
	if text && len(s) > 0 {
		perplexity := func(t *Tick) *Distribution { d := t.Loss.perplexities(); return &d }
		for _, x := range costs(true) {
			out = append(out, spreadPlot(s, "perplexity", plain, x, perplexity))
		}
	}
	if s.any(func(t *Tick) Real { return t.Accuracy.Best }) {
		for _, x := range costs(text) {
			out = append(out, spreadPlot(s, "accuracy", fraction, x, accuracy))
		}
	}
	if len(s) > 0 {
		for _, x := range costs(text) {
			out = append(out, spreadPlot(s, "loss", plain, x, loss))
		}
	}
	out = append(out, others(run)...)
	if run.Topology != nil {
		f, err := drawTopology(*run.Topology)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// sections puts the plots under their headings.
func sections(all []*figure) []section {
	out := []section{
		{Title: "Perplexity"},
		{Title: "Accuracy"},
		{Title: "Loss"},
		{Title: "Agreement and presence"},
	}
	for _, f := range all {
		k := 3
		switch {
		case strings.HasPrefix(f.name, "perplexity-"):
			k = 0
		case strings.HasPrefix(f.name, "accuracy-"):
			k = 1
		case strings.HasPrefix(f.name, "loss-"):
			k = 2
		case f.name == topologyFigure:
			continue
		}
		out[k].Figures = append(out[k].Figures, f.html())
	}
	var kept []section
	for _, s := range out {
		if len(s.Figures) > 0 {
			kept = append(kept, s)
		}
	}
	if len(kept) > 0 {
		kept[0].Note = "The line is the mean over the nodes that were evaluated; the band holds the middle 80 % of them."
	}
	return kept
}

// An abscissa is one of the costs that progress is shown against.
type abscissa struct {
	name, title, axis string
	kind              quantity
	of                func(t *Tick) Real
}

func abscissas() []abscissa {
	return []abscissa{
		{"tokens", "tokens", "tokens of all nodes", amount, func(t *Tick) Real { return Real(t.Tokens) }},
		{"rounds", "rounds", "rounds of a node, mean", plain, func(t *Tick) Real { return t.Rounds }},
		{"time", "virtual time", "virtual time", seconds, func(t *Tick) Real { return t.Seconds }},
		{"bytes", "bytes", "received by a node", volume, func(t *Tick) Real { return t.ReceivedPerNode }},
	}
}

// values takes one number of each tick.
func (s Series) values(of func(t *Tick) Real) []float64 {
	out := make([]float64, len(s))
	for i := range s {
		out[i] = float64(of(&s[i]))
	}
	return out
}

// any tells whether there is one finite number.
func (s Series) any(of func(t *Tick) Real) bool {
	for i := range s {
		if of(&s[i]).Finite() {
			return true
		}
	}
	return false
}

// spreadPlot is mean, worst, best and the band between the quantiles against a cost.
func spreadPlot(s Series, what string, kind quantity, x abscissa, of func(t *Tick) *Distribution) *figure {
	at := s.values(x.of)
	take := func(part func(d *Distribution) Real) []float64 {
		return s.values(func(t *Tick) Real { return part(of(t)) })
	}
	p := plot{
		name: what + "-" + x.name, title: strings.ToUpper(what[:1]) + what[1:] + " against " + x.title,
		xName: x.axis, yName: what, xKind: x.kind, yKind: kind,
	}
	lo, hi := take(func(d *Distribution) Real { return d.P10 }), take(func(d *Distribution) Real { return d.P90 })
	mean := take(func(d *Distribution) Real { return d.Mean })
	worst, best := take(func(d *Distribution) Real { return d.Worst }), take(func(d *Distribution) Real { return d.Best })
	p.ribbons = []ribbon{{"10 to 90 % of nodes", "f0", at, lo, hi}}
	p.curves = []curve{
		{label: "mean", class: "l0", x: at, y: mean, hints: hints(s, what, kind, of)},
		{label: "worst", class: "l1 thin dash", x: at, y: worst},
		{label: "best", class: "l2 thin dots", x: at, y: best},
	}
	p.log = kind == plain && wide(worst, best, mean)
	return p.draw()
}

// hintPoints bounds the points of a curve that say their values when pointed at.
const hintPoints = 120

// hints describe the ticks in words; every one of a short series, none of a long one.
func hints(s Series, what string, kind quantity, of func(t *Tick) *Distribution) []string {
	if len(s) > hintPoints {
		return nil
	}
	out := make([]string, len(s))
	for i := range s {
		t := &s[i]
		d := of(t)
		out[i] = fmt.Sprintf("%s %s (worst %s, best %s) at round %s, %s, %s", what, kind.format(float64(d.Mean)), kind.format(float64(d.Worst)),
			kind.format(float64(d.Best)), digitsOr(t.Rounds), duration(float64(t.Seconds)), volume.format(float64(t.ReceivedPerNode)))
	}
	return out
}

// wide tells whether values are positive and span so much that only a logarithmic axis shows them all.
func wide(all ...[]float64) bool {
	lo, hi := math.Inf(1), 0.0
	for _, values := range all {
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	return lo > 0 && hi > 30*lo
}

// others are the plots that not every run has.
func others(run Run) []*figure {
	var out []*figure
	s := run.Series
	rounds, at := s.values(func(t *Tick) Real { return t.Rounds }), s.values(func(t *Tick) Real { return t.Seconds })
	if s.any(func(t *Tick) Real { return t.ConsensusDistance }) {
		y := s.values(func(t *Tick) Real { return t.ConsensusDistance })
		p := plot{name: consensusFigure, title: "Distance from consensus", xName: "rounds of a node, mean", yName: "distance",
			log: wide(y), curves: []curve{{class: "l0", x: rounds, y: y}}}
		out = append(out, p.draw())
	}
	online := s.values(func(t *Tick) Real { return Real(t.Online) })
	if len(online) > 1 {
		p := plot{name: onlineFigure, title: "Nodes online", xName: "virtual time", yName: "nodes", xKind: seconds, yKind: whole,
			curves: []curve{{class: "l0", x: at, y: online}}}
		out = append(out, p.draw())
	}
	return out
}
