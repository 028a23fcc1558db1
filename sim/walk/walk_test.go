package walk

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"starling/mixing/srrw"
	"starling/mixing/topology"
	"starling/sim/chance"
	"starling/sim/experiments"
	"starling/sim/report"
)

// shipped is the study that comes with the program, with overrides.
func shipped(t *testing.T, overrides ...string) *Study {
	t.Helper()
	text, filename, err := experiments.Read("srrw-variance")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(text, filename, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEigenvectorsOfSymmetricMatrices(t *testing.T) {
	for n := 1; n <= 12; n++ {
		m := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				m[i*n+j] = chance.Normal(draw(uint64(n), 1, i, j))
				m[j*n+i] = m[i*n+j]
			}
		}
		values, vectors := eigen(m, n)
		for k, v := range vectors {
			if k > 0 && values[k] < values[k-1] {
				t.Errorf("values %v are not ascending", values)
			}
			for i := range n {
				got := 0.0
				for j := range n {
					got += m[i*n+j] * v[j]
				}
				if math.Abs(got-values[k]*v[i]) > 1e-12 {
					t.Errorf("n = %d: row %d of Mv is %v, want %v", n, i, got, values[k]*v[i])
				}
			}
			if math.Abs(norm2(v)-1) > 1e-12 {
				t.Errorf("a vector has length² %v", norm2(v))
			}
		}
	}
}

func TestTheKarateClubIsTheKnownOne(t *testing.T) {
	g, err := (&Study{Nodes: 3}).graph(karate)
	if err != nil {
		t.Fatal(err)
	}
	d := g.Degrees()
	if g.N() != 34 || len(g.Links()) != 78 || !g.Connected() || g.Diameter() != 5 || d[0] != 16 || d[33] != 17 || d[32] != 12 || d[11] != 1 {
		t.Errorf("%d nodes, %d links, diameter %d, degrees %v", g.N(), len(g.Links()), g.Diameter(), d)
	}
}

func TestSlopesAreThoseOfFunctions(t *testing.T) {
	for _, name := range []string{quadraticName, logisticName} {
		task, err := newTask(name, 20, 3)
		if err != nil {
			t.Fatal(err)
		}
		d := task.dimension()
		curve, slope, theta := make([]float64, d*d), make([]float64, d), make([]float64, d)
		if task.mean(curve, slope, 20); norm2(slope) > 1e-20 {
			t.Errorf("%s: the slope at the optimum is %v", name, slope)
		}
		if math.Abs(task.bends[0]-1) > 1e-12 || task.scale <= 0 {
			t.Errorf("%s: curvatures are %v", name, task.bends)
		}
		for k := range theta {
			theta[k] = 0.3 * float64(k+1)
		}
		const step = 1e-5
		at := func(k int, by float64) []float64 {
			moved, g := append([]float64(nil), theta...), make([]float64, d)
			moved[k] += by
			task.gradient(g, moved, 7)
			return g
		}
		clear(curve)
		task.curve(curve, theta, 7)
		for k := range d {
			up, down := at(k, step), at(k, -step)
			for j := range d {
				if got, want := curve[k*d+j], (up[j]-down[j])/(2*step); math.Abs(got-want) > 1e-8 {
					t.Errorf("%s: curvature %d,%d is %v, the slopes differ by %v", name, k, j, got, want)
				}
			}
		}
	}
}

