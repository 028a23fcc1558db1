package adversary

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A kind is a name that Parse knows: its settings in the order of positional values, and how to make the attack of a
// member.
type kind struct {
	name     string
	sees     func(a []float64) bool // whether it uses the view
	settings []setting
	make     func(m *member, a []float64) (Attack, error)
}

// A setting is a number within bounds, or one of some words, which stands for its place among them. A default of NaN is
// written auto.
type setting struct {
	key       string
	whole     bool
	low, high float64
	value     float64
	words     []string
}

// A group is what the attackers of one specification have in common.
type group struct {
	name string
	size int
	axis *axis // of a learning mimic
}

// A member is what every attack knows of itself.
type member struct {
	Honest
	group *group
	node  int
	seed  uint64
	run   *Roster
}

// Name returns the kind with its settings.
func (m *member) Name() string { return m.group.name }

// text writes the kind with all settings.
func (k *kind) text(a []float64) string {
	var parts []string
	for i, s := range k.settings {
		parts = append(parts, s.key+"="+s.format(a[i]))
	}
	if len(parts) == 0 {
		return k.name
	}
	return k.name + ":" + strings.Join(parts, ",")
}

func (s *setting) format(v float64) string {
	switch {
	case s.words != nil:
		return s.words[int(v)]
	case math.IsNaN(v):
		return "auto"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Names lists the kinds that [Parse] knows, with their settings and defaults, ascending.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		values := make([]float64, len(k.settings))
		for i, s := range k.settings {
			values[i] = s.value
		}
		names = append(names, k.text(values))
	}
	return names
}

// NamesFor lists those of [Names] that fit a run whose nodes send records, or vectors, see [Roster.Fits].
func NamesFor(records bool) []string {
	var names []string
	for i, k := range kinds() {
		if k.ofRecords() == records || k.name == silent {
			names = append(names, Names()[i])
		}
	}
	return names
}

// silent is the kind that fits all runs.
const silent = "silence"

// The bounds of settings. Strengths may be absurd, for that is a test, but not so that float64 overflows.
const (
	maxStrength = 1e30
	maxDelay    = 1000 // rounds, and vectors remembered by an attacker
	maxLearn    = 1e6
	maxVersions = 1 << 20
)

// kinds are all there are, ascending by name.
func kinds() []kind {
	strength := func(key string, value float64) setting {
		return setting{key: key, low: 0, high: maxStrength, value: value}
	}
	whole := func(key string, low, high, value float64) setting {
		return setting{key: key, whole: true, low: low, high: high, value: value}
	}
	word := func(key string, words ...string) setting { return setting{key: key, words: words} }
	on := word("on", "update", "model")
	always := func([]float64) bool { return true }
	never := func([]float64) bool { return false }
	all := []kind{
		{"sign-flip", func(a []float64) bool { return a[0] == 1 }, []setting{word("of", "own", "mean"), on}, func(m *member, a []float64) (Attack, error) {
			return &signFlip{m, a[0] == 1, a[1] == 1}, nil
		}},
		{"scaling", never, []setting{strength("factor", 10), on}, func(m *member, a []float64) (Attack, error) {
			return &scaling{m, a[0], a[1] == 1}, nil
		}},
		{"scaled-flip", always, []setting{on}, func(m *member, a []float64) (Attack, error) { return &ipm{m, 0, a[0] == 1}, nil }},
		{"ipm", always, []setting{{key: "eps", low: 1e-9, high: maxStrength, value: 0.1}, on}, func(m *member, a []float64) (Attack, error) {
			return &ipm{m, a[0], a[1] == 1}, nil
		}},
		{"alie", always, []setting{{key: "z", low: -maxStrength, high: maxStrength, value: math.NaN()}}, func(m *member, a []float64) (Attack, error) {
			z := a[0]
			if math.IsNaN(z) {
				var err error
				if _, z, err = largestZ(m.run.Len(), m.group.size); err != nil {
					return nil, err
				}
			}
			return &alie{m, z}, nil
		}},
		{"gaussian", func(a []float64) bool { return int(a[1]) == aroundMean }, []setting{strength("sigma", 1), word("around", "base", "own", "mean"), on}, func(m *member, a []float64) (Attack, error) {
			return &gaussian{m, a[0], int(a[1]), a[2] == 1}, nil
		}},
		{"label-flip", never, nil, func(m *member, _ []float64) (Attack, error) { return &labelFlip{m}, nil }},
		{"mimic", always, []setting{whole("target", 0, maxNodes, 0), whole("learn", 0, maxLearn, 0)}, newMimic},
		{"stale", never, []setting{whole("delay", 1, maxDelay, 10)}, func(m *member, a []float64) (Attack, error) {
			return &stale{member: m, delay: uint64(a[0])}, nil
		}},
		{"free-rider", always, []setting{strength("multiplier", 0), {key: "power", low: 0, high: 10, value: 1}}, func(m *member, a []float64) (Attack, error) {
			return &freeRider{member: m, multiplier: a[0], power: a[1]}, nil
		}},
		{"equivocation", never, []setting{whole("versions", 0, maxVersions, 0), {key: "sigma", low: 1e-3, high: maxStrength, value: 1}, on}, func(m *member, a []float64) (Attack, error) {
			return &equivocation{member: m, versions: uint32(a[0]), sigma: a[1], literal: a[2] == 1}, nil
		}},
		{"dissensus", always, []setting{strength("eps", 1.5)}, func(m *member, a []float64) (Attack, error) { return &dissensus{m, a[0]}, nil }},
		{silent, never, []setting{{key: "towards", low: 1e-6, high: 1, value: 1}}, func(m *member, a []float64) (Attack, error) {
			return &silence{m, a[0]}, nil
		}},
		{"slope-max", never, nil, func(m *member, _ []float64) (Attack, error) { return &slopeMax{m}, nil }},
		{"slope-flip", never, []setting{strength("factor", 1)}, func(m *member, a []float64) (Attack, error) { return &slopeFlip{m, a[0]}, nil }},
		{"slope-replay", never, []setting{whole("delay", 1, maxDelay, 100)}, func(m *member, a []float64) (Attack, error) {
			return &slopeReplay{member: m, delay: int(a[0])}, nil
		}},
		{"record-fork", never, []setting{whole("after", 0, maxDelay, 4)}, func(m *member, a []float64) (Attack, error) {
			return &recordFork{member: m, after: int(a[0])}, nil
		}},
		{"nan", never, nil, func(m *member, _ []float64) (Attack, error) { return &constant{m, nan()}, nil }},
		{"infinity", never, nil, func(m *member, _ []float64) (Attack, error) { return &constant{m, infinity()}, nil }},
	}
	slices.SortFunc(all, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	return all
}

// ofRecords reports whether a kind is about the records of the method scalar; of the others, only silence has a meaning there.
func (k *kind) ofRecords() bool {
	return strings.HasPrefix(k.name, "slope-") || strings.HasPrefix(k.name, "record-")
}

// newMimic resolves target, which counts honest nodes, and gives the members of a group one axis.
func newMimic(m *member, a []float64) (Attack, error) {
	target, err := m.run.honest(int(a[0]))
	if err != nil {
		return nil, err
	}
	if a[1] > 0 && m.group.axis == nil {
		m.group.axis = &axis{seed: m.seed, rounds: uint64(a[1])}
	}
	return &mimic{m, target, m.group.axis}, nil
}
