package outer

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestStaleness(t *testing.T) {
	s := Staleness{Polynomial: true, Most: TauMax(2)}
	for _, test := range []struct {
		tau  uint64
		want float64
		ok   bool
	}{{0, 1, true}, {3, 0.5, true}, {8, 1.0 / 3, true}, {9, 0, false}, {math.MaxUint64, 0, false}} {
		if w, ok := s.Weight(test.tau); w != test.want || ok != test.ok {
			t.Errorf("staleness %d weighs %g, %t; want %g, %t", test.tau, w, ok, test.want, test.ok)
		}
	}
	if w, ok := (Staleness{Most: 8}).Weight(8); w != 1 || !ok {
		t.Errorf("the constant weight is %g, %t", w, ok)
	}
}

// However few workers are live, those that come in turn or push all they may fill a window; with enough of them none has more than
// two in N.
func TestSharesFillAWindow(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for live := 1; live <= 60; live++ {
			share := Share(n, live)
			if live*share < n || share < 2 || live >= n && share != 2 {
				t.Errorf("%d of %d pushes for each of %d workers", share, n, live)
			}
		}
	}
}

func TestStepsFollowSpeed(t *testing.T) {
	for _, test := range []struct {
		speed, reference float64
		want             int
	}{{1, 4, 25}, {4, 4, 100}, {8, 4, 100}, {0.01, 4, 5}, {0, 4, 100}, {1, 0, 100}, {math.NaN(), 1, 100}, {1, math.Inf(1), 100}, {-1, 1, 100}} {
		if got := Steps(test.speed, test.reference, 100, 5); got != test.want {
			t.Errorf("speed %g of %g: %d steps, want %d", test.speed, test.reference, got, test.want)
		}
	}
	if got := Steps(1, 100, 3, 5); got != 3 {
		t.Errorf("%d steps of at most 3", got)
	}
}

func TestTheReferenceLeavesOutWhatIsNotKnown(t *testing.T) {
	for _, test := range []struct {
		speeds   []float64
		quantile float64
		want     float64
	}{
		{[]float64{4, 1, 2, 1}, 1, 4}, {[]float64{4, 1, 2, 1}, 0.9, 2}, {[]float64{1e9, 3}, 0.9, 3}, {[]float64{3}, 0.9, 3}, {nil, 1, 0},
		{[]float64{0, math.NaN(), math.Inf(1), 2}, 1, 2}, {[]float64{0}, 1, 0},
	} {
		if got := Reference(test.speeds, test.quantile); got != test.want {
			t.Errorf("%v at %g: %g, want %g", test.speeds, test.quantile, got, test.want)
		}
	}
	speeds := []float64{2, 1}
	if Reference(speeds, 1); speeds[0] != 2 {
		t.Error("the speeds were sorted in place")
	}
}

func TestSpeedIsAveraged(t *testing.T) {
	speed := Speed(0, 50, 10e9)
	if speed != 5 {
		t.Errorf("the first speed is %g, want 5", speed)
	}
	if speed = Speed(speed, 30, 2e9); speed != 10 {
		t.Errorf("then %g, want 10", speed)
	}
	if Speed(10, 0, 1) != 10 || Speed(10, 1, 0) != 10 {
		t.Error("without steps or time the speed changes")
	}
}

func TestNormsOutOfTheOrdinaryAreCut(t *testing.T) {
	n := NewNorms(5)
	for i, norm := range []float64{1, 100, 2, 1} {
		if f := n.Clip(norm); f != 1 {
			t.Errorf("norm %d is cut to %g of it, with too few to compare", i, f)
		}
	}
	// 1 1 2 100 have the lower median 1.
	for _, test := range []struct{ norm, want, median float64 }{
		{3, 1, 2}, {12, 0.5, 3}, {math.NaN(), 0, 3}, {math.Inf(1), 0, 3}, {-1, 0, 3}, {6, 1, 3}, {0, 1, 3},
	} {
		if f := n.Clip(test.norm); f != test.want || n.Median() != test.median {
			t.Errorf("norm %g: factor %g and then median %g, want %g and %g", test.norm, f, n.Median(), test.want, test.median)
		}
	}
	still := NewNorms(0)
	for range 10 {
		still.Clip(0)
	}
	if f := still.Clip(1); f != 1 {
		t.Errorf("after nothing but zeros the factor is %g, want 1", f)
	}
	if NewNorms(3).Median() != 0 {
		t.Error("a median of nothing")
	}
}

