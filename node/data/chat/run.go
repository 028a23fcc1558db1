package chat

import (
	"fmt"
	"strings"
)

const (
	maxSteps  = 1 << 21 // of a rendering: nodes that run, values that are computed, and 64 bytes of text that are looked at
	maxOutput = 1 << 26 // bytes, of the result and of all texts and lists on the way
)

// A renderer runs a template once.
type renderer struct {
	out   strings.Builder
	scope *scope
	steps int
	size  int // bytes of texts made on the way
}

// A scope has the variables of the template or of one round of a loop.
type scope struct {
	names map[string]any
	outer *scope
}

func (s *scope) find(name string) (any, bool) {
	for ; s != nil; s = s.outer {
		if x, ok := s.names[name]; ok {
			return x, true
		}
	}
	return nil, false
}

// step counts work, so that no template runs for ever.
func (r *renderer) step() error {
	if r.steps++; r.steps > maxSteps {
		return fmt.Errorf("it does not end within %d steps", maxSteps)
	}
	return nil
}

// made counts the bytes of a text or a list.
func (r *renderer) made(n int) error {
	if r.size += n; n < 0 || r.size > maxOutput {
		return fmt.Errorf("it makes more than %d bytes", maxOutput)
	}
	return nil
}

// read counts the work of looking at a value.
func (r *renderer) read(x any) error {
	if s, ok := x.(string); ok {
		r.steps += len(s) / 64
	}
	return r.step()
}

func (r *renderer) run(body []node) error {
	for _, n := range body {
		if err := r.step(); err != nil {
			return err
		}
		if err := n.run(r); err != nil {
			return err
		}
	}
	return nil
}

func (n output) run(r *renderer) error {
	x, err := r.eval(n.value)
	if err != nil {
		return err
	}
	s, err := show(x)
	if err != nil {
		return err
	}
	r.out.WriteString(s)
	return r.made(len(s))
}

func (n choice) run(r *renderer) error {
	for i, when := range n.when {
		x, err := r.eval(when)
		if err != nil {
			return err
		}
		if truth(x) {
			return r.run(n.then[i])
		}
	}
	return r.run(n.otherwise)
}

// bind gives names to the parts of a value.
func bind(to map[string]any, names []string, x any) error {
	if len(names) == 1 {
		to[names[0]] = x
		return nil
	}
	all, ok := x.([]any)
	if !ok || len(all) != len(names) {
		return fmt.Errorf("%s is not %d values", typeName(x), len(names))
	}
	for i, name := range names {
		to[name] = all[i]
	}
	return nil
}

func (n loop) run(r *renderer) error {
	over, err := r.eval(n.over)
	if err != nil {
		return err
	}
	all, err := elements(over)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.line, err)
	}
	outer := r.scope
	defer func() { r.scope = outer }()
	if n.when != nil {
		var kept []any
		for _, x := range all {
			r.scope = &scope{names: map[string]any{}, outer: outer}
			if err := bind(r.scope.names, n.names, x); err != nil {
				return fmt.Errorf("line %d: %w", n.line, err)
			}
			ok, err := r.eval(n.when)
			if err != nil {
				return err
			}
			if truth(ok) {
				kept = append(kept, x)
			}
		}
		all = kept
	}
	if len(all) == 0 {
		r.scope = outer
		return r.run(n.otherwise)
	}
	for i, x := range all {
		r.scope = &scope{names: map[string]any{"loop": &position{all, i}}, outer: outer}
		if err := bind(r.scope.names, n.names, x); err != nil {
			return fmt.Errorf("line %d: %w", n.line, err)
		}
		if err := r.run(n.body); err != nil {
			return err
		}
	}
	return nil
}

// A position is what templates call loop: a place in a list.
type position struct {
	all []any
	i   int
}

// field returns what a template asks of a loop.
func (p position) field(name string) any {
	n := len(p.all)
	switch name {
	case "index":
		return int64(p.i + 1)
	case "index0":
		return int64(p.i)
	case "revindex":
		return int64(n - p.i)
	case "revindex0":
		return int64(n - p.i - 1)
	case "length":
		return int64(n)
	case "first":
		return p.i == 0
	case "last":
		return p.i == n-1
	case "previtem":
		if p.i > 0 {
			return p.all[p.i-1]
		}
	case "nextitem":
		if p.i < n-1 {
			return p.all[p.i+1]
		}
	}
	return undefined(name)
}

func (n assign) run(r *renderer) error {
	x, err := r.eval(n.value)
	if err != nil {
		return err
	}
	if n.field == "" {
		return bind(r.scope.names, n.names, x)
	}
	of, _ := r.scope.find(n.names[0])
	space, ok := of.(*namespace)
	if !ok {
		return fmt.Errorf("line %d: %s is no namespace", n.line, n.names[0])
	}
	space.set(n.field, x)
	return nil
}
