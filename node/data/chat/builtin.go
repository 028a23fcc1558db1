package chat

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"starling/mixing/spelling"
)

// functions are what templates can call by name. strftime_now is not among them: templates ask whether it is, and take a fixed date
// if not, so that all nodes render alike.
var functions = map[string]function{
	"raise_exception": func(_ *renderer, args []any, _ map[string]any) (any, error) {
		if len(args) == 1 {
			if s, ok := args[0].(string); ok {
				return nil, fmt.Errorf("it refuses the conversation: %s", spelling.Brief(s))
			}
		}
		return nil, errors.New("it refuses the conversation")
	},
	"namespace": func(_ *renderer, args []any, named map[string]any) (any, error) {
		if len(args) > 0 {
			return nil, errors.New("namespace takes named values only")
		}
		n := &namespace{dict{values: map[string]any{}}}
		for _, key := range slices.Sorted(maps.Keys(named)) {
			n.set(key, named[key])
		}
		return n, nil
	},
	"range": func(r *renderer, args []any, _ map[string]any) (any, error) {
		at := [3]int64{0, 0, 1}
		for i, arg := range args {
			n, ok := arg.(int64)
			if !ok || i > 2 {
				return nil, errors.New("range takes one to three numbers")
			}
			at[i] = n
		}
		if len(args) == 1 {
			at[0], at[1] = 0, at[0]
		}
		if len(args) == 0 || at[2] == 0 {
			return nil, errors.New("range takes one to three numbers, of which the last is not zero")
		}
		const most = maxOutput // so that nothing below overflows
		if slices.ContainsFunc(at[:], func(n int64) bool { return n < -most || n > most }) {
			return nil, fmt.Errorf("range takes numbers up to %d", most)
		}
		size, step := at[1]-at[0], at[2]
		if step < 0 {
			size, step = -size, -step
		}
		size = max((size+step-1)/step, 0)
		if err := r.made(24 * int(size)); err != nil {
			return nil, err
		}
		out := make([]any, size)
		for i := range out {
			out[i] = at[0] + int64(i)*at[2]
		}
		return out, nil
	},
}

// strip takes white space, or the characters of the first argument, from the sides of a text.
func strip(s string, args []any, left, right bool) (string, error) {
	is := func(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }
	if len(args) > 0 && args[0] != nil {
		set, ok := args[0].(string)
		if !ok {
			return "", fmt.Errorf("%s is no set of characters", typeName(args[0]))
		}
		is = func(c rune) bool { return strings.ContainsRune(set, c) }
	}
	if left {
		s = strings.TrimLeftFunc(s, is)
	}
	if right {
		s = strings.TrimRightFunc(s, is)
	}
	return s, nil
}

// method returns a method of a value; nil if there is none of that name.
func method(of any, name string) any {
	switch of := of.(type) {
	case string:
		return textMethod(of, name)
	case *dict:
		return dictMethod(of, name)
	}
	return nil
}

func textMethod(s, name string) any {
	one := func(args []any) (string, error) {
		if len(args) != 1 {
			return "", fmt.Errorf("%s takes one text", name)
		}
		part, ok := args[0].(string)
		if !ok {
			return "", fmt.Errorf("%s takes a text, not %s", name, typeName(args[0]))
		}
		return part, nil
	}
	var f func(r *renderer, args []any) (any, error)
	switch name {
	case "strip":
		f = func(_ *renderer, args []any) (any, error) { return strip(s, args, true, true) }
	case "lstrip":
		f = func(_ *renderer, args []any) (any, error) { return strip(s, args, true, false) }
	case "rstrip":
		f = func(_ *renderer, args []any) (any, error) { return strip(s, args, false, true) }
	case "upper", "lower", "title", "capitalize":
		f = func(r *renderer, _ []any) (any, error) { return filterText(name, s) }
	case "startswith":
		f = func(_ *renderer, args []any) (any, error) {
			part, err := one(args)
			return strings.HasPrefix(s, part), err
		}
	case "endswith":
		f = func(_ *renderer, args []any) (any, error) {
			part, err := one(args)
			return strings.HasSuffix(s, part), err
		}
	case "split":
		f = func(r *renderer, args []any) (any, error) { return r.split(s, args) }
	case "replace":
		f = func(r *renderer, args []any) (any, error) { return r.replace(s, args) }
	default:
		return nil
	}
	return function(func(r *renderer, args []any, named map[string]any) (any, error) {
		if len(named) > 0 {
			return nil, fmt.Errorf("%s with named values is not known here", name)
		}
		if err := r.read(s); err != nil {
			return nil, err
		}
		return f(r, args)
	})
}

