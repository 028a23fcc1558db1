package adversary

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

type vectorCase struct {
	ID     string
	Params struct {
		Eps, Z, Multiplier, Power float64
		N, F, Classes, Target     int
	}
	Honest     [][]float32
	OwnHonest  []float32 `json:"own_honest"`
	Labels     []int32
	Direction  []float64 `json:"start_direction"`
	Rounds     [][][]float32
	Model0     []float32
	Model1     []float32
	Target     []float32
	Neighbours [][]float32 `json:"honest_neighbours"`
	Weights    []float64   `json:"honest_weights"`
	BadWeights []float64   `json:"byz_weights"`
	Want       struct {
		Out, Mean, Byz  []float64
		Std             []float64 `json:"std_ddof1"`
		S               int
		Z               float64
		Labels          []int32
		Trace           []struct{ Mean, Direction []float64 }
		Copied          int       `json:"target_for_round0_inputs"`
		Std0            float64   `json:"std0"`
		Std3            float64   `json:"std_round3"`
		AfterPlainMixes []float64 `json:"target_after_plain_gossip"`
	}
}

func vectors(t *testing.T) map[string]vectorCase {
	raw, err := os.ReadFile("testdata/robust-attacks.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vectorCase }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	cases := make(map[string]vectorCase)
	for _, c := range file.Cases {
		cases[c.ID] = c
	}
	return cases
}

// near compares what is stored as float32 with the exact result.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for j := range got {
		if d := math.Abs(float64(got[j]) - want[j]); !(d <= 1e-6*max(1, math.Abs(want[j]))) {
			t.Errorf("%s: element %d is %g, want %g", what, j, got[j], want[j])
		}
	}
}

func near64(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for j := range got {
		if !(math.Abs(got[j]-want[j]) <= tol) {
			t.Errorf("%s: element %d is %.12g, want %.12g", what, j, got[j], want[j])
		}
	}
}

// seen is a view of honest nodes first, first+1, ... in a run of that many more.
func seen(more int, models [][]float32) *View {
	v := NewView(len(models) + more)
	for i, m := range models {
		v.Put(i, uint64(100+i), float64(i), m)
	}
	return v
}

