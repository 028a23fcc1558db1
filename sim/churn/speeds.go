package churn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// Speeds is how long computing takes on each node, as a factor of its duration on a node of normal speed: 2 is twice as
// long. It is safe for concurrent use.
type Speeds struct {
	factor []float64 // of each node; nil: all have the factor same
	same   float64
	steps  [][]step // of a trace: what the factor is from when on
}

type step struct {
	from   node.Instant
	factor float64
	line   int // of the file
}

// Factors that can be written or drawn.
const minFactor, maxFactor = 1e-6, 1e6

// ParseSpeeds makes the speeds of n nodes:
//
//	constant                 every node is like the one that durations are given for; constant:2 takes twice as long
//	constant:1,1,2,4         factors of the nodes in turn, again from the first when the list ends; 1*7 stands for seven times 1
//	lognormal:sigma=0.5      factors drawn for each node, with median 1
//	uniform:low=1,high=4     factors drawn for each node
//	trace:FILE               lines node,factor, or node,start,factor with the second from which on it holds (before the first
//	                         one, the first holds). A run with more nodes than the file uses them again, in turn
func ParseSpeeds(text string, n int, seed uint64) (*Speeds, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("speeds: %d nodes; there must be from 1 to %d", n, maxNodes)
	}
	sp := spec.Parse("speeds", text)
	s := &Speeds{same: 1}
	key := chance.Key(seed, chance.Speed)
	draw := func(factor func(w uint64) float64) {
		s.factor = make([]float64, n)
		for i := range s.factor {
			s.factor[i] = min(max(factor(chance.Of(key, i)), minFactor), maxFactor)
		}
	}
	switch sp.Name {
	case "constant":
		if _, list, _ := strings.Cut(text, ":"); strings.ContainsAny(list, ",*") {
			var err error
			if s.factor, err = listed(sp.Rest(), n); err != nil {
				sp.Fail("%w", err)
			}
			break
		}
		s.same = sp.Number("factor", 1, minFactor, maxFactor)
	case "lognormal":
		sigma := sp.Number("sigma", 0.5, 0, 5)
		draw(func(w uint64) float64 { return chance.LogNormal(w, sigma) })
	case "uniform":
		low := sp.Number("low", 1, minFactor, maxFactor)
		high := sp.Number("high", math.NaN(), minFactor, maxFactor)
		if low > high {
			sp.Fail("low is above high")
		}
		draw(func(w uint64) float64 { return low + float64((high-low)*chance.Unit(w)) })
	case "trace":
		file := sp.Rest()
		if file == "" {
			sp.Fail("a file is missing: trace:FILE")
			break
		}
		if err := s.trace(file); err != nil {
			return nil, fmt.Errorf("speeds: %w", err)
		}
	default:
		return nil, sp.Unknown("constant:F", "lognormal:sigma=S", "uniform:low=F,high=F", "trace:FILE")
	}
	return s, sp.Done()
}

// listed returns the factors of n nodes that a list gives in turn.
func listed(list string, n int) ([]float64, error) {
	var all []float64
	for _, field := range strings.Split(list, ",") {
		text, times, many := strings.Cut(strings.TrimSpace(field), "*")
		factor, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(factor >= minFactor && factor <= maxFactor) {
			return nil, fmt.Errorf("wants factors from %g to %g, such as constant:1,1,2,4, not %s", minFactor, maxFactor, spec.Brief(field))
		}
		count := uint64(1)
		if many {
			if count, err = strconv.ParseUint(strings.TrimSpace(times), 10, 32); err != nil || count < 1 || count > maxNodes {
				return nil, fmt.Errorf("wants a factor and how many nodes have it, such as 1*7, not %s", spec.Brief(field))
			}
		}
		for ; count > 0 && len(all) < n; count-- {
			all = append(all, factor)
		}
	}
	for i := 0; len(all) < n; i++ {
		all = append(all, all[i])
	}
	return all, nil
}

func (s *Speeds) trace(file string) error {
	err := spec.ReadTable(file, func(r *spec.Row) error {
		if r.Header("node") {
			return nil
		}
		if r.Len() != 2 && r.Len() != 3 {
			return r.Errorf(r.Len(), "%d fields; there must be 2 or 3: node, factor or node, start, factor", r.Len())
		}
		n, err := r.Whole(0, "the node", maxNodes-1)
		if err != nil {
			return err
		}
		st := step{line: r.Line()}
		if r.Len() == 3 {
			from, err := r.Number(1, "the start", 0, maxSeconds)
			if err != nil {
				return err
			}
			st.from = seconds(from)
		}
		if st.factor, err = r.Number(r.Len()-1, "the factor", minFactor, maxFactor); err != nil {
			return err
		}
		for n >= len(s.steps) {
			s.steps = append(s.steps, nil)
		}
		s.steps[n] = append(s.steps[n], st)
		return nil
	})
	if err == nil && len(s.steps) == 0 {
		err = fmt.Errorf("%s: there are no factors", file)
	}
	if err != nil {
		return err
	}
	for n, steps := range s.steps {
		if len(steps) == 0 {
			return fmt.Errorf("%s: node %d has no line", file, n)
		}
		slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.from, b.from), a.line-b.line) })
		for i := range steps[1:] {
			if steps[i].from == steps[i+1].from {
				return fmt.Errorf("%s:%d: node %d has a factor from the same time on in line %d", file, steps[i+1].line, n, steps[i].line)
			}
		}
	}
	return nil
}

// Factor returns the factor of a node at a time.
func (s *Speeds) Factor(n int, now node.Instant) float64 {
	switch {
	case s.steps != nil:
		steps := s.steps[n%len(s.steps)]
		return steps[place(steps, now)].factor
	case s.factor != nil:
		return s.factor[n]
	}
	return s.same
}

// place returns the step that holds at a time.
func place(steps []step, now node.Instant) int {
	at, found := slices.BinarySearchFunc(steps, now, func(s step, t node.Instant) int { return cmp.Compare(s.from, t) })
	if found {
		return at
	}
	return max(at-1, 0)
}

// Duration returns how long a job takes on a node that starts it now, if it takes normal on a node of normal speed. When the
// factor changes in the middle, what is left goes on at the new one.
func (s *Speeds) Duration(n int, now, normal node.Instant) node.Instant {
	if s.steps == nil {
		return node.Instant(chance.Nanoseconds(float64(normal) * s.Factor(n, now)))
	}
	steps := s.steps[n%len(s.steps)]
	left, at := float64(normal), now
	for i := place(steps, now); ; i++ {
		takes := float64(left * steps[i].factor)
		if i+1 == len(steps) || float64(at)+takes <= float64(steps[i+1].from) {
			return at - now + node.Instant(chance.Nanoseconds(takes))
		}
		left -= float64(steps[i+1].from-at) / steps[i].factor
		at = steps[i+1].from
	}
}
