package chat

import (
	"errors"
	"fmt"
	"strings"

	"starling/mixing/spelling"
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

func (r *renderer) eval(x expr) (any, error) {
	if err := r.step(); err != nil {
		return nil, err
	}
	return x.eval(r)
}

func (r *renderer) evalAll(all []expr) ([]any, error) {
	out := make([]any, len(all))
	for i, x := range all {
		var err error
		if out[i], err = r.eval(x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (x literal) eval(*renderer) (any, error) { return x.value, nil }

func (x variable) eval(r *renderer) (any, error) {
	if value, ok := r.scope.find(x.name); ok {
		return value, nil
	}
	if f, ok := functions[x.name]; ok {
		return f, nil
	}
	return undefined(x.name), nil
}

func (x list) eval(r *renderer) (any, error) {
	return r.evalAll(x.items)
}

func (x mapping) eval(r *renderer) (any, error) {
	d := newDict()
	for i := range x.keys {
		key, err := r.eval(x.keys[i])
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%s is the key of a mapping, want a text", typeName(key))
		}
		value, err := r.eval(x.values[i])
		if err != nil {
			return nil, err
		}
		d.set(name, value)
	}
	return d, nil
}

func (x unary) eval(r *renderer) (any, error) {
	value, err := r.eval(x.x)
	if err != nil {
		return nil, err
	}
	if x.op == "not" {
		return !truth(value), nil
	}
	n, ok := number1(value).(int64)
	if !ok {
		return nil, fmt.Errorf("%s has no negative", typeName(value))
	}
	return -n, nil
}

func (x ternary) eval(r *renderer) (any, error) {
	when, err := r.eval(x.when)
	if err != nil {
		return nil, err
	}
	if truth(when) {
		return r.eval(x.then)
	}
	return r.eval(x.otherwise)
}

func (x binary) eval(r *renderer) (any, error) {
	a, err := r.eval(x.x)
	if err != nil {
		return nil, err
	}
	if x.op == "and" && !truth(a) || x.op == "or" && truth(a) {
		return a, nil
	}
	b, err := r.eval(x.y)
	if err != nil {
		return nil, err
	}
	for _, side := range [2]any{a, b} {
		if err := r.read(side); err != nil {
			return nil, err
		}
	}
	switch x.op {
	case "and", "or":
		return b, nil
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in":
		return contains(b, a)
	case "not in":
		in, err := contains(b, a)
		return !in, err
	case "~":
		s, err := show(a)
		if err != nil {
			return nil, err
		}
		t, err := show(b)
		if err != nil {
			return nil, err
		}
		return s + t, r.made(len(s) + len(t))
	}
	return r.arithmetic(x.op, a, b)
}

// arithmetic computes with numbers, joins texts and lists, and compares.
func (r *renderer) arithmetic(op string, a, b any) (any, error) {
	wrong := fmt.Errorf("%s %s %s makes no sense", typeName(a), op, typeName(b))
	if s, ok := a.(string); ok {
		t, ok := b.(string)
		switch {
		case !ok:
			return nil, wrong
		case op == "+":
			return s + t, r.made(len(s) + len(t))
		}
		return compare(op, strings.Compare(s, t), wrong)
	}
	if all, ok := a.([]any); ok && op == "+" {
		more, ok := b.([]any)
		if !ok {
			return nil, wrong
		}
		return append(all[:len(all):len(all)], more...), r.made(16 * (len(all) + len(more)))
	}
	x, ok1 := number1(a).(int64)
	y, ok2 := number1(b).(int64)
	if !ok1 || !ok2 {
		return nil, wrong
	}
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "//", "%":
		if y == 0 {
			return nil, errors.New("a division by zero")
		}
		quotient, rest := x/y, x%y
		if rest != 0 && rest < 0 != (y < 0) { // rounds down, as in Python
			quotient, rest = quotient-1, rest+y
		}
		if op == "%" {
			return rest, nil
		}
		return quotient, nil
	}
	sign := 0
	if x < y {
		sign = -1
	} else if x > y {
		sign = 1
	}
	return compare(op, sign, wrong)
}

func compare(op string, sign int, wrong error) (any, error) {
	switch op {
	case "<":
		return sign < 0, nil
	case "<=":
		return sign <= 0, nil
	case ">":
		return sign > 0, nil
	case ">=":
		return sign >= 0, nil
	}
	return nil, wrong
}

func (x item) eval(r *renderer) (any, error) {
	of, err := r.eval(x.of)
	if err != nil {
		return nil, err
	}
	key, err := r.eval(x.key)
	if err != nil {
		return nil, err
	}
	if err := r.read(of); err != nil {
		return nil, err
	}
	name, isName := key.(string)
	if u, ok := of.(undefined); ok {
		return nil, fmt.Errorf("%s is not there, and has no %s", spelling.Quote(string(u)), spelling.Quote(name))
	}
	if x.dotted {
		if m := method(of, name); m != nil {
			return m, nil
		}
	}
	switch of := of.(type) {
	case *dict:
		if value, ok := of.values[name]; ok && isName {
			return value, nil
		}
	case *namespace:
		if value, ok := of.values[name]; ok && isName {
			return value, nil
		}
	case *position:
		return of.field(name), nil
	case []any, string:
		i, ok := number1(key).(int64)
		if !ok {
			break
		}
		all, _ := elements(of)
		if i < 0 {
			i += int64(len(all))
		}
		if i >= 0 && i < int64(len(all)) {
			return all[i], nil
		}
	}
	return undefined(name), nil
}

func (x slice) eval(r *renderer) (any, error) {
	of, err := r.eval(x.of)
	if err != nil {
		return nil, err
	}
	if err := r.read(of); err != nil {
		return nil, err
	}
	s, isText := of.(string)
	all, err := elements(of)
	if _, isDict := of.(*dict); err != nil || isDict {
		return nil, fmt.Errorf("%s has no parts", typeName(of))
	}
	n := int64(len(all))
	var at [3]*int64
	for i, part := range []expr{x.from, x.to, x.step} {
		if part == nil {
			continue
		}
		value, err := r.eval(part)
		if err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		number, ok := number1(value).(int64)
		if !ok {
			return nil, fmt.Errorf("%s is no place in a list", typeName(value))
		}
		at[i] = &number
	}
	step := int64(1)
	if at[2] != nil {
		step = *at[2]
	}
	if step == 0 || step < -n-1 || step > n+1 {
		return nil, fmt.Errorf("steps of %d are not taken", step)
	}
	low, high := int64(0), n // where a slice may begin and end
	from, to := low, high
	if step < 0 {
		low, high = -1, n-1
		from, to = high, low
	}
	place := func(p *int64, otherwise int64) int64 {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i = max(i+n, low)
		}
		return min(i, high)
	}
	from, to = place(at[0], from), place(at[1], to)
	var out []any
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, all[i])
	}
	if err := r.made(16 * len(out)); err != nil || !isText {
		return out, err
	}
	var b strings.Builder
	for _, c := range out {
		b.WriteString(c.(string)) // characters of s
	}
	return b.String(), r.made(len(s))
}

func (x call) eval(r *renderer) (any, error) {
	of, err := r.eval(x.of)
	if err != nil {
		return nil, err
	}
	f, ok := of.(function)
	if !ok {
		return nil, fmt.Errorf("%s cannot be called", typeName(of))
	}
	args, err := r.evalAll(x.args)
	if err != nil {
		return nil, err
	}
	named, err := r.evalNamed(x.named)
	if err != nil {
		return nil, err
	}
	return f(r, args, named)
}

func (r *renderer) evalNamed(in map[string]expr) (map[string]any, error) {
	out := make(map[string]any, len(in))
	for name, x := range in { // values do not depend on one another
		value, err := r.eval(x)
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}
