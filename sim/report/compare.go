package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// CompareFile is the page that [WriteCompare] makes.
const CompareFile = "compare.html"

// comparePage is what compare.html shows.
type comparePage struct {
	frame
	Lead, Warnings       []string
	Plots                []section
	Runs                 table
	Targets, Differences *table
	Seeds                *table
	Against              *table
	AgainstNote          string
}

// Compare writes one page about several runs: curves over each other, what it took to reach targets, and what their settings
// have to do with it. Up to about a hundred runs stay legible.
//
// A baseline is settings, "reference.name=allreduce", of the runs with which the others are compared in bytes, time and
// perplexity, or accuracy. Each is compared with that run of them which has most of the other settings in common with it.
func Compare(w io.Writer, runs []Run, baseline ...string) error {
	page, _, err := compare(runs, baseline)
	if err != nil {
		return err
	}
	return render(w, "compare.html", page)
}

// comparePrefix is what the names of its figures begin with.
const comparePrefix = "compare-"

// WriteCompare puts the page and its figures as SVG into a directory, and removes the figures of a former comparison.
func WriteCompare(dir string, runs []Run, baseline ...string) error {
	page, figures, err := compare(runs, baseline)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range old {
		if strings.HasPrefix(e.Name(), comparePrefix) && strings.HasSuffix(e.Name(), ".svg") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, f := range figures {
		if err := WriteFile(filepath.Join(dir, comparePrefix+f.name+".svg"), []byte(f.alone())); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := render(&b, "compare.html", page); err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, CompareFile), b.Bytes())
}

// A comparison is what the parts of the page have in common.
type comparison struct {
	runs     []Run
	baseline []string
	d        differences
	levels   []float64 // thresholds of accuracy, ascending
	targets  [][]Target
	ranks    []float64 // of each run, 0 to 1: its place on the scale of colours
	ends     [2]string // what stands at the ends of that scale
}

// directRuns is how many curves get colours and labels of their own.
const directRuns = 8

func newComparison(runs []Run, baseline []string) *comparison {
	c := &comparison{runs: runs, baseline: baseline, d: compareSettings(runs)}
	c.levels = thresholds(runs)
	for i := range runs {
		var row []Target
		for _, l := range c.levels {
			row = append(row, target(&runs[i], l))
		}
		c.targets = append(c.targets, row)
	}
	c.rank()
	return c
}

func compare(runs []Run, baseline []string) (*comparePage, []*figure, error) {
	if len(runs) == 0 {
		return nil, nil, errors.New("compare: there are no runs")
	}
	c := newComparison(runs, baseline)
	f, err := newFrame("Comparison of "+plural(uint64(len(runs)), "run", "runs"), true)
	if err != nil {
		return nil, nil, err
	}
	page := &comparePage{frame: f, Lead: c.lead(), Runs: c.runTable(), Targets: c.targetTable(), Differences: c.differenceTable(), Seeds: c.seedTable(), Against: c.againstTable()}
	if all := strings.Join(baseline, ", "); page.Against != nil {
		page.AgainstNote = "Each run is compared with the one that has " + all + ", and most else in common with it. Samples are useful if others mixed them in; " +
			"the last column compares, for nodes that are equally fast in both runs, how many a node gets done in a second that it is online."
	} else if all != "" {
		page.Warnings = append(page.Warnings, "No run has "+all+", so there is no baseline to compare with.")
	}
	for i := range runs {
		for _, w := range warnings(runs[i]) {
			page.Warnings = append(page.Warnings, c.d.labels[i]+": "+w)
		}
	}
	const shown = 5
	if n := len(page.Warnings); n > shown {
		page.Warnings = append(page.Warnings[:shown], fmt.Sprintf("And %d more warnings of this kind; see the pages of the runs.", n-shown))
	}
	page.Plots = append(c.effects(), c.curves()...)
	var all []*figure
	for i := range page.Plots {
		for _, f := range page.Plots[i].drawn {
			all = append(all, f)
			page.Plots[i].Figures = append(page.Plots[i].Figures, f.html())
		}
	}
	return page, all, nil
}

