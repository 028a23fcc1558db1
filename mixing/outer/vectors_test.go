package outer

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"starling/mixing"
	"starling/mixing/topology"
)

type stateVector struct{ M, V, Buffer, Theta []float64 }

type runVector struct {
	Theta0 []float64
	LR, Mu float64
	N      int
	C      float64
	G      [][]float64
	Steps  []stateVector
}

type vectors struct {
	Nesterov, Heavyball runVector
	DN3                 runVector `json:"dn_N3_c0"`
	DN3Part             runVector `json:"dn_N3_c02"`
	DN3Even             runVector `json:"dn_N3_cmax"`
	DN1                 runVector `json:"dn_N1"`
	DyLU                struct {
		Speeds []float64
		H      int
		Steps  []int
	}
	NoLoCo struct {
		Phi0               [][]float64
		Alpha, Beta, Gamma float64
		Rounds             []struct {
			Groups               [][]int
			Theta, Phi, Momentum [][]float64
		}
	}
	GammaMax []struct {
		N        int
		Alpha    float64
		GammaMax float64 `json:"gamma_max"`
	} `json:"noloco_gamma_max"`
	Permutations struct {
		Seed string
		List []struct {
			N     int
			Round uint64
			Perm  []int
		}
	}
	Streaming struct {
		H, P, Tau int
		Events    []struct {
			Step     uint64
			Fragment int
			Event    string
		}
		Sequential [][]int `json:"sequential_12_layers_4_fragments"`
	}
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/03-outer-optimizers.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// state is what steps are taken on in tests.
type state struct{ theta, m, d []float64 }

func newState(theta []float64) state {
	return state{slices.Clone(theta), make([]float64, len(theta)), make([]float64, len(theta))}
}

func (s state) eval(f Form, g [][]float64) []float64 {
	all := append([][]float64{s.theta, s.m, s.d}, g...)
	out := make([]float64, len(s.theta))
	for j, c := range f.Coefficients(nil) {
		for i := range out {
			out[i] += float64(c * all[j][i])
		}
	}
	return out
}

func (s *state) apply(step Step, g ...[]float64) {
	s.theta, s.m, s.d = s.eval(step.Anchor, g), s.eval(step.Momentum, g), s.eval(step.Window, g)
}

func near(got, want []float64) bool {
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-12*max(1, math.Abs(w))) {
			return false
		}
	}
	return len(got) == len(want)
}

func TestOptimizersGiveTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t)
	for name, run := range map[string]runVector{"nesterov": v.Nesterov, "heavy ball": v.Heavyball} {
		o := Optimizer{LR: run.LR, Momentum: run.Mu, HeavyBall: name == "heavy ball"}
		s := newState(run.Theta0)
		for i, want := range run.Steps {
			s.apply(o.Step([]float64{1}), run.G[i])
			if !near(s.theta, want.Theta) || !near(s.m, slices.Concat(want.M, want.V)) {
				t.Errorf("%s, step %d: %v, want %v", name, i, s, want)
			}
		}
	}
}

// The pushes of the vectors give their states one by one, and those they have in common folded in any number at once.
func TestDelayedNesterovGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t)
	for name, run := range map[string]runVector{"N=3, c=0": v.DN3, "N=3, c=0.2": v.DN3Part, "N=3, c=1/3": v.DN3Even, "N=1": v.DN1} {
		d := Delayed{LR: run.LR, Mu: run.Mu, N: run.N, C: run.C}
		for many := 1; many <= len(run.G); many++ {
			s := newState(run.Theta0)
			for at := 0; at < len(run.G); at += many {
				g := run.G[at:min(at+many, len(run.G))]
				s.apply(d.Fold(uint64(at), slices.Repeat([]float64{1}, len(g))), g...)
				want := run.Steps[at+len(g)-1]
				if !near(s.theta, want.Theta) || !near(s.m, want.M) || !near(s.d, want.Buffer) {
					t.Errorf("%s, %d at once, after %d: %v, want %v", name, many, at+len(g), s, want)
				}
			}
		}
	}
}

func TestDyLUGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t).DyLU
	for i, speed := range v.Speeds {
		if got := Steps(speed, Reference(v.Speeds, 1), v.H, 5); got != v.Steps[i] {
			t.Errorf("speed %g: %d steps, want %d", speed, got, v.Steps[i])
		}
	}
}

// fleet is nodes under NoLoCo.
type fleet struct{ phi, m [][]float64 }

func means(all [][]float64, group []int) []float64 {
	out := make([]float64, len(all[0]))
	for _, j := range group {
		for i, x := range all[j] {
			out[i] += x / float64(len(group))
		}
	}
	return out
}

