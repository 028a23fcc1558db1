package srrw

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
	"starling/mixing/topology"
)

var (
	seeds = flag.Int("seeds", 200, "random worlds for each property")
	first = flag.Uint64("seed", 1, "first seed of the random worlds")
	walks = flag.Int("walks", 200, "walks for each statistical property")
)

// worlds calls a property with random streams; a failure says how to repeat it.
func worlds(t *testing.T, property func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		property(t, rand.New(philox.NewStream(seed, philox.Walk, 1)))
		if t.Failed() {
			t.Fatalf("repeat with: go test ./mixing/srrw -run '^%s$' -seed %d -seeds 1", t.Name(), seed)
		}
	}
}

// network is a random connected graph with weights, of a topology.
func network(t testing.TB, r *rand.Rand, n int) graph {
	t.Helper()
	g, err := topology.ErdosRenyi(n, min(0.9, 3/float64(n)+0.1), r.Uint64())
	if err != nil {
		t.Fatal(err)
	}
	mu := make([]float64, n)
	for i := range mu {
		mu[i] = math.Exp(2*r.Float64() - 1)
	}
	return graph{links: g.Out, mu: mu}
}

func config(r *rand.Rand) Config {
	c := Default()
	c.Alpha, c.Base, c.Form = float64(r.IntN(21)), Base(r.IntN(4)), Form(r.IntN(3))
	if c.Base == NonBacktracking {
		c.Form = Rows
	}
	c.Lazy = c.Form != Proposals && r.IntN(2) == 0
	return c
}

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*max(1, math.Abs(a), math.Abs(b))
}

func TestRowsAreProbabilities(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		g, c := network(t, r, 3+r.IntN(60)), config(r)
		visits := make([]float64, len(g.links))
		for i := range visits {
			visits[i] = math.Exp(60*r.Float64() - 30)
		}
		i := r.IntN(len(g.links))
		at := g.at(i, visits)
		at.Came, at.Previous = true, uint64(g.links[i][0])
		row := c.Row(at)
		base := c
		base.Alpha = 0
		if !near(row.sum(), 1, 1e-12) || len(row) != len(at.Neighbours)+1 {
			t.Errorf("%v: %d peers, sum %v", c, len(row), row.sum())
		}
		plain := base.Row(at)
		for k, s := range row {
			if k > 0 && row[k-1].Tag >= s.Tag || s.P < 0 || plain[k].P == 0 && s.P != 0 && !c.proposes(at) {
				t.Errorf("%v: row %v over %v", c, row, plain)
			}
		}
		for range 50 {
			u := r.Float64()
			if tag := row.Draw(u); row.P(tag) == 0 {
				t.Errorf("%v: drew %d by %v, which has probability 0", c, tag, u)
			}
		}
	})
}

func TestOnlyRatiosToTheTargetMatter(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		g, c := network(t, r, 3+r.IntN(60)), config(r)
		i := r.IntN(len(g.links))
		visits, target, scaled := make([]float64, len(g.links)), make([]float64, len(g.links)), make([]float64, len(g.links))
		for i := range visits {
			visits[i] = 1 + 9*r.Float64()
			scaled[i] = 1e-3 * visits[i]
			target[i] = 7 * c.Target(g.peer(i))
		}
		base := c
		base.Alpha = 0
		same := func(what string, a, b Row) {
			for k := range a {
				if a[k].Tag != b[k].Tag || !near(a[k].P, b[k].P, 1e-12) {
					t.Errorf("%v: %s: %v and %v", c, what, a, b)
				}
			}
		}
		same("visits as the target wants", c.Row(g.at(i, target)), base.Row(g.at(i, nil)))
		same("visits in another unit", c.Row(g.at(i, visits)), c.Row(g.at(i, scaled)))
		other := graph{links: g.links, mu: make([]float64, len(g.mu))}
		for i := range g.mu {
			other.mu[i] = 1e5 * g.mu[i]
		}
		same("weights in another unit", c.Row(g.at(i, visits)), c.Row(other.at(i, visits)))
	})
}