// The table of spec 02, section 2.6: six peers, f_i = (theta - i)²/2.
func TestTheFormulasGiveTheNumbersOfTheSpec(t *testing.T) {
	g, err := topology.NewGraph(6, false, [][2]int{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {3, 5}})
	if err != nil {
		t.Fatal(err)
	}
	six := &task{problem: one{}, bends: []float64{1}, axes: [][]float64{{1}}}
	for i := range 6 {
		six.errors = append(six.errors, []float64{2.5 - float64(i)})
	}
	for _, c := range []struct {
		alpha, a, b, want float64
	}{
		{0, .55, .9, 16.8}, {1, .55, .9, 2.08}, {5, .55, .9, 0.162}, {0, .8, .8, 16.8}, {1, .8, .8, 5.90}, {5, .8, .8, 1.64},
		{0, .9, .6, 16.8}, {1, .9, .6, 16.8}, {5, .9, .6, 16.8},
	} {
		config := srrw.Config{Alpha: c.alpha, A: c.a, B: c.b}
		at, has := limit(config)
		got := six.covariance(newSpectrum(config, g), config, at)[0]
		if !has || math.Abs(got/c.want-1) > 0.005 {
			t.Errorf("%+v: %v", c, got)
		}
		// Steps get to their limit, slowly.
		far := six.covariance(newSpectrum(config, g), config, present(config, 1e18, 6))[0]
		if far < got*0.9 && c.b > c.a || math.Abs(far/got-1) > 1 {
			t.Errorf("%+v: after very many hops it is %v, in the limit %v", c, far, got)
		}
	}
	// By proposals alpha+1 takes the place of alpha(1+lambda)+1.
	config := srrw.Config{Alpha: 3, A: 0.6, B: 0.9, Form: srrw.Proposals}
	at, _ := limit(config)
	if got := six.covariance(newSpectrum(config, g), config, at)[0]; math.Abs(got/(16.8/16)-1) > 0.005 {
		t.Errorf("proposals: %v, want 1/16 of 16.8", got)
	}
	if _, has := limit(srrw.Config{A: 0.8, B: 0.9, Floor: true}); has {
		t.Error("a history with a floor has a limit")
	}
}

// one is a problem of one number.
type one struct{}

func (one) dimension() int                 { return 1 }
func (one) gradient(_, _ []float64, _ int) {}
func (one) curve(_, _ []float64, _ int)    {}

