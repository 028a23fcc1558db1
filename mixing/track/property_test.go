package track

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// heterogeneous is a problem whose nodes' optima lie far apart, on a ring.
func heterogeneous(seed uint64, n, d int) (quadratics, [][]float64) {
	r := chance(seed)
	q := quadratics{make([]float64, n), zeros(n, d)}
	w := zeros(n, n)
	for i := range n {
		q.a[i] = 0.5 + 1.5*r.Float64()
		for j := range d {
			q.b[i][j] = 3 * r.NormFloat64()
		}
		w[i][i] += 0.5
		w[i][(i+1)%n] += 0.25
		w[i][(i+n-1)%n] += 0.25
	}
	return q, w
}

// The two ways to keep public copies give the same step.
func TestSumsOfCopiesAreTheCopies(t *testing.T) {
	c := Choco{0.4}
	x, own, neighbours := []float64{1, 2}, []float64{0.5, 1}, [][]float64{{3, 1}, {-1, 0}}
	weights := []float64{0.25, 0.125}
	f := c.Step()
	all := sum([]float64{0.625, 0.25, 0.125}, own, neighbours[0], neighbours[1])
	want := sum([]float64{f.X, f.Copy, f.Sum}, x, own, all)
	a, b, rest := c.Copies(nil, weights)
	if got := sum(append([]float64{a, b}, rest...), x, own, neighbours[0], neighbours[1]); !near(got, want) {
		t.Errorf("by copies %v, by their sum %v", got, want)
	}
}

// Spec 05, 5.13, property 6: the uplink of SCAFFOLD is the mean local gradient minus c_i, and c is the mean of c_i, whoever takes part.
func TestTheCommonVariateIsTheMeanWhoeverTakesPart(t *testing.T) {
	q, _ := heterogeneous(3, 5, 3)
	for _, rule := range []Controlled{{Alpha: 1, Rate: 1}, {Alpha: 0.2, Rate: 1}, {Beta: 0.3, Rate: 1}} {
		r := chance(4)
		s := newServer(q, rule, topOne, 2, 0.05)
		for round := range 60 {
			active := r.Perm(5)[:1+r.IntN(5)]
			slices.Sort(active)
			s.round(active)
			if !near(s.common, meanOf(s.own)) {
				t.Fatalf("%+v, round %d: c is %v, the mean %v", rule, round, s.common, meanOf(s.own))
			}
		}
	}
	x := []float64{0.5, -1, 2}
	own, common := []float64{1, 2, 3}, []float64{-1, 0.5, 0}
	y, total := x, make([]float64, 3)
	for range 4 {
		g := q.gradient(0, y)
		total = sum([]float64{1, 0.25}, total, g)
		y = sum([]float64{1, -0.1, 0.1, -0.1}, y, g, own, common)
	}
	f, _ := Controlled{Alpha: 1, Rate: 1}.Uplink(0.4)
	if got, want := sum([]float64{f.X, f.Y, f.Own, f.Common}, x, y, own, common), sum([]float64{1, -1}, total, own); !near(got, want) {
		t.Errorf("delta is %v, want %v", got, want)
	}
}

// Property 7: control variates take the drift out of local steps, compressed or not; averaging alone ends elsewhere.
func TestControlledAveragingReachesTheOptimumAndAveragingDoesNot(t *testing.T) {
	q, _ := heterogeneous(5, 6, 4)
	all := []int{0, 1, 2, 3, 4, 5}
	for _, test := range []struct {
		rule Controlled
		c    compressor
	}{{Controlled{Alpha: 1, Rate: 1}, exact}, {Controlled{Alpha: 0.1, Rate: 1}, exact}, {Controlled{Beta: 0.2, Rate: 1}, topOne}} {
		s := newServer(q, test.rule, test.c, 5, 0.05)
		for range 1500 {
			s.round(all)
		}
		if d := distance([][]float64{s.x}, q.optimum()); d > 1e-16 {
			t.Errorf("%+v ends %g from the optimum", test.rule, d)
		}
	}
	x := make([]float64, 4)
	for range 1500 {
		ends := make([][]float64, len(q.a))
		for i := range ends {
			ends[i] = q.local(i, x, make([]float64, 4), 5, 0.05)
		}
		x = meanOf(ends)
	}
	if d := distance([][]float64{x}, q.optimum()); d < 1e-3 {
		t.Errorf("averaging ends %g from the optimum: the problem has no drift to take out", d)
	}
}

