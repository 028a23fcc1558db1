package churn

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

const maxSeconds = 3.2e8 // ten years

// trace is the sessions of nodes from a file, ascending and apart from each other.
type trace [][]session

type session struct {
	start, end node.Instant
	line       int // of the file
}

func seconds(s float64) node.Instant {
	return node.Instant(chance.Nanoseconds(s * float64(node.Second)))
}

func readTrace(file string) (trace, error) {
	var t trace
	err := spec.ReadTable(file, func(r *spec.Row) error {
		if r.Header("node") {
			return nil
		}
		if r.Len() != 3 {
			return r.Errorf(r.Len(), "%d fields; there must be 3: node, start, end", r.Len())
		}
		n, err := r.Whole(0, "the node", maxNodes-1)
		if err != nil {
			return err
		}
		start, err := r.Number(1, "the start", 0, maxSeconds)
		if err != nil {
			return err
		}
		end, err := r.Number(2, "the end", 0, maxSeconds)
		if err != nil {
			return err
		}
		s := session{seconds(start), seconds(end), r.Line()}
		if s.start >= s.end {
			return r.Errorf(2, "the end is not after the start")
		}
		for n >= len(t) {
			t = append(t, nil)
		}
		t[n] = append(t[n], s)
		return nil
	})
	if err == nil && len(t) == 0 {
		err = fmt.Errorf("%s: there are no sessions", file)
	}
	if err != nil {
		return nil, err
	}
	for n, all := range t {
		slices.SortFunc(all, func(a, b session) int { return cmp.Compare(a.start, b.start) })
		apart := all[:0]
		for _, s := range all {
			last := len(apart) - 1
			switch {
			case last < 0 || s.start > apart[last].end:
				apart = append(apart, s)
			case s.start == apart[last].end:
				apart[last].end = s.end
			default:
				return nil, fmt.Errorf("%s:%d: the session of node %d overlaps with that of line %d", file, s.line, n, apart[last].line)
			}
		}
		t[n] = apart
	}
	return t, nil
}

func (t trace) online(n int, _ rand.Source) bool {
	s := t[n%len(t)]
	return len(s) > 0 && s[0].start == 0
}

func (t trace) next(n int, now node.Instant, online, _ bool, _ rand.Source) (node.Instant, bool) {
	s := t[n%len(t)]
	at, _ := slices.BinarySearchFunc(s, now+1, func(s session, t node.Instant) int { return cmp.Compare(s.end, t) })
	if at == len(s) {
		return 0, false
	}
	if online {
		return s[at].end, true
	}
	return s[at].start, true
}
