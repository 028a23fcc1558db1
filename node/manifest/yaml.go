package manifest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"starling/gossip"
	"starling/mixing/spelling"
)

// required are the keys that have no default: a file without a version could mean anything later.
var required = [...]string{"version", "name"}

// ParseYAML reads the YAML form. Settings that the file does not mention keep the values of [Default]. It is strict:
// unknown and repeated keys, values of the wrong type, anchors, tags, and more than one document are errors. All
// problems are reported together, as [Problems], with their places in the file, which is called filename.
func ParseYAML(src []byte, filename string) (Manifest, error) {
	r := reader{file: filename, m: Default(), places: map[string]*token.Position{}, failed: map[string]bool{}}
	r.read(src)
	if len(r.problems) > 0 && r.fatal {
		return Manifest{}, r.problems
	}
	for _, p := range r.m.problems(checkers()) {
		if r.failed[p.Field] {
			continue // the value was not read, so what stands there is not what the file says
		}
		r.add(r.places[p.Field], p.Field, "%s", p.Text)
	}
	if len(r.problems) > 0 {
		r.problems.sort()
		return Manifest{}, r.problems
	}
	return r.m, nil
}

// A reader walks the syntax tree of one file. Decoding into structs would stop at the first problem, and would not
// know the places of values that are well formed but not sensible.
type reader struct {
	file     string
	m        Manifest
	places   map[string]*token.Position // of the values read, by path
	failed   map[string]bool            // paths whose values could not be read
	problems Problems
	fatal    bool // nothing more can be said about this file
}

func (r *reader) add(at *token.Position, field, format string, args ...any) {
	p := Problem{File: r.file, Field: field, Text: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	r.problems = append(r.problems, p)
}

func (r *reader) fail(at *token.Position, format string, args ...any) {
	r.fatal = true
	r.add(at, "", format, args...)
}

func (r *reader) read(src []byte) {
	if len(src) > MaxBytes {
		r.fail(nil, "has %d bytes; a manifest has at most %d", len(src), MaxBytes)
		return
	}
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			r.fail(e.GetToken().Position, "not YAML: %s", e.GetMessage())
			return
		}
		r.fail(nil, "not YAML: %v", err)
		return
	}
	var body ast.Node
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			r.fail(position(doc.Body), "holds a second document; a manifest is one document")
			return
		}
		if doc.Body != nil {
			body = doc.Body
		}
	}
	if body == nil {
		r.fail(nil, "is empty; a manifest has at least version and name")
		return
	}
	entries, ok := pairs(body)
	if !ok {
		r.fail(position(body), "want keys and values, have %s", kind(body))
		return
	}
	if r.newer(entries) {
		return
	}
	all := settings(&r.m)
	r.section("", entries, all)
	for _, path := range required {
		if _, ok := r.places[path]; !ok && !r.failed[path] {
			r.failed[path] = true
			r.add(nil, path, "is missing")
		}
	}
}

// newer reports, alone, that the file is of a later version: what else is in it is not for this build to judge.
func (r *reader) newer(entries []*ast.MappingValueNode) bool {
	for _, e := range entries {
		if n, ok := e.Value.(*ast.IntegerNode); ok && keyText(e.Key) == "version" {
			if v, ok := integer(n); ok && v > Version {
				r.fail(position(n), "version: %s", versionProblem(v))
				return true
			}
		}
	}
	return false
}

// section reads the keys of the mapping at prefix: "" for the top, else "method." and the like.
func (r *reader) section(prefix string, entries []*ast.MappingValueNode, all []setting) {
	keys := keysAt(prefix, all)
	first := map[string]*token.Position{}
	for _, e := range entries {
		key, at := keyText(e.Key), position(e.Key)
		path := prefix + key
		if before, ok := first[key]; ok {
			r.add(at, "", "key %s is given twice, first in line %d", quote(key), before.Line)
			continue
		}
		first[key] = at
		if !slices.Contains(keys, key) {
			r.add(at, "", "unknown key %s; %s", quote(key), advice(key, keys, all))
		} else if s := find(path, all); s != nil {
			r.value(*s, e.Value, at)
		} else {
			r.nested(key, e.Value, at, all)
		}
	}
}

func (r *reader) nested(key string, value ast.Node, at *token.Position, all []setting) {
	entries, ok := pairs(value)
	if ok {
		r.section(key+".", entries, all)
		return
	}
	for _, k := range keysAt(key+".", all) {
		r.failed[key+"."+k] = true
	}
	if p := position(value); p != nil {
		at = p
	}
	r.add(at, key, "want the keys %s, have %s", strings.Join(keysAt(key+".", all), ", "), kind(value))
}

