package report

import (
	"math"
	"slices"

	"starling/mixing/kernel"
)

// ofText reports whether the nodes have trained on text.
func (r *Result) ofText() bool { return r.Tokens > 0 }

// allText reports whether all of the runs are about text, so that perplexities are what they are judged by.
func allText(runs []Run) bool {
	return !slices.ContainsFunc(runs, func(r Run) bool { return !r.Result.ofText() })
}

// perplexity is e to the power of a loss.
func perplexity(loss Real) Real {
	if !loss.Finite() {
		return Real(math.NaN())
	}
	return Real(kernel.Exp(float64(loss)))
}

// perplexities are those of losses. The mean is that of the mean loss. A deviation has no such counterpart.
func (d Distribution) perplexities() Distribution {
	return Distribution{
		Spread{perplexity(d.Mean), perplexity(d.Worst), perplexity(d.Best), Real(math.NaN())}, perplexity(d.P10), perplexity(d.P50), perplexity(d.P90),
	}
}

// costs are what progress is shown against. Rounds of runs on text are of very different lengths; tokens are what they have in
// common.
func costs(text bool) []abscissa {
	all := abscissas()
	if !text {
		return all[1:]
	}
	return []abscissa{all[0], all[2], all[3]}
}

// frontier shows what each run got for its bytes.
func (c *comparison) frontier() *figure {
	p := plot{
		name: "frontier", title: "Perplexity at the end against bytes", xName: "sent by a node", yName: "perplexity", xKind: volume, yKind: plain,
		direct: len(c.runs) <= directRuns,
	}
	var sent, reached []float64
	for i := range c.runs {
		r := &c.runs[i].Result
		sent, reached = append(sent, float64(r.BytesSentPerNode)), append(reached, float64(r.Perplexity))
		k := curve{label: c.d.labels[i], tag: c.d.tags[i], x: sent[i:], y: reached[i:], run: i + 1}
		k.hints = []string{c.d.labels[i] + ": perplexity " + digitsOr(r.Perplexity) + ", " + volume.format(sent[i]) + " sent by a node"}
		k.class, k.color, k.silent = c.stroke(i)
		p.curves = append(p.curves, k)
	}
	if !p.direct {
		p.scaleFrom, p.scaleTo = c.ends[0], c.ends[1]
	}
	p.xAxis = wideAxis(volume, sent)
	p.log = wide(reached)
	return p.draw()
}

// wideAxis is a logarithmic axis of costs if some runs have spent so much more in the end than others that these could not be
// seen, else nil. It begins at the least of the costs on the way, but not so early that the ends had no room.
func wideAxis(q quantity, ends []float64, way ...[]float64) *axis {
	lo, hi := positive(ends)
	if !(hi > 20*lo) {
		return nil
	}
	least := lo / 100
	for _, values := range way {
		if v, _ := positive(values); v < lo {
			lo = math.Max(v, least)
		}
	}
	return newAxis(q, lo, hi, 6, true)
}

// positive returns the least and the largest of the values that are above 0.
func positive(values []float64) (lo, hi float64) {
	lo = math.Inf(1)
	for _, v := range values {
		if Real(v).Finite() && v > 0 {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	return lo, hi
}
