package adversary

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

const (
	maxNodes = 1 << 24
	maxSpec  = 1000 // characters
)

// A parsed is a specification that was read: who is one of nodes, count and share.
type parsed struct {
	spec   string
	kind   kind
	values []float64
	nodes  [][2]int // spans, both ends included
	count  int
	share  float64
}

// who are the settings that say which nodes, in the order of messages.
func who() []string { return []string{"share", "count", "nodes"} }

// brief quotes what was written, for an error message, and not more than fits on a line.
func brief(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

func parse(spec string, n int) (parsed, error) {
	if len(spec) > maxSpec {
		return parsed{}, fmt.Errorf("is longer than %d characters", maxSpec)
	}
	name, rest, colon := strings.Cut(strings.ToLower(strings.TrimSpace(spec)), ":")
	all := kinds()
	at := slices.IndexFunc(all, func(k kind) bool { return k.name == strings.TrimSpace(name) })
	if at < 0 {
		return parsed{}, unknownKind(name, all)
	}
	p := parsed{spec: spec, kind: all[at]}
	for _, s := range p.kind.settings {
		p.values = append(p.values, s.value)
	}
	if !colon {
		return p, errNobody
	}
	var given []string
	for i, field := range strings.Split(rest, ",") {
		key, value, named := strings.Cut(field, "=")
		if !named {
			if i >= len(p.kind.settings) {
				return p, fmt.Errorf("%s stands where no value is known; write it as key=value", brief(field))
			}
			key, value = p.kind.settings[i].key, field
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if slices.Contains(given, key) {
			return p, fmt.Errorf("%s is given twice", key)
		}
		given = append(given, key)
		if err := p.set(key, value, n); err != nil {
			return p, err
		}
	}
	switch chosen := p.chosen(); {
	case chosen == 0:
		return p, errNobody
	case chosen > 1:
		return p, errors.New("share, count and nodes exclude each other; give one of them")
	}
	return p, nil
}

var errNobody = errors.New("is for no node: say how many with share=0.1 or count=3, or which with nodes=3-7+12")

func (p *parsed) chosen() int {
	n := 0
	for _, given := range []bool{p.nodes != nil, p.count != 0, p.share != 0} {
		if given {
			n++
		}
	}
	return n
}

func unknownKind(name string, all []kind) error {
	var names []string
	for _, k := range all {
		names = append(names, k.name)
	}
	return fmt.Errorf("there is no kind %s; there are %s%s", brief(name), strings.Join(names, ", "), spelling.Hint(name, names))
}

// set reads one setting.
func (p *parsed) set(key, value string, n int) (err error) {
	switch key {
	case "share":
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !(v > 0 && v <= 1) {
			return fmt.Errorf("share wants a number above 0 and up to 1, not %s", brief(value))
		}
		p.share = v
		return nil
	case "count":
		v, err := strconv.ParseUint(value, 10, 31)
		if err != nil || v == 0 || v > uint64(n) {
			return fmt.Errorf("count wants a whole number from 1 to the %d nodes of the run, not %s", n, brief(value))
		}
		p.count = int(v)
		return nil
	case "nodes":
		p.nodes, err = spans(value, n)
		return err
	}
	i := slices.IndexFunc(p.kind.settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return p.unknownSetting(key)
	}
	p.values[i], err = p.kind.settings[i].read(value)
	return err
}

func (p *parsed) unknownSetting(key string) error {
	var keys []string
	for _, s := range p.kind.settings {
		keys = append(keys, s.key)
	}
	keys = append(keys, who()...)
	return fmt.Errorf("%s has no setting %s; it has %s%s", p.kind.name, brief(key), strings.Join(keys, ", "), spelling.Hint(key, keys))
}

func (s *setting) read(text string) (float64, error) {
	if s.words != nil {
		if i := slices.Index(s.words, text); i >= 0 {
			return float64(i), nil
		}
		return 0, fmt.Errorf("%s wants %s, not %s%s", s.key, strings.Join(s.words, " or "), brief(text), spelling.Hint(text, s.words))
	}
	if text == "auto" && math.IsNaN(s.value) {
		return s.value, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= s.low && v <= s.high) || s.whole && v != math.Trunc(v) {
		what := "a number"
		if s.whole {
			what = "a whole number"
		}
		return 0, fmt.Errorf("%s wants %s from %g to %g, not %s", s.key, what, s.low, s.high, brief(text))
	}
	return v, nil
}

// spans reads a list of nodes: numbers and ranges, with + between them.
func spans(text string, n int) ([][2]int, error) {
	var out [][2]int
	for _, part := range strings.Split(text, "+") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 31)
		to, err2 := strconv.ParseUint(last, 10, 31)
		switch {
		case err1 != nil || err2 != nil || from > to:
			return nil, fmt.Errorf("nodes wants numbers and ranges such as 3-7+12, not %s", brief(text))
		case to >= uint64(n):
			return nil, fmt.Errorf("node %d is not there: the run's %d nodes are numbered from 0 to %d", to, n, n-1)
		}
		out = append(out, [2]int{int(from), int(to)})
	}
	return out, nil
}
