package outer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// How nodes come together: the names of [Settings.Variant].
const (
	// DiLoCo sums up the pseudo-gradients of all in rounds.
	DiLoCo = "diloco"
	// DelayedNesterov takes every pseudo-gradient as it comes and waits for nobody.
	DelayedNesterov = "delayed-nesterov"
	// NaiveNesterovPushes is like DelayedNesterov with momentum on every push: what that one is better than.
	NaiveNesterovPushes = "naive-nesterov"
	// NoLoCoGroups has small groups that change from round to round agree.
	NoLoCoGroups = "noloco"
)

// Variants lists the names that [Parse] knows.
func Variants() []string {
	return []string{DiLoCo, DelayedNesterov, NaiveNesterovPushes, NoLoCoGroups}
}

// Settings are those of training with an outer optimizer, as a run names them. [Parse] makes them.
type Settings struct {
	Variant string

	// LR and Momentum are those of the outer optimizer; of NoLoCo they are beta and alpha.
	LR, Momentum float64
	HeavyBall    bool // the other shape of [Optimizer]

	// Fragments is the number of parts of the model that are exchanged one after the other, each once in the local steps of a round
	// and applied Overlap local steps after it was sent; Keep is the part of a node's own fragment that stays then. Shards is in how
	// many parts a fragment is summed up, by as many nodes. (DiLoCo; see [Streaming].)
	Fragments, Overlap, Shards int
	Keep                       float64

	// Window is the number of pushes that momentum enters with, 0 for as many as there are nodes; Spread is [Delayed.C]; Polynomial
	// weighs by staleness.
	Window     int
	Spread     float64
	Polynomial bool

	// Dynamic has slower nodes take fewer local steps, at least Least; see [Steps].
	Dynamic bool
	Least   int

	// Consensus is gamma, in groups of Group for NoLoCo; with pushes a node agrees with one other after Every windows.
	Consensus    float64
	Every, Group int
}

// The largest values that [Parse] accepts.
const (
	maxShards  = 64 // keeps the pieces of a message, and the messages of a round, few
	maxWindow  = 4096
	maxGroup   = 64
	maxLocal   = 1_000_000
	maxWindows = 1_000_000
)

// Parse makes settings from their text: the name of a variant, and after a colon what differs from its defaults.
//
//	diloco:lr=0.7,momentum=0.9,heavy-ball,fragments=4,overlap=5,keep=0.5,shards=8,dylu,min=5
//	delayed-nesterov:lr=0.7,momentum=0.5,window=8,spread=0.1,staleness=polynomial,dylu,min=5,consensus=0.5,every=10
//	naive-nesterov:lr=0.7,momentum=0.9,window=8,dylu,min=5
//	noloco:alpha=0.5,beta=0.7,gamma=0.7,group=2,dylu,min=5
//
// The numbers are the defaults, but for fragments (1), overlap (0), keep (0), window (0: the number of nodes), spread (0) and
// staleness (constant); flags are off. Settings that are known to be unstable are refused, with the reason.
func Parse(text string) (Settings, error) {
	name, rest, _ := strings.Cut(text, ":")
	s := Settings{Variant: name, LR: 0.7, Momentum: 0.9, Fragments: 1, Shards: 8, Least: 5, Every: 10, Group: 2}
	switch name {
	case DelayedNesterov:
		s.Momentum, s.Consensus = 0.5, 0.5 // 0.9 asks for nodes that keep step: it bears little staleness
	case NoLoCoGroups:
		s.Momentum, s.Consensus = 0.5, 0.7
	}
	keys := s.keys()
	if at := strings.IndexAny(name, ",= "); at > 0 && slices.Contains(Variants(), name[:at]) {
		return Settings{}, fmt.Errorf("outer optimizer %q: settings come after a colon, such as %s:dylu,min=5", spelling.Brief(text), name[:at])
	}
	if keys == nil {
		return Settings{}, fmt.Errorf("outer optimizer %q is not known: there are %s%s", spelling.Brief(name), strings.Join(Variants(), ", "), spelling.Hint(name, Variants()))
	}
	seen := map[string]bool{}
	for _, part := range strings.Split(rest, ",") {
		if rest == "" {
			break
		}
		key, value, has := strings.Cut(part, "=")
		switch {
		case !slices.Contains(keys, key):
			return Settings{}, fmt.Errorf("outer optimizer %s: setting %q is not known: there are %s%s", name, spelling.Brief(key), strings.Join(keys, ", "), spelling.Hint(key, keys))
		case seen[key]:
			return Settings{}, fmt.Errorf("outer optimizer %s: %s is set twice", name, key)
		}
		seen[key] = true
		if err := s.set(key, value, has); err != nil {
			return Settings{}, fmt.Errorf("outer optimizer %s: %w", name, err)
		}
	}
	if err := s.Stable(); err != nil {
		return Settings{}, fmt.Errorf("outer optimizer %s: %w", name, err)
	}
	return s, nil
}