// thresholds are those that the runs were asked for, or three that some of them reach.
func thresholds(runs []Run) []float64 {
	var out []float64
	top := math.Inf(-1)
	for i := range runs {
		for _, t := range runs[i].Result.Targets {
			if t.Accuracy.Finite() && !slices.Contains(out, float64(t.Accuracy)) {
				out = append(out, float64(t.Accuracy))
			}
		}
		for _, t := range runs[i].Series {
			if !runs[i].Result.ofText() && t.Accuracy.Mean.Finite() {
				top = math.Max(top, float64(t.Accuracy.Mean))
			}
		}
	}
	if len(out) == 0 && top > 0 {
		for _, share := range []float64{0.5, 0.8, 0.95} {
			if t := math.Floor(top*share*20) / 20; t > 0 && !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	slices.Sort(out)
	return out
}

// target is what the run says of a threshold, which may have seen more than the evaluations in its series.
func target(run *Run, level float64) Target {
	for _, t := range run.Result.Targets {
		if float64(t.Accuracy) == level {
			return t
		}
	}
	return run.Series.Reach(level)
}

// final is the mean accuracy at the end; of text, and without one, minus the loss, so that more is always better.
func final(r *Result) float64 {
	if !r.ofText() && r.Accuracy.Mean.Finite() {
		return float64(r.Accuracy.Mean)
	}
	if r.Loss.Mean.Finite() {
		return -float64(r.Loss.Mean)
	}
	return math.Inf(-1)
}

// rank places the runs on the scale of colours: by the setting that differs, if it is one with numbers, else by success.
func (c *comparison) rank() {
	order := make([]int, len(c.runs))
	for i := range order {
		order[i] = i
	}
	key := func(i int) float64 { return final(&c.runs[i].Result) }
	c.ends = [2]string{"worst run", "best run"}
	if len(c.d.axes) == 1 {
		if names, numbers := c.d.levels(c.d.axes[0]); numbers != nil {
			key = func(i int) float64 { return float64(slices.Index(names, c.d.value(i, c.d.axes[0]))) }
			c.ends = [2]string{fit(c.d.axes[0]+" "+names[0], 130), names[len(names)-1]}
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case key(i) < key(j):
			return -1
		case key(i) > key(j):
			return 1
		}
		return 0
	})
	c.ranks = make([]float64, len(order))
	for place, i := range order {
		c.ranks[i] = float64(place) / math.Max(1, float64(len(order)-1))
		if place > 0 && key(order[place-1]) == key(i) {
			c.ranks[i] = c.ranks[order[place-1]]
		}
	}
}

// lead names the winners in words.
func (c *comparison) lead() []string {
	best := -1
	for i := range c.runs {
		if v := final(&c.runs[i].Result); !math.IsInf(v, 0) && (best < 0 || v > final(&c.runs[best].Result)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	r := &c.runs[best].Result
	var out []string
	if allText(c.runs) {
		out = append(out, "The lowest perplexity at the end is "+digitsOr(r.Perplexity)+": "+c.d.labels[best]+".")
	} else if r.Accuracy.Mean.Finite() {
		out = append(out, "The highest mean accuracy at the end is "+fraction.format(float64(r.Accuracy.Mean))+": "+c.d.labels[best]+".")
	} else {
		out = append(out, "The lowest mean loss at the end is "+plain.format(float64(r.Loss.Mean))+": "+c.d.labels[best]+".")
	}
	k := c.telling()
	if k < 0 {
		return out
	}
	first := func(of func(t Target) Real) string {
		w, alike := -1, 0
		for i := range c.runs {
			t := c.targets[i][k]
			switch {
			case !t.Reached || !of(t).Finite():
			case w < 0 || of(t) < of(c.targets[w][k]):
				w, alike = i, 1
			case of(t) == of(c.targets[w][k]):
				alike++
			}
		}
		switch {
		case w < 0:
			return "none"
		case alike > 1:
			return fmt.Sprintf("%d runs alike", alike)
		}
		return c.d.labels[w]
	}
	return append(out, fmt.Sprintf("%d of %d runs reach %s. Fewest rounds: %s. Least virtual time: %s. Fewest bytes: %s.",
		c.reached(k), len(c.runs), digits(c.levels[k]), first(rounds), first(moments), first(traffic)))
}

func rounds(t Target) Real  { return t.Rounds }
func moments(t Target) Real { return t.Seconds }
func traffic(t Target) Real { return t.BytesPerNode }

func (c *comparison) reached(k int) (n int) {
	for i := range c.runs {
		if c.targets[i][k].Reached {
			n++
		}
	}
	return n
}

// telling is the highest threshold that at least half of the runs reach, else the lowest that one reaches; -1 for none.
func (c *comparison) telling() int {
	for k := len(c.levels) - 1; k >= 0; k-- {
		if 2*c.reached(k) >= len(c.runs) {
			return k
		}
	}
	for k := range c.levels {
		if c.reached(k) > 0 {
			return k
		}
	}
	return -1
}

// mark is the colour of a run before its name.
func (c *comparison) mark(i int) cell {
	if len(c.runs) <= directRuns {
		return cell{Text: c.d.labels[i], Chip: "c" + strconv.Itoa(i)}
	}
	return cell{Text: c.d.labels[i], Color: shade(c.ranks[i])}
}
