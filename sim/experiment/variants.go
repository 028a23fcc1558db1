package experiment

import (
	"slices"
	"strings"

	"starling/mixing/spelling"
	"starling/node/manifest/strictyaml"
)

// Variants is the key of a list of mappings, each of which takes the place of what the file says of the same keys: a sweep of points
// that are not all combinations of alternatives. Overrides take the place of both.
const Variants = "variants"

// A variant is the tree of a file with the settings of one item of the list, and these.
type variant struct {
	root   *strictyaml.Node
	chosen []choice
}

// variants returns the trees of a file: one, without settings, if there is no list.
func variants(root *strictyaml.Node, overrides []string) ([]variant, strictyaml.Problems) {
	var ps strictyaml.Problems
	i := slices.IndexFunc(root.Entries, func(e strictyaml.Entry) bool { return e.Key == Variants })
	if i < 0 {
		for _, e := range root.Entries {
			if spelling.Nearest(e.Key, []string{Variants}) != "" { // it is no setting, so that nobody else knows the word
				ps.Add(e.At, "", "unknown key %s; did you mean %q?", strictyaml.Quote(e.Key), Variants)
				return nil, ps
			}
		}
		return []variant{{root: root}}, nil
	}
	list := root.Entries[i].Value
	plain := *root
	plain.Entries = slices.Delete(slices.Clone(root.Entries), i, i+1)
	if list.Kind != strictyaml.List || len(list.Items) == 0 {
		ps.Add(list.At, Variants, "want a list of settings, such as [{codec: fp32}, {codec: int8}], have %s", list)
		return nil, ps
	}
	var out []variant
	for _, item := range list.Items {
		if item.Kind != strictyaml.Map {
			ps.Add(item.At, Variants, "want settings, such as {codec: int8}, have %s", item)
			continue
		}
		v := variant{root: &plain, chosen: slices.DeleteFunc(choices(item, ""), func(c choice) bool {
			return overridden(overrides, strings.Split(c.path, "."))
		})}
		leaves(item, nil, item.At, func(path []string, value *strictyaml.Node, at strictyaml.Place) {
			if !overridden(overrides, path) {
				v.root = graft(v.root, path, value, at)
			}
		})
		out = append(out, v)
	}
	return out, ps
}

// overridden reports whether an override such as "method.steps=5" says what a path is.
func overridden(overrides []string, path []string) bool {
	return slices.ContainsFunc(overrides, func(arg string) bool {
		key, _, _ := strings.Cut(arg, "=")
		return strings.TrimSpace(key) == strings.Join(path, ".")
	})
}

// leaves calls f with all values in a tree that are no mappings, with their paths and the places of their keys. Keys may be paths
// themselves.
func leaves(n *strictyaml.Node, path []string, at strictyaml.Place, f func(path []string, value *strictyaml.Node, at strictyaml.Place)) {
	if n.Kind != strictyaml.Map {
		f(path, n, at)
		return
	}
	for _, e := range n.Entries {
		leaves(e.Value, append(slices.Clone(path), strings.Split(e.Key, ".")...), e.At, f)
	}
}
