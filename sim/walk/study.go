package walk

import (
	"fmt"
	"slices"
	"strings"

	"starling/mixing/srrw"
	"starling/mixing/topology"
	"starling/node/manifest/strictyaml"
	"starling/sim/experiment"
	"starling/sim/report"
)

// A Study is what one file asks: every walk on every graph with every problem at every alpha.
type Study struct {
	Name  string // for people and files. Required
	About string // what is asked and what to expect
	Seed  uint64 // of graphs, problems and walks. Default 1
	Seeds int    // walks for each point, each on the same graph and problem, 2 to 10,000. Default 100
	Hops  int    // of a walk, 100 to 10,000,000. Default 10,000
	Nodes int    // of the graphs that can have any number, 3 to 512. Default 64
	// Graphs are specifications of package topology, or karate, which has 34 nodes.
	Graphs []string
	// Problems are quadratic or logistic: see [problem].
	Problems []string
	// Walks are specifications of package srrw whose chain visits all peers alike. Their alpha is replaced by each of Alphas.
	Walks  []string
	Alphas []float64 // ascending, from 0 to 20

	walks []srrw.Config // of Walks
}

const (
	maxSeeds, maxHops, maxNodes = 10_000, 10_000_000, 512
	minHops                     = 100
	maxList                     = 32 // entries of any list
	kindKey                     = "kind"
)

// Is reports whether a file is a study of walks, and not an experiment of nodes.
func Is(text []byte) bool {
	root, _ := form().Parse(text, "")
	if root == nil {
		return false
	}
	for _, e := range root.Entries {
		if e.Key == kindKey {
			return true // whatever kind it is: experiments have none, and the answer to a misspelt one comes from Load
		}
	}
	return false
}

func form() strictyaml.Form {
	return strictyaml.Form{Noun: "a study of walks", Needs: "kind, name, graphs, problems, walks and alphas", MaxBytes: experiment.MaxBytes, MaxDepth: 3}
}

// Load reads a study from a file, which is called filename in messages, with overrides such as "hops=1000". It is as strict as
// [experiment.Load], and reports all problems together.
func Load(text []byte, filename string, overrides []string) (*Study, error) {
	root, problems := form().Parse(text, filename)
	if root == nil {
		return nil, problems
	}
	for _, arg := range overrides {
		to, ps := experiment.Override(root, arg)
		root, problems = to, append(problems, ps...)
	}
	root.At.File = filename
	s := &Study{Seed: 1, Seeds: 100, Hops: 10_000, Nodes: 64}
	var k string
	d := strictyaml.Decode(root, []strictyaml.Setting{
		{Path: kindKey, To: &k}, {Path: "name", To: &s.Name}, {Path: "about", To: &s.About}, {Path: "seed", To: &s.Seed}, {Path: "seeds", To: &s.Seeds},
		{Path: "hops", To: &s.Hops}, {Path: "nodes", To: &s.Nodes}, {Path: "graphs", To: &s.Graphs}, {Path: "problems", To: &s.Problems},
		{Path: "walks", To: &s.Walks}, {Path: "alphas", To: &s.Alphas},
	})
	for _, path := range []string{kindKey, "name", "graphs", "problems", "walks", "alphas"} {
		d.Missing(path)
	}
	if d.Read(kindKey) {
		if err := strictyaml.CheckWord(k, []string{report.WalksKind}); err != nil {
			d.Report(kindKey, err.Error())
		}
	}
	s.check(d)
	if problems = append(problems, d.Problems...); len(problems) > 0 {
		problems.Sort()
		return nil, problems
	}
	return s, nil
}

