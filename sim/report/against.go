package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// baselineOf returns the run that run i is compared with: of those whose settings are as the baseline says, the one that has most
// of the other settings in common with it, the first of equals; -1 if there is none.
func (c *comparison) baselineOf(i int) int {
	best, most := -1, -1
	for k := range c.runs {
		if !c.fits(k) {
			continue
		}
		common := 0
		for at := range c.d.keys {
			if c.d.values[i][at] == c.d.values[k][at] {
				common++
			}
		}
		if k == i {
			return i
		}
		if common > most {
			best, most = k, common
		}
	}
	return best
}

// fits reports whether a run is one of the baseline.
func (c *comparison) fits(k int) bool {
	for _, want := range c.baseline {
		key, value, _ := strings.Cut(want, "=")
		if c.d.all[k][key] != strings.Trim(value, `"'`) {
			return false
		}
	}
	return len(c.baseline) > 0
}

// againstTable compares all runs with their baseline; nil without one.
func (c *comparison) againstTable() *table {
	if len(c.baseline) == 0 {
		return nil
	}
	text := allText(c.runs)
	judged := []string{"accuracy", "difference"}
	if text {
		judged = []string{"perplexity", "difference", "tokens"}
	}
	t := &table{Head: columns(append(append([]string{"run"}, judged...),
		"sent by a node", "bytes", "virtual time", "speed", "useful samples/s of a node", "of equally fast nodes")...)}
	found := false
	for i := range c.runs {
		k := c.baselineOf(i)
		if k < 0 {
			continue
		}
		found = true
		r, base := &c.runs[i].Result, &c.runs[k].Result
		fields := []string{fraction.format(float64(r.Accuracy.Mean)), points(r.Accuracy.Mean - base.Accuracy.Mean)}
		if text {
			fields = []string{digitsOr(r.Perplexity), percent(r.Perplexity/base.Perplexity - 1), amount.format(float64(r.Tokens))}
		}
		useful, ratio := missing, missing
		if r.Work != nil {
			useful, ratio = digitsOr(r.Work.UsefulSamplesPerSecond), share(usefulRatio(r.Work, base.Work))
		}
		fields = append(fields, volume.format(float64(r.BytesSentPerNode)), times(base.BytesSentPerNode/r.BytesSentPerNode, "fewer", "more"),
			duration(float64(r.VirtualSeconds)), times(base.VirtualSeconds/r.VirtualSeconds, "faster", "slower"), useful, ratio)
		if i == k {
			for _, at := range []int{1, len(judged) + 1, len(judged) + 3, len(judged) + 5} {
				fields[at] = "baseline"
			}
		}
		c.runRow(t, i, fields...)
	}
	if !found {
		return nil
	}
	return t
}

// usefulRatio compares the useful samples in a second of the nodes that are equally fast in both runs.
func usefulRatio(a, b *Work) Real {
	if a == nil || b == nil {
		return Real(math.NaN())
	}
	at := make(map[int]NodeWork)
	for _, n := range b.Nodes {
		at[n.Node] = n
	}
	var samples, online [2]Real
	for _, n := range a.Nodes {
		m, ok := at[n.Node]
		if !ok || m.Slowness != n.Slowness {
			continue
		}
		samples[0], online[0] = samples[0]+Real(n.UsefulSamples), online[0]+n.OnlineSeconds
		samples[1], online[1] = samples[1]+Real(m.UsefulSamples), online[1]+m.OnlineSeconds
	}
	return samples[0] / online[0] / (samples[1] / online[1])
}

// percent writes a difference: +1.25 %.
func percent(x Real) string {
	if !x.Finite() {
		return missing
	}
	return fmt.Sprintf("%+.2f %%", 100*float64(x))
}

// points writes a difference of accuracies.
func points(x Real) string {
	if !x.Finite() {
		return missing
	}
	return fmt.Sprintf("%+.2f points", 100*float64(x))
}

// share writes a ratio as a part of what it is compared with.
func share(x Real) string {
	if !x.Finite() {
		return missing
	}
	return fmt.Sprintf("%.1f %%", 100*float64(x))
}

// times writes a ratio in words: 100 × fewer.
func times(x Real, above, below string) string {
	switch {
	case !x.Finite() || x <= 0:
		return missing
	case math.Abs(float64(x)-1) < 0.005:
		return "equal"
	case x < 1:
		return significant(1/float64(x), 3) + " × " + below
	}
	return significant(float64(x), 3) + " × " + above
}

// WriteTable writes what came out of some runs as text, one line each, and a second table that compares them with a baseline if
// there is one; see [Compare].
func WriteTable(w io.Writer, runs []Run, baseline ...string) error {
	if len(runs) == 0 {
		return nil
	}
	c := newComparison(runs, baseline)
	b := plainText(c.runTable(), 8)
	if t := c.againstTable(); t != nil {
		b += "\ncompared with " + strings.Join(c.baseline, ", ") + "\n" + plainText(*t, len(t.Head))
	}
	_, err := io.WriteString(w, b)
	return err
}

// plainText lays the first columns of a table out for a terminal.
func plainText(t table, most int) string {
	n := min(most, len(t.Head))
	widths := make([]int, n)
	lines := [][]string{nil}
	for i := range n {
		lines[0] = append(lines[0], t.Head[i].Name)
	}
	for _, r := range t.Rows {
		var line []string
		for i := range n {
			line = append(line, r.Cells[i].Text)
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for i, text := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i > 0 {
				b.WriteString("  ")
				text = pad + text
			} else {
				text += pad
			}
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
