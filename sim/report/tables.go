package report

import (
	"fmt"
	"math"
	"strconv"
)

// runRow begins a row that belongs to a run.
func (c *comparison) runRow(t *table, i int, fields ...string) {
	t.add("", append([]string{""}, fields...)...)
	r := &t.Rows[len(t.Rows)-1]
	r.Run, r.Cells[0] = i+1, c.mark(i)
}

func (c *comparison) runTable() table {
	if allText(c.runs) {
		return c.textTable()
	}
	t := table{Head: columns("run", "accuracy", "worst node", "std", "loss", "rounds", "virtual time", "received by a node", "copies",
		"consensus distance", "processor time", "nodes")}
	for i := range c.runs {
		r := &c.runs[i].Result
		received := Real(math.NaN())
		if n := len(c.runs[i].Series); n > 0 {
			received = c.runs[i].Series[n-1].ReceivedPerNode
		}
		c.runRow(&t, i, fraction.format(float64(r.Accuracy.Mean)), fraction.format(float64(r.Accuracy.Worst)), fraction.format(float64(r.Accuracy.Std)),
			digitsOr(r.Loss.Mean), digitsOr(r.Rounds), duration(float64(r.VirtualSeconds)), volume.format(float64(received)), digitsOr(r.DuplicateFactor),
			digitsOr(r.ConsensusDistance), duration(float64(r.CPUSeconds)), count(uint64(max(0, r.Nodes))))
	}
	return t
}

// textTable is the table of runs on text.
func (c *comparison) textTable() table {
	t := table{Head: columns("run", "perplexity", "loss", "loss of the worst node", "tokens", "sent by a node", "virtual time", "rounds",
		"useful samples/s of a node", "consensus distance", "processor time", "nodes")}
	for i := range c.runs {
		r := &c.runs[i].Result
		useful := missing
		if r.Work != nil {
			useful = digitsOr(r.Work.UsefulSamplesPerSecond)
		}
		c.runRow(&t, i, digitsOr(r.Perplexity), digitsOr(r.Loss.Mean), digitsOr(r.Loss.Worst), amount.format(float64(r.Tokens)),
			volume.format(float64(r.BytesSentPerNode)), duration(float64(r.VirtualSeconds)), digitsOr(r.Rounds), useful, digitsOr(r.ConsensusDistance),
			duration(float64(r.CPUSeconds)), count(uint64(max(0, r.Nodes))))
	}
	return t
}

func (c *comparison) targetTable() *table {
	if len(c.levels) == 0 {
		return nil
	}
	names := []string{"run"}
	for _, l := range c.levels {
		s := digits(l)
		names = append(names, s+": rounds", s+": time", s+": bytes of a node")
	}
	t := &table{Head: columns(names...)}
	for i := range c.runs {
		var fields []string
		for _, g := range c.targets[i] {
			if g.Reached {
				fields = append(fields, digitsOr(g.Rounds), duration(float64(g.Seconds)), volume.format(float64(g.BytesPerNode)))
			} else {
				fields = append(fields, "not reached", missing, missing)
			}
		}
		c.runRow(t, i, fields...)
	}
	return t
}

func (c *comparison) differenceTable() *table {
	if len(c.d.keys) == 0 {
		return nil
	}
	t := &table{Head: columns("run")}
	for _, k := range c.d.keys {
		t.Head = append(t.Head, column{Name: k, Text: true})
	}
	for i := range c.runs {
		var fields []string
		for _, v := range c.d.values[i] {
			fields = append(fields, clip(v, 60))
		}
		c.runRow(t, i, fields...)
	}
	return t
}

// seedTable sums runs up that differ in chance alone; nil if there are no two.
func (c *comparison) seedTable() *table {
	groups := c.d.groups(c.d.axes)
	if len(groups) == len(c.runs) {
		return nil
	}
	text := allText(c.runs)
	t := &table{Head: columns("settings", "runs", "accuracy", "worst node", "loss")}
	if text {
		t.Head = columns("settings", "runs", "perplexity", "loss of the worst node", "loss")
	}
	k := c.telling()
	if k >= 0 {
		s := digits(c.levels[k])
		t.Head = append(t.Head, columns("", s+": reached", s+": rounds", s+": time", s+": bytes of a node")[1:]...)
	}
	for _, g := range groups {
		over := func(kind quantity, of func(r *Result) Real) string {
			var v []float64
			for _, i := range g.runs {
				v = append(v, float64(of(&c.runs[i].Result)))
			}
			return meanAndDeviation(kind, v)
		}
		fields := []string{
			g.label, strconv.Itoa(len(g.runs)), over(fraction, func(r *Result) Real { return r.Accuracy.Mean }),
			over(fraction, func(r *Result) Real { return r.Accuracy.Worst }), over(plain, func(r *Result) Real { return r.Loss.Mean }),
		}
		if text {
			fields[2], fields[3] = over(plain, func(r *Result) Real { return r.Perplexity }), over(plain, func(r *Result) Real { return r.Loss.Worst })
		}
		if k >= 0 {
			fields = append(fields, c.groupTarget(g, k)...)
		}
		t.add("", fields...)
	}
	return t
}

// groupTarget is how many runs of a group reached a threshold, and what it took those.
func (c *comparison) groupTarget(g group, k int) []string {
	var v [3][]float64
	for _, i := range g.runs {
		if t := c.targets[i][k]; t.Reached {
			for j, x := range []Real{t.Rounds, t.Seconds, t.BytesPerNode} {
				v[j] = append(v[j], float64(x))
			}
		}
	}
	return []string{fmt.Sprintf("%d of %d", len(v[0]), len(g.runs)), meanAndDeviation(plain, v[0]), meanAndDeviation(seconds, v[1]), meanAndDeviation(volume, v[2])}
}

// meanAndDeviation writes the mean of values and how far they lie apart.
func meanAndDeviation(q quantity, v []float64) string {
	mean := average(v)
	if len(v) < 2 {
		return q.format(mean)
	}
	square := 0.0
	for _, x := range v {
		square += float64((x - mean) * (x - mean))
	}
	return q.format(mean) + " ± " + q.format(math.Sqrt(square/float64(len(v)-1)))
}

// average is NaN for no values.
func average(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
