package outer

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"starling/mixing"
	"starling/mixing/philox"
)

// chance is the source of a seed, which failures print: -run with the test's name repeats them.
func chance(seed uint64) *rand.Rand { return rand.New(philox.NewStream(seed, 99, 0)) }

func normals(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }

// Spec 03, 3.12, property 1: with learning rate 1 and no momentum one node's round ends where its local steps did.
func TestOneNodeWithoutMomentumKeepsWhatItLearned(t *testing.T) {
	theta, p := []float64{1, -2, 3}, []float64{0.5, -1.75, 3.125}
	for _, heavy := range []bool{false, true} {
		s := newState(theta)
		g := make([]float64, len(p))
		for i := range g {
			g[i] = theta[i] - p[i]
		}
		s.apply(Optimizer{LR: 1, HeavyBall: heavy}.Step([]float64{1}), g)
		if !slices.Equal(s.theta, p) {
			t.Errorf("heavy ball %t: %v, want %v", heavy, s.theta, p)
		}
	}
}

// Property 3: with N = 1 delayed Nesterov is Nesterov, and with c = 0 it is after each window, on the mean of its pushes.
func TestAWindowIsANesterovStepOnItsMean(t *testing.T) {
	for seed := range uint64(50) {
		r := chance(seed)
		n := 1 + r.IntN(6)
		d := Delayed{LR: 0.7, Mu: 0.9, N: n}
		if n == 1 {
			d.C = r.Float64()
		}
		o := Optimizer{LR: d.LR, Momentum: d.Mu}
		a, b := newState(normals(r, 3)), state{}
		b = newState(a.theta)
		for w := range 8 {
			g := make([][]float64, n)
			for i := range g {
				g[i] = normals(r, 3)
				a.apply(d.Fold(uint64(w*n+i), ones(1)), g[i])
			}
			b.apply(o.Step(slices.Repeat([]float64{1 / float64(n)}, n)), g...)
			if !near(a.theta, b.theta) || !near(a.m, b.m) || !near(a.d, make([]float64, 3)) {
				t.Fatalf("seed %d, window %d of %d: %v, want %v", seed, w, n, a, b)
			}
		}
	}
}

// Property 4: the change of a window is that of the identity in spec 03, 3.5, for every c allowed.
func TestTheSumOverAWindowIsTheIdentityOfTheSpec(t *testing.T) {
	for seed := range uint64(50) {
		r := chance(seed)
		n := 1 + r.IntN(7)
		d := Delayed{LR: r.Float64(), Mu: r.Float64(), N: n, C: r.Float64() / float64(n)}
		s := state{normals(r, 2), normals(r, 2), make([]float64, 2)}
		old := s
		g := make([][]float64, n)
		mean := make([]float64, 2)
		for i := range g {
			g[i] = normals(r, 2)
			for j, x := range g[i] {
				mean[j] += x / float64(n)
			}
		}
		s.apply(d.Fold(uint64(n)*r.Uint64N(1000), ones(n)), g...)
		want := make([]float64, 2)
		for j := range want {
			early := float64(n-1) * d.C
			want[j] = old.theta[j] - d.LR*(mean[j]+d.Mu*(early*old.m[j]+(1-early)*s.m[j]))
		}
		if !near(s.theta, want) {
			t.Fatalf("seed %d: %v, want %v", seed, s.theta, want)
		}
	}
}

// Folding is associative: however pushes are batched, and with whatever weights, the state is the same.
func TestFoldingAtOnceIsFoldingOneByOne(t *testing.T) {
	type folder interface {
		Fold(t uint64, weights []float64) Step
		Next(t uint64, weights []float64) uint64
	}
	for seed := range uint64(100) {
		r := chance(seed)
		n := 1 + r.IntN(5)
		for _, f := range []folder{Delayed{LR: 0.7, Mu: 0.9, N: n, C: r.Float64() / float64(n)}, NaiveNesterov{LR: 0.7, Mu: 0.5, N: n}} {
			a := newState(normals(r, 2))
			b := newState(a.theta)
			var ta, tb uint64
			for range 5 {
				k := r.IntN(9)
				g, w := make([][]float64, k), make([]float64, k)
				for i := range g {
					g[i] = normals(r, 2)
					w[i] = float64(r.IntN(3)) / 2
					a.apply(f.Fold(ta, w[i:i+1]), g[i])
					ta = f.Next(ta, w[i:i+1])
				}
				b.apply(f.Fold(tb, w), g...)
				tb = f.Next(tb, w)
				if ta != tb || !near(a.theta, b.theta) || !near(a.m, b.m) || !near(a.d, b.d) {
					t.Fatalf("seed %d, %#v: %v after %d, want %v after %d", seed, f, b, tb, a, ta)
				}
			}
		}
	}
}

