package experiment

import (
	"fmt"
	"slices"
	"strings"

	"starling/node/manifest/strictyaml"
)

// A File is what a file says: one experiment, or a sweep of several.
type File struct {
	// Name is the name of the experiment, or of the first point if names are what is swept.
	Name string
	// Points are the experiments, at least one: for each variant, if the file has [Variants], combinations of alternatives in the
	// order of the file, of which the last in the file changes quickest. Combinations that differ only in settings without effect
	// are one point.
	Points []Point
}

// A Point is one experiment of a sweep.
type Point struct {
	// Label names what is special about the point: "mix=mean,split=dirichlet:0.1", in the order of the file. Empty if the
	// file is no sweep. No other point of the file has the same.
	Label      string
	Experiment Experiment
	// Hash is that of the experiment: [Experiment.Hash].
	Hash string
}

// Load reads a file, which is called filename in messages, with overrides such as "method.mix=mean", whose values are
// YAML too. Each replaces what the file says; the last of several for one key counts. Settings that neither mentions
// have the values of [Default].
//
// It is strict: unknown and repeated keys, values of the wrong type or out of range, anchors, tags, and more than one
// document are errors. All problems are reported together, as [strictyaml.Problems].
func Load(src []byte, filename string, overrides []string, by Hooks) (*File, error) {
	root, problems := form().Parse(src, filename)
	if root == nil {
		return nil, problems
	}
	if root.Kind != strictyaml.Map {
		problems.Add(root.At, "", "want keys and values, have %s", root)
		return nil, problems
	}
	if len(overrides) > maxOverrides {
		problems.Add(strictyaml.Place{File: "--set"}, "", "is given %d times; at most %d are allowed", len(overrides), maxOverrides)
		return nil, problems
	}
	for _, arg := range overrides {
		to, ps := Override(root, arg)
		root, problems = to, append(problems, ps...)
	}
	root.At.File = filename
	a := newAlternatives()
	roots, ps := variants(root, overrides)
	problems = append(problems, ps...)
	count := 0
	for _, v := range roots {
		count = min(count+a.count(v.root, ""), MaxPoints+1)
	}
	if count > MaxPoints {
		problems.Add(strictyaml.Place{File: filename}, "", "has more than %d combinations of its lists", MaxPoints)
		return nil, problems
	}
	l := loader{file: &File{}, check: newChecker(by), seen: map[strictyaml.Problem]bool{}, labels: map[string]int{}, hashes: map[string]bool{}}
	for _, v := range roots {
		for i := range a.count(v.root, "") {
			chosen := slices.Clone(v.chosen)
			l.point(a.pick(v.root, "", i, &chosen), chosen)
		}
	}
	problems = append(problems, l.problems...)
	if len(problems) > 0 {
		problems.Sort()
		return nil, problems
	}
	l.file.Name = l.file.Points[0].Experiment.Name
	return l.file, nil
}

// A loader collects the points of a file and the problems of all of them.
type loader struct {
	file     *File
	check    *checker
	problems strictyaml.Problems
	seen     map[strictyaml.Problem]bool
	labels   map[string]int
	hashes   map[string]bool
}

// point reads one combination.
func (l *loader) point(root *strictyaml.Node, chosen []choice) {
	e := Default()
	d := strictyaml.Decode(root, decoderSettings(settings(&e)))
	if d.Read("compute.epoch") && !d.Read("compute.step") {
		e.Compute.Step = 0
	}
	d.Missing("name")
	l.check.all(&e, d)
	for _, p := range d.Problems {
		if !l.seen[p] {
			l.seen[p] = true
			l.problems = append(l.problems, p)
		}
	}
	if len(l.problems) > 0 {
		return
	}
	hash := e.Hash()
	if l.hashes[hash] {
		return
	}
	l.hashes[hash] = true
	label := labelOf(&e, chosen)
	l.labels[label]++
	if n := l.labels[label]; n > 1 {
		label = fmt.Sprintf("%s,again=%d", label, n)
	}
	l.file.Points = append(l.file.Points, Point{Label: label, Experiment: e, Hash: hash})
}

// labelOf names a combination by its choices, without those that have no effect.
func labelOf(e *Experiment, chosen []choice) string {
	var parts []string
	for _, c := range chosen {
		if c.path != "about" && c.path != "baseline" && !e.ineffective(c.path) {
			parts = append(parts, short(c.path)+"="+c.text)
		}
	}
	return strings.Join(parts, ",")
}

// short returns the last word of a path if no other key has the same, else the path. What is before the run has its section's name,
// and takes no word from what is in it.
func short(path string) string {
	const before = "pretrain."
	if strings.HasPrefix(path, before) {
		return path
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	for _, key := range Keys() {
		if key != path && !strings.HasPrefix(key, before) && key[strings.LastIndexByte(key, '.')+1:] == name {
			return path
		}
	}
	return name
}

// Dir returns the name of the directory of a point's results: readable, the same whenever the settings are, another for
// other settings, and good for every file system.
func (p Point) Dir() string {
	label := p.Label
	if label == "" {
		label = p.Experiment.Name
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("=,.+_", r):
			return r
		}
		return '-'
	}, label)
	const longest = 100
	return strings.TrimLeft(name[:min(len(name), longest)], ".") + "-" + p.Hash[:10]
}
