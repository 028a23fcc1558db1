package srrw

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/philox"
)

// A walker is a token on a graph.
type walker struct {
	c        Config
	h        *History
	at       int
	previous int
	room     []Peer
}

func start(c Config, g graph, at int) *walker {
	return &walker{c: c, h: NewHistory(MaxLimit, g.tags()...), at: at, previous: -1}
}

func (w *walker) hop(g graph, u float64) {
	w.room = w.room[:0]
	for _, j := range g.links[w.at] {
		w.room = append(w.room, g.peer(j))
	}
	at := w.h.Look(Place{Self: g.peer(w.at), Neighbours: w.room})
	at.Came, at.Previous = w.previous >= 0, uint64(w.previous)
	next := int(w.c.Next(at, u))
	w.h.Visit(uint64(next), w.c.Gamma)
	if next != w.at {
		w.previous, w.at = w.at, next
	}
}

// spread is the mean share of visits by peer in units of the target, the scaled square distance from the target, and the largest relative one.
func spread(c Config, g graph, walks, hops int, seed uint64) (shares []float64, scaled, imbalance float64) {
	n := len(g.links)
	shares = make([]float64, n)
	total := 0.0
	for i := range n {
		total += c.Target(g.peer(i))
	}
	for k := range walks {
		r := rand.New(philox.NewStream(seed, philox.Walk, uint32(k)))
		w := start(c, g, r.IntN(n))
		for range hops {
			w.hop(g, r.Float64())
		}
		worst := 0.0
		for i := range n {
			mu := c.Target(g.peer(i)) / total
			x := (w.h.Count(uint64(i)) - 1) / float64(hops)
			shares[i] += x / mu / float64(walks)
			scaled += float64(hops) * (x - mu) * (x - mu) / float64(walks)
			worst = max(worst, math.Abs(x/mu-1))
		}
		imbalance += worst / float64(walks)
	}
	return shares, scaled, imbalance
}

// long is for tests that take some hundred thousand hops, or some million.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes some hundred thousand hops")
	}
}

func TestVisitsSpreadAsTheFormulaSays(t *testing.T) {
	long(t)
	v := read(t)
	g := v.graph(nil)
	// The variance of a mean of squares of about two normal numbers, four standard deviations of it, and 5 % for the finite time.
	tolerance := 0.05 + 4*math.Sqrt(1/float64(*walks))
	for _, th := range v.Theory {
		if th.Alpha == 2 || th.Alpha > 10 {
			continue // 1 is much like 2, and at 20 a few thousand hops are too few for the limit
		}
		for _, form := range []struct {
			form Form
			want float64
		}{{Rows, th.SRRW}, {Proposals, th.HDT}} {
			c := Config{Alpha: th.Alpha, A: 1, B: 1, Form: form.form}
			_, got, _ := spread(c, g, *walks, 2000, 2)
			t.Logf("%v: %.4g, the formula says %.4g", c, got, form.want)
			if math.Abs(got/form.want-1) > tolerance {
				t.Errorf("%v: n E|x-mu|^2 = %v, want %v within %.0f %%", c, got, form.want, 100*tolerance)
			}
		}
	}
}

func TestVisitsAreMoreEvenTheStrongerTheRepulsion(t *testing.T) {
	long(t)
	g := network(t, rand.New(philox.NewStream(3, philox.Walk, 0)), 30)
	for _, form := range []Form{Rows, Proposals} {
		last := math.Inf(1)
		for _, alpha := range []float64{0, 1, 5, 20} {
			c := Config{Alpha: alpha, A: 1, B: 1, Form: form}
			_, _, got := spread(c, g, 20, 2000, 3)
			if got >= last {
				t.Errorf("%v: largest relative deviation %v, it was %v with less repulsion", c, got, last)
			}
			last = got
		}
	}
}

func TestVisitsGoToTheTargetOfEachChain(t *testing.T) {
	long(t)
	g := network(t, rand.New(philox.NewStream(4, philox.Walk, 0)), 20)
	for _, c := range []Config{
		{Base: Metropolis}, {Base: Averaging}, {Base: Simple}, {Base: Simple, Lazy: true}, {Base: NonBacktracking}, {Base: NonBacktracking, Lazy: true},
		{Base: Metropolis, Form: Proposals}, {Base: Simple, Form: Proposals},
		{Base: Averaging, Alpha: 5}, {Base: Simple, Alpha: 5}, {Base: NonBacktracking, Alpha: 5}, {Base: Metropolis, Alpha: 20},
	} {
		c.A, c.B = 1, 1
		shares, _, _ := spread(c, g, 60, 1500, 4)
		for i, s := range shares {
			if math.Abs(s-1) > 0.15 {
				t.Errorf("%v: peer %d has %v of the visits that the target gives it", c, i, s)
			}
		}
	}
}

// A hub with more neighbours than it would weigh, which proposes while the others weigh: the visits still go to the target.
func TestAHubMayProposeWhileOthersWeigh(t *testing.T) {
	long(t)
	g := graph{links: make([][]int, 41)}
	for i := 1; i <= 40; i++ {
		g.links[0] = append(g.links[0], i)
		before, after := (i+38)%40+1, i%40+1
		g.links[i] = []int{0, min(before, after), max(before, after)}
	}
	for _, alpha := range []float64{0, 5, 20} {
		c := Config{Alpha: alpha, A: 1, B: 1}
		if !c.proposes(g.at(0, nil)) || c.proposes(g.at(1, nil)) {
			t.Fatal("the hub weighs, or the others propose")
		}
		shares, _, _ := spread(c, g, 60, 2000, 8)
		for i, s := range shares {
			if math.Abs(s-1) > 0.15 {
				t.Errorf("%v: peer %d has %v of the visits that the target gives it", c, i, s)
			}
		}
	}
}