func TestTheErrorFallsWithAlphaAsTheFormulaSays(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some hundred thousand hops")
	}
	s := shipped(t, "seeds=60", "hops=2000", "graphs=[karate]", `walks=["srrw:a=0.8,b=0.9", "srrw:a=0.8,b=0.8"]`, "alphas=[0, 1, 10]")
	w, err := s.Run(context.Background(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range w.Panels {
		everywhere, _ := p.Falls()
		none, _ := p.At(0)
		ten, _ := p.At(10)
		if !everywhere || ten.MSEHigh > none.MSELow/2 {
			t.Errorf("%s, %s: %s", p.Problem, p.Walk, p.Verdict())
		}
		for _, s := range p.Strengths {
			if r := float64(s.MSE / s.Now); !(r > 0.6 && r < 1.6) {
				t.Errorf("%s, %s, alpha %v: error %v, the formula says %v", p.Problem, p.Walk, s.Alpha, s.MSE, s.Now)
			}
		}
	}
}

func TestFiguresDoNotDependOnHowManyCompute(t *testing.T) {
	small := []string{"seeds=3", "hops=100", "nodes=12", "graphs=[ring, karate]", "alphas=[0, 5]"}
	var all []report.Walks
	for _, workers := range []int{0, 1, 5} {
		var done []string
		w, err := shipped(t, small...).Run(context.Background(), workers, func(n, all int) { done = append(done, fmt.Sprint(n, " of ", all)) })
		if err != nil {
			t.Fatal(err)
		}
		if len(done) != 48 || done[47] != "48 of 48" {
			t.Errorf("told of %v", done)
		}
		all = append(all, w)
	}
	for _, w := range all[1:] {
		if a, b := fmt.Sprintf("%+v", w), fmt.Sprintf("%+v", all[0]); a != b {
			t.Errorf("have\n%s\nand\n%s", a, b)
		}
	}
	if n := len(all[0].Panels); n != 2*2*5 || !reflect.DeepEqual(all[0].Hops, []int{10, 12, 15, 18, 22, 26, 32, 38, 46, 56, 68, 83, 100}) {
		t.Errorf("%d panels at hops %v", n, all[0].Hops)
	}
}

// The bits of a few walks, which no machine and no later version may change by chance.
func TestWalksHaveTheRecordedBits(t *testing.T) {
	w, err := shipped(t, "seeds=2", "hops=200", "graphs=[karate]", "alphas=[0, 5]").Run(context.Background(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range w.Panels {
		for _, s := range p.Strengths {
			got = append(got, fmt.Sprintf("%016x", math.Float64bits(float64(s.MSE))))
		}
	}
	if have := strings.Join(got, " "); have != recorded {
		t.Errorf("the errors are\n%s\nrecorded are\n%s", have, recorded)
	}
}

const recorded = "3f9555f950ebd41e 3f67fb21a5224a16 3f9555f950ebd41e 3f73e4d5f329f5ae 3f98e4196fd39af6 3f7f5efa5514d0c5 3f9d0a8e392d83f0 3f9d58c5b74df03b 3fa828277ec7567a 3f8058d69a25a3ee 3fbbbbf866859035 3f76f55e0e18e0f3 3fbbbbf866859035 3f729818abf6278a 3fc36af9be6f6116 3f8f1404d6482ed1 3fc55a3e7890bd55 3fbc2ccbb445943c 3f9dfe1dd453db4e 3fa025e602571b4e"

func TestAStudyThatIsCancelledEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := shipped(t)
	if _, err := s.Run(ctx, 2, func(int, int) { cancel() }); err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
}

func TestMistakesInStudiesAreAnsweredTogether(t *testing.T) {
	_, err := Load([]byte(`kind: wlak
name: My Study
seeds: 1
hops: 99
graph: [ring]
problems: [quadratc]
walks: ["srrw:alpah=1", "srrw:base=simple", srrw, srrw]
alphas: [0, 5, 5, 21]
`), "my.yaml", []string{"nodes=2", "=", "seed=x"})
	want := `--set nodes=2: nodes: is 2; want 3 to 512
--set seed=x: seed: want a whole number, have the text "x"
--set =: want key=value, such as method.mix=mean`
	if err == nil {
		t.Fatal("is read")
	}
	for _, line := range []string{
		`my.yaml:1:7: kind: "wlak" is not known; did you mean "walk"?`,
		`name: is "My Study"; want 1 to 40 of a-z, 0-9 and -`,
		"seeds: is 1; want 2 to 10000", "hops: is 99; want 100 to 10000000", `unknown key "graph"; did you mean "graphs"?`, "graphs: is missing",
		`problems: "quadratc" is not known; did you mean "quadratic"?`, `did you mean "alpha"?`, "srrw:base=simple does not visit all peers alike",
		`walks: has "srrw" twice`, "alphas: has 5; want ascending numbers from 0 to 20", "alphas: has 21;",
	} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("%q is not in\n%v", line, err)
		}
	}
	for _, line := range strings.Split(want, "\n") {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("%q is not in\n%v", line, err)
		}
	}
	for text, want := range map[string]string{"": "empty", "- a": "want keys and values", "kind: walk": "name: is missing"} {
		if _, err := Load([]byte(text), "my.yaml", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for graph, want := range map[string]string{"rign": "ring", "one-peer-exponential": "wants one undirected graph"} {
		if _, err := (&Study{Nodes: 8}).graph(graph); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", graph, err)
		}
	}
}

func TestStudiesAreToldFromExperiments(t *testing.T) {
	for _, name := range experiments.Names() {
		text, _, err := experiments.Read(name)
		if err != nil || Is(text) != (name == "srrw-variance") {
			t.Errorf("%s: %v, %v", name, Is(text), err)
		}
	}
	if Is([]byte(":::")) || Is(nil) || Is([]byte("[kind, walk]")) {
		t.Error("what is no file is a study")
	}
}
