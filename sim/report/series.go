package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Distribution is a Spread and three quantiles.
type Distribution struct {
	Spread
	P10, P50, P90 Real
}

// Accuracies summarises the accuracies of nodes: the highest is best. What is not finite counts as worst.
func Accuracies(values []float64) Distribution { return distribution(values, true) }

// Losses summarises the losses of nodes: the lowest is best. What is not finite counts as worst.
func Losses(values []float64) Distribution { return distribution(values, false) }

func distribution(values []float64, highIsBest bool) Distribution {
	if len(values) == 0 {
		nan := Real(math.NaN())
		return Distribution{Spread{nan, nan, nan, nan}, nan, nan, nan}
	}
	v := slices.Clone(values)
	for i, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			v[i] = math.Inf(1)
			if highIsBest {
				v[i] = math.Inf(-1)
			}
		}
	}
	slices.Sort(v)
	n := float64(len(v))
	var sum, square float64
	for _, x := range v {
		sum += x
	}
	mean := sum / n
	for _, x := range v {
		d := x - mean
		square += float64(d * d)
	}
	// The quantile of a handful of nodes is the value of one of them, so that it never lies between a node that
	// learned and one that diverged.
	at := func(q float64) Real { return Real(v[int(math.Round(q*(n-1)))]) }
	d := Distribution{Spread{Real(mean), Real(v[len(v)-1]), Real(v[0]), Real(math.Sqrt(square / n))}, at(0.1), at(0.5), at(0.9)}
	if highIsBest {
		d.Worst, d.Best = d.Best, d.Worst
	}
	return d
}

// A Tick is one evaluation: a row of series.csv. Counts and bytes are since the start of the run.
type Tick struct {
	Seconds           Real // virtual
	Rounds            Real // mean over the nodes
	Events            uint64
	SentPerNode       Real // bytes
	ReceivedPerNode   Real // bytes
	Accuracy          Distribution
	Loss              Distribution
	ConsensusDistance Real
	Online            int    // nodes
	Evaluated         int    // nodes
	Samples           uint64 // that honest nodes have trained on, all together
	Tokens            uint64 // of these samples, if they are text
}

// A Series is series.csv: the evaluations of a run in order of time.
type Series []Tick

// Columns are the names in the first line of series.csv.
func Columns() []string {
	names := []string{"virtual_seconds", "rounds", "events", "bytes_sent_per_node", "bytes_received_per_node"}
	for _, what := range []string{"accuracy_", "loss_"} {
		for _, s := range []string{"mean", "worst", "best", "std", "p10", "p50", "p90"} {
			names = append(names, what+s)
		}
	}
	return append(names, "consensus_distance", "nodes_online", "nodes_evaluated", "samples", "tokens")
}

// cells returns the fields of a row in the order of Columns: *Real, *uint64 or *int.
func (t *Tick) cells() []any {
	out := []any{&t.Seconds, &t.Rounds, &t.Events, &t.SentPerNode, &t.ReceivedPerNode}
	for _, d := range []*Distribution{&t.Accuracy, &t.Loss} {
		out = append(out, &d.Mean, &d.Worst, &d.Best, &d.Std, &d.P10, &d.P50, &d.P90)
	}
	return append(out, &t.ConsensusDistance, &t.Online, &t.Evaluated, &t.Samples, &t.Tokens)
}

// WriteTo writes series.csv.
func (s Series) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	b.WriteString(strings.Join(Columns(), ",") + "\n")
	for _, t := range s {
		for i, c := range t.cells() {
			if i > 0 {
				b.WriteByte(',')
			}
			switch c := c.(type) {
			case *Real:
				if c.Finite() {
					b.Write(strconv.AppendFloat(b.AvailableBuffer(), float64(*c), 'g', -1, 64))
				}
			case *uint64:
				b.Write(strconv.AppendUint(b.AvailableBuffer(), *c, 10))
			case *int:
				b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(*c), 10))
			}
		}
		b.WriteByte('\n')
	}
	return b.WriteTo(w)
}

// maxLine bounds a line of series.csv: 24 numbers of at most 24 characters, with room to spare.
const maxLine = 1 << 12

// ParseSeries reads series.csv. An error names the line and the column. Columns must be those of [Columns], numbers
// plain decimals, and time and counters must not go back.
func ParseSeries(r io.Reader) (Series, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	columns := Columns()
	if !lines.Scan() || strings.TrimSuffix(lines.Text(), "\r") != strings.Join(columns, ",") {
		return nil, fmt.Errorf("line 1: the columns are not %s", strings.Join(columns, ","))
	}
	var out Series
	for n := 2; lines.Scan(); n++ {
		t, err := parseTick(strings.TrimSuffix(lines.Text(), "\r"), columns)
		if err == nil && len(out) > 0 {
			err = t.follows(&out[len(out)-1])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, t)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", len(out)+2, err)
	}
	return out, nil
}

func parseTick(text string, columns []string) (t Tick, err error) {
	fields := strings.Split(text, ",")
	if len(fields) != len(columns) {
		return t, fmt.Errorf("%d values, must be %d", len(fields), len(columns))
	}
	for i, c := range t.cells() {
		switch c := c.(type) {
		case *Real:
			*c, err = parseReal(fields[i])
		case *uint64:
			*c, err = strconv.ParseUint(fields[i], 10, 64)
		case *int:
			var u uint64
			u, err = strconv.ParseUint(fields[i], 10, 31)
			*c = int(u)
		}
		if err != nil {
			return t, fmt.Errorf("%s is %q, must be a number", columns[i], fields[i])
		}
	}
	if !t.Seconds.Finite() {
		return t, fmt.Errorf("%s is missing", columns[0])
	}
	return t, nil
}

// parseReal reads a decimal number, or NaN from nothing. It refuses what strconv takes beyond that: nan, inf, hexadecimal.
func parseReal(s string) (Real, error) {
	if s == "" {
		return Real(math.NaN()), nil
	}
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, strconv.ErrSyntax
	}
	f, err := strconv.ParseFloat(s, 64)
	return Real(f), err
}

// follows tells why t cannot come after u.
func (t *Tick) follows(u *Tick) error {
	switch {
	case t.Seconds < u.Seconds:
		return fmt.Errorf("virtual_seconds goes back from %v to %v", u.Seconds, t.Seconds)
	case t.Events < u.Events:
		return fmt.Errorf("events goes back from %d to %d", u.Events, t.Events)
	}
	return nil
}

// Reach tells when the mean accuracy first was at or above a threshold.
func (s Series) Reach(accuracy float64) Target {
	for _, t := range s {
		if float64(t.Accuracy.Mean) >= accuracy {
			return Target{Real(accuracy), true, t.Seconds, t.Rounds, t.ReceivedPerNode}
		}
	}
	nan := Real(math.NaN())
	return Target{Real(accuracy), false, nan, nan, nan}
}
