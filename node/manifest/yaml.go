package manifest

import (
	"fmt"
	"time"

	"starling/gossip"
	"starling/node/manifest/strictyaml"
)

// form is what a manifest is as a document.
func form() strictyaml.Form {
	return strictyaml.Form{Noun: "a manifest", Needs: "version and name", MaxBytes: MaxBytes, MaxDepth: 8}
}

// ParseYAML reads the YAML form. Settings that the file does not mention keep the values of [Default]. It is strict:
// unknown and repeated keys, values of the wrong type, anchors, tags, and more than one document are errors. All
// problems are reported together, as [Problems], with their places in the file, which is called filename.
func ParseYAML(src []byte, filename string) (Manifest, error) {
	root, fatal := form().Parse(src, filename)
	if root == nil {
		return Manifest{}, Problems(fatal)
	}
	if newer, at := newerVersion(root); newer != 0 {
		fatal.Add(at, "", "version: %s", versionProblem(newer))
		return Manifest{}, Problems(fatal)
	}
	m := Default()
	var all []strictyaml.Setting
	var path string // no setting of its own: it becomes a part of the source, so that two ways to write it are one run
	for _, s := range settings(&m) {
		all = append(all, strictyaml.Setting{Path: s.path, To: target(s.to)})
		if s.path == "data.source" {
			all = append(all, strictyaml.Setting{Path: "data.path", To: &path})
		}
	}
	d := strictyaml.Decode(root, all)
	var err error
	if m.Data, err = m.Data.WithPath(path); err != nil {
		d.Report("data.path", err.Error())
	}
	if root.Kind == strictyaml.Map {
		// These have no default: a file without a version could mean anything later.
		d.Missing("version")
		d.Missing("name")
		for _, p := range m.problems(checkers()) {
			d.Report(p.Field, p.Text)
		}
	}
	if len(d.Problems) > 0 {
		d.Problems.Sort()
		return Manifest{}, Problems(d.Problems)
	}
	return m, nil
}

// newerVersion finds the version of a manifest that is newer than this build, else 0. Such a file has that problem alone:
// what else is in it is not for this build to judge.
func newerVersion(root *strictyaml.Node) (int64, strictyaml.Place) {
	for _, e := range root.Entries {
		if v, ok := e.Value.Int64(); ok && e.Key == "version" && v > Version {
			return v, e.Value.At
		}
	}
	return 0, strictyaml.Place{}
}

// target returns the reader for a type that strictyaml does not know; others are their own targets.
func target(to any) any {
	switch to := to.(type) {
	case *Size:
		return func(n *strictyaml.Node) error { return ReadSize(to, n) }
	case *Steps:
		return func(n *strictyaml.Node) error { return ReadSteps(to, n) }
	case *time.Duration:
		return func(n *strictyaml.Node) error { return ReadDuration(to, n) }
	case *gossip.PeerID:
		return func(n *strictyaml.Node) error {
			text, err := n.Line()
			if err == nil {
				*to, err = parsePeerID(text)
			}
			return err
		}
	case *time.Time:
		return func(n *strictyaml.Node) error {
			text, err := n.Line()
			if err != nil {
				return err
			}
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return fmt.Errorf("%s is not a time; write it as 2026-11-24T12:00:00Z", quote(text))
			}
			*to = t.UTC()
			return nil
		}
	}
	return to
}

// ReadSize reads a size from a document. It is for packages whose files have sizes as manifests have them.
func ReadSize(to *Size, n *strictyaml.Node) error {
	if n.Kind == strictyaml.Integer {
		return fmt.Errorf("%s has no unit; write %sB, %sKiB or %sMiB", n.Literal, n.Literal, n.Literal, n.Literal)
	}
	text, err := n.Line()
	if err != nil {
		return fmt.Errorf("want a size such as 32KiB, have %s", n)
	}
	s, err := ParseSize(text)
	if err == nil {
		*to = s
	}
	return err
}
