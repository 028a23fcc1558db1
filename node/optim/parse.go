package optim

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// Parse makes an optimizer from its specification: a name, and after a colon settings separated by commas.
//
//	sgd:lr=0.1,momentum=0.9,nesterov,wd=1e-4
//	adamw:lr=1e-3,wd=0.01,clip=1,schedule=cosine,warmup=100,total=5000
//	pegasos:lambda=0.01
//
// Settings of sgd: lr (0.1), momentum (0), nesterov (off), wd (coupled decay, 0). Of adamw: lr (0.001), beta1 (0.9), beta2
// (0.999), eps (1e-8), wd (decoupled decay, 0.01). Of both: clip (largest norm of a gradient; off), and schedule (constant)
// with warmup (0) for every one; total, final (0) for cosine and wsd; cooldown (0.2) and shape (sqrt) for wsd; every and gamma
// (0.1) for step. See [Schedule]. Of pegasos: lambda (regularization, 0.01), project (onto the ball that holds the optimum, off).
func Parse(spec string) (Optimizer, error) {
	name, rest, _ := strings.Cut(spec, ":")
	s := settings{rule: name, values: map[string]string{}}
	if err := s.read(rest); err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", spelling.Quote(spec), err)
	}
	var o Optimizer
	switch name {
	case "sgd":
		r := sgd{pace: s.pace(0.1)}
		r.momentum = float32(s.number("momentum", 0, 0, below1))
		r.nesterov = s.flag("nesterov")
		r.decay = float32(s.number("wd", 0, 0, 1))
		if r.nesterov && r.momentum == 0 && s.err == nil {
			s.err = fmt.Errorf("nesterov wants a momentum, such as momentum=0.9")
		}
		o = r
	case "adamw":
		r := adamw{pace: s.pace(0.001)}
		r.beta1 = s.number("beta1", 0.9, 0, below1)
		r.beta2 = s.number("beta2", 0.999, 0, below1)
		r.eps = s.number("eps", 1e-8, 1e-30, 1)
		r.decay = s.number("wd", 0.01, 0, 1)
		o = r
	case "pegasos":
		o = pegasos{lambda: s.number("lambda", 0.01, 1e-6, 1e6), project: s.flag("project")}
	default:
		return nil, fmt.Errorf("optimizer %s is not known; use sgd, adamw or pegasos, such as sgd:lr=0.1", spelling.Quote(name))
	}
	if err := s.done(); err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", spelling.Quote(spec), err)
	}
	return o, nil
}

const (
	below1  = 1 - 0x1p-24 // the largest float32 below 1
	maxSpec = 1000        // a specification may come from a peer's manifest
)

// settings are the key=value pairs of a specification. Reading one takes it out; the first problem stays.
type settings struct {
	rule   string
	values map[string]string
	known  []string
	err    error
}

func (s *settings) read(text string) error {
	if len(text) > maxSpec {
		return fmt.Errorf("is longer than %d characters", maxSpec)
	}
	if text == "" {
		return nil
	}
	for _, field := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			value = "true"
		}
		if _, twice := s.values[key]; twice {
			return fmt.Errorf("%s is given twice", spelling.Quote(key))
		}
		s.values[key] = value
	}
	return nil
}

func (s *settings) take(key string) (string, bool) {
	s.known = append(s.known, key)
	v, ok := s.values[key]
	delete(s.values, key)
	return v, ok
}

func (s *settings) fail(key, value, want string) {
	if s.err == nil {
		s.err = fmt.Errorf("%s wants %s, not %s", key, want, spelling.Quote(value))
	}
}

// number returns a setting between low and high.
func (s *settings) number(key string, otherwise, low, high float64) float64 {
	text, ok := s.take(key)
	if !ok {
		return otherwise
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= low && v <= high) {
		s.fail(key, text, fmt.Sprintf("a number from %g to %g", low, high))
	}
	return v
}

func (s *settings) count(key string, otherwise uint64) uint64 {
	text, ok := s.take(key)
	if !ok {
		return otherwise
	}
	v, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		s.fail(key, text, "a whole number of steps")
	}
	return v
}

func (s *settings) flag(key string) bool {
	text, ok := s.take(key)
	v, err := strconv.ParseBool(text)
	if ok && err != nil {
		s.fail(key, text, "true or false")
	}
	return v
}

func (s *settings) word(key, otherwise string, words ...string) string {
	text, ok := s.take(key)
	if !ok {
		return otherwise
	}
	for _, w := range words {
		if text == w {
			return w
		}
	}
	s.fail(key, text, "one of "+strings.Join(words, ", "))
	return otherwise
}

// pace reads what all rules have. Only the settings of the chosen schedule are known.
func (s *settings) pace(rate float64) pace {
	p := pace{rate: s.number("lr", rate, math.SmallestNonzeroFloat32, 1e6)}
	p.clip = s.number("clip", 0, 1e-30, math.MaxFloat32)
	sch := &p.schedule
	sch.Kind = s.word("schedule", "constant", "constant", "cosine", "wsd", "step")
	sch.Warmup = s.count("warmup", 0)
	switch sch.Kind {
	case "cosine", "wsd":
		sch.Total = s.count("total", 0)
		sch.Final = s.number("final", 0, 0, 1)
		if sch.Kind == "wsd" {
			sch.Cooldown = s.number("cooldown", 0.2, 0, 1)
			sch.Shape = s.word("shape", "sqrt", "linear", "sqrt", "square", "cosine", "mirror", "exp")
		}
		switch {
		case s.err != nil:
		case sch.Total <= sch.Warmup:
			s.err = fmt.Errorf("schedule %s wants total, in steps and more than warmup", sch.Kind)
		case sch.Shape == "exp" && sch.Final == 0:
			s.err = fmt.Errorf("shape exp wants final above 0")
		}
	case "step":
		sch.Every = s.count("every", 0)
		sch.Gamma = s.number("gamma", 0.1, 0, 1)
		if sch.Every == 0 && s.err == nil {
			s.err = fmt.Errorf("schedule step wants every, in steps and above 0")
		}
	}
	return p
}

// done returns the first problem, or that a setting is not known.
func (s *settings) done() error {
	if s.err != nil || len(s.values) == 0 {
		return s.err
	}
	first := ""
	for key := range s.values { // the least is the same whatever the order
		if first == "" || key < first {
			first = key
		}
	}
	return fmt.Errorf("%s has no setting %s; it has %s", s.rule, spelling.Quote(first), strings.Join(s.known, ", "))
}
