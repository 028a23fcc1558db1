package node

import (
	"errors"
	"fmt"
	"math"

	"starling/mixing/srrw"
)

// WalkConfig sets the method walk. All nodes of a run agree on everything above the line.
type WalkConfig struct {
	srrw.Config // the walk

	// Tokens is how many models walk; 0 is one for every 16 members that a node knows of, at least one and at most 64.
	Tokens uint32

	// Steps is the number of local steps of a visit; 0 is one pass over the node's data.
	Steps uint64

	// Carry has tokens take the optimizer's state along. Without it every node keeps its own.
	Carry bool

	// Apart has tokens that meet at a node go on as they are. Else they take the mean of their models, weighted by age, and tell each other
	// their visits.
	Apart bool

	// Budget is the most by which the norm of a model may change in a visit; 0 is any. A node does not take a token that is beyond.
	Budget float64

	// ---- what may differ from node to node ----

	// Weight is the node's share of the visits, in a unit that all share; 0 is 1. A slow node asks for less.
	Weight float64

	// Degree is how many neighbours a node looks for among the members that it is connected to; it has at most twice as many. 0 is 32.
	Degree int

	// BeatEvery is how often neighbours hear from each other; default 5 s. NewsEvery is how often all hear of a token, if there are no more
	// than eight, and less often in proportion if there are; default 5 s.
	BeatEvery, NewsEvery Instant

	// CreateAfter is how long a node listens for tokens before it creates those that it is home to; default 5 s.
	CreateAfter Instant

	// LostAfter is how long a token must not have been heard of before it is revived, or longer, if it takes long to hop: default 60 s.
	LostAfter Instant

	// ModelEvery is how old, since it was pulled, the model of a node may become to which no token comes, before it pulls a newer one;
	// default 10 min.
	ModelEvery Instant

	// SaveEvery and EvaluateEvery are in visits, as in [AverageConfig] in rounds. A token that comes is always saved first.
	SaveEvery     uint64
	EvaluateEvery uint64

	// Log is what was persisted: all Records whose keys begin with [WalkKey].
	Log []Record
}

// WalkKey begins the keys of the Records that say what the node has given away and taken. A driver reads them back into [WalkConfig.Log].
const WalkKey = "walk/"

const (
	// shadows is for how many more hops a node keeps a token that it has handed over: R of spec 02, section 2.9.
	shadows = 3
	// maxTokens is the most tokens of a run.
	maxTokens = srrw.MaxTokens
	// membersOfToken is for how many members there is a token by default (section 2.10), up to manyTokens.
	membersOfToken, manyTokens = 16, 64
)

func (w *WalkConfig) setDefaults() {
	set := func(at *Instant, to Instant) {
		if *at == 0 {
			*at = to
		}
	}
	set(&w.BeatEvery, 5*Second)
	set(&w.NewsEvery, 5*Second)
	set(&w.CreateAfter, 5*Second)
	set(&w.LostAfter, 60*Second)
	set(&w.ModelEvery, 600*Second)
	if w.Weight == 0 {
		w.Weight = 1
	}
	if w.Degree == 0 {
		w.Degree = maxDegree / 2
	}
}

func (w *WalkConfig) validate(run *Config) error {
	errs := []error{w.Config.Validate()}
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	weight := float64(float32(w.Weight))
	bad(w.Tokens > maxTokens, "%d tokens: must be at most %d", w.Tokens, maxTokens)
	bad(!(weight > 0) || math.IsInf(weight, 0), "a weight of %g: must be above 0", w.Weight)
	bad(w.Limit > maxHistory, "histories of %d peers: must be at most %d, or they do not fit into a message", w.Limit, maxHistory)
	bad(!(w.Budget >= 0) || math.IsInf(w.Budget, 0), "a budget of %g: must be positive, or 0 for none", w.Budget)
	bad(w.Degree < 1 || w.Degree > maxDegree/2, "degree is %d: must be 1 to %d", w.Degree, maxDegree/2)
	for _, t := range []Instant{w.BeatEvery, w.NewsEvery, w.CreateAfter, w.LostAfter, w.ModelEvery} {
		bad(t < 2, "a time of %d ns: must be positive", t)
	}
	bad(w.SaveEvery == 0, "save every 0 visits: must be at least 1")
	bad(run.Cells > 1, "%d cells: tokens have to come to all nodes; use one cell", run.Cells)
	bad(w.Carry && run.OptLen < 0, "an optimizer state of %d floats", run.OptLen)
	return errors.Join(errs...)
}

// maxHistory is the most peers of a history: with the counts that tokens share it has to fit into a direct message.
const maxHistory = 4096