func (f fleet) round(n NoLoCo, groups [][]int, delta [][]float64) {
	phi, m := slices.Clone(f.phi), slices.Clone(f.m)
	for _, group := range groups {
		meanPhi, meanDelta := means(phi, group), means(delta, group)
		formM, formPhi := n.Step(len(group))
		for _, j := range group {
			eval := func(form GroupForm) []float64 {
				out := make([]float64, len(meanPhi))
				for i := range out {
					out[i] = float64(form.Phi*phi[j][i]) + float64(form.Momentum*m[j][i]) + float64(form.MeanPhi*meanPhi[i]) + float64(form.MeanDelta*meanDelta[i])
				}
				return out
			}
			f.m[j], f.phi[j] = eval(formM), eval(formPhi)
		}
	}
}

func TestNoLoCoGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t)
	n := NoLoCo{v.NoLoCo.Alpha, v.NoLoCo.Beta, v.NoLoCo.Gamma}
	f := fleet{slices.Clone(v.NoLoCo.Phi0), [][]float64{{0, 0}, {0, 0}, {0, 0}, {0, 0}}}
	for r, round := range v.NoLoCo.Rounds {
		delta := make([][]float64, len(f.phi))
		for j := range delta {
			delta[j] = []float64{round.Theta[j][0] - f.phi[j][0], round.Theta[j][1] - f.phi[j][1]}
		}
		f.round(n, round.Groups, delta)
		for j := range f.phi {
			if !near(f.phi[j], round.Phi[j]) || !near(f.m[j], round.Momentum[j]) {
				t.Errorf("round %d, node %d: %v and %v, want %v and %v", r, j, f.phi[j], f.m[j], round.Phi[j], round.Momentum[j])
			}
		}
	}
	for _, want := range v.GammaMax {
		if got := GammaMax(want.Alpha, want.N); math.Abs(got-want.GammaMax) > 1e-12 {
			t.Errorf("alpha %g, groups of %d: gamma below %g, want %g", want.Alpha, want.N, got, want.GammaMax)
		}
	}
}

func TestGroupsAreThoseOfTheVectors(t *testing.T) {
	v := readVectors(t).Permutations
	seed, err := strconv.ParseUint(v.Seed, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range v.List {
		if got := topology.Permutation(seed, want.Round, want.N); !slices.Equal(got, want.Perm) {
			t.Errorf("round %d of %d: %v, want %v", want.Round, want.N, got, want.Perm)
		}
		groups := Groups(seed, want.Round, want.N, 2)
		if len(groups) != want.N/2 {
			t.Fatalf("%d groups of %d nodes", len(groups), want.N)
		}
		for i, group := range groups {
			pair := want.Perm[2*i:][:2]
			slices.Sort(pair)
			if !slices.Equal(group, pair) {
				t.Errorf("round %d of %d: group %v, want %v", want.Round, want.N, group, pair)
			}
			for _, self := range pair {
				if got := Group(seed, want.Round, want.N, 2, self); !slices.Equal(got, pair) {
					t.Errorf("node %d is in %v, want %v", self, got, pair)
				}
			}
		}
		for _, self := range want.Perm[2*(want.N/2):] {
			if got := Group(seed, want.Round, want.N, 2, self); got != nil {
				t.Errorf("node %d is in %v, want alone", self, got)
			}
		}
	}
}

func TestStreamingGivesTheEventsOfTheVectors(t *testing.T) {
	v := readVectors(t).Streaming
	s := Streaming{H: v.H, P: v.P, Delay: v.Tau}
	at := uint64(0)
	for _, want := range v.Events {
		at = s.Next(at)
		send, apply := s.At(at)
		wantSend, wantApply := want.Fragment, -1
		if want.Event == "apply" {
			wantSend, wantApply = -1, want.Fragment
		}
		if at != want.Step || send != wantSend || apply != wantApply {
			t.Errorf("after %d steps send %d, apply %d; want %+v", at, send, apply, want)
		}
	}
	layers := make([]mixing.Tensor, 12)
	for i := range layers {
		layers[i] = mixing.Tensor{Name: strconv.Itoa(i), Shape: []int{5, 2}}
	}
	l, err := mixing.NewLayout(layers...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Fragments(l, 4)
	if err != nil {
		t.Fatal(err)
	}
	for q, group := range v.Sequential {
		if want := (Range{10 * group[0], 10 * (group[len(group)-1] + 1)}); got[q] != want {
			t.Errorf("fragment %d is %v, want %v", q, got[q], want)
		}
	}
}