func TestAPushWithoutWeightIsNone(t *testing.T) {
	d := Delayed{LR: 0.7, Mu: 0.9, N: 3, C: 0.2}
	got, want := d.Fold(2, []float64{0, 1, 0}), d.Fold(2, []float64{1})
	for _, f := range []struct{ got, want Form }{{got.Anchor, want.Anchor}, {got.Momentum, want.Momentum}, {got.Window, want.Window}} {
		c := f.want
		c.G = []float64{0, f.want.G[0], 0}
		if !slices.Equal(f.got.Coefficients(nil), c.Coefficients(nil)) {
			t.Errorf("%v, want %v", f.got, c)
		}
	}
	if n := d.Next(2, []float64{0, 1, 0}); n != 3 {
		t.Errorf("the count is %d, want 3", n)
	}
}

// A window that is not used any more is not read, so that it need not be kept.
func TestAClosedWindowIsZeroAndNeverRead(t *testing.T) {
	d := Delayed{LR: 0.7, Mu: 0.9, N: 3, C: 0.1}
	if w := d.Fold(1, ones(2)).Window; slices.ContainsFunc(w.Coefficients(nil), func(x float64) bool { return x != 0 }) {
		t.Errorf("a closed window is %v", w)
	}
	s := d.Fold(6, ones(4))
	if s.Anchor.Window != 0 || s.Momentum.Window != 0 || s.Window.Window != 0 {
		t.Errorf("a new window begins with the old one: %v", s)
	}
}

// Property 5: one fragment without delay or mix is DiLoCo; every fragment is sent once in any H steps; never are two under way.
func TestStreamingSendsEveryFragmentOnceAndNeverTwoAtATime(t *testing.T) {
	for _, s := range []Streaming{{H: 12, P: 4, Delay: 2}, {H: 12, P: 4}, {H: 30, P: 3, Delay: 9}, {H: 5, P: 5}, {H: 7, P: 1, Delay: 6}, {H: 1, P: 1}} {
		if err := s.Stable(); err != nil {
			t.Fatal(err)
		}
		last := make([]int, s.P)
		flying, next := -1, uint64(0)
		for at := range uint64(6 * s.H) {
			send, apply := s.At(at)
			if (send >= 0 || apply >= 0) != (at > 0 && at == next) && at > 0 {
				t.Fatalf("%+v: after %d steps %d and %d, but the next event is said to be at %d", s, at, send, apply, next)
			}
			if at >= next {
				next = s.Next(at)
			}
			if send >= 0 {
				if flying >= 0 || last[send] > 0 && int(at)-last[send] != s.H || last[send] == 0 && int(at) != (send+1)*s.H/s.P {
					t.Fatalf("%+v: after %d steps fragment %d is sent, with %d under way, last after %d", s, at, send, flying, last[send])
				}
				flying, last[send] = send, int(at)
			}
			if apply >= 0 {
				if apply != flying || int(at)-last[apply] != s.Delay {
					t.Fatalf("%+v: after %d steps fragment %d is applied, with %d under way", s, at, apply, flying)
				}
				flying = -1
			}
		}
	}
}

// Property 6: with a mix of 1 the local copy stays as it is, with 0 it is the new anchor.
func TestTheMixDecidesWhatIsLeftOfTheLocalCopy(t *testing.T) {
	step := Optimizer{LR: 0.4, Momentum: 0.9}.Step([]float64{0.5, 0.5})
	f, local := step.Anchor.Blend(1)
	if local != 1 || slices.ContainsFunc(f.Coefficients(nil), func(x float64) bool { return x != 0 }) {
		t.Errorf("with a mix of 1: %v and %g", f, local)
	}
	if f, local = step.Anchor.Blend(0); local != 0 || !slices.Equal(f.Coefficients(nil), step.Anchor.Coefficients(nil)) {
		t.Errorf("with a mix of 0: %v and %g", f, local)
	}
	f, local = step.Anchor.Blend(0.25)
	if local != 0.25 || f.Anchor != 0.75 || f.G[1] != 0.75*step.Anchor.G[1] || step.Anchor.Anchor != 1 {
		t.Errorf("with a mix of 0.25: %v and %g", f, local)
	}
}

// Property 7: in one group of all, without momentum and with the rest 1, everybody has the mean of phi plus that of Delta; and
// without momentum agreeing moves no mean.
func TestNoLoCoOfTheWholeFleetIsAveraging(t *testing.T) {
	r := chance(1)
	const n = 6
	all := []int{0, 1, 2, 3, 4, 5}
	var f fleet
	var delta [][]float64
	for range n {
		f.phi, f.m, delta = append(f.phi, normals(r, 3)), append(f.m, make([]float64, 3)), append(delta, normals(r, 3))
	}
	phi, d := means(f.phi, all), means(delta, all)
	f.round(NoLoCo{Beta: 1, Gamma: 1}, [][]int{all}, delta)
	for j := range f.phi {
		for i := range phi {
			if math.Abs(f.phi[j][i]-phi[i]-d[i]) > 1e-12 {
				t.Errorf("node %d: %v, want %v plus %v", j, f.phi[j], phi, d)
			}
		}
	}
	for j := range f.phi {
		f.phi[j] = normals(r, 3)
	}
	before := means(f.phi, all)
	f.round(NoLoCo{Gamma: 0.8}, [][]int{{0, 3}, {1, 2}, {4, 5}}, delta)
	if got := means(f.phi, all); !near(got, before) {
		t.Errorf("agreeing moved the mean from %v to %v", before, got)
	}
}

