package track

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

type controlledVector struct {
	Delta [][]float64
	X, C  []float64
	Ci    [][]float64 `json:"c_i"`
}

type vectors struct {
	Choco struct {
		W, X0  [][]float64
		Gamma  float64
		First3 []struct{ Q, Xhat, X [][]float64 }
		Mean   []float64
		Err10  float64 `json:"err_after_10"`
		Err60  float64 `json:"err_after_60"`
	}
	Scaffold []controlledVector `json:"scaffold_form"`
	Scallion []controlledVector `json:"scallion_alpha05"`
	Scafcom  []controlledVector `json:"scafcom_beta02_top1"`
	LongRun  struct {
		Scafcom  []float64 `json:"scafcom_beta02_top1"`
		Scallion []float64 `json:"scallion_alpha01"`
	} `json:"long_run_400_rounds"`
	P2P struct {
		A      []float64
		B, W   [][]float64
		Rounds []struct {
			X, V, M [][]float64
			QX      [][]float64 `json:"q_x"`
			QV      [][]float64 `json:"q_v"`
		}
		Optimum []float64
		Error   map[string]float64 `json:"sq_error_after"`
	} `json:"p2p_tracking"`
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/05-compression.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func near(got, want []float64) bool {
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-11*max(1, math.Abs(w))) {
			return false
		}
	}
	return len(got) == len(want)
}

func allNear(got, want [][]float64) bool {
	for i := range want {
		if !near(got[i], want[i]) {
			return false
		}
	}
	return len(got) == len(want)
}

func TestChocoGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t).Choco
	c := newChoco(v.X0, v.W, Choco{v.Gamma}, topOne)
	for r := 1; r <= 60; r++ {
		q := c.round()
		if r <= len(v.First3) {
			if want := v.First3[r-1]; !allNear(q, want.Q) || !allNear(c.h, want.Xhat) || !allNear(c.x, want.X) {
				t.Errorf("round %d: %v, %v, %v; want %v", r, q, c.h, c.x, want)
			}
		}
		if got := meanOf(c.x); !near(got, v.Mean) {
			t.Fatalf("round %d: the mean is %v, was %v", r, got, v.Mean)
		}
		if r == 10 && math.Abs(spread(c.x)-v.Err10) > 1e-9*v.Err10 || r == 60 && math.Abs(spread(c.x)-v.Err60) > 1e-4*v.Err60 {
			t.Errorf("round %d: squared error %g, want %g or %g", r, spread(c.x), v.Err10, v.Err60)
		}
	}
}

func TestControlledAveragingGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t)
	problem := quadratics{a: []float64{1, 2}, b: [][]float64{{1, -1}, {-0.5, 2}}}
	for _, test := range []struct {
		name string
		rule Controlled
		c    compressor
		want []controlledVector
	}{
		{"scaffold", Controlled{Alpha: 1, Rate: 1}, exact, v.Scaffold},
		{"scallion", Controlled{Alpha: 0.5, Rate: 1}, exact, v.Scallion},
		{"scafcom", Controlled{Beta: 0.2, Rate: 1}, topOne, v.Scafcom},
	} {
		s := newServer(problem, test.rule, test.c, 3, 0.1)
		for r, want := range test.want {
			delta := s.round([]int{0, 1})
			if !allNear(delta, want.Delta) || !near(s.x, want.X) || !near(s.common, want.C) || !allNear(s.own, want.Ci) {
				t.Errorf("%s, round %d: %v, %v, %v, %v; want %v", test.name, r, delta, s.x, s.common, s.own, want)
			}
		}
	}
	for _, test := range []struct {
		rule Controlled
		c    compressor
		want []float64
	}{{Controlled{Alpha: 0.1, Rate: 1}, exact, v.LongRun.Scallion}, {Controlled{Beta: 0.2, Rate: 1}, topOne, v.LongRun.Scafcom}} {
		s := newServer(problem, test.rule, test.c, 3, 0.1)
		for range 400 {
			s.round([]int{0, 1})
		}
		if !near(s.x, test.want) {
			t.Errorf("%+v ends at %v, want %v", test.rule, s.x, test.want)
		}
	}
}

func TestTrackingGivesTheVectorsOfTheSpec(t *testing.T) {
	v := readVectors(t).P2P
	s := newPeers(quadratics{v.A, v.B}, v.W, Tracking{Beta: 0.5, Gamma: 0.4}, topOne, 3, 0.05)
	for r := 1; r <= 1000; r++ {
		qx, qv := s.round()
		if r <= len(v.Rounds) {
			want := v.Rounds[r-1]
			if !allNear(s.x, want.X) || !allNear(s.v, want.V) || !allNear(s.m, want.M) || !allNear(qx, want.QX) || !allNear(qv, want.QV) {
				t.Errorf("round %d: %v, %v, %v, %v, %v; want %+v", r, s.x, s.v, s.m, qx, qv, want)
			}
		}
		want, known := map[int]float64{50: v.Error["50"], 200: v.Error["200"], 1000: 1e-28}[r]
		if got := s.distance(v.Optimum); known && (got > 1.01*want || r < 1000 && got < 0.99*want) {
			t.Errorf("round %d: squared error %g, want %g", r, got, want)
		}
	}
}