func (r *renderer) split(s string, args []any) (any, error) {
	var parts []string
	switch sep, isText := "", false; len(args) {
	case 0:
		parts = strings.Fields(s)
	case 1, 2:
		if sep, isText = args[0].(string); !isText || sep == "" {
			return nil, errors.New("split takes a text that is not empty")
		}
		most := int64(-1)
		if len(args) == 2 {
			n, ok := args[1].(int64)
			if !ok {
				return nil, errors.New("split takes a text and a number")
			}
			most = n
		}
		if most >= 0 {
			most = min(most, int64(len(s))) + 1
		}
		parts = strings.SplitN(s, sep, int(most))
	default:
		return nil, errors.New("split takes a text and a number")
	}
	out := make([]any, len(parts))
	for i, part := range parts {
		out[i] = part
	}
	return out, r.made(len(s) + 16*len(out))
}

func (r *renderer) replace(s string, args []any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("replace takes two texts")
	}
	old, ok1 := args[0].(string)
	now, ok2 := args[1].(string)
	if !ok1 || !ok2 {
		return nil, errors.New("replace takes two texts")
	}
	if err := r.made(len(s) + (strings.Count(s, old)+1)*len(now)); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s, old, now), nil
}

func dictMethod(d *dict, name string) any {
	var f func(args []any) (any, error)
	switch name {
	case "items":
		f = func([]any) (any, error) { return pairs(d), nil }
	case "keys":
		f = func([]any) (any, error) { return elements(d) }
	case "values":
		f = func([]any) (any, error) {
			var out []any
			for _, key := range d.keys {
				out = append(out, d.values[key])
			}
			return out, nil
		}
	case "get":
		f = func(args []any) (any, error) {
			if len(args) < 1 || len(args) > 2 {
				return nil, errors.New("get takes a key and perhaps a value")
			}
			if key, ok := args[0].(string); ok {
				if value, ok := d.values[key]; ok {
					return value, nil
				}
			}
			if len(args) == 2 {
				return args[1], nil
			}
			return nil, nil
		}
	default:
		return nil
	}
	return function(func(r *renderer, args []any, _ map[string]any) (any, error) {
		if err := r.made(32 * len(d.keys)); err != nil {
			return nil, err
		}
		return f(args)
	})
}

// pairs returns the keys and values of a mapping.
func pairs(d *dict) any {
	var out []any
	for _, key := range d.keys {
		out = append(out, []any{key, d.values[key]})
	}
	return out
}

// filterText applies a filter that turns a text into a text.
func filterText(name, s string) (any, error) {
	switch name {
	case "upper":
		return strings.ToUpper(s), nil
	case "lower":
		return strings.ToLower(s), nil
	case "capitalize":
		first := true
		return strings.Map(func(c rune) rune {
			if first {
				first = false
				return unicode.ToTitle(c)
			}
			return unicode.ToLower(c)
		}, s), nil
	case "title":
		inside := false
		return strings.Map(func(c rune) rune {
			before := inside
			if inside = unicode.IsLetter(c); before {
				return unicode.ToLower(c)
			}
			return unicode.ToTitle(c)
		}, s), nil
	}
	return nil, fmt.Errorf("filter %s is not known here", spelling.Quote(name))
}

func (x filter) eval(r *renderer) (any, error) {
	value, err := r.eval(x.x)
	if err != nil {
		return nil, err
	}
	if err := r.read(value); err != nil {
		return nil, err
	}
	args, err := r.evalAll(x.args)
	if err != nil {
		return nil, err
	}
	named, err := r.evalNamed(x.named)
	if err != nil {
		return nil, err
	}
	if len(named) > 0 && x.name != "tojson" {
		return nil, fmt.Errorf("filter %s with named values is not known here", spelling.Quote(x.name))
	}
	switch x.name {
	case "trim", "upper", "lower", "capitalize", "title", "string", "safe":
		s, err := show(value)
		switch {
		case err != nil:
			return nil, err
		case x.name == "trim":
			return strip(s, args, true, true)
		case x.name == "string" || x.name == "safe":
			return s, nil
		}
		return filterText(x.name, s)
	case "replace":
		s, err := show(value)
		if err != nil {
			return nil, err
		}
		return r.replace(s, args)
	case "default", "d":
		return fallback(value, args)
	case "length", "count":
		return length(value)
	case "int":
		return toInt(value)
	case "tojson":
		return r.json(value, args, named)
	case "items":
		if d, ok := value.(*dict); ok {
			return pairs(d), nil
		}
		return nil, fmt.Errorf("%s has no items", typeName(value))
	case "list", "first", "last", "join", "reverse":
		return r.filterList(x.name, value, args)
	}
	return nil, fmt.Errorf("filter %s is not known here", spelling.Quote(x.name))
}