// check reports everything that is wrong with what was read.
func (s *Study) check(d *strictyaml.Decoded) {
	wrong := func(path, format string, args ...any) { d.Report(path, fmt.Sprintf(format, args...)) }
	if d.Read("name") && (s.Name == "" || len(s.Name) > 40 || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
		wrong("name", "is %s; want 1 to 40 of a-z, 0-9 and -", strictyaml.Quote(s.Name))
	}
	for _, n := range []struct {
		path              string
		have, least, most int
	}{{"seeds", s.Seeds, 2, maxSeeds}, {"hops", s.Hops, minHops, maxHops}, {"nodes", s.Nodes, 3, maxNodes}} {
		if n.have < n.least || n.have > n.most {
			wrong(n.path, "is %d; want %d to %d", n.have, n.least, n.most)
		}
	}
	for _, list := range []struct {
		path string
		have []string
		one  func(string) error
	}{{"graphs", s.Graphs, s.checkGraph}, {"problems", s.Problems, checkProblem}, {"walks", s.Walks, s.addWalk}} {
		if n := len(list.have); d.Read(list.path) && (n == 0 || n > maxList) {
			wrong(list.path, "has %d entries; want 1 to %d", n, maxList)
			continue
		}
		for i, text := range list.have {
			if err := list.one(text); err != nil {
				wrong(list.path, "%s", err)
			} else if slices.Contains(list.have[:i], text) {
				wrong(list.path, "has %s twice", strictyaml.Quote(text))
			}
		}
	}
	if n := len(s.Alphas); d.Read("alphas") && (n == 0 || n > maxList) {
		wrong("alphas", "has %d entries; want 1 to %d", n, maxList)
	}
	for i, a := range s.Alphas {
		if !(a >= 0 && a <= srrw.MaxAlpha) || i > 0 && a <= s.Alphas[i-1] {
			wrong("alphas", "has %v; want ascending numbers from 0 to %d", a, srrw.MaxAlpha)
		}
	}
}

func (s *Study) checkGraph(spec string) error {
	if s.Nodes < 3 || s.Nodes > maxNodes {
		return nil // that is the problem, and is reported
	}
	_, err := s.graph(spec)
	return err
}

func (s *Study) addWalk(spec string) error {
	c, err := srrw.Parse(spec)
	if err != nil {
		return err
	}
	if c.Base != srrw.Metropolis && c.Base != srrw.Averaging {
		return fmt.Errorf("%s does not visit all peers alike: base must be %s or %s", spec, srrw.Metropolis, srrw.Averaging)
	}
	c.Alpha = 0
	s.walks = append(s.walks, c)
	return nil
}

// karate is the name of the one graph that is not drawn or built.
const karate = "karate"

// graph makes a graph of its specification.
func (s *Study) graph(spec string) (topology.Graph, error) {
	if spec == karate {
		return topology.NewGraph(karateNodes, false, karateLinks())
	}
	t, err := topology.Parse(spec, s.Nodes, s.Seed)
	if err != nil {
		return topology.Graph{}, err
	}
	g, is := t.Graph()
	switch {
	case !is || g.Directed:
		return topology.Graph{}, fmt.Errorf("%s: a walk wants one undirected graph", spec)
	case !g.Connected():
		return topology.Graph{}, fmt.Errorf("%s: the graph is not connected", spec)
	}
	return g, nil
}

const karateNodes = 34

// karateLinks are the friendships in a karate club of 34 that Zachary observed (1977): a graph that nobody drew, with two groups
// around two members.
func karateLinks() [][2]int {
	friends := [][]int{
		0: {1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31}, 1: {2, 3, 7, 13, 17, 19, 21, 30}, 2: {3, 7, 8, 9, 13, 27, 28, 32},
		3: {7, 12, 13}, 4: {6, 10}, 5: {6, 10, 16}, 6: {16}, 8: {30, 32, 33}, 9: {33}, 13: {33}, 14: {32, 33}, 15: {32, 33}, 18: {32, 33}, 19: {33},
		20: {32, 33}, 22: {32, 33}, 23: {25, 27, 29, 32, 33}, 24: {25, 27, 31}, 25: {31}, 26: {29, 33}, 27: {33}, 28: {31, 33}, 29: {32, 33},
		30: {32, 33}, 31: {32, 33}, 32: {33},
	}
	var links [][2]int
	for i, all := range friends {
		for _, j := range all {
			links = append(links, [2]int{i, j})
		}
	}
	return links
}
