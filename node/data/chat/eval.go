package chat

import (
	"errors"
	"fmt"
	"strings"

	"starling/mixing/spelling"
)

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
