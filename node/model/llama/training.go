package llama

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// A Training says what of a model is trained; everything else stays as it was published.
type Training struct {
	// Rank is that of LoRA adapters (spec 10, 12.2): the weights W of a projection become W + s·B·A, with A of Rank rows and B of
	// Rank columns. 0 is no adapters.
	Rank int
	// Alpha sets the factor s = Alpha/Rank, or Alpha/√Rank if RankStabilized is set.
	Alpha          float64
	RankStabilized bool
	// Targets are the projections that get adapters, by what their names end with, such as q_proj or layers.3.mlp.up_proj. None
	// are all of them.
	Targets []string
	// ShareA keeps the B of every adapter with its node: only A is mixed (spec 08, 12).
	ShareA bool
	// Full are tensors that are trained whole: what their names end with, such as lm_head.weight or q_proj, which is its weights and
	// its bias if it has one, or norms for the gains and biases of all norms.
	Full []string
}

const maxRank = 1024

// ParseTraining reads a specification:
//
//	lora:r=8,alpha=16,targets=q_proj+v_proj,share=a
//	rslora:r=8
//	full:norms+lm_head.weight
//	lora:r=8;full:norms
//
// What is left out is r=8, alpha twice r, all projections, and both factors shared.
func ParseTraining(spec string) (Training, error) {
	var t Training
	for _, part := range strings.Split(spec, ";") {
		kind, rest, _ := strings.Cut(part, ":")
		var err error
		switch kind {
		case "lora", "rslora":
			if t.Rank != 0 {
				return t, fmt.Errorf("training %s has adapters twice", spelling.Quote(spec))
			}
			t.RankStabilized = kind == "rslora"
			err = t.parseLoRA(rest)
		case "full":
			if rest == "" {
				err = fmt.Errorf("full wants tensors, such as full:norms")
			}
			t.Full = append(t.Full, strings.Split(rest, "+")...)
		default:
			err = fmt.Errorf("%s is not known; use lora, rslora or full%s", spelling.Quote(kind), spelling.Hint(kind, []string{"lora", "rslora", "full"}))
		}
		if err != nil {
			return t, fmt.Errorf("training %s: %w", spelling.Quote(spec), err)
		}
	}
	return t, nil
}

func (t *Training) parseLoRA(settings string) error {
	t.Rank = 8
	for _, setting := range strings.Split(settings, ",") {
		name, value, _ := strings.Cut(setting, "=")
		switch name {
		case "":
			if settings != "" {
				return fmt.Errorf("a setting is empty")
			}
		case "r":
			r, err := strconv.ParseUint(value, 10, 16)
			if err != nil || r < 1 || r > maxRank {
				return fmt.Errorf("r is %s, want 1 to %d", spelling.Quote(value), maxRank)
			}
			t.Rank = int(r)
		case "alpha":
			a, err := strconv.ParseFloat(value, 64)
			if err != nil || !(a > 0 && a <= 1e6) {
				return fmt.Errorf("alpha is %s, want a positive number", spelling.Quote(value))
			}
			t.Alpha = a
		case "targets":
			t.Targets = strings.Split(value, "+")
		case "share":
			if value != "a" {
				return fmt.Errorf("share is %s, want a, or leave it out to share both factors", spelling.Quote(value))
			}
			t.ShareA = true
		default:
			return fmt.Errorf("%s is not known%s", spelling.Quote(name), spelling.Hint(name, []string{"r", "alpha", "targets", "share"}))
		}
	}
	if t.Alpha == 0 {
		t.Alpha = float64(2 * t.Rank)
	}
	return nil
}

// String returns the specification that [ParseTraining] reads.
func (t Training) String() string {
	var parts []string
	if t.Rank > 0 {
		kind := "lora"
		if t.RankStabilized {
			kind = "rslora"
		}
		s := fmt.Sprintf("%s:r=%d,alpha=%s", kind, t.Rank, strconv.FormatFloat(t.Alpha, 'g', -1, 64))
		if len(t.Targets) > 0 {
			s += ",targets=" + strings.Join(t.Targets, "+")
		}
		if t.ShareA {
			s += ",share=a"
		}
		parts = append(parts, s)
	}
	if len(t.Full) > 0 {
		parts = append(parts, "full:"+strings.Join(t.Full, "+"))
	}
	return strings.Join(parts, ";")
}

// Scale returns the factor of B·A.
func (t Training) Scale() float64 {
	switch {
	case t.Rank == 0:
		return 0
	case t.RankStabilized:
		return t.Alpha / math.Sqrt(float64(t.Rank))
	}
	return t.Alpha / float64(t.Rank)
}