// advice says what an unknown key was probably meant to be: a near word, or a key that belongs elsewhere.
func advice(key string, keys []string, all []setting) string {
	if near := spelling.Nearest(key, keys); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, s := range all {
		if section, name, ok := strings.Cut(s.path, "."); ok && (name == key || s.path == key) {
			return fmt.Sprintf("did you mean %q inside %q?", name, section)
		} else if s.path == key {
			return fmt.Sprintf("did you mean %q at the top level?", key)
		}
	}
	return "known are " + strings.Join(keys, ", ")
}

// value reads one value into its place.
func (r *reader) value(s setting, n ast.Node, at *token.Position) {
	if p := position(n); p != nil {
		at = p
	}
	if err := assign(s.to, n); err != nil {
		r.failed[s.path] = true
		r.add(at, s.path, "%v", err)
		return
	}
	r.places[s.path] = at
}

func assign(to any, n ast.Node) error {
	switch to := to.(type) {
	case *string:
		text, err := text(n)
		if err != nil {
			return err
		}
		*to = text
	case *int:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return fmt.Errorf("want a whole number, have %s", kind(n))
		}
		v, ok := integer(i)
		if !ok || v > math.MaxInt32 || v < math.MinInt32 {
			return fmt.Errorf("%s is too large", i.Token.Value)
		}
		*to = int(v)
	case *uint64:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return fmt.Errorf("want a whole number, have %s", kind(n))
		}
		switch v := i.Value.(type) {
		case uint64:
			*to = v
		case int64:
			if v < 0 {
				return fmt.Errorf("%d is negative", v)
			}
			*to = uint64(v)
		default:
			return fmt.Errorf("%s is too large", i.Token.Value)
		}
	case *float64:
		switch n := n.(type) {
		case *ast.FloatNode:
			*to = n.Value
		case *ast.IntegerNode:
			v, ok := integer(n)
			if !ok {
				return fmt.Errorf("%s is too large", n.Token.Value)
			}
			*to = float64(v)
		default:
			return fmt.Errorf("want a number, have %s", kind(n))
		}
	case *Size:
		if i, ok := n.(*ast.IntegerNode); ok {
			return fmt.Errorf("%s has no unit; write %sB, %sKiB or %sMiB", i.Token.Value, i.Token.Value, i.Token.Value, i.Token.Value)
		}
		text, err := text(n)
		if err != nil {
			return fmt.Errorf("want a size such as 32KiB, have %s", kind(n))
		}
		*to, err = ParseSize(text)
		return err
	case *gossip.PeerID:
		text, err := text(n)
		if err != nil {
			return err
		}
		*to, err = parsePeerID(text)
		return err
	case *time.Time:
		text, err := text(n)
		if err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("%s is not a time; write it as 2026-11-24T12:00:00Z", quote(text))
		}
		*to = t.UTC()
	default:
		return fmt.Errorf("internal error: no reader for %T", to)
	}
	return nil
}

// text returns a scalar that is written as text, bare or in quotes.
func text(n ast.Node) (string, error) {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value, nil
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return "", fmt.Errorf("want text, have %s; if it is meant as text, put it in quotes", kind(n))
	}
	return "", fmt.Errorf("want text, have %s", kind(n))
}

func integer(n *ast.IntegerNode) (int64, bool) {
	switch v := n.Value.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// pairs returns the entries of a mapping; the parser has a type of its own for a mapping of one entry.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	if t := k.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func position(n ast.Node) *token.Position {
	if n == nil || n.GetToken() == nil {
		return nil
	}
	// The token of a mapping is its first colon; people look for the key.
	if entries, ok := pairs(n); ok && len(entries) > 0 {
		return position(entries[0].Key)
	}
	return n.GetToken().Position
}

// kind names what stands in the file.
func kind(n ast.Node) string {
	switch n := n.(type) {
	case nil:
		return "nothing"
	case *ast.NullNode:
		return "nothing"
	case *ast.IntegerNode, *ast.FloatNode:
		return "the number " + n.GetToken().Value
	case *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	case *ast.BoolNode:
		return "the truth value " + n.GetToken().Value
	case *ast.StringNode:
		return "the text " + quote(n.Value)
	case *ast.LiteralNode:
		return "several lines of text"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or an alias, which a manifest does not allow"
	case *ast.TagNode:
		return "a tag, which a manifest does not allow"
	}
	return "something else"
}

// keysAt returns the keys that may stand in the mapping at prefix, in order.
func keysAt(prefix string, all []setting) []string {
	var keys []string
	for _, s := range all {
		rest, ok := strings.CutPrefix(s.path, prefix)
		if !ok {
			continue
		}
		key, _, _ := strings.Cut(rest, ".")
		if len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	return keys
}

func find(path string, all []setting) *setting {
	for i := range all {
		if all[i].path == path {
			return &all[i]
		}
	}
	return nil
}
