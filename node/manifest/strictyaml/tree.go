package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A Form is a kind of document, for messages and limits.
type Form struct {
	Noun     string // "a manifest"
	Needs    string // what the shortest document has: "version and name"
	MaxBytes int    // longest document
	MaxDepth int    // mappings and lists within each other; at least 1
}

// A Kind says what a Node is.
type Kind uint8

// The kinds of nodes.
const (
	Nothing Kind = iota // no value
	Text                // bare, in quotes, or several lines
	Integer
	Float
	Truth
	List
	Map
	Other // what the format does not have: see [Node.String]
)

// A Node is a value in a document. Nodes are not changed once they are made; trees may share them.
type Node struct {
	Kind    Kind
	At      Place  // of a Map its first key
	Literal string // scalars: what stands there, without quotes
	Items   []*Node
	Entries []Entry

	lines bool   // Text of several lines, made with | or >
	what  string // of Other
	value any    // int64 or uint64 of an Integer that is not too large, float64 of a Float
}

// An Entry is a key of a Map and its value. Keys may be there twice: [Decode] says so.
type Entry struct {
	Key   string
	At    Place
	Value *Node
}

// Parse reads one document, whose file is called filename in messages. The tree is nil if and only if there are problems
// that leave nothing to look at.
func (f Form) Parse(src []byte, filename string) (*Node, Problems) {
	var ps Problems
	whole := Place{File: filename}
	if len(src) > f.MaxBytes {
		ps.Add(whole, "", "has %d bytes; %s has at most %d", len(src), f.Noun, f.MaxBytes)
		return nil, ps
	}
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			at := e.GetToken().Position
			ps.Add(Place{filename, at.Line, at.Column}, "", "not YAML: %s", e.GetMessage())
		} else {
			ps.Add(whole, "", "not YAML: %v", err)
		}
		return nil, ps
	}
	b := builder{form: f, file: filename}
	var body ast.Node
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			ps.Add(b.place(doc.Body), "", "holds a second document; %s is one document", f.Noun)
			return nil, ps
		}
		if doc.Body != nil {
			body = doc.Body
		}
	}
	if body == nil {
		ps.Add(whole, "", "is empty; %s has at least %s", f.Noun, f.Needs)
		return nil, ps
	}
	root := b.node(body, whole, 0)
	if b.deep != nil {
		ps.Add(*b.deep, "", "is nested deeper than %d levels; %s has no such values", f.MaxDepth, f.Noun)
		return nil, ps
	}
	return root, nil
}

// A builder makes a tree of a syntax tree.
type builder struct {
	form Form
	file string
	deep *Place // the first thing that is nested too deep
}

// node makes a node. What has no place of its own, such as a missing value, gets that of its key.
func (b *builder) node(n ast.Node, at Place, depth int) *Node {
	if p := b.place(n); p.Line > 0 {
		at = p
	}
	if depth > b.form.MaxDepth {
		if b.deep == nil {
			b.deep = &at
		}
		return &Node{At: at}
	}
	out := &Node{At: at}
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.StringNode:
		out.Kind, out.Literal = Text, n.Value
	case *ast.LiteralNode:
		out.Kind, out.Literal, out.lines = Text, n.Value.Value, true
	case *ast.IntegerNode:
		out.Kind, out.Literal, out.value = Integer, n.Token.Value, n.Value
	case *ast.FloatNode:
		out.Kind, out.Literal, out.value = Float, n.Token.Value, n.Value
	case *ast.BoolNode:
		out.Kind, out.Literal, out.value = Truth, n.Token.Value, n.Value
	case *ast.SequenceNode:
		out.Kind = List
		for _, v := range n.Values {
			out.Items = append(out.Items, b.node(v, at, depth+1))
		}
	case *ast.MappingNode, *ast.MappingValueNode:
		out.Kind = Map
		entries, _ := pairs(n)
		for _, e := range entries {
			key := b.place(e.Key)
			out.Entries = append(out.Entries, Entry{keyText(e.Key), key, b.node(e.Value, key, depth+1)})
		}
	case *ast.AnchorNode, *ast.AliasNode:
		out.Kind, out.what = Other, "an anchor or an alias, which "+b.form.Noun+" does not allow"
	case *ast.TagNode:
		out.Kind, out.what = Other, "a tag, which "+b.form.Noun+" does not allow"
	case *ast.InfinityNode, *ast.NanNode:
		out.Kind, out.what = Other, n.GetToken().Value
	default:
		out.Kind, out.what = Other, "something else"
	}
	return out
}

func (b *builder) place(n ast.Node) Place {
	at := Place{File: b.file}
	if n == nil || n.GetToken() == nil {
		return at
	}
	// The token of a mapping is its first colon; people look for the key.
	if entries, ok := pairs(n); ok && len(entries) > 0 {
		return b.place(entries[0].Key)
	}
	if p := n.GetToken().Position; p != nil {
		at.Line, at.Column = p.Line, p.Column
	}
	return at
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

// String names what stands in the file, for messages: "the number 3", "a list".
func (n *Node) String() string {
	switch n.Kind {
	case Nothing:
		return "nothing"
	case Integer, Float:
		return "the number " + n.Literal
	case Truth:
		return "the truth value " + n.Literal
	case Text:
		if n.lines {
			return "several lines of text"
		}
		return "the text " + Quote(n.Literal)
	case List:
		if len(n.Items) == 0 {
			return "an empty list"
		}
		return "a list"
	case Map:
		return "keys and values"
	}
	return n.what
}

// Line returns text on one line, bare or in quotes.
func (n *Node) Line() (string, error) {
	if n.Kind == Text && !n.lines {
		return n.Literal, nil
	}
	if n.Kind == Integer || n.Kind == Float || n.Kind == Truth || strings.HasPrefix(n.what, ".") || strings.HasPrefix(n.what, "-.") {
		return "", fmt.Errorf("want text, have %s; if it is meant as text, put it in quotes", n)
	}
	return "", fmt.Errorf("want text, have %s", n)
}

// Lines returns text on any number of lines.
func (n *Node) Lines() (string, error) {
	if n.Kind == Text {
		return n.Literal, nil
	}
	return n.Line()
}

// Int returns a whole number of 32 bits.
func (n *Node) Int() (int, error) {
	if n.Kind != Integer {
		return 0, fmt.Errorf("want a whole number, have %s", n)
	}
	v, ok := n.Int64()
	if !ok || v > math.MaxInt32 || v < math.MinInt32 {
		return 0, fmt.Errorf("%s is too large", n.Literal)
	}
	return int(v), nil
}

// Int64 returns a whole number, if the node is one and it fits.
func (n *Node) Int64() (int64, bool) {
	switch v := n.value.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// Uint64 returns a whole number that is not negative.
func (n *Node) Uint64() (uint64, error) {
	if n.Kind != Integer {
		return 0, fmt.Errorf("want a whole number, have %s", n)
	}
	switch v := n.value.(type) {
	case uint64:
		return v, nil
	case int64:
		if v < 0 {
			return 0, fmt.Errorf("%d is negative", v)
		}
		return uint64(v), nil
	}
	return 0, fmt.Errorf("%s is too large", n.Literal)
}

// Number returns a whole number or a fraction.
func (n *Node) Number() (float64, error) {
	switch n.Kind {
	case Float:
		return n.value.(float64), nil
	case Integer:
		v, ok := n.Int64()
		if !ok {
			return 0, fmt.Errorf("%s is too large", n.Literal)
		}
		return float64(v), nil
	}
	return 0, fmt.Errorf("want a number, have %s", n)
}