// keys lists the settings of the variant, nil if it is not known.
func (s *Settings) keys() []string {
	switch s.Variant {
	case DiLoCo:
		return []string{"lr", "momentum", "heavy-ball", "fragments", "overlap", "keep", "shards", "dylu", "min"}
	case DelayedNesterov:
		return []string{"lr", "momentum", "window", "spread", "staleness", "dylu", "min", "consensus", "every"}
	case NaiveNesterovPushes:
		return []string{"lr", "momentum", "window", "dylu", "min"}
	case NoLoCoGroups:
		return []string{"alpha", "beta", "gamma", "group", "dylu", "min"}
	}
	return nil
}

func (s *Settings) set(key, value string, has bool) error {
	flag := func(to *bool) error {
		*to = true
		if has {
			return fmt.Errorf("%s=%s: it is a flag, write %s alone", key, spelling.Brief(value), key)
		}
		return nil
	}
	whole := func(to *int, least, most int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%s=%s: want a whole number from %d to %d", key, spelling.Brief(value), least, most)
		}
		*to = n
		return nil
	}
	number := func(to *float64, most float64) error {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= 0 && x <= most) {
			return fmt.Errorf("%s=%s: want a number from 0 to %g", key, spelling.Brief(value), most)
		}
		*to = x
		return nil
	}
	switch key {
	case "lr", "beta":
		return number(&s.LR, 100)
	case "momentum", "alpha":
		return number(&s.Momentum, 1)
	case "heavy-ball":
		return flag(&s.HeavyBall)
	case "fragments":
		return whole(&s.Fragments, 1, maxLocal)
	case "overlap":
		return whole(&s.Overlap, 0, maxLocal)
	case "keep":
		return number(&s.Keep, 1)
	case "shards":
		return whole(&s.Shards, 1, maxShards)
	case "window":
		return whole(&s.Window, 0, maxWindow)
	case "spread":
		return number(&s.Spread, 1)
	case "staleness":
		s.Polynomial = value == "polynomial"
		if value != "polynomial" && value != "constant" {
			return fmt.Errorf("staleness=%s: want constant or polynomial", spelling.Brief(value))
		}
	case "dylu":
		return flag(&s.Dynamic)
	case "min":
		return whole(&s.Least, 1, maxLocal)
	case "consensus", "gamma":
		return number(&s.Consensus, 10)
	case "every":
		return whole(&s.Every, 1, maxWindows)
	case "group":
		return whole(&s.Group, 2, maxGroup)
	}
	return nil
}

// Stable refuses what cannot train, whatever the number of local steps.
func (s *Settings) Stable() error {
	switch s.Variant {
	case DiLoCo:
		if s.Dynamic && (s.Fragments > 1 || s.Overlap > 0) {
			return fmt.Errorf("dylu has nodes take different numbers of local steps, which a schedule of fragments does not bear: leave out dylu, or fragments and overlap")
		}
		return s.Optimizer().Stable()
	case DelayedNesterov:
		if s.Spread != 0 && s.Window == 0 {
			return fmt.Errorf("spread=%g is a part for each push of a window, and the window follows the number of nodes: give window, too", s.Spread)
		}
		if most := margin * GammaMax(0, 2); s.Consensus >= most {
			return fmt.Errorf("consensus=%g: two nodes that draw towards each other pass, and from %g on they drift apart: want less than %g", s.Consensus, GammaMax(0, 2), most)
		}
		return s.Delayed(max(1, s.Window)).Stable()
	case NaiveNesterovPushes:
		return NaiveNesterov{LR: s.LR, Mu: s.Momentum, N: max(1, s.Window)}.Stable()
	case NoLoCoGroups:
		return s.NoLoCo().Stable(s.Group)
	}
	return fmt.Errorf("the variant is %q: want one of %s", spelling.Brief(s.Variant), strings.Join(Variants(), ", "))
}

// Fits refuses settings that do not go with so many local steps a round.
func (s *Settings) Fits(steps int) error {
	if s.Variant == DiLoCo {
		if err := s.Streaming(steps).Stable(); err != nil {
			return err
		}
	}
	if s.Dynamic && s.Least > steps {
		return fmt.Errorf("min=%d, and a round has %d local steps: want at most as many", s.Least, steps)
	}
	return nil
}

// Optimizer is that of synchronous rounds.
func (s *Settings) Optimizer() Optimizer {
	return Optimizer{LR: s.LR, Momentum: s.Momentum, HeavyBall: s.HeavyBall}
}

// Streaming is the schedule of fragments with so many local steps a round.
func (s *Settings) Streaming(steps int) Streaming {
	return Streaming{H: steps, P: s.Fragments, Delay: s.Overlap, Mix: s.Keep}
}

// Delayed is the optimizer of pushes with a window of n.
func (s *Settings) Delayed(n int) Delayed {
	return Delayed{LR: s.LR, Mu: s.Momentum, N: n, C: s.Spread}
}

// NoLoCo is the step of a group.
func (s *Settings) NoLoCo() NoLoCo {
	return NoLoCo{Alpha: s.Momentum, Beta: s.LR, Gamma: s.Consensus}
}
