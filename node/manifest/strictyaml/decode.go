package strictyaml

import (
	"fmt"
	"slices"
	"strings"

	"starling/mixing/spelling"
)

// A Setting binds one key of a document to its place in memory.
type Setting struct {
	// Path is the key with those of the mappings that it is in: "method.steps".
	Path string
	// To is where the value goes: a *string, *int, *uint64, *float64, *[]string or *[]float64; a func(*Node) error, which
	// reads the value itself; or an [Each].
	To any
}

// An Each is the place of a list of mappings. It is called with the number of elements, and returns the settings of each
// element, with whole paths, such as "network.partitions[0].from".
type Each func(n int) [][]Setting

// Decoded is what became of a document.
type Decoded struct {
	Problems Problems

	file   string
	places map[string]Place
	failed map[string]bool
}

// Decode puts the values of a tree into their places, of which all lists the keys in order. Problems are in the order in
// which they were found. Settings that the document does not mention stay as they are, and so does what has a problem.
func Decode(root *Node, all []Setting) *Decoded {
	d := &Decoded{file: root.At.File, places: map[string]Place{}, failed: map[string]bool{}}
	if root.Kind != Map {
		d.Problems.Add(root.At, "", "want keys and values, have %s", root)
		return d
	}
	d.section("", root.Entries, all)
	return d
}

// Read reports whether the document has a value of that path, and it could be read.
func (d *Decoded) Read(path string) bool { return d.places[path] != Place{} }

// Failed reports whether the document has a value of that path that could not be read.
func (d *Decoded) Failed(path string) bool { return d.failed[path] }

// Missing adds the problem that a setting has no value, unless it has one or had one that could not be read.
func (d *Decoded) Missing(path string) {
	if !d.Read(path) && !d.failed[path] {
		d.failed[path] = true
		d.Problems.Add(Place{File: d.file}, path, "is missing")
	}
}

// Report adds a problem with the value of a setting at its place, unless the value was not read, so that what is checked
// is not what the document says.
func (d *Decoded) Report(path, text string) {
	if d.failed[path] {
		return
	}
	at := d.places[path]
	if at == (Place{}) {
		at.File = d.file
	}
	d.Problems.Add(at, path, "%s", text)
}

// section reads the keys of the mapping at prefix: "" for the top, else "method." and the like.
func (d *Decoded) section(prefix string, entries []Entry, all []Setting) {
	keys := Keys(prefix, all)
	first := map[string]Place{}
	for i, e := range entries {
		if before, ok := first[e.Key]; ok {
			d.Problems.Add(e.At, "", "key %s is given twice, first in line %d", Quote(e.Key), before.Line)
			continue
		}
		first[e.Key] = e.At
		path := prefix + e.Key
		if !slices.Contains(keys, e.Key) {
			d.Problems.Add(e.At, "", "unknown key %s; %s", Quote(e.Key), advice(prefix, e.Key, keys, all))
			if i > 0 && e.Value.Kind == Nothing && e.At.Line == entries[i-1].At.Line {
				// {codec: int4,rice}
				d.Problems[len(d.Problems)-1].Text += "; if it belongs to the text before it, put all of that into quotes"
			}
		} else if i := slices.IndexFunc(all, func(s Setting) bool { return s.Path == path }); i >= 0 {
			d.value(all[i], e.Value)
		} else {
			d.nested(path, e.Value, all)
		}
	}
}

func (d *Decoded) nested(path string, value *Node, all []Setting) {
	if value.Kind == Map {
		d.section(path+".", value.Entries, all)
		return
	}
	for _, s := range all {
		if strings.HasPrefix(s.Path, path+".") {
			d.failed[s.Path] = true
		}
	}
	d.Problems.Add(value.At, path, "want the keys %s, have %s", strings.Join(Keys(path+".", all), ", "), value)
}

// advice says what an unknown key was probably meant to be: a key that belongs elsewhere, or a near word.
func advice(prefix, key string, keys []string, all []Setting) string {
	for _, s := range all {
		section, name := "", s.Path
		if at := strings.LastIndexByte(s.Path, '.'); at >= 0 {
			section, name = s.Path[:at], s.Path[at+1:]
		}
		switch {
		case name != key && s.Path != key || section+"." == prefix:
		case section == "":
			return fmt.Sprintf("did you mean %q at the top level?", name)
		default:
			return fmt.Sprintf("did you mean %q inside %q?", name, section)
		}
	}
	if near := spelling.Nearest(key, keys); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(keys, ", ")
}

// value reads one value into its place.
func (d *Decoded) value(s Setting, n *Node) {
	before := len(d.Problems)
	switch to := s.To.(type) {
	case Each:
		d.each(s.Path, to, n)
	case *[]string:
		list(d, s.Path, to, n, (*Node).Line)
	case *[]float64:
		list(d, s.Path, to, n, (*Node).Number)
	default:
		if err := assign(to, n); err != nil {
			d.Problems.Add(n.At, s.Path, "%v", err)
		}
	}
	if len(d.Problems) > before {
		d.failed[s.Path] = true
		return
	}
	d.places[s.Path] = n.At
}

func (d *Decoded) each(path string, to Each, n *Node) {
	if n.Kind != List {
		d.Problems.Add(n.At, path, "want a list, have %s", n)
		return
	}
	for i, settings := range to(len(n.Items)) {
		prefix := fmt.Sprintf("%s[%d].", path, i)
		item := n.Items[i]
		d.places[strings.TrimSuffix(prefix, ".")] = item.At
		if item.Kind == Map {
			d.section(prefix, item.Entries, settings)
			continue
		}
		for _, s := range settings {
			d.failed[s.Path] = true
		}
		d.Problems.Add(item.At, path, "want the keys %s, have %s", strings.Join(Keys(prefix, settings), ", "), item)
	}
}

// list reads all elements or none.
func list[T any](d *Decoded, path string, to *[]T, n *Node, read func(*Node) (T, error)) {
	if n.Kind != List {
		d.Problems.Add(n.At, path, "want a list, have %s", n)
		return
	}
	out, whole := make([]T, 0, len(n.Items)), true
	for i, item := range n.Items {
		v, err := read(item)
		if err != nil {
			d.Problems.Add(item.At, path, "%v", err)
			whole = false
		}
		out = append(out, v)
		d.places[fmt.Sprintf("%s[%d]", path, i)] = item.At
	}
	if whole {
		*to = out
	}
}

func assign(to any, n *Node) (err error) {
	switch to := to.(type) {
	case *string:
		return set(to, n.Line)
	case *int:
		return set(to, n.Int)
	case *uint64:
		return set(to, n.Uint64)
	case *float64:
		return set(to, n.Number)
	case func(*Node) error:
		return to(n)
	}
	return fmt.Errorf("internal error: no reader for %T", to)
}

func set[T any](to *T, read func() (T, error)) error {
	v, err := read()
	if err == nil {
		*to = v
	}
	return err
}

// Keys returns the keys that may stand in the mapping at prefix, "" or "method." and the like, in order.
func Keys(prefix string, all []Setting) []string {
	var keys []string
	for _, s := range all {
		rest, ok := strings.CutPrefix(s.Path, prefix)
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
