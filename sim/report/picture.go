package report

import (
	"encoding/json"
	"fmt"

	"starling/mixing/topology"
)

// A Role is what a node was in a run.
type Role byte

// The roles, as letters in topology.json.
const (
	Honest    Role = 'h'
	Adversary Role = 'a'
	Offline   Role = 'o' // at the end of the run
)

// A Picture is a graph and what to show of its nodes.
type Picture struct {
	Graph    topology.Graph
	Roles    []Role // of each node; nil if all are honest
	Accuracy []Real // of each node at the end; nil if not known
}

type pictureText struct {
	Nodes    int      `json:"nodes"`
	Directed bool     `json:"directed"`
	Links    [][2]int `json:"links"`
	Roles    string   `json:"roles,omitempty"` // one letter a node
	Accuracy []Real   `json:"accuracy,omitempty"`
}

// MarshalJSON writes the links as pairs.
func (p Picture) MarshalJSON() ([]byte, error) {
	t := pictureText{Nodes: p.Graph.N(), Directed: p.Graph.Directed, Links: p.Graph.Links(), Accuracy: p.Accuracy}
	for _, r := range p.Roles {
		t.Roles += string(rune(r))
	}
	return json.Marshal(t)
}

// maxNodes bounds what is read from a file.
const maxNodes = 1 << 20

// UnmarshalJSON reads and checks a picture.
func (p *Picture) UnmarshalJSON(text []byte) error {
	var t pictureText
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	if t.Nodes < 1 || t.Nodes > maxNodes {
		return fmt.Errorf("nodes is %d, must be 1 to %d", t.Nodes, maxNodes)
	}
	g, err := topology.NewGraph(t.Nodes, t.Directed, t.Links)
	if err != nil {
		return err
	}
	q := Picture{Graph: g, Accuracy: t.Accuracy}
	if t.Roles != "" {
		q.Roles = []Role(t.Roles)
	}
	if err := q.Validate(); err != nil {
		return err
	}
	*p = q
	return nil
}

// Validate returns an error for roles or accuracies that do not fit the nodes.
func (p Picture) Validate() error {
	n := p.Graph.N()
	if p.Roles != nil && len(p.Roles) != n {
		return fmt.Errorf("%d roles for %d nodes", len(p.Roles), n)
	}
	if p.Accuracy != nil && len(p.Accuracy) != n {
		return fmt.Errorf("%d accuracies for %d nodes", len(p.Accuracy), n)
	}
	for i, r := range p.Roles {
		if r != Honest && r != Adversary && r != Offline {
			return fmt.Errorf("role %q of node %d: there are h (honest), a (adversary) and o (offline)", rune(r), i)
		}
	}
	return nil
}