// fallback returns a value, or another where it is not there; with a second argument also where it is empty.
func fallback(value any, args []any) (any, error) {
	otherwise := any("")
	if len(args) > 0 {
		otherwise = args[0]
	}
	_, gone := value.(undefined)
	if gone || len(args) > 1 && truth(args[1]) && !truth(value) {
		return otherwise, nil
	}
	return value, nil
}

func toInt(value any) (any, error) {
	switch x := number1(value).(type) {
	case int64:
		return x, nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(x), 10, 64)
		if err != nil {
			n = 0
		}
		return n, nil
	}
	return nil, fmt.Errorf("%s is no number", typeName(value))
}

func (r *renderer) json(value any, args []any, named map[string]any) (any, error) {
	indent := -1
	if len(args) > 0 {
		named["indent"] = args[0]
	}
	for key, x := range named { // each is checked by itself
		n, ok := x.(int64)
		if key != "indent" || x != nil && (!ok || n < 0 || n > 16) {
			return nil, fmt.Errorf("filter tojson with %s is not known here", spelling.Quote(key))
		}
		if x != nil {
			indent = int(n)
		}
	}
	var b strings.Builder
	if err := toJSON(&b, value, indent, 0); err != nil {
		return nil, err
	}
	return b.String(), r.made(b.Len())
}

func (r *renderer) filterList(name string, value any, args []any) (any, error) {
	all, err := elements(value)
	if err != nil {
		return nil, err
	}
	switch name {
	case "first", "last":
		if len(all) == 0 {
			return undefined(name), nil
		}
		if name == "first" {
			return all[0], nil
		}
		return all[len(all)-1], nil
	case "join":
		sep := ""
		if len(args) > 0 {
			if sep, err = show(args[0]); err != nil {
				return nil, err
			}
		}
		var parts []string
		for _, x := range all {
			s, err := show(x)
			if err != nil {
				return nil, err
			}
			if err := r.made(len(s) + len(sep)); err != nil {
				return nil, err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, sep), nil
	}
	out := slices.Clone(all)
	if name == "reverse" {
		slices.Reverse(out)
		if _, ok := value.(string); ok {
			return r.filterList("join", out, nil)
		}
	}
	return out, r.made(16 * len(out))
}

func (x test) eval(r *renderer) (any, error) {
	value, err := r.eval(x.x)
	if err != nil {
		return nil, err
	}
	args, err := r.evalAll(x.args)
	if err != nil {
		return nil, err
	}
	yes, err := check(x.name, value, args)
	return yes != x.not, err
}

func check(name string, x any, args []any) (bool, error) {
	n, isNumber := x.(int64)
	switch name {
	case "defined", "undefined":
		_, gone := x.(undefined)
		return gone == (name == "undefined"), nil
	case "none":
		return x == nil, nil
	case "string":
		_, ok := x.(string)
		return ok, nil
	case "mapping":
		_, ok := x.(*dict)
		return ok, nil
	case "iterable":
		_, err := elements(x)
		return err == nil, nil
	case "sequence":
		_, err := length(x)
		return err == nil, nil
	case "boolean":
		_, ok := x.(bool)
		return ok, nil
	case "true":
		return x == true, nil
	case "false":
		return x == false, nil
	case "integer":
		return isNumber, nil
	case "number":
		_, ok := number1(x).(int64)
		return ok, nil
	case "odd":
		return isNumber && n%2 != 0, nil
	case "even":
		return isNumber && n%2 == 0, nil
	case "equalto", "eq", "divisibleby", "in":
		if len(args) != 1 {
			return false, fmt.Errorf("test %s takes one value", name)
		}
		switch name {
		case "in":
			return contains(args[0], x)
		case "divisibleby":
			by, ok := args[0].(int64)
			if !ok || !isNumber || by == 0 {
				return false, errors.New("test divisibleby takes numbers")
			}
			return n%by == 0, nil
		}
		return equal(x, args[0]), nil
	}
	return false, fmt.Errorf("test %s is not known here", spelling.Quote(name))
}
