package topology

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const seed = 0x1122334455667788

type vectors struct {
	MH struct {
		Adj [][]int
		W   [][]float64
		Gap float64
	} `json:"mh_example"`
	Gaps []struct {
		N        int
		Topology string
		Gap      float64
		Rounds   int `json:"rounds_for_1e_3"`
	} `json:"gap_table"`
	OnePeer []struct {
		N, Rounds int
		MaxDev    float64 `json:"max_dev"`
	} `json:"one_peer_exponential"`
	Equi struct {
		N, M    int
		Offsets []int
		Gap     float64
	} `json:"equistatic_directed"`
	Adjacency map[string][][]int
	Lengths   []struct {
		N, K   int
		Simple int `json:"simple_rounds"`
		Base   int `json:"base_rounds"`
	} `json:"base_graph_lengths"`
	Graphs []struct {
		N, K   int
		Kind   string
		Rounds [][]struct {
			I, J int
			W    float64
		}
	} `json:"base_graphs"`
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	load(t, "06-topologies-and-mixing.json", &v)
	if len(v.Gaps) == 0 || len(v.Lengths) == 0 || len(v.Graphs) == 0 || len(v.OnePeer) == 0 {
		t.Fatal("vectors are incomplete")
	}
	return v
}

func TestMetropolisMatchesTheExample(t *testing.T) {
	v := loadVectors(t)
	g := Graph{Out: v.MH.Adj}
	w, err := Metropolis(g)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.MH.W, w.Dense(), cmpopts.EquateApprox(0, 1e-15)); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	if got := Gap(w); math.Abs(got-v.MH.Gap) > 1e-12 {
		t.Errorf("gap is %v, want %v", got, v.MH.Gap)
	}
}

// specOf turns a row name of the gap table into a spec.
func specOf(t *testing.T, row string) (spec string, attempt int) {
	if name, rest, ok := strings.Cut(row, " attempt="); ok {
		row = name
		if _, err := fmt.Sscan(rest, &attempt); err != nil {
			t.Fatal(err)
		}
	}
	var a, b int
	if k, _ := fmt.Sscanf(row, "torus %dx%d MH", &a, &b); k == 2 {
		return fmt.Sprintf("torus:r=%d,c=%d", a, b), attempt
	}
	if k, _ := fmt.Sscanf(row, "EquiStatic undirected M=%d", &a); k == 1 {
		return fmt.Sprintf("equistatic:%d", a), attempt
	}
	spec, ok := map[string]string{
		"ring MH": "ring", "hypercube MH": "hypercube", "static exponential uniform": "exponential", "star MH": "star",
		"complete 1/n": "complete", "random 4-regular (2 cycles) MH": "regular:4",
		"Watts-Strogatz k=4 p=0.2 MH": "watts-strogatz:k=4,p=0.2", "Erdos-Renyi p=2ln(n)/n MH": "erdos-renyi",
	}[row]
	if !ok {
		t.Fatalf("no spec for %q", row)
	}
	return spec, attempt
}

func TestGapTableIsReproduced(t *testing.T) {
	for _, row := range loadVectors(t).Gaps {
		t.Run(fmt.Sprintf("%d %s", row.N, row.Topology), func(t *testing.T) {
			spec, attempt := specOf(t, row.Topology)
			top, err := Parse(spec, row.N, seed)
			if err != nil {
				t.Fatal(err)
			}
			g, _ := top.Graph()
			if g.Attempt != attempt {
				t.Errorf("attempt is %d, want %d", g.Attempt, attempt)
			}
			gap := Gap(top.Matrix(0, 0))
			if math.Abs(gap-row.Gap) > 1e-8 {
				t.Errorf("gap is %.9f, want %.9f", gap, row.Gap)
			}
			if got := RoundsTo(gap, 1e-3); got != row.Rounds {
				t.Errorf("rounds to 1e-3 are %d, want %d", got, row.Rounds)
			}
		})
	}
}

