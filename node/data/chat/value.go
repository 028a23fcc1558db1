package chat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"starling/mixing/spelling"
)

// Values are nil, bool, int64, string, []any, *dict, *namespace, *position, function, and undefined for what is not there.

// undefined is the name of what is not there.
type undefined string

// A dict is a mapping that keeps its order.
type dict struct {
	keys   []string
	values map[string]any
}

// newDict returns a dict of keys and values in turn.
func newDict(pairs ...any) *dict {
	d := &dict{values: map[string]any{}}
	for i := 0; i < len(pairs); i += 2 {
		d.set(pairs[i].(string), pairs[i+1])
	}
	return d
}

func (d *dict) set(key string, value any) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// A namespace is a dict whose fields templates can set.
type namespace struct{ dict }

// A function is what templates can call.
type function func(r *renderer, args []any, named map[string]any) (any, error)

func typeName(x any) string {
	switch x := x.(type) {
	case nil:
		return "none"
	case bool:
		return "a truth value"
	case int64:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	case *dict, *namespace:
		return "a mapping"
	case *position:
		return "a loop"
	case undefined:
		return spelling.Quote(string(x)) + ", which is not there,"
	}
	return "a function"
}

func truth(x any) bool {
	switch x := x.(type) {
	case nil, undefined:
		return false
	case bool:
		return x
	case int64:
		return x != 0
	case string:
		return x != ""
	case []any:
		return len(x) > 0
	case *dict:
		return len(x.keys) > 0
	}
	return true
}

// show returns what printing a value gives.
func show(x any) (string, error) {
	switch x := x.(type) {
	case nil:
		return "None", nil
	case undefined:
		return "", nil
	case bool:
		if x {
			return "True", nil
		}
		return "False", nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case string:
		return x, nil
	}
	return "", fmt.Errorf("%s cannot be printed here", typeName(x))
}

func equal(x, y any) bool {
	switch x := x.(type) {
	case []any:
		y, ok := y.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case *dict:
		y, ok := y.(*dict)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		return !slices.ContainsFunc(x.keys, func(key string) bool {
			value, ok := y.values[key]
			return !ok || !equal(x.values[key], value)
		})
	case function:
		return false
	case undefined:
		_, ok := y.(undefined)
		return ok
	}
	switch y.(type) {
	case []any, *dict, function:
		return false
	}
	return number1(x) == number1(y)
}

// number1 turns truth values to numbers, as comparisons do.
func number1(x any) any {
	if b, ok := x.(bool); ok {
		if b {
			return int64(1)
		}
		return int64(0)
	}
	return x
}

// elements returns what a loop goes over.
func elements(x any) ([]any, error) {
	switch x := x.(type) {
	case undefined:
		return nil, nil
	case []any:
		return x, nil
	case string:
		var out []any
		for _, c := range x {
			out = append(out, string(c))
		}
		return out, nil
	case *dict:
		out := make([]any, len(x.keys))
		for i, key := range x.keys {
			out[i] = key
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s has no elements", typeName(x))
}

func length(x any) (int64, error) {
	if s, ok := x.(string); ok {
		return int64(utf8.RuneCountInString(s)), nil
	}
	all, err := elements(x)
	return int64(len(all)), err
}

func contains(in, x any) (bool, error) {
	if s, ok := in.(string); ok {
		part, ok := x.(string)
		if !ok {
			return false, fmt.Errorf("%s is looked for in a text", typeName(x))
		}
		return strings.Contains(s, part), nil
	}
	all, err := elements(in)
	return slices.ContainsFunc(all, func(y any) bool { return equal(x, y) }), err
}

// toJSON writes a value as Python's json.dumps(value, ensure_ascii=False) does, with an indent if that is not negative.
func toJSON(b *strings.Builder, x any, indent, level int) error {
	gap := func(level int, between string) {
		if indent >= 0 {
			b.WriteString("\n" + strings.Repeat(" ", indent*level))
		} else {
			b.WriteString(between)
		}
	}
	comma := func(i int) {
		switch {
		case i > 0 && indent >= 0:
			b.WriteString(",")
			gap(level+1, "")
		case i > 0:
			b.WriteString(", ")
		default:
			gap(level+1, "")
		}
	}
	switch x := x.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case string:
		quoteJSON(b, x)
	case []any:
		if len(x) == 0 {
			b.WriteString("[]")
			return nil
		}
		b.WriteString("[")
		for i, y := range x {
			comma(i)
			if err := toJSON(b, y, indent, level+1); err != nil {
				return err
			}
		}
		gap(level, "")
		b.WriteString("]")
	case *dict:
		if len(x.keys) == 0 {
			b.WriteString("{}")
			return nil
		}
		b.WriteString("{")
		for i, key := range x.keys {
			comma(i)
			quoteJSON(b, key)
			b.WriteString(": ")
			if err := toJSON(b, x.values[key], indent, level+1); err != nil {
				return err
			}
		}
		gap(level, "")
		b.WriteString("}")
	default:
		return fmt.Errorf("%s cannot be written as JSON", typeName(x))
	}
	return nil
}

// quoteJSON escapes only what must be.
func quoteJSON(b *strings.Builder, s string) {
	const short = "\b\f\n\r\t\"\\"
	b.WriteByte('"')
	for _, c := range s {
		switch i := strings.IndexRune(short, c); {
		case i >= 0 && c < 0x80:
			b.WriteByte('\\')
			b.WriteByte(`bfnrt"\`[i])
		case c < 0x20:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