// Property 8: trackers have the mean of the gradients, and all nodes reach the optimum, in whatever rounds some do not train.
func TestTrackingReachesTheOptimum(t *testing.T) {
	for seed := range uint64(6) {
		r := chance(seed)
		q, w := heterogeneous(seed, 6, 4)
		s := newPeers(q, w, Tracking{Beta: 0.3, Gamma: 0.2}, topOne, 4, 0.02)
		if seed%2 == 1 {
			s.sleeping = func(int) bool { return r.IntN(5) == 0 }
		}
		for round := range 3000 {
			s.round()
			if !near(meanOf(s.v), meanOf(s.m)) {
				t.Fatalf("seed %d, round %d: the mean of V is %v, of m %v", seed, round, meanOf(s.v), meanOf(s.m))
			}
		}
		if d := s.distance(q.optimum()); d > 1e-12 {
			t.Errorf("seed %d: the nodes end %g from the optimum", seed, d)
		}
	}
}

// Property 8 with messages that come late, in order: where each counts once at both ends, the optimum is exact.
func TestTrackingReachesTheOptimumWhenMessagesComeLate(t *testing.T) {
	for seed := range uint64(4) {
		q, w := heterogeneous(seed, 6, 4)
		s := newPeers(q, w, Tracking{Beta: 0.3, Gamma: 0.05}, topOne, 4, 0.01)
		s.delayed(chance(seed + 100))
		for range 12000 {
			s.round()
		}
		if d := s.distance(q.optimum()); d > 1e-10 {
			t.Errorf("seed %d: the nodes end %g from the optimum", seed, d)
		}
	}
	q, w := heterogeneous(1, 6, 4)
	s := newPeers(q, w, Tracking{Beta: 0.3, Gamma: 0.05}, topOne, 4, 0.01)
	s.careless = true
	s.delayed(chance(101))
	for range 12000 {
		s.round()
	}
	d := s.distance(q.optimum())
	t.Logf("with copies of different rounds the nodes end %g from the optimum", d)
	if d < 1e-6 {
		t.Error("copies of different rounds do as well: then nothing need be kept for each link")
	}
}

// Nodes that leave hand over what they hold, or the others begin the tracker anew; without either the optimum is missed.
func TestLeavingKeepsTheOptimumOfThoseThatStay(t *testing.T) {
	q, w := heterogeneous(9, 6, 3)
	rest := quadratics{q.a[:5], q.b[:5]}
	_, ring := heterogeneous(9, 5, 3)
	for _, how := range []string{"legacy", "repair", "nothing"} {
		s := newPeers(q, w, Tracking{Beta: 0.3, Gamma: 0.2}, topOne, 3, 0.02)
		for range 20 {
			s.round()
		}
		after := newPeers(rest, ring, s.rule, topOne, 3, 0.02)
		copy(after.x, s.x)
		copy(after.m, s.m)
		copy(after.v, s.v)
		switch how {
		case "legacy":
			f := Legacy()
			after.v[2] = sum([]float64{1, f.V, f.M}, after.v[2], s.v[5], s.m[5])
		case "repair":
			u := Repair()
			for i := range after.v {
				after.v[i] = sum([]float64{u.V.M, u.V.V}, s.m[i], s.v[i])
			}
		}
		for range 3000 {
			after.round()
		}
		if d := after.distance(rest.optimum()); (d < 1e-12) != (how != "nothing") {
			t.Errorf("%s: the nodes end %g from the optimum", how, d)
		}
	}
}

func TestGammasAreThoseOfTheSpec(t *testing.T) {
	for _, test := range []struct {
		quantizer  string
		kept, want float64
	}{
		{"fp32", 1, 1}, {"bf16", 1, 1}, {"int8", 1, 0.9}, {"int4", 1, 0.6}, {"fp32", 0.1, 0.3}, {"int4", 0.1, 0.3}, {"sign", 1, 0.1},
		{"fp32", 0.01, 0.05}, {"int4", 0.01, 0.05}, {"fp32", 0.001, 0.005}, {"e3m0", 1, 0.5}, {"ternary", 1, 0.2}, {"sign", 0.01, 0.05},
	} {
		if got := DefaultGamma(test.quantizer, test.kept); math.Abs(got-test.want) > 1e-15 {
			t.Errorf("%s of %g: gamma %g, want %g", test.quantizer, test.kept, got, test.want)
		}
	}
	last := 0.0
	for kept := 0.0; kept <= 1; kept += 0.001 {
		g := DefaultGamma("fp32", kept)
		if g <= last || (Choco{g}).Stable() != nil {
			t.Errorf("gamma %g for %g, after %g", g, kept, last)
		}
		last = g
	}
}

