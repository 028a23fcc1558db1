package srrw

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

// vectors are those of spec 02.
type vectors struct {
	Edges    [][2]int
	Counts   []float64
	BaseRows map[string]map[string]float64 `json:"base_rows"`
	SRRWRows []struct {
		Alpha float64
		Node  int
		Row   map[string]float64
	} `json:"srrw_rows"`
	NonuniformMu []struct {
		Alpha     float64
		Node      int
		Mu        []float64
		Base, Row map[string]float64
	} `json:"nonuniform_mu"`
	Seed    string `json:"token_seed"`
	Counts5 struct {
		Hops  []hop
		Final []float64 `json:"final_counts"`
	} `json:"trajectory_counts_alpha5"`
	Poly5 struct {
		Hops  []hop
		Final []float64 `json:"final_x"`
	} `json:"trajectory_poly_alpha5"`
	SA10 struct {
		B   []float64
		Log []struct {
			Node  int
			Theta float64
		}
		Final []float64 `json:"final_x"`
	} `json:"sa_alpha10"`
	Accept []struct {
		I, J       int
		Alpha, Acc float64
	} `json:"hdt_acceptance"`
	Eigenvalues []float64 `json:"mh_eigenvalues"`
	Theory      []struct {
		Alpha float64
		SRRW  float64 `json:"trace_Vx_srrw"`
		HDT   float64 `json:"trace_Vx_hdt"`
		Theta float64 `json:"trace_U_theta"`
	}
}

type hop struct {
	U    float64
	From int `json:"from_"`
	To   int
}

func read(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/02-srrw-tokens.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vectors) seed(t testing.TB) uint64 {
	t.Helper()
	s, err := strconv.ParseUint(v.Seed, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// graph is the peers of a graph, with tags 0 to n-1.
type graph struct {
	links [][]int
	mu    []float64
}

func (v vectors) graph(mu []float64) graph {
	g := graph{links: make([][]int, 6), mu: mu}
	for _, e := range v.Edges {
		g.links[e[0]] = append(g.links[e[0]], e[1])
		g.links[e[1]] = append(g.links[e[1]], e[0])
	}
	return g
}

func (g graph) peer(i int) Peer {
	p := Peer{Tag: uint64(i), Degree: len(g.links[i]), Mu: 1, Visits: 1}
	if g.mu != nil {
		p.Mu = g.mu[i]
	}
	return p
}

func (g graph) neighbours(i int) (n []Peer) {
	for _, j := range g.links[i] {
		n = append(n, g.peer(j))
	}
	return n
}

// at is a place with visits given, nil for 1 each.
func (g graph) at(i int, visits []float64) Place {
	at := NewHistory(1).Around(g.peer(i), g.neighbours(i))
	if visits != nil {
		at.Self.Visits = visits[i]
		for k := range at.Neighbours {
			at.Neighbours[k].Visits = visits[at.Neighbours[k].Tag]
		}
	}
	return at
}

func (g graph) tags() (tags []uint64) {
	for i := range g.links {
		tags = append(tags, uint64(i))
	}
	return tags
}

func sameRow(t *testing.T, what string, got Row, want map[string]float64) {
	t.Helper()
	for tag, p := range want {
		i, _ := strconv.Atoi(tag)
		if q := got.P(uint64(i)); math.Abs(q-p) > 1e-12 { // the clamp shows at 1e-13
			t.Errorf("%s: P(%s) = %v, want %v", what, tag, q, p)
		}
	}
	for _, s := range got {
		if _, ok := want[strconv.Itoa(int(s.Tag))]; !ok && s.P > 1e-12 {
			t.Errorf("%s: P(%d) = %v, want none", what, s.Tag, s.P)
		}
	}
}

func TestVectorsOfRows(t *testing.T) {
	v := read(t)
	for node, want := range v.BaseRows {
		i, _ := strconv.Atoi(node)
		sameRow(t, "base row "+node, Config{}.Row(v.graph(nil).at(i, nil)), want)
	}
	for _, r := range v.SRRWRows {
		sameRow(t, "row", Config{Alpha: r.Alpha}.Row(v.graph(nil).at(r.Node, v.Counts)), r.Row)
	}
	for _, r := range v.NonuniformMu {
		g := v.graph(r.Mu)
		sameRow(t, "base row for mu", Config{}.Row(g.at(r.Node, v.Counts)), r.Base)
		sameRow(t, "row for mu", Config{Alpha: r.Alpha}.Row(g.at(r.Node, v.Counts)), r.Row)
	}
	for _, a := range v.Accept {
		g := v.graph(nil)
		i, j := g.at(a.I, v.Counts).Self, g.at(a.J, v.Counts).Self
		if got := (Config{Alpha: a.Alpha}).Accept(i, j); math.Abs(got-a.Acc) > 1e-14 {
			t.Errorf("accept %d to %d at alpha %v: %v, want %v", a.I, a.J, a.Alpha, got, a.Acc)
		}
	}
}

func TestVectorsOfTrajectories(t *testing.T) {
	v := read(t)
	g, seed := v.graph(nil), v.seed(t)
	walk := func(c Config, hops int, each func(n, from, to int, u float64)) *History {
		h, at := NewHistory(6, g.tags()...), 0
		for n := range hops {
			u := Uniform(seed, uint64(n), 0)
			to := int(c.Next(h.Around(g.peer(at), g.neighbours(at)), u))
			h.Visit(uint64(to), c.Gamma)
			each(n, at, to, u)
			at = to
		}
		return h
	}
	check := func(want []hop) func(n, from, to int, u float64) {
		return func(n, from, to int, u float64) {
			if w := want[n]; w.From != from || w.To != to || w.U != u {
				t.Fatalf("hop %d: %d to %d by %v, want %+v", n, from, to, u, w)
			}
		}
	}
	near := func(what string, h *History, unit float64, want []float64) {
		for i, w := range want {
			if got := h.Value(uint64(i)) / unit; math.Abs(got-w) > 1e-6 {
				t.Errorf("%s: value of %d is %v, want %v", what, i, got, w)
			}
		}
	}
	near("counts", walk(Config{Alpha: 5, A: 1, B: 1}, len(v.Counts5.Hops), check(v.Counts5.Hops)), 1, v.Counts5.Final)
	h := walk(Config{Alpha: 5, A: 0.8, B: 1}, len(v.Poly5.Hops), check(v.Poly5.Hops))
	near("steps", h, h.Sum(), v.Poly5.Final)

	c, theta := Config{Alpha: 10, A: 0.8, B: 0.9}, 0.0
	h = walk(c, len(v.SA10.Log), func(n, _, to int, _ float64) {
		theta -= c.Beta(uint64(n)) * (theta - v.SA10.B[to])
		if w := v.SA10.Log[n]; w.Node != to || math.Abs(w.Theta-theta) > 1e-12 {
			t.Fatalf("hop %d: peer %d, theta %v, want %+v", n, to, theta, w)
		}
	})
	near("descent", h, h.Sum(), v.SA10.Final)
}
