package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func labelsOf(a *axis) string {
	var out []string
	for _, t := range a.ticks {
		out = append(out, t.label)
	}
	s := strings.Join(out, " ")
	if a.unit.name != "" {
		s += " " + a.unit.name
	}
	return s
}

func TestTicksAreRoundNumbers(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name   string
		kind   quantity
		lo, hi float64
		log    bool
		want   string
	}{
		{"accuracy", fraction, 0.11, 0.94, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{"accuracy near 1", fraction, 0.981, 0.996, false, "0.980 0.985 0.990 0.995 1.000"},
		{"accuracy of 1", fraction, 1, 1, false, "0.95 0.96 0.97 0.98 0.99 1.00"},
		{"accuracy of 0", fraction, 0, 0, false, "0 0.01 0.02 0.03 0.04 0.05"},
		{"loss", plain, 0.1, 2.31, false, "0 0.5 1.0 1.5 2.0 2.5"},
		{"all zero", plain, 0, 0, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{"all equal", plain, 50, 50, false, "44 46 48 50 52 54 56"},
		{"negative", plain, -3, 4, false, "-4 -2 0 2 4"},
		{"large", plain, 0, 12_000, false, "0 5,000 10,000 15,000"},
		{"larger", plain, 0, 4e7, false, "0 1e7 2e7 3e7 4e7"},
		{"nodes", whole, 0, 3, false, "0 1 2 3"},
		{"milliseconds", seconds, 0, 0.25, false, "0 50 100 150 200 250 ms"},
		{"one second", seconds, 0, 1, false, "0 0.2 0.4 0.6 0.8 1.0 s"},
		{"minutes", seconds, 0, 191, false, "0 1 2 3 4 min"},
		{"hours", seconds, 0, 5 * 3600, false, "0 1 2 3 4 5 h"},
		{"days", seconds, 0, 20 * 86400, false, "0 5 10 15 20 d"},
		{"bytes", volume, 0, 900, false, "0 200 400 600 800 1,000 B"},
		{"mebibytes", volume, 0, 129.6 * (1 << 20), false, "0 50 100 150 MiB"},
		{"decades", plain, 0.002, 300, true, "0.001 0.01 0.1 1 10 100 1,000"},
		{"many decades", plain, 1e-12, 1e8, true, "1e-12 1e-8 0.0001 1 10,000 1e8"},
		{"two decades", plain, 0.3, 4, true, "0.2 0.5 1 2 5"},
		{"one value", plain, 3, 3, true, "1 2 5 10"},
		{"nothing", plain, nan, nan, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{"logarithm of nothing", plain, nan, nan, true, "0 0.2 0.4 0.6 0.8 1.0"},
	} {
		if have := labelsOf(newAxis(test.kind, test.lo, test.hi, 5, test.log)); have != test.want {
			t.Errorf("%s: have %s, want %s", test.name, have, test.want)
		}
	}
}

func TestCostsBeginAtZeroAndEndWithTheData(t *testing.T) {
	a := costAxis(plain, 3, 99)
	if a.lo != 0 || a.hi != 99 || labelsOf(a) != "0 20 40 60 80" {
		t.Errorf("%v to %v: %s", a.lo, a.hi, labelsOf(a))
	}
	if a := costAxis(seconds, 0, 0); !(a.hi > a.lo) {
		t.Errorf("%v to %v has no length", a.lo, a.hi)
	}
}

// Whatever the values, an axis covers them, its ticks ascend, are few and are told apart by their labels.
func TestAxesCoverWhatTheyShow(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		lo := math.Exp(30*r.Float64()-15) * float64(r.IntN(3)-1)
		hi := lo + math.Exp(40*r.Float64()-20)
		kind := quantity(r.IntN(5))
		log := r.IntN(3) == 0 && lo > 0
		if kind == fraction {
			lo, hi = r.Float64(), 0
			hi = lo + (1-lo)*r.Float64()
		}
		a := newAxis(kind, lo, hi, 5, log)
		slack := 1e-6 * (a.hi - a.lo)
		if !(a.lo <= lo+slack) || !(a.hi >= hi-slack) || len(a.ticks) < 2 || len(a.ticks) > 12 {
			t.Fatalf("seed %d: axis of kind %d from %v to %v (log %v) is %v to %v with %d ticks", seed, kind, lo, hi, log, a.lo, a.hi, len(a.ticks))
		}
		a.from, a.to = 0, 100
		for i, tick := range a.ticks {
			if at := a.at(tick.value); math.IsNaN(at) || at < -1e-6 || at > 100+1e-6 {
				t.Fatalf("seed %d: tick %s of %v to %v (log %v) is at %v", seed, tick.label, lo, hi, log, at)
			}
			if i > 0 && (a.ticks[i-1].value >= tick.value || a.ticks[i-1].label == tick.label && hi-lo > 1e-3*math.Abs(hi)) {
				t.Fatalf("seed %d: ticks of %v to %v (log %v): %s", seed, lo, hi, log, labelsOf(a))
			}
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, test := range []struct{ have, want string }{
		{digits(0), "0"}, {digits(1234567), "1,234,567"}, {digits(12.3456), "12.35"}, {digits(0.00123456), "0.001235"}, {digits(-5), "-5"},
		{digits(1e-7), "1e-7"}, {digits(2.5e12), "2.5e12"}, {digits(99.99), "99.99"}, {digits(1), "1"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(math.MaxUint64), "18,446,744,073,709,551,615"},
		{volume.format(0), "0 B"}, {volume.format(1023), "1,023 B"}, {volume.format(1536), "1.5 KiB"}, {volume.format(3 << 30), "3 GiB"},
		{seconds.format(0), "0 s"}, {seconds.format(0.0215), "21.5 ms"}, {seconds.format(90), "90 s"}, {seconds.format(3.2e-6), "3.2 µs"},
		{duration(90), "90 s"}, {duration(191.07), "3 min 11 s"}, {duration(7384), "2 h 03 min"}, {duration(200_000), "2 d 07 h"}, {duration(math.NaN()), missing},
		{fraction.format(0.93561), "0.9356"}, {plain.format(math.Inf(1)), missing},
		{plural(1, "node", "nodes"), "1 node"}, {plural(0, "node", "nodes"), "0 nodes"},
		{clip("abcdef", 4), "abc…"}, {clip("äöü", 3), "äöü"},
		{quote("a=1"), "a=1"}, {quote("it's"), `'it'\''s'`}, {quote("$(x)"), "'$(x)'"}, {quote(""), "''"},
	} {
		if test.have != test.want {
			t.Errorf("have %q, want %q", test.have, test.want)
		}
	}
}

func TestLabelsMoveApart(t *testing.T) {
	places := []float64{10, 10, 11, 50, 99, 100}
	spread(places, 14, 0, 100)
	for i := 1; i < len(places); i++ {
		if places[i]-places[i-1] < 14-1e-9 {
			t.Errorf("%v lie too close", places)
		}
	}
	if places[0] < 0 || places[5] > 100 {
		t.Errorf("%v are outside", places)
	}
	crowd := make([]float64, 30)
	spread(crowd, 14, 0, 100)
	if crowd[0] < -1e-9 || crowd[29] > 100+1e-9 {
		t.Errorf("a crowd is outside: %v", crowd)
	}
}

func TestLongCurvesKeepTheirPeaks(t *testing.T) {
	c := curve{x: make([]float64, 100_000), y: make([]float64, 100_000)}
	for i := range c.x {
		c.x[i] = float64(i)
	}
	c.y[54_321], c.y[77_777] = 1, math.NaN()
	p := plot{curves: []curve{c}}
	p.draw()
	points := p.points(&c)
	if len(points) > 700 {
		t.Errorf("%d points are drawn", len(points))
	}
	top := math.Inf(1)
	for _, at := range points {
		top = math.Min(top, at[1])
	}
	if math.Abs(top-p.yAxis.at(1)) > 1e-9 {
		t.Errorf("the peak at %v is drawn at %v", p.yAxis.at(1), top)
	}
}

func TestTextCannotLeaveItsPlace(t *testing.T) {
	for in, want := range map[string]string{
		`<a href="x">&'`:      "&lt;a href=&#34;x&#34;&gt;&amp;&#39;",
		"a\x00\x1b\u202eb":    "a\ufffd\ufffd\ufffdb",
		"ä\xff":               "ä\ufffd",
		"Starling · 1 → 2 µs": "Starling · 1 → 2 µs",
	} {
		if have := escape(in); have != want {
			t.Errorf("%q: have %q, want %q", in, have, want)
		}
	}
}