// attackOf is the attack of the last node of a run.
func attackOf(t *testing.T, spec string, n int) Attack {
	t.Helper()
	r, err := Parse([]string{spec}, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r.Of(n - 1)
}

func announced(t *testing.T, a Attack, c *Context) []float32 {
	t.Helper()
	out := make([]float32, len(c.Own))
	if !a.Announce(c, out) {
		t.Fatalf("%s leaves the vector honest", a.Name())
	}
	return out
}

func TestFormulasMatchTheVectors(t *testing.T) {
	all := vectors(t)
	for _, c := range []struct{ id, spec string }{
		{"sign-flip-mean", "sign-flip:of=mean,on=model,nodes=5-6"},
		{"sign-flip-own", "sign-flip:of=own,on=model,nodes=5-6"},
		{"ipm", "ipm:eps=0.1,on=model,nodes=5-6"},
		{"alie-z1.5", "alie:z=1.5,nodes=5-6"},
		{"mimic", "mimic:target=2,nodes=5-6"},
		{"foe-scaled", "scaled-flip:on=model,nodes=5-6"},
	} {
		v := all[c.id]
		own := v.OwnHonest
		if own == nil {
			own = []float32{9, 9, 9, 9}
		}
		// With on=model the base is of no account.
		ctx := &Context{Round: 1, Own: own, Base: []float32{7, 7, 7, 7}, View: seen(2, v.Honest)}
		near(t, c.id, announced(t, attackOf(t, c.spec, 7), ctx), v.Want.Out)
	}
}

func TestMomentsMatchTheVectors(t *testing.T) {
	c := vectors(t)["alie-z1.5"]
	v := seen(0, c.Honest)
	v.sums()
	var mean, std []float64
	for j := range v.Len() {
		mean, std = append(mean, v.mean(j)), append(std, v.deviation(j))
	}
	near64(t, "mean", mean, c.Want.Mean, 1e-7) // the inputs are float32 here
	near64(t, "deviation", std, c.Want.Std, 1e-7)
}

func TestLargestZMatchesTheVectors(t *testing.T) {
	for _, id := range []string{"alie-zmax", "alie-zmax-50-12"} {
		c := vectors(t)[id]
		s, z, err := largestZ(c.Params.N, c.Params.F)
		if err != nil || s != c.Want.S || math.Abs(z-c.Want.Z) > 1e-9 {
			t.Errorf("%s: s %d, z %.12f, error %v; want %d, %.12f", id, s, z, err, c.Want.S, c.Want.Z)
		}
	}
}

func TestLabelsMatchTheVectors(t *testing.T) {
	c := vectors(t)["label-flip"]
	got := append([]int32(nil), c.Labels...)
	attackOf(t, "label-flip:nodes=1", 2).Labels(got, c.Params.Classes)
	if string(got) != string(c.Want.Labels) {
		t.Errorf("labels %v become %v, want %v", c.Labels, got, c.Want.Labels)
	}
}

func TestLearnedMimicMatchesTheVectors(t *testing.T) {
	c := vectors(t)["mimic-learned"]
	a := attackOf(t, "mimic:learn=3,nodes=5", 6).(*mimic)
	for i, models := range c.Rounds {
		if i == 0 {
			a.axis.start(len(c.Direction))
			copy(a.axis.along, c.Direction)
		}
		ctx := &Context{Round: uint64(i + 1), Own: models[1], View: seen(1, models)}
		near(t, "while learning", announced(t, a, ctx), widen(models[0]))
		announced(t, a, ctx) // asking again teaches nothing
		near64(t, "mean", a.axis.mean, c.Want.Trace[i].Mean, 1e-7)
		near64(t, "direction", a.axis.along, c.Want.Trace[i].Direction, 1e-6)
	}
	ctx := &Context{Round: 4, Own: c.Rounds[0][0], View: seen(1, c.Rounds[0])}
	near(t, "after learning", announced(t, a, ctx), widen(c.Rounds[0][c.Want.Copied]))
}

func widen(x []float32) []float64 {
	var out []float64
	for _, v := range x {
		out = append(out, float64(v))
	}
	return out
}

func TestDissensusMatchesTheVectors(t *testing.T) {
	for id, spec := range map[string]string{"dissensus-eps1": "dissensus:eps=1,nodes=5-6", "dissensus-eps1.5": "dissensus:nodes=5-6"} {
		c := vectors(t)[id]
		models := append([][]float32{c.Target}, c.Neighbours...)
		a := attackOf(t, spec, 7)
		ctx := &Context{Round: 1, Own: c.Neighbours[0], View: seen(2, models), Version: a.Version(0)}
		out := announced(t, a, ctx)
		near(t, id, out, c.Want.Byz)
		after := make([]float32, len(out))
		for j, x := range c.Target {
			after[j] = x
			for i, m := range c.Neighbours {
				after[j] += float32(c.Weights[i]) * (m[j] - x)
			}
			for _, w := range c.BadWeights {
				after[j] += float32(w) * (out[j] - x)
			}
		}
		near(t, id+" after plain gossip", after, c.Want.AfterPlainMixes)
	}
}

func TestDisguisedFreeRiderMatchesTheVectors(t *testing.T) {
	c := vectors(t)["free-rider-disguised-std"]
	a := attackOf(t, "free-rider:multiplier=1,power=1,nodes=1", 2).(*freeRider)
	out := make([]float32, len(c.Model0))
	for range 2 {
		if a.Announce(&Context{Round: 4, Own: c.Model0}, out) {
			t.Error("noise of unknown size is added in the first round")
		}
	}
	announced(t, a, &Context{Round: 5, Own: c.Model1})
	near64(t, "std0, std", []float64{a.std0, a.std(3)}, []float64{c.Want.Std0, c.Want.Std3}, 1e-7)
}