// Property 8: in groups that change, nodes agree below GammaMax and drift apart above.
func TestGammaMaxDividesAgreeingFromDriftingApart(t *testing.T) {
	for _, size := range []int{2, 4} {
		for _, alpha := range []float64{0, 0.5, 0.9} {
			for _, part := range []float64{0.9, 1.1} {
				r := chance(7)
				const n, d = 64, 32
				var f fleet
				delta := make([][]float64, n)
				everybody := make([]int, n)
				for j := range n {
					f.phi, f.m = append(f.phi, normals(r, d)), append(f.m, make([]float64, d))
					delta[j], everybody[j] = make([]float64, d), j
				}
				spread := func() (sum float64) {
					mean := means(f.phi, everybody)
					for _, x := range f.phi {
						for i := range x {
							sum += (x[i] - mean[i]) * (x[i] - mean[i])
						}
					}
					return sum
				}
				from := spread()
				rule := NoLoCo{Alpha: alpha, Beta: 0.1, Gamma: part * GammaMax(alpha, size)}
				for round := range uint64(200) {
					f.round(rule, Groups(9, round, n, size), delta)
				}
				if to := spread(); (to < from) != (part < 1) {
					t.Errorf("alpha %g, groups of %d, %g of the limit: the spread goes from %g to %g", alpha, size, part, from, to)
				}
			}
		}
	}
}

// simulate takes rounds on x/2·κ·x, and reports whether x stays in bounds.
func simulate(o Optimizer, curvature float64) bool {
	s := newState([]float64{1})
	for range 2000 {
		s.apply(o.Step([]float64{1}), []float64{curvature * s.theta[0]})
	}
	return math.Abs(s.theta[0]) < 1e3
}

func TestLRMaxDividesConvergingFromDiverging(t *testing.T) {
	for _, heavy := range []bool{false, true} {
		for _, mu := range []float64{0, 0.3, 0.9, 0.95} {
			o := Optimizer{Momentum: mu, HeavyBall: heavy}
			for _, part := range []float64{0.98, 1.02} {
				o.LR = part * o.LRMax()
				if simulate(o, 1) != (part < 1) {
					t.Errorf("%+v, %g of the limit: bounded is %t", o, part, part >= 1)
				}
			}
		}
	}
}

func TestFragmentsAreWholeTensorsAndEven(t *testing.T) {
	for seed := range uint64(300) {
		r := chance(seed)
		n := 1 + r.IntN(20)
		tensors := make([]mixing.Tensor, n)
		for i := range tensors {
			tensors[i] = mixing.Tensor{Name: strconv.Itoa(i), Shape: []int{r.IntN(50)}}
		}
		l, err := mixing.NewLayout(tensors...)
		if err != nil {
			t.Fatal(err)
		}
		starts := map[int]bool{l.Len(): true}
		largest := 0
		for _, x := range l.Tensors {
			starts[x.Offset] = true
			largest = max(largest, x.Len())
		}
		p := 1 + r.IntN(n)
		got, err := Fragments(l, p)
		if err != nil || len(got) != p {
			t.Fatalf("seed %d: %d fragments of %d tensors: %v %v", seed, p, n, got, err)
		}
		at, most := 0, 0
		for _, f := range got {
			if f.From != at || f.To < f.From || !starts[f.To] {
				t.Fatalf("seed %d: fragments %v of %v", seed, got, l)
			}
			at, most = f.To, max(most, f.To-f.From)
		}
		// Cutting off a range whenever it is full makes none longer than an even share and a tensor.
		if at != l.Len() || most > l.Len()/p+largest {
			t.Fatalf("seed %d: fragments %v of %v", seed, got, l)
		}
		if best := shortest(l.Tensors, p); most != best {
			t.Fatalf("seed %d: the longest of %v has %d, %d are possible", seed, got, most, best)
		}
	}
}

// shortest tries all ways to cut for the least length of the longest of p ranges.
func shortest(tensors []mixing.Tensor, p int) int {
	n := len(tensors)
	best := make([][]int, p+1)
	for k := range best {
		best[k] = slices.Repeat([]int{math.MaxInt}, n+1)
	}
	best[0][0] = 0
	for k := 1; k <= p; k++ {
		for end := 1; end <= n; end++ {
			sum := 0
			for from := end - 1; from >= 0; from-- {
				sum += tensors[from].Len()
				best[k][end] = min(best[k][end], max(sum, best[k-1][from]))
			}
		}
	}
	return best[p][n]
}

func TestFragmentsOfNothingAreRefused(t *testing.T) {
	l, err := mixing.NewLayout(mixing.Tensor{Name: "a", Shape: []int{3}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{0, -1, 2} {
		if f, err := Fragments(l, p); err == nil {
			t.Errorf("%d fragments of one tensor: %v", p, f)
		}
	}
}