func TestRandomGraphsMatchTheAdjacency(t *testing.T) {
	v := loadVectors(t)
	for name, spec := range map[string]string{"random4regular16": "regular", "watts16": "watts-strogatz", "er16": "erdos-renyi"} {
		t.Run(name, func(t *testing.T) {
			top, err := Parse(spec, 16, seed)
			if err != nil {
				t.Fatal(err)
			}
			g, _ := top.Graph()
			if diff := cmp.Diff(v.Adjacency[name], g.Out); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPermutationsMatchTheVectors(t *testing.T) {
	var v struct {
		List []struct {
			N     int
			Round uint64
			Perm  []int
		}
	}
	load(t, "03-permutations.json", &v)
	if len(v.List) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.List {
		if diff := cmp.Diff(c.Perm, Permutation(seed, c.Round, c.N)); diff != "" {
			t.Errorf("n %d round %d (-want +got):\n%s", c.N, c.Round, diff)
		}
		top, err := Matching(c.N, seed)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < c.N; i += 2 {
			if got := top.Targets(0, c.Round, c.Perm[i]); len(got) != 1 || got[0] != c.Perm[i+1] {
				t.Errorf("n %d round %d: partner of %d is %v, want %d", c.N, c.Round, c.Perm[i], got, c.Perm[i+1])
			}
		}
	}
}

func TestEquiStaticMatchesTheVector(t *testing.T) {
	v := loadVectors(t).Equi
	offsets, _, err := EquiOffsets(v.N, v.M, seed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.Offsets, offsets); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	_, w, err := EquiStatic(v.N, offsets, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := Gap(w); math.Abs(got-v.Gap) > 1e-12 {
		t.Errorf("gap is %v, want %v", got, v.Gap)
	}
}

// product multiplies the matrices of a cycle, the first round rightmost.
func product(t *testing.T, top *Topology) [][]float64 {
	n := top.N()
	p := make([][]float64, n) // columns
	tmp := make([]float64, n)
	for c := range p {
		p[c] = make([]float64, n)
		p[c][c] = 1
		for r := range top.Period() {
			top.Matrix(0, uint64(r)).Mul(tmp, p[c])
			copy(p[c], tmp)
		}
	}
	return p
}

// deviation is the largest difference of an entry from 1/n.
func deviation(t *testing.T, top *Topology) float64 {
	most := 0.0
	for _, column := range product(t, top) {
		for _, x := range column {
			most = max(most, math.Abs(x-1/float64(top.N())))
		}
	}
	return most
}

func TestOnePeerExponentialDeviatesAsInTheVectors(t *testing.T) {
	for _, c := range loadVectors(t).OnePeer {
		top, err := OnePeerExponential(c.N)
		if err != nil {
			t.Fatal(err)
		}
		if top.Period() != c.Rounds {
			t.Errorf("n %d: period is %d, want %d", c.N, top.Period(), c.Rounds)
		}
		if got := deviation(t, top); math.Abs(got-c.MaxDev) > 1e-12 {
			t.Errorf("n %d: deviation is %v, want %v", c.N, got, c.MaxDev)
		}
	}
}

func TestBaseGraphsMatchTheEdgeLists(t *testing.T) {
	for _, c := range loadVectors(t).Graphs {
		build := Base
		if c.Kind == "simple" {
			build = SimpleBase
		}
		got, err := build(c.N, c.K)
		if err != nil {
			t.Fatal(err)
		}
		want := [][]Edge{}
		for _, round := range c.Rounds {
			edges := []Edge{}
			for _, e := range round {
				edges = append(edges, Edge{e.I, e.J, e.W})
			}
			want = append(want, edges)
		}
		less := func(a, b Edge) bool { return a.I < b.I || a.I == b.I && a.J < b.J }
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(less), cmpopts.EquateApprox(1e-15, 0)); diff != "" {
			t.Errorf("n %d k %d (-want +got):\n%s", c.N, c.K, diff)
		}
	}
}

func TestBaseGraphsAreExactAndAsLongAsInTheVectors(t *testing.T) {
	for _, c := range loadVectors(t).Lengths {
		for _, kind := range []struct {
			spec   string
			rounds int
		}{{"simple-base", c.Simple}, {"base", c.Base}} {
			spec := fmt.Sprintf("%s:k=%d", kind.spec, c.K)
			top, err := Parse(spec, c.N, 0)
			if err != nil {
				t.Fatal(err)
			}
			if top.Period() != kind.rounds {
				t.Errorf("%s, n %d: %d rounds, want %d", spec, c.N, top.Period(), kind.rounds)
			}
			if d := deviation(t, top); d > 1e-12 {
				t.Errorf("%s, n %d: the cycle deviates from the mean by %v", spec, c.N, d)
			}
			for r := range top.Period() {
				m := top.Matrix(0, uint64(r))
				if !m.IsSymmetric(0) || !m.IsDoublyStochastic(1e-12) {
					t.Errorf("%s, n %d, round %d: not symmetric and doubly stochastic", spec, c.N, r)
				}
				for i := range c.N {
					if d := len(top.Targets(0, uint64(r), i)); d > c.K {
						t.Errorf("%s, n %d, round %d: peer %d has degree %d", spec, c.N, r, i, d)
					}
				}
			}
		}
	}
}
