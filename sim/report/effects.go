package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// curves overlays the runs.
func (c *comparison) curves() []section {
	accuracy := section{Title: "Accuracy", Note: "The mean over the nodes of each run."}
	loss := section{Title: "Loss"}
	agree := section{Title: "Worst node and agreement"}
	known := false
	for i := range c.runs {
		known = known || c.runs[i].Series.any(func(t *Tick) Real { return t.Accuracy.Mean })
	}
	text := allText(c.runs)
	var wordy []section
	if text {
		s := section{Title: "Perplexity", Note: "The mean over the nodes of each run."}
		for _, x := range costs(true) {
			s.drawn = append(s.drawn, c.overlay("perplexity", "Perplexity", plain, x, func(t *Tick) Real { return perplexity(t.Loss.Mean) }))
		}
		s.drawn = append(s.drawn, c.frontier())
		wordy = append(wordy, s)
	}
	for _, x := range costs(text) {
		if known && !text {
			accuracy.drawn = append(accuracy.drawn, c.overlay("accuracy", "Accuracy", fraction, x, func(t *Tick) Real { return t.Accuracy.Mean }))
		}
		loss.drawn = append(loss.drawn, c.overlay("loss", "Loss", plain, x, func(t *Tick) Real { return t.Loss.Mean }))
	}
	if known && !text {
		agree.drawn = append(agree.drawn, c.overlay("worst", "Accuracy of the worst node", fraction, costs(text)[0], func(t *Tick) Real { return t.Accuracy.Worst }))
	}
	agree.drawn = append(agree.drawn, c.overlay("consensus", "Distance from consensus", plain, costs(text)[0], func(t *Tick) Real { return t.ConsensusDistance }))
	if !known || text {
		return append(wordy, loss, agree)
	}
	return []section{accuracy, loss, agree}
}

// overlay is one number of all runs against a cost.
func (c *comparison) overlay(name, title string, kind quantity, x abscissa, of func(t *Tick) Real) *figure {
	p := plot{
		name: name + "-" + x.name, title: title + " against " + x.title, xName: x.axis, yName: strings.ToLower(title), xKind: x.kind, yKind: kind,
		direct: len(c.runs) <= directRuns,
	}
	var all, way [][]float64
	var ends []float64
	for i := range c.runs {
		s := c.runs[i].Series
		k := curve{label: c.d.labels[i], tag: c.d.tags[i], x: s.values(x.of), y: s.values(of), run: i + 1}
		k.class, k.color, k.silent = c.stroke(i)
		p.curves = append(p.curves, k)
		all, way = append(all, k.y), append(way, k.x)
		if n := len(k.x); n > 0 {
			ends = append(ends, k.x[n-1])
		}
	}
	if !p.direct {
		p.scaleFrom, p.scaleTo = c.ends[0], c.ends[1]
	}
	p.log = kind == plain && wide(all...)
	if x.kind == volume {
		p.xAxis = wideAxis(volume, ends, way...)
	}
	return p.draw()
}

// stroke is how the curves of a run are drawn: with a colour and a label of their own if there are few runs.
func (c *comparison) stroke(i int) (class, color string, silent bool) {
	if len(c.runs) <= directRuns {
		return "l" + strconv.Itoa(i), "", false
	}
	return "many", shade(c.ranks[i]), true
}

// An outcome is what a run is judged by.
type outcome struct {
	name, title string
	kind        quantity
	lowIsBest   bool
	of          func(i int) float64
}

// outcomes are the accuracy or loss at the end, and the costs of the most telling threshold.
func (c *comparison) outcomes() []outcome {
	var out []outcome
	known := slices.ContainsFunc(c.runs, func(r Run) bool { return r.Result.Accuracy.Mean.Finite() })
	if allText(c.runs) {
		return []outcome{
			{"perplexity", "Perplexity at the end", plain, true, func(i int) float64 { return float64(c.runs[i].Result.Perplexity) }},
			{"sent", "Bytes sent by a node", volume, true, func(i int) float64 { return float64(c.runs[i].Result.BytesSentPerNode) }},
		}
	}
	if known {
		out = append(out, outcome{"accuracy", "Accuracy at the end", fraction, false, func(i int) float64 { return float64(c.runs[i].Result.Accuracy.Mean) }})
	} else {
		out = append(out, outcome{"loss", "Loss at the end", plain, true, func(i int) float64 { return float64(c.runs[i].Result.Loss.Mean) }})
	}
	k := c.telling()
	if k < 0 {
		return out
	}
	s := digits(c.levels[k])
	cost := func(of func(t Target) Real) func(i int) float64 {
		return func(i int) float64 { return float64(of(c.targets[i][k])) }
	}
	return append(out, outcome{"rounds-to", "Rounds to " + s, plain, true, cost(rounds)}, outcome{"time-to", "Virtual time to " + s, seconds, true, cost(moments)},
		outcome{"bytes-to", "Bytes of a node to " + s, volume, true, cost(traffic)})
}