func TestSettingsThatCannotTrainAreRefused(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name string
		err  error
		want string // in the error; empty for none
	}{
		{"DiLoCo", Optimizer{LR: 0.7, Momentum: 0.9}.Stable(), ""},
		{"heavy ball", Optimizer{LR: 0.7, Momentum: 0.3, HeavyBall: true}.Stable(), ""},
		{"streaming's", Optimizer{LR: 0.4, Momentum: 0.9}.Stable(), ""},
		{"averaging", Optimizer{LR: 1}.Stable(), ""},
		{"no rate", Optimizer{Momentum: 0.9}.Stable(), "more than 0"},
		{"NaN rate", Optimizer{LR: nan, Momentum: 0.9}.Stable(), "more than 0"},
		{"momentum 1", Optimizer{LR: 0.1, Momentum: 1}.Stable(), "less than 1"},
		{"NaN momentum", Optimizer{LR: 0.1, Momentum: nan}.Stable(), "less than 1"},
		{"overshoots", Optimizer{LR: 1.4, Momentum: 0.9}.Stable(), "less than 1.357"},
		{"gain", Optimizer{LR: 0.7, Momentum: 0.99}.Stable(), "a learning rate of at most 0.2 or a momentum of at most 0.965"},

		{"delayed", Delayed{LR: 0.7, Mu: 0.9, N: 4, C: 0.25}.Stable(), ""},
		{"even for 49", Delayed{LR: 0.7, Mu: 0.9, N: 49, C: 1.0 / 49}.Stable(), ""},
		{"c too large", Delayed{LR: 0.7, Mu: 0.9, N: 4, C: 0.26}.Stable(), "to 1/4"},
		{"c below 0", Delayed{LR: 0.7, Mu: 0.9, N: 4, C: -0.1}.Stable(), "want from 0"},
		{"c NaN", Delayed{LR: 0.7, Mu: 0.9, N: 4, C: nan}.Stable(), "want from 0"},
		{"no window", Delayed{LR: 0.7, Mu: 0.9}.Stable(), "at least 1"},
		{"delayed rate", Delayed{LR: 3, Mu: 0.9, N: 4}.Stable(), "overshoots"},
		{"naive", NaiveNesterov{LR: 0.7, Mu: 0.9, N: 4}.Stable(), ""},
		{"naive of none", NaiveNesterov{LR: 0.7, Mu: 0.9}.Stable(), "at least 1"},

		{"NoLoCo", NoLoCo{0.5, 0.7, 0.7}.Stable(2), ""},
		{"with DiLoCo's momentum", NoLoCo{0.9, 0.7, 0.7}.Stable(2), "want less than 0.342"},
		{"at the margin", NoLoCo{0.5, 0.7, 1.35}.Stable(2), "want less than 1.35"},
		{"larger groups", NoLoCo{0.9, 0.7, 0.6}.Stable(4), ""},
		{"alone", NoLoCo{0.5, 0.7, 0.7}.Stable(1), "at least 2"},
		{"no consensus", NoLoCo{0.5, 0.7, 0}.Stable(2), "never agree"},
		{"alpha", NoLoCo{1, 0.7, 0.7}.Stable(2), "alpha 1"},
		{"alpha NaN", NoLoCo{nan, 0.7, 0.7}.Stable(2), "alpha NaN"},
		{"gamma NaN", NoLoCo{0.5, 0.7, nan}.Stable(2), "never agree"},
		{"beta", NoLoCo{0.5, 3.1, 0.7}.Stable(2), "beta is the outer learning rate"},

		{"streaming", Streaming{H: 12, P: 4, Delay: 2, Mix: 0.5}.Stable(), ""},
		{"does not divide", Streaming{H: 13, P: 4}.Stable(), "take 12 or 16"},
		{"too slow", Streaming{H: 12, P: 4, Delay: 3}.Stable(), "want 0 to 2"},
		{"back in time", Streaming{H: 12, P: 4, Delay: -1}.Stable(), "want 0 to 2"},
		{"no steps", Streaming{P: 1}.Stable(), "at least 1"},
		{"more fragments than steps", Streaming{H: 3, P: 4}.Stable(), "from 1 to the 3"},
		{"no fragments", Streaming{H: 3}.Stable(), "from 1 to the 3"},
		{"mix", Streaming{H: 12, P: 4, Mix: 1.5}.Stable(), "from 0"},
		{"mix NaN", Streaming{H: 12, P: 4, Mix: nan}.Stable(), "from 0"},
	} {
		switch {
		case test.want == "" && test.err != nil:
			t.Errorf("%s: %v", test.name, test.err)
		case test.want != "" && (test.err == nil || !strings.Contains(test.err.Error(), test.want)):
			t.Errorf("%s: %v, want an error with %q", test.name, test.err, test.want)
		}
	}
}

// Momentum on every push moves further for pushes that agree, and in a window of one it is the same.
func TestNaiveNesterovIsNesterovForOnePush(t *testing.T) {
	got, want := NaiveNesterov{LR: 0.7, Mu: 0.9, N: 1}.Fold(5, ones(1)), Optimizer{LR: 0.7, Momentum: 0.9}.Step(ones(1))
	for _, f := range [][2]Form{{got.Anchor, want.Anchor}, {got.Momentum, want.Momentum}, {got.Window, want.Window}} {
		if a, b := f[0].Coefficients(nil), f[1].Coefficients(nil); !near(a, b) {
			t.Errorf("%v, want %v", a, b)
		}
	}
	if g := got.Anchor.Coefficients([]float64{7}); !slices.Equal(g[:1], []float64{7}) || len(g) != 5 {
		t.Errorf("coefficients are not appended: %v", g)
	}
}
