package experiment

import (
	"fmt"
	"slices"
	"strings"

	"starling/node/manifest/strictyaml"
)

// The limits of a file.
const (
	// MaxBytes bounds a file, and the value of an override.
	MaxBytes = 256 << 10
	// MaxPoints bounds the combinations of a sweep.
	MaxPoints = 10_000

	maxDepth     = 12
	maxOverrides = 1000
)

// form is what an experiment is as a document.
func form() strictyaml.Form {
	return strictyaml.Form{Noun: "an experiment", Needs: "name and stop", MaxBytes: MaxBytes, MaxDepth: maxDepth}
}

// Override returns the tree of a document with the value that an argument such as "method.mix=mean" gives to a key.
func Override(root *strictyaml.Node, arg string) (*strictyaml.Node, strictyaml.Problems) {
	at := strictyaml.Place{File: "--set " + brief(arg)}
	var ps strictyaml.Problems
	path, text, ok := strings.Cut(arg, "=")
	if path = strings.TrimSpace(path); !ok || path == "" {
		ps.Add(at, "", "want key=value, such as method.mix=mean")
		return root, ps
	}
	if strings.TrimSpace(text) == "" {
		ps.Add(at, "", "has no value; write \"\" for empty text")
		return root, ps
	}
	f := form()
	f.Noun = "a value"
	value, ps := f.Parse([]byte(text), at.File)
	if value == nil {
		for i := range ps {
			ps[i].Line, ps[i].Column = 0, 0 // of the value, which nobody counts
		}
		return root, ps
	}
	return graft(root, strings.Split(path, "."), moved(value, at), at), ps
}

// brief is an argument of the command line as a message repeats it: one printable line.
func brief(arg string) string {
	q := strictyaml.Quote(arg)
	if q == `"`+arg+`"` {
		return arg
	}
	return q
}

// moved returns a copy of a tree all of which is at one place.
func moved(n *strictyaml.Node, at strictyaml.Place) *strictyaml.Node {
	to := *n
	to.At = at
	to.Items, to.Entries = nil, nil
	for _, item := range n.Items {
		to.Items = append(to.Items, moved(item, at))
	}
	for _, e := range n.Entries {
		to.Entries = append(to.Entries, strictyaml.Entry{Key: e.Key, At: at, Value: moved(e.Value, at)})
	}
	return &to
}

// graft returns a copy of a tree with a value at a path. Where the tree has a list of alternatives on the way, each gets
// the value.
func graft(n *strictyaml.Node, path []string, value *strictyaml.Node, at strictyaml.Place) *strictyaml.Node {
	if len(path) == 0 {
		return value
	}
	if n != nil && n.Kind == strictyaml.List && len(n.Items) > 0 {
		to := *n
		to.Items = nil
		for _, item := range n.Items {
			to.Items = append(to.Items, graft(item, path, value, at))
		}
		return &to
	}
	to := &strictyaml.Node{Kind: strictyaml.Map, At: at}
	if n != nil && n.Kind == strictyaml.Map {
		to.At = n.At
		to.Entries = slices.Clone(n.Entries)
	}
	for i, e := range to.Entries {
		if e.Key == path[0] {
			to.Entries[i].Value = graft(e.Value, path[1:], value, at)
			return to
		}
	}
	to.Entries = append(to.Entries, strictyaml.Entry{Key: path[0], At: at, Value: graft(nil, path[1:], value, at)})
	return to
}

// A choice is one value of a sweep.
type choice struct {
	path string
	text string
}

// alternatives tells which lists of a file are alternatives, from the keys that there are.
type alternatives struct {
	lists map[string]bool // keys whose value is a list by nature
	known map[string]bool // keys and sections
}

func newAlternatives() alternatives {
	a := alternatives{map[string]bool{}, map[string]bool{"": true}}
	var e Experiment
	for _, s := range settings(&e) {
		switch s.to.(type) {
		case *[]string, *[]float64, *[]Partition:
			a.lists[s.path] = true
		}
		for at := range s.path {
			if s.path[at] == '.' {
				a.known[s.path[:at]] = true
			}
		}
		a.known[s.path] = true
	}
	return a
}

// at reports whether the items of a node are alternatives: lists of what is no list, and lists of lists.
func (a alternatives) at(n *strictyaml.Node, path string) bool {
	if n.Kind != strictyaml.List || len(n.Items) == 0 || !a.known[path] || path == "" {
		return false
	}
	return !a.lists[path] || !slices.ContainsFunc(n.Items, func(item *strictyaml.Node) bool { return item.Kind != strictyaml.List })
}

// inside reports whether alternatives are looked for inside of a node.
func (a alternatives) inside(n *strictyaml.Node, path string) bool {
	return n.Kind == strictyaml.Map && a.known[path] && !a.lists[path]
}

// count returns how many combinations a tree has, or more than MaxPoints if there are more.
func (a alternatives) count(n *strictyaml.Node, path string) int {
	switch {
	case a.at(n, path):
		sum := 0
		for _, item := range n.Items {
			sum = min(sum+a.count(item, itemPath(n, path)), MaxPoints+1)
		}
		return sum
	case a.inside(n, path):
		product := 1
		for _, e := range n.Entries {
			product = min(product*a.count(e.Value, join(path, e.Key)), MaxPoints+1)
		}
		return product
	}
	return 1
}

// itemPath is what the items of alternatives are looked at as: an item that is a list is a value, and not alternatives
// again.
func itemPath(n *strictyaml.Node, path string) string {
	for _, item := range n.Items {
		if item.Kind == strictyaml.List {
			return path + "[]"
		}
	}
	return path
}

// pick returns the tree with combination number i of its alternatives, from 0 on, of which the first in the file changes
// slowest.
func (a alternatives) pick(n *strictyaml.Node, path string, i int, chosen *[]choice) *strictyaml.Node {
	switch {
	case a.at(n, path):
		for _, item := range n.Items {
			size := a.count(item, itemPath(n, path))
			if i >= size {
				i -= size
				continue
			}
			*chosen = append(*chosen, choices(item, path)...)
			return a.pick(item, itemPath(n, path), i, chosen)
		}
	case a.inside(n, path):
		to := *n
		to.Entries = slices.Clone(n.Entries)
		size := a.count(n, path)
		for k, e := range n.Entries {
			of := a.count(e.Value, join(path, e.Key))
			size /= of
			to.Entries[k].Value = a.pick(e.Value, join(path, e.Key), i/size%of, chosen)
		}
		return &to
	}
	return n
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// choices describes an alternative: its value, or all values in it that are not alternatives themselves.
func choices(n *strictyaml.Node, path string) []choice {
	switch n.Kind {
	case strictyaml.Map:
		var out []choice
		for _, e := range n.Entries {
			if e.Value.Kind != strictyaml.List {
				out = append(out, choices(e.Value, join(path, e.Key))...)
			}
		}
		return out
	case strictyaml.List:
		var texts []string
		for _, item := range n.Items {
			for _, c := range choices(item, "") {
				texts = append(texts, strings.TrimPrefix(fmt.Sprintf("%s=%s", c.path, c.text), "="))
			}
		}
		return []choice{{path, strings.Join(texts, "+")}}
	}
	return []choice{{path, n.Literal}}
}