func TestBalanceIsDetailed(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		g, c := network(t, r, 3+r.IntN(40)), config(r)
		if c.Base == NonBacktracking {
			c.Base = Metropolis
		}
		if c.Form == Auto {
			c.Form = Rows
		}
		visits := make([]float64, len(g.links)) // the clamp is no part of the property: stay within
		for i := range visits {
			visits[i] = c.Target(g.peer(i)) * math.Exp(r.Float64()*25/max(1, c.Alpha))
		}
		pi, rows := make([]float64, len(g.links)), make([]Row, len(g.links))
		bare := c
		bare.Alpha = 0
		for i := range g.links {
			rows[i] = c.Row(g.at(i, visits))
			pi[i] = g.aim(c, i, visits)
			if c.Form == Rows {
				sum := 0.0
				for _, s := range bare.Row(g.at(i, visits)) {
					sum += s.P * g.aim(c, int(s.Tag), visits) / c.Target(g.peer(int(s.Tag)))
				}
				pi[i] *= sum
			}
		}
		for i, row := range rows {
			for _, s := range row {
				there, back := pi[i]*s.P, pi[s.Tag]*rows[s.Tag].P(uint64(i))
				if math.Abs(there-back) > 1e-12*max(there, back) && max(there, back) > 1e-300 {
					t.Errorf("%v: flow %v from %d to %d, %v back", c, there, i, s.Tag, back)
				}
			}
		}
	})
}

// aim is mu_i (x_i/mu_i)^-alpha.
func (g graph) aim(c Config, i int, visits []float64) float64 {
	mu := c.Target(g.peer(i))
	return mu * math.Pow(visits[i]/mu, -c.Alpha)
}

func TestNextIsADrawFromTheRow(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		g, c := network(t, r, 3+r.IntN(60)), config(r)
		visits := make([]float64, len(g.links))
		for i := range visits {
			visits[i] = 1 + r.Float64()
		}
		at := g.at(r.IntN(len(g.links)), visits)
		const draws = 4096 // evenly over [0, 1): each peer's share is its probability, but for the ends of its intervals
		got := map[uint64]float64{}
		for k := range draws {
			got[c.Next(at, (float64(k)+0.5)/draws)] += 1.0 / draws
		}
		for _, s := range c.Row(at) {
			if math.Abs(got[s.Tag]-s.P) > float64(len(at.Neighbours)+2)/draws {
				t.Errorf("%v: share %v of the draws for %d, its probability is %v", c, got[s.Tag], s.Tag, s.P)
			}
		}
	})
}

func TestBusyPeersLeaveTheSameWeights(t *testing.T) {
	row := Row{{1, 0.5}, {4, 0.125}, {9, 0.375}, {12, 0}}
	got, ok := row.Without(1, 12)
	if want := (Row{{4, 0.25}, {9, 0.75}}); !ok || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
	if _, ok := row.Without(1, 4, 9); ok {
		t.Error("a row of which only the impossible is left still offers somebody")
	}
	if got := row.Draw(math.Nextafter(1, 0)); got != 9 {
		t.Errorf("the largest number drew %d, want 9", got)
	}
	if got := (Config{}).Next(Place{Self: Peer{Tag: 3, Mu: 1}}, 0.5); got != 3 {
		t.Errorf("a peer alone gave its token to %d", got)
	}
}

func TestPeersWithoutWeightAreNotVisited(t *testing.T) {
	for _, c := range []Config{{Alpha: 5}, {Alpha: 5, Form: Proposals}, {Alpha: 5, Base: Averaging}} {
		for _, mu := range []float64{0, -1, math.NaN(), math.Inf(1)} {
			at := Place{Self: Peer{Tag: 1, Degree: 2, Mu: 1, Visits: 100}, Neighbours: []Peer{{Tag: 2, Degree: 1, Mu: mu, Visits: 1}, {Tag: 3, Degree: 1, Mu: 1, Visits: 50}}}
			if row := c.Row(at); row.P(2) != 0 || !near(row.sum(), 1, 1e-12) {
				t.Errorf("%v with mu %v: %v", c, mu, row)
			}
			at.Self.Mu, at.Neighbours[0].Mu = mu, 1
			if row := c.Row(at); row.P(1) > 0 || !near(row.sum(), 1, 1e-12) {
				t.Errorf("%v at a peer with mu %v: %v", c, mu, row)
			}
			at.Neighbours[0].Mu, at.Neighbours[1].Mu = mu, mu
			if row := c.Row(at); row.P(1) != 1 || c.Next(at, 0.1) != 1 {
				t.Errorf("%v where nobody has a weight: %v", c, row)
			}
		}
	}
}
