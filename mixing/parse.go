package mixing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// weighers by the name they have in rules.
func weigher(name string) (Weigher, bool) {
	switch name {
	case "mean":
		return MeanWeights, true
	case "age":
		return AgeWeights, true
	case "metropolis":
		return MetropolisWeights, true
	}
	return nil, false
}

// RuleNames lists the rules that [ParseRule] knows.
func RuleNames() []string { return []string{"mean", "age", "metropolis", "variance-corrected"} }

// ParseRule makes a rule from its text: mean, age, metropolis, or variance-corrected with settings behind a colon, such as
// "variance-corrected:weights=age,policy=others,rmax=5,biases=true,guard=1e-12,compat_eps=1e-4".
func ParseRule(text string) (Rule, error) {
	name, settings, has := strings.Cut(text, ":")
	if w, ok := weigher(name); ok {
		if has {
			return nil, fmt.Errorf("mixing rule %q takes no settings", name)
		}
		return Linear(name, w), nil
	}
	if name != "variance-corrected" {
		return nil, fmt.Errorf("unknown mixing rule %q: there are %s%s", name, strings.Join(RuleNames(), ", "), spelling.Hint(name, RuleNames()))
	}
	c, w := DefaultCorrection(), Weigher(MeanWeights)
	if !has {
		return Corrected(text, w, c), nil
	}
	for _, setting := range strings.Split(settings, ",") {
		key, value, _ := strings.Cut(setting, "=")
		if err := c.set(key, value, &w); err != nil {
			return nil, fmt.Errorf("mixing rule %q: %w", text, err)
		}
	}
	return Corrected(text, w, c), nil
}

func (c *Correction) set(key, value string, w *Weigher) error {
	number := func(to *float64, least, most float64) error {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= least && x <= most) {
			return fmt.Errorf("%s=%s: want a number from %g to %g", key, value, least, most)
		}
		*to = x
		return nil
	}
	switch key {
	case "weights":
		found, ok := weigher(value)
		if !ok {
			return fmt.Errorf("weights=%s: want mean, age or metropolis", value)
		}
		*w = found
	case "policy":
		if !slices.Contains([]Policy{PolicyWeighted, PolicyOthers, PolicySelf}, Policy(value)) {
			return fmt.Errorf("policy=%s: want weighted, others or self", value)
		}
		c.Policy = Policy(value)
	case "rmax":
		return number(&c.RatioMax, 1, 1e6)
	case "guard":
		return number(&c.Guard, 0, 1)
	case "compat_eps":
		return number(&c.CompatEps, 0, 1)
	case "biases":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("biases=%s: want true or false", value)
		}
		c.Biases = b
	default:
		keys := []string{"weights", "policy", "rmax", "guard", "biases", "compat_eps"}
		return fmt.Errorf("unknown setting %q: there are %s%s", key, strings.Join(keys, ", "), spelling.Hint(key, keys))
	}
	return nil
}