func TestNonBacktrackingWalksGoBackFromDeadEndsOnly(t *testing.T) {
	g := graph{links: [][]int{{1}, {0, 2, 3}, {1, 3}, {1, 2}}}
	c := Config{Alpha: 2, A: 1, B: 1, Base: NonBacktracking}
	w, r := start(c, g, 1), rand.New(philox.NewStream(5, philox.Walk, 0))
	for range 2000 {
		came, was := w.previous, w.at
		w.hop(g, r.Float64())
		if w.at == came && len(g.links[was]) > 1 {
			t.Fatalf("from %d to %d and back", came, was)
		}
	}
}

func TestLazyWalksHaveNoPeriod(t *testing.T) {
	g := graph{links: [][]int{{1, 3}, {0, 2}, {1, 3}, {0, 2}}}
	for _, lazy := range []bool{false, true} {
		stay := Config{Lazy: lazy}.Row(g.at(0, nil)).P(0)
		if want := map[bool]float64{false: 0, true: 0.5}[lazy]; stay != want {
			t.Errorf("an even ring, lazy %v: stays with %v, want %v", lazy, stay, want)
		}
	}
}

// Peers come and go while the walk goes on, and the visits after each change still go as the target says.
func TestVisitsGoToTheTargetWhileTheGraphChanges(t *testing.T) {
	long(t)
	for _, c := range []Config{{Alpha: 0}, {Alpha: 5}, {Alpha: 20}, {Alpha: 5, Form: Proposals}, {Alpha: 5, Floor: true}} {
		c.A, c.B = 0.8, 0.9
		for seed := uint64(1); seed <= 2; seed++ {
			r := rand.New(philox.NewStream(seed, philox.Walk, 2))
			g := network(t, r, 24)
			w := start(c, g, 0)
			for phase := range 6 {
				for range 300 { // while the visits find their way again
					w.hop(g, r.Float64())
				}
				const hops = 10000
				visits := make([]float64, len(g.links))
				for range hops {
					w.hop(g, r.Float64())
					visits[w.at]++
				}
				distance, total := 0.0, 0.0
				for i := range g.links {
					if len(g.links[i]) > 0 {
						total += g.mu[i]
					}
				}
				for i := range g.links {
					if len(g.links[i]) > 0 {
						distance += math.Abs(visits[i]/hops-g.mu[i]/total) / 2
					} else if visits[i] > 0 {
						t.Errorf("a peer that left was visited")
					}
				}
				if limit := map[bool]float64{true: 0.1, false: 0.03}[c.Alpha == 0]; distance > limit {
					t.Errorf("seed %d, %v, phase %d: the visits are %.3f from the target in total variation", seed, c, phase, distance)
				}
				g = w.change(g, r)
			}
		}
	}
}

// change lets one peer leave, if the others stay connected, and two join.
func (w *walker) change(g graph, r *rand.Rand) graph {
	next := graph{mu: slices.Clone(g.mu)}
	for _, l := range g.links {
		next.links = append(next.links, slices.Clone(l))
	}
	for {
		gone := r.IntN(len(g.links))
		if gone == w.at || len(g.links[gone]) == 0 || !g.connectedWithout(gone) {
			continue
		}
		for i := range next.links {
			next.links[i] = slices.DeleteFunc(next.links[i], func(j int) bool { return j == gone })
		}
		next.links[gone] = nil
		w.h.Drop(uint64(gone))
		break
	}
	for range 2 {
		i, known := len(next.links), []uint64(nil)
		next.links, next.mu = append(next.links, nil), append(next.mu, 0.5+r.Float64())
		for len(next.links[i]) < 3 {
			j := r.IntN(i)
			if len(next.links[j]) > 0 && !slices.Contains(next.links[i], j) {
				next.links[i], next.links[j] = append(next.links[i], j), append(next.links[j], i)
				slices.Sort(next.links[i])
				known = append(known, uint64(j))
			}
		}
		w.h.Admit(uint64(i), known...)
	}
	w.previous = -1
	return next
}

func (g graph) connectedWithout(gone int) bool {
	seen, left := map[int]bool{gone: true}, []int{g.links[gone][0]}
	for len(left) > 0 {
		i := left[0]
		left = left[1:]
		if !seen[i] {
			seen[i] = true
			left = append(left, g.links[i]...)
		}
	}
	for i := range g.links {
		if len(g.links[i]) > 0 && !seen[i] {
			return false
		}
	}
	return true
}

// Property 8 of spec 02: peers that want different things, and a model that follows them.
func TestRepulsionQuietsTheModel(t *testing.T) {
	long(t)
	g := network(t, rand.New(philox.NewStream(6, philox.Walk, 0)), 12)
	g.mu = nil
	noise := func(alpha float64) float64 {
		c := Config{Alpha: alpha, A: 0.8, B: 0.9}
		sum := 0.0
		for k := range uint32(40) {
			r := rand.New(philox.NewStream(6, philox.Walk, 100+k))
			w, theta := start(c, g, 0), 0.0
			for n := range uint64(10000) {
				w.hop(g, r.Float64())
				theta -= c.Beta(n) * (theta - float64(w.at))
			}
			sum += (theta - 5.5) * (theta - 5.5)
		}
		return sum
	}
	if base, repelled := noise(0), noise(5); repelled > base/4 {
		t.Errorf("variance %v at alpha 5, %v at alpha 0: want less than a quarter", repelled, base)
	}
}