func TestTheWatchHalvesWhatRunsAwayAlone(t *testing.T) {
	for _, test := range []struct {
		name      string
		distances []float64
		want      float64
	}{
		{"geometric", []float64{1, 1.1, 1.21, 1.331}, 0.5},
		{"twice", []float64{1, 2, 4, 8, 16, 32, 64}, 0.25},
		{"two rises", []float64{1, 2, 4, 3, 6, 12}, 1},
		{"catching up", []float64{0, 10, 19, 27, 34, 40, 45}, 1},
		{"no record", []float64{100, 1, 2, 4, 8}, 1},
		{"level", []float64{5, 5, 5, 5, 5}, 1},
		{"not a number", []float64{1, math.NaN(), math.NaN(), math.NaN()}, 0.5},
	} {
		w := NewWatch(1)
		halved := 0
		for _, d := range test.distances {
			if w.Observe(d) {
				halved++
			}
		}
		if w.Gamma() != test.want || math.Exp2(-float64(halved)) != test.want {
			t.Errorf("%s: gamma %g after %d times, want %g", test.name, w.Gamma(), halved, test.want)
		}
	}
	w := NewWatch(0.8)
	for range 1000 {
		w.Observe(math.Inf(1))
	}
	if w.Gamma() != 0.8/64 {
		t.Errorf("gamma goes down to %g", w.Gamma())
	}
}

// A gamma too large for the codec diverges, and with the watch it does not; one that fits is left alone, whatever the noise.
func TestTheWatchTurnsDivergenceAround(t *testing.T) {
	run := func(gamma float64, watch, noise bool) (float64, float64) {
		r := chance(11)
		_, w := heterogeneous(11, 8, 1)
		x := zeros(8, 30)
		for i := range x {
			for j := range x[i] {
				x[i][j] = r.NormFloat64()
			}
		}
		s := newChoco(x, w, Choco{gamma}, topOne)
		one := NewWatch(gamma)
		for range 2000 {
			s.round()
			if noise {
				for i := range s.x {
					for j := range s.x[i] {
						s.x[i][j] += 0.01 * r.NormFloat64()
					}
				}
			}
			d := 0.0
			for i := range s.x {
				d += distance(s.x[i:i+1], s.h[i])
			}
			if one.Observe(math.Sqrt(d)); watch {
				s.rule.Gamma = one.Gamma()
			}
		}
		return spread(s.x), one.Gamma()
	}
	if d, _ := run(0.9, false, false); d < 1e6 {
		t.Errorf("without the watch the spread is %g", d)
	}
	if d, gamma := run(0.9, true, false); !(d < 1) {
		t.Errorf("with the watch the spread is %g, gamma %g", d, gamma)
	}
	if d, gamma := run(0.02, true, true); gamma < 0.005 || !(d < 1e3) {
		t.Errorf("with noise the spread is %g, gamma %g", d, gamma)
	}
}

func TestSettingsThatDoNotConvergeAreRefused(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		err  error
		want string
	}{
		{Choco{1}.Stable(), ""}, {Choco{0}.Stable(), "gamma 0"}, {Choco{1.1}.Stable(), "at most 1"}, {Choco{nan}.Stable(), "gamma NaN"},
		{Tracking{0.2, 0.3}.Stable(), ""}, {Tracking{0, 0.3}.Stable(), "no gradient counts"}, {Tracking{nan, 0.3}.Stable(), "beta NaN"},
		{Tracking{0.2, 2}.Stable(), "consensus gamma 2"},
		{Controlled{Alpha: 0.1, Rate: 1}.Stable(), ""}, {Controlled{Beta: 0.2, Rate: 1}.Stable(), ""}, {Controlled{Alpha: 0.1}.Stable(), "global rate"},
		{Controlled{Rate: 1}.Stable(), "alpha 0"}, {Controlled{Beta: 1.5, Rate: 1}.Stable(), "beta 1.5"}, {Controlled{Beta: nan, Rate: 1}.Stable(), "beta NaN"},
	} {
		switch {
		case test.want == "" && test.err != nil:
			t.Error(test.err)
		case test.want != "" && (test.err == nil || !strings.Contains(test.err.Error(), test.want)):
			t.Errorf("%v, want an error with %q", test.err, test.want)
		}
	}
}