// effectAxes is how many settings get plots of their own.
const effectAxes = 6

// effects shows what the settings have to do with the outcome: a heat map for two, else one plot for each setting.
func (c *comparison) effects() []section {
	axes := c.d.axes
	out := section{Title: "What the settings change"}
	if len(axes) == 0 || len(c.runs) < 3 || len(axes) > effectAxes {
		return nil
	}
	if len(axes) == 2 {
		out.Note = "Each field is the mean of the runs with these two values; lighter is better."
		for _, o := range c.outcomes() {
			out.drawn = append(out.drawn, c.heat(axes[0], axes[1], o))
		}
		return []section{out}
	}
	out.Note = "Each dot is a run; the line shows the mean of the runs with the same value."
	for k, key := range axes {
		for _, o := range c.outcomes() {
			if len(axes) > 1 && o.kind == seconds {
				continue // three plots make one row for each setting
			}
			out.drawn = append(out.drawn, c.effect(k, key, o))
		}
	}
	return []section{out}
}

func (c *comparison) heat(rowKey, columnKey string, o outcome) *figure {
	h := heat{name: "heat-" + o.name, title: o.title, rowName: rowKey, columnName: columnKey, kind: o.kind, lowIsBest: o.lowIsBest}
	h.rows, _ = c.d.levels(rowKey)
	h.columns, _ = c.d.levels(columnKey)
	for _, r := range h.rows {
		row := make([]float64, len(h.columns))
		for k, col := range h.columns {
			row[k] = c.meanOf(o, func(i int) bool { return c.d.value(i, rowKey) == r && c.d.value(i, columnKey) == col })
		}
		h.cells = append(h.cells, row)
	}
	return h.draw()
}

// meanOf is the mean outcome of some runs; of those that have one.
func (c *comparison) meanOf(o outcome, in func(i int) bool) float64 {
	var v []float64
	for i := range c.runs {
		if x := o.of(i); in(i) && Real(x).Finite() {
			v = append(v, x)
		}
	}
	return average(v)
}

// effect plots the outcome of all runs against the values of one setting.
func (c *comparison) effect(n int, key string, o outcome) *figure {
	names, numbers := c.d.levels(key)
	p := plot{name: "effect-" + o.name + "-" + strconv.Itoa(n+1), title: o.title + " by " + key, xName: key, yName: strings.ToLower(o.title), yKind: o.kind}
	p.zero = o.lowIsBest && o.name != "loss" && o.name != "perplexity"
	places := numbers
	if places == nil {
		for i := range names {
			places = append(places, float64(i))
		}
		p.xAxis = classAxis(names)
	} else {
		lo, hi := numbers[0], numbers[len(numbers)-1]
		p.xAxis = newAxis(plain, lo, hi, 6, lo > 0 && hi >= 20*lo)
	}
	mean := curve{class: "l0 thin"}
	for k, name := range names {
		y := c.meanOf(o, func(i int) bool { return c.d.value(i, key) == name })
		if p.xAxis.classes { // a stroke for each: there is nothing between names
			mean.x, mean.y = append(mean.x, places[k]-0.2, places[k]+0.2, places[k]), append(mean.y, y, y, math.NaN())
		} else {
			mean.x, mean.y = append(mean.x, places[k]), append(mean.y, y)
		}
		for i := range c.runs {
			if c.d.value(i, key) == name {
				p.dots = append(p.dots, dot{places[k], o.of(i), c.d.labels[i] + ": " + o.kind.format(o.of(i)), i + 1})
			}
		}
	}
	p.curves = []curve{mean}
	return p.draw()
}

// classAxis has one place for each name, with room at both ends.
func classAxis(names []string) *axis {
	a := &axis{lo: -0.5, hi: float64(len(names)) - 0.5, classes: true}
	for i, n := range names {
		a.ticks = append(a.ticks, tick{float64(i), fit(n, slantLimit)})
	}
	return a
}
