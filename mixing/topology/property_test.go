package topology

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/mixing/philox"
)

// specs are all families that exist for n peers.
func specs(n int) []string {
	all := []string{
		"ring", "line", "star", "complete", "exponential", "torus", "regular:2", "regular:3", "regular:4", "regular:5", "erdos-renyi", "watts-strogatz:k=4,p=0.2",
		"watts-strogatz:k=2,p=1", "geometric", "equistatic", "equistatic:1", "equistatic-directed", "one-peer-exponential",
		"simple-base:k=1", "simple-base:k=2", "simple-base:k=3", "base:k=1", "base:k=2", "base:k=3", "base:k=100",
		fmt.Sprintf("hyper-hypercube:b=%d", max(n, 2)), "od-equidyn:eta=1", "od-equidyn", "ou-equidyn", "ou-equidyn:eta=1", "matching",
	}
	if n&(n-1) == 0 {
		all = append(all, "hypercube", "hyper-hypercube:b=2")
	}
	return all
}

func parse(t testing.TB, spec string, n int, seed uint64) *Topology {
	t.Helper()
	top, err := Parse(spec, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

// rounds lists the rounds worth looking at: a period, or some of those that never repeat.
func rounds(top *Topology) []uint64 {
	if top.Period() == 0 {
		return []uint64{0, 1, 2, 3, 1 << 40, math.MaxUint64}
	}
	var r []uint64
	for k := range top.Period() + 1 {
		r = append(r, uint64(k))
	}
	return append(r, math.MaxUint64)
}

// Properties 1, 2 and 10 of spec 06, section 6.14: the weights are doubly stochastic, contract as the gap promises, and
// each peer's own answers are its part of the whole.
func TestEveryRoundIsDoublyStochasticContractsAndAgrees(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for _, spec := range specs(n) {
			top, again := parse(t, spec, n, seed), parse(t, spec, n, seed)
			random := rand.New(philox.NewStream(seed, 99, uint32(n)))
			for k, r := range rounds(top) {
				view := uint64(k % 3)
				m := top.Matrix(view, r)
				name := fmt.Sprintf("%s, n %d, view %d, round %d", spec, n, view, r)
				if !m.IsDoublyStochastic(1e-12) {
					t.Fatalf("%s: not doubly stochastic: %v", name, m)
				}
				if !top.Directed() && !m.IsSymmetric(1e-15) {
					t.Fatalf("%s: not symmetric", name)
				}
				if g, ok := top.Graph(); ok && !m.Within(g) {
					t.Fatalf("%s: a weight is outside the graph", name)
				}
				for i := range n {
					if diff := cmp.Diff(m[i], again.Row(view, r, i)); diff != "" {
						t.Fatalf("%s: row of peer %d (-matrix +own):\n%s", name, i, diff)
					}
					for _, j := range again.Targets(view, r, i) {
						if m.At(j, i) == 0 || j == i {
							t.Fatalf("%s: peer %d sends to %d, which does not take it", name, i, j)
						}
						if !top.Directed() && !slices.Contains(top.Targets(view, r, j), i) {
							t.Fatalf("%s: peer %d holds %d for a partner, but not the other way", name, i, j)
						}
					}
					for _, w := range m[i] {
						if w.Peer != i && w.W != 0 && !slices.Contains(again.Targets(view, r, w.Peer), i) {
							t.Fatalf("%s: peer %d waits for %d, which does not send", name, i, w.Peer)
						}
					}
				}
				if k == 0 && n > 1 {
					contracts(t, name, m, random)
				}
			}
		}
	}
}

func contracts(t *testing.T, name string, m Matrix, random *rand.Rand) {
	t.Helper()
	n := len(m)
	limit := 1 - Gap(m) + 1e-9
	x, y := make([]float64, n), make([]float64, n)
	for range 10 {
		sum := 0.0
		for i := range x {
			x[i] = random.NormFloat64()
			sum += x[i]
		}
		for i := range x {
			x[i] -= sum / float64(n)
		}
		// Later rounds turn x towards the direction that shrinks least.
		for range 5 {
			m.Mul(y, x)
			before, after := math.Sqrt(dot(x, x)), math.Sqrt(dot(y, y))
			if after > limit*before+1e-15 {
				t.Fatalf("%s: the deviation shrank from %v to %v, more than %v was promised", name, before, after, limit)
			}
			x, y = y, x
		}
	}
}

func TestStaticTopologiesAreConnectedWithTheirDegrees(t *testing.T) {
	for n := 2; n <= 40; n++ {
		for _, spec := range specs(n) {
			g, ok := parse(t, spec, n, seed).Graph()
			if !ok {
				continue
			}
			if err := g.Validate(); err != nil {
				t.Errorf("%s, n %d: %v", spec, n, err)
			}
			if !g.Connected() || g.Diameter() < 1 {
				t.Errorf("%s, n %d: not connected, diameter %d", spec, n, g.Diameter())
			}
		}
	}
	for _, c := range []struct {
		spec               string
		n, least, most, dm int
	}{
		{"ring", 10, 2, 2, 5}, {"line", 10, 1, 2, 9}, {"star", 10, 1, 9, 2}, {"complete", 10, 9, 9, 1}, {"torus", 20, 4, 4, 4},
		{"hypercube", 32, 5, 5, 5}, {"exponential", 32, 5, 5, 5}, {"regular:4", 5, 4, 4, 1}, {"torus", 7, 2, 2, 3},
	} {
		g, _ := parse(t, c.spec, c.n, seed).Graph()
		d := g.Degrees()
		if slices.Min(d) != c.least || slices.Max(d) != c.most || g.Diameter() != c.dm {
			t.Errorf("%s, n %d: degrees %v, diameter %d; want %d to %d, %d", c.spec, c.n, d, g.Diameter(), c.least, c.most, c.dm)
		}
	}
	for d := 2; d <= 7; d++ {
		g, err := RandomRegular(100, d, seed)
		if err != nil {
			t.Fatal(err)
		}
		degrees := g.Degrees()
		sum := 0
		for _, k := range degrees {
			sum += k
		}
		if slices.Max(degrees) != d || sum < 100*d*9/10 {
			t.Errorf("regular:%d: degrees up to %d, %d in all", d, slices.Max(degrees), sum)
		}
	}
}

// Property 5.
func TestOnePeerExponentialIsExactForPowersOfTwo(t *testing.T) {
	for n := 1; n <= 256; n *= 2 {
		if d := deviation(t, parse(t, "one-peer", n, 0)); d != 0 {
			t.Errorf("n %d: deviation %v", n, d)
		}
	}
}

func TestHyperHypercubeIsExact(t *testing.T) {
	for n := 1; n <= 60; n++ {
		for b := 2; b <= 7; b++ {
			rounds, err := HyperHypercube(n, b)
			if err != nil {
				if _, rest := smooth(n, b); rest == 1 {
					t.Errorf("H(%d, %d): %v", n, b, err)
				}
				continue
			}
			top, err := Cycle("h", n, rounds)
			if err != nil {
				t.Fatal(err)
			}
			if d := deviation(t, top); d > 1e-12 {
				t.Errorf("H(%d, %d) deviates by %v", n, b, d)
			}
		}
	}
}

// Property 11: the draws that spec 06, section 6.4, names are not connected.
func TestTheNamedSeedsAreRejected(t *testing.T) {
	g, err := ErdosRenyi(64, 0, seed)
	if err != nil {
		t.Fatal(err)
	}
	p := 2 * math.Log(64) / 64
	var links [][2]int
	for i := range 64 {
		for j := i + 1; j < 64; j++ {
			if float64(word(seed, uint32(i), uint32(j), tagErdos)) < p*(1<<32) {
				links = append(links, [2]int{i, j})
			}
		}
	}
	first, err := NewGraph(64, false, links)
	if err != nil {
		t.Fatal(err)
	}
	if first.Connected() || first.Diameter() != -1 || slices.Min(first.Degrees()) != 0 {
		t.Error("the first Erdos-Renyi draw has no isolated peer")
	}
	w, err := Metropolis(first)
	if err != nil {
		t.Fatal(err)
	}
	if gap := Gap(w); gap > 1e-9 {
		t.Errorf("gap of a graph in parts is %v", gap)
	}
	if g.Attempt != 1 || !g.Connected() {
		t.Errorf("attempt is %d, want 1", g.Attempt)
	}
	offsets := make([]int, 4)
	for m := range offsets {
		offsets[m] = 1 + below(word(seed, uint32(m), 0, tagEquiStatic), 15)
		if offsets[m]%2 != 0 {
			t.Errorf("the first offsets are not all even: %v", offsets)
		}
	}
	even, w, err := EquiStatic(16, offsets, false)
	if err != nil {
		t.Fatal(err)
	}
	if even.Connected() || Gap(w) > 1e-9 {
		t.Error("even offsets connect")
	}
	if _, attempt, err := EquiOffsets(16, 4, seed); err != nil || attempt != 1 {
		t.Errorf("attempt is %d, %v, want 1", attempt, err)
	}
	if (Graph{Directed: true, Out: [][]int{{1}, {}}}).Connected() {
		t.Error("a one-way link is taken for strongly connected")
	}
}

func TestReversibleWeightsKeepTheWeightedMean(t *testing.T) {
	g, _ := parse(t, "regular:4", 20, seed).Graph()
	mu := make([]float64, 20)
	total := 0.0
	for i := range mu {
		mu[i] = 1 + float64(i%7)
		total += mu[i]
	}
	w, err := Reversible(g, mu)
	if err != nil {
		t.Fatal(err)
	}
	if !w.IsRowStochastic(1e-12) || !w.Within(g) || w.IsColumnStochastic(1e-6) {
		t.Error("weights are not just row-stochastic on the graph")
	}
	for j := range mu {
		got := 0.0
		for i := range mu {
			got += mu[i] * w.At(i, j)
		}
		if math.Abs(got-mu[j]) > 1e-12 {
			t.Errorf("mu W is %v at %d, want %v", got, j, mu[j])
		}
	}
	x, y := make([]float64, 20), make([]float64, 20)
	want := 0.0
	for i := range x {
		x[i] = float64(i * i)
		want += mu[i] * x[i] / total
	}
	gap := ReversibleGap(w, mu)
	for range RoundsTo(gap, 1e-9) + 20 {
		w.Mul(y, x)
		x, y = y, x
	}
	for i := range x {
		if math.Abs(x[i]-want) > 1e-6*want {
			t.Errorf("peer %d ends at %v, want %v", i, x[i], want)
		}
	}
	same := slices.Repeat([]float64{3}, 20)
	uniform, err := Reversible(g, same)
	if err != nil {
		t.Fatal(err)
	}
	metropolis, err := Metropolis(g)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uniform {
		for _, e := range uniform[i] {
			if math.Abs(e.W-metropolis.At(i, e.Peer)) > 1e-15 {
				t.Errorf("with equal mu w_%d,%d is %v, want %v", i, e.Peer, e.W, metropolis.At(i, e.Peer))
			}
		}
	}
	for _, bad := range [][]float64{mu[:3], append(slices.Clone(mu[:19]), 0), append(slices.Clone(mu[:19]), math.NaN())} {
		if _, err := Reversible(g, bad); err == nil {
			t.Errorf("mu %v is accepted", bad)
		}
	}
}

func TestLazyWeightsHaveNoNegativeEigenvalue(t *testing.T) {
	// Uniform pairs of a link without self weights swap for ever; lazy ones average.
	swap, err := FromEdges(2, []Edge{{0, 1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if Gap(swap) != 0 || math.Abs(Gap(swap.Lazy())-1) > 1e-12 {
		t.Errorf("gaps are %v and %v, want 0 and 1", Gap(swap), Gap(swap.Lazy()))
	}
	w := parse(t, "star", 9, 0).Matrix(0, 0)
	if l := w.Lazy(); !l.IsDoublyStochastic(1e-12) || !l.IsSymmetric(0) || math.Abs(Gap(l)-Gap(w)/2) > 1e-12 {
		t.Errorf("lazy gap is %v, want half of %v", Gap(l), Gap(w))
	}
}

func TestSharesKeepTheSumOnAnyDirectedGraph(t *testing.T) {
	g := Graph{Directed: true, Out: [][]int{{1, 2}, {2}, {0, 3}, {0}}}
	s, err := Shares(g)
	if err != nil {
		t.Fatal(err)
	}
	if !s.IsColumnStochastic(1e-15) || s.IsRowStochastic(1e-6) || !s.Within(g) {
		t.Errorf("shares are not just column-stochastic: %v", s.Dense())
	}
	// The first step of the push-sum vector.
	x := make([]float64, 4)
	s.Mul(x, []float64{4, -2, 6, 0})
	if want := []float64{10. / 3, 1. / 3, 7. / 3, 2}; math.Abs(x[0]-want[0])+math.Abs(x[1]-want[1])+math.Abs(x[2]-want[2])+math.Abs(x[3]-want[3]) > 1e-14 {
		t.Errorf("first step gives %v, want %v", x, want)
	}
	u, err := Uniform(g)
	if err != nil {
		t.Fatal(err)
	}
	if !u.IsRowStochastic(1e-15) || u.IsColumnStochastic(1e-6) {
		t.Errorf("uniform weights are not just row-stochastic: %v", u.Dense())
	}
	if _, err := Metropolis(g); err == nil {
		t.Error("metropolis takes a directed graph")
	}
}

func TestDrawsDependOnViewRoundAndSeed(t *testing.T) {
	for _, spec := range []string{"od-equidyn", "ou-equidyn", "matching"} {
		seen := map[string]string{}
		for s := range uint64(3) {
			top := parse(t, spec, 1009, s)
			for view := range uint64(3) {
				for round := range uint64(3) {
					where := fmt.Sprintf("seed %d view %d round %d", s, view, round)
					what := fmt.Sprint(top.Matrix(view, round))
					if other, dup := seen[what]; dup {
						t.Errorf("%s: %s is the same as %s", spec, where, other)
					}
					seen[what] = where
				}
			}
		}
	}
}

func TestGraphMatchingPairsLinkedPeersAndLeavesNoFreePair(t *testing.T) {
	g, err := RandomRegular(50, 4, seed)
	if err != nil {
		t.Fatal(err)
	}
	top, err := GraphMatching("regular matching", g, seed)
	if err != nil {
		t.Fatal(err)
	}
	for round := range uint64(20) {
		m := top.Matrix(7, round)
		if !m.Within(g) || !m.IsSymmetric(0) || !m.IsDoublyStochastic(0) {
			t.Fatalf("round %d is not a matching within the graph", round)
		}
		for _, l := range g.Links() {
			if len(m[l[0]]) == 1 && len(m[l[1]]) == 1 {
				t.Errorf("round %d: peers %d and %d are linked and both idle", round, l[0], l[1])
			}
		}
	}
}

func TestGapOfLargeGraphsIsThatOfTheFormula(t *testing.T) {
	for _, n := range []int{200, 401} {
		w := parse(t, "ring", n, 0).Matrix(0, 0)
		s := math.Sin(math.Pi / float64(n))
		if got, want := Gap(w), 4./3*s*s; math.Abs(got-want) > 1e-10 {
			t.Errorf("ring of %d: gap is %v, want %v", n, got, want)
		}
	}
	if got := Gap(parse(t, "hypercube", 1024, 0).Matrix(0, 0)); math.Abs(got-2./11) > 1e-10 {
		t.Errorf("hypercube of 1024: gap is %v, want %v", got, 2./11)
	}
}

func TestRoundsToHandlesTheEnds(t *testing.T) {
	for _, c := range []struct {
		gap, eps float64
		want     int
	}{{0, 1e-3, math.MaxInt}, {math.NaN(), 1e-3, math.MaxInt}, {1, 1e-3, 1}, {0.5, 0.5, 1}, {0.5, 0.25, 2}, {1e-300, 1e-3, math.MaxInt}} {
		if got := RoundsTo(c.gap, c.eps); got != c.want {
			t.Errorf("RoundsTo(%v, %v) is %d, want %d", c.gap, c.eps, got, c.want)
		}
	}
}

func TestLogarithmIsThatOfTheLibrary(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7, 8, 64, 1000, 65535, 1<<26 - 1} {
		if got, want := ln(n), math.Log(float64(n)); math.Abs(got-want) > 4e-16*(1+want) {
			t.Errorf("ln %d is %v, want %v", n, got, want)
		}
	}
}

func TestBrokenInputIsAnError(t *testing.T) {
	fail := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	_, err := NewGraph(3, false, [][2]int{{0, 3}})
	fail("a link out of range", err)
	_, err = NewGraph(3, false, [][2]int{{1, 1}})
	fail("a link to itself", err)
	_, err = NewGraph(0, false, nil)
	fail("a graph without peers", err)
	_, err = Metropolis(Graph{Out: [][]int{{1}, {}}})
	fail("an asymmetric graph", err)
	_, err = Uniform(Graph{Directed: true, Out: [][]int{{1, 1}, {}}})
	fail("a repeated link", err)
	_, err = Shares(Graph{Directed: true, Out: [][]int{{2}, {}}})
	fail("a link out of range", err)
	_, err = FromEdges(3, []Edge{{0, 1, 0.1}, {1, 0, 0.1}})
	fail("a repeated edge", err)
	_, err = FromEdges(3, []Edge{{0, 0, 0.1}})
	fail("an edge to itself", err)
	_, err = Cycle("x", 2, [][]Edge{{{0, 2, 0.5}}})
	fail("a round out of range", err)
	ring, _ := Ring(4)
	_, err = Static("x", ring, Matrix{{{0, 1}}, {{1, 1}}, {{0, 0.5}, {2, 0.5}}, {{3, 1}}})
	fail("a weight off the graph", err)
	_, err = Static("x", ring, Matrix{{{4, 1}}, {{1, 1}}, {{2, 1}}, {{3, 1}}})
	fail("a weight out of range", err)
	_, _, err = EquiStatic(4, []int{4}, true)
	fail("an offset of n", err)
	_, err = Torus(0, 3)
	fail("a torus without rows", err)
	_, err = ErdosRenyi(1000, 1e-6, 0)
	fail("a hopeless p", err)
	_, err = WattsStrogatz(10, 2, math.NaN(), 0)
	fail("a p that is no number", err)
	_, err = GraphMatching("x", Graph{Directed: true, Out: [][]int{{}}}, 0)
	fail("a matching on a directed graph", err)
	top := parse(t, "ring", 4, 0)
	if top.Row(0, 0, 4) != nil || top.Targets(0, 0, -1) != nil {
		t.Error("a peer out of range has links")
	}
}
