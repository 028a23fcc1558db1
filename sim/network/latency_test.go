package network

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starling/node"
	"starling/sim/chance"
)

const seed = 20261

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func latency(t testing.TB, text string, n int) *Latency {
	t.Helper()
	l, err := ParseLatency(text, n, seed)
	return must(t, l, err)
}

// quantiles returns the least, the quarters and the largest latency of all pairs, and their mean, in milliseconds.
func quantiles(l *Latency, n int) (q [5]float64, mean float64) {
	var all []float64
	for a := range n {
		for b := range a {
			ms := float64(l.Between(a, b)) / 1e6
			all = append(all, ms)
			mean += ms
		}
	}
	slices.Sort(all)
	for i := range q {
		q[i] = all[i*(len(all)-1)/4]
	}
	return q, mean / float64(len(all))
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %g, want %g within %g of it", what, got, want, relative)
	}
}

func TestLatencyIsFixedForAPairInBothDirections(t *testing.T) {
	for _, text := range []string{"constant:20ms", "uniform:0ms-10ms", "lognormal:median=40ms,sigma=0.5", "regions", "matrix:testdata/sites.csv"} {
		l, again := latency(t, text, 50), latency(t, text, 50)
		other, err := ParseLatency(text, 50, seed+1)
		must(t, other, err)
		same := true
		for a := range 50 {
			if l.Between(a, a) != 0 {
				t.Errorf("%s: a message from %d to itself takes time", text, a)
			}
			for b := range 50 {
				x := l.Between(a, b)
				if x != l.Between(b, a) || x != again.Between(a, b) || x < 0 {
					t.Fatalf("%s: %d from %d to %d, %d back, %d with the same seed", text, x, a, b, l.Between(b, a), again.Between(a, b))
				}
				same = same && x == other.Between(a, b)
			}
		}
		if drawn := !strings.HasPrefix(text, "constant") && !strings.HasPrefix(text, "matrix"); same == drawn {
			t.Errorf("%s: another seed gives the same latency: %t", text, same)
		}
	}
}

func TestLatencyHasItsDistribution(t *testing.T) {
	q, _ := quantiles(latency(t, "constant:20ms", 10), 10)
	if q != [5]float64{20, 20, 20, 20, 20} {
		t.Errorf("constant quantiles are %v", q)
	}
	q, mean := quantiles(latency(t, "uniform:low=2ms,high=10ms", 800), 800)
	near(t, "the mean", mean, 6, 0.01)
	for i, want := range []float64{2, 4, 6, 8, 10} {
		near(t, "the quantile", q[i], want, 0.01)
	}
	q, mean = quantiles(latency(t, "lognormal:median=40ms,sigma=0.5", 800), 800)
	near(t, "the mean", mean, 40*math.Exp(0.125), 0.01)
	near(t, "the median", q[2], 40, 0.01)
	near(t, "the upper quarter", q[3], 40*math.Exp(0.5*0.6744898), 0.01)
	near(t, "the lower quarter", q[1], 40*math.Exp(-0.5*0.6744898), 0.01)
	if q[4] < 40*math.Exp(0.5*4) || q[0] > 40*math.Exp(-0.5*4) {
		t.Errorf("there are no tails: from %g to %g ms", q[0], q[4])
	}
}

func TestRegionsHoldTheirShares(t *testing.T) {
	l := latency(t, "regions", 1000)
	names := l.Regions()
	count := make([]int, len(names))
	for i := range 1000 {
		count[l.Region(i)]++
	}
	var sum float64
	for i, r := range Regions() {
		near(t, r.Name, float64(count[i]), 1000*r.Weight, 0.02)
		sum += r.Weight
		if len(r.Ways) != len(names) || names[i] != r.Name {
			t.Fatalf("region %s has %d ways, or another name: %s", r.Name, len(r.Ways), names[i])
		}
		for j, ms := range r.Ways {
			if ms != Regions()[j].Ways[i] || ms <= 0 || i != j && ms < 10 {
				t.Errorf("%s to %s: %g ms", r.Name, names[j], ms)
			}
		}
	}
	near(t, "the sum of weights", sum, 1, 1e-9)

	l = latency(t, "regions:us-east=0.5,eu-west=0.5", 10)
	for a := range 10 {
		for b := range a {
			want := 34 * millisecond
			if l.Region(a) == l.Region(b) {
				want = 5 * millisecond
			}
			if got := l.Between(a, b); got != want {
				t.Errorf("%s to %s is %d", names[l.Region(a)], names[l.Region(b)], got)
			}
		}
	}
}

func TestLatencyIsReadFromFiles(t *testing.T) {
	l := latency(t, "matrix:testdata/sites.csv", 8)
	for _, c := range []struct {
		a, b int
		ms   float64
	}{{0, 1, 10}, {0, 2, 21}, {1, 2, 30.5}, {0, 3, 1}, {3, 6, 1}, {1, 4, 2}, {2, 5, 3}, {5, 7, 30.5}} {
		if got := l.Between(c.a, c.b); float64(got) != c.ms*1e6 {
			t.Errorf("%d to %d is %d ns, want %g ms", c.a, c.b, got, c.ms)
		}
	}
	if l.Regions() != nil || l.Region(4) != 1 {
		t.Errorf("site of node 4 is %d, regions are %v", l.Region(4), l.Regions())
	}
	l = latency(t, "regions:testdata/regions.csv", 100)
	if names := l.Regions(); !slices.Equal(names, []string{"here", "there"}) {
		t.Fatalf("regions are %v", names)
	}
	here := 0
	for i := range 100 {
		here += 1 - l.Region(i)
		if got := l.Between(i, (i+1)%100); l.Region(i) != l.Region((i+1)%100) && got != 15*millisecond {
			t.Errorf("here to there is %d", got)
		}
	}
	if here != 75 {
		t.Errorf("%d of 100 nodes are here, want 75", here)
	}
}

func TestJitterHasItsDistribution(t *testing.T) {
	for _, c := range []struct {
		text          string
		mean, largest float64 // ms; for the largest of 100,000, about
	}{
		{"none", 0, 0}, {"uniform:0ms-10ms", 5, 10}, {"uniform:low=3ms,high=3ms", 3, 3}, {"exponential:mean=2ms", 2, 2 * math.Log(1e5)},
		{"exponential:2ms", 2, 2 * math.Log(1e5)}, {"lognormal:median=2ms,sigma=1", 2 * math.Exp(0.5), 2 * math.Exp(4.2)},
	} {
		j := must(t, first(ParseJitter(c.text)), second(ParseJitter(c.text)))
		r := rand.New(rand.NewPCG(seed, 0))
		var sum, largest float64
		for range 100_000 {
			ms := float64(j.Draw(r)) / 1e6
			sum += ms
			largest = max(largest, ms)
		}
		near(t, c.text+": the mean", sum/1e5, c.mean, 0.02)
		near(t, c.text+": the largest", largest, c.largest, 0.5)
		if j.Zero() != (c.text == "none") {
			t.Errorf("%s: zero is %t", c.text, j.Zero())
		}
	}
}

func first[A, B any](a A, _ B) A  { return a }
func second[A, B any](_ A, b B) B { return b }

func TestWeatherIsTheSameOnEveryMachine(t *testing.T) {
	l := latency(t, "lognormal:median=40ms,sigma=0.5", 1000)
	u := latency(t, "uniform:0ms-10ms", 1000)
	r := latency(t, "regions", 1000)
	b := must(t, first(ParseBandwidth("lognormal:up=10Mbit,down=50Mbit,sigma=0.8", 10, seed)), nil)
	c := must(t, first(ParseBandwidth("classes", 10, seed)), nil)
	nat := must(t, first(ParseNAT("public=0.3,cone=0.5,symmetric=0.2", 1000, seed)), nil)
	loss := must(t, first(ParseLoss("burst:good=1s,bad=1s,loss_bad=0.9,loss_good=0.1")), nil)
	jitter := must(t, first(ParseJitter("exponential:mean=2ms")), nil)
	source := chance.Stream(seed, chance.Session, 0)
	lost, punched := int64(0), int64(0)
	for i := range 64 {
		lost <<= 1
		if loss.Lost(node.Instant(i)*node.Second/4, 0, 1, source) {
			lost |= 1
		}
		punched = punched*3 + int64(nat.Path(i, i+1))
	}
	got := []int64{
		int64(l.Between(1, 2)), int64(l.Between(17, 999)), int64(u.Between(3, 4)), int64(r.Between(5, 6)), int64(r.Between(5, 9)), int64(b[1].Up),
		int64(b[9].Down), int64(c[0].Up), int64(c[1].Up), lost, punched, int64(jitter.Draw(source)), int64(jitter.Draw(source)),
	}
	want := []int64{
		56009838, 60814757, 9154739, 102000000, 150000000, 14735336, 216589589, 300000000, 1000000000, 503873414708730143,
		-9002599798648927376, 1437042, 1291799,
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %d,\nwant %d", got, want)
	}
}

func BenchmarkBetween(b *testing.B) {
	for _, text := range []string{"constant:20ms", "uniform:0ms-10ms", "lognormal:median=40ms,sigma=0.5", "regions"} {
		b.Run(strings.ReplaceAll(text, ":", " "), func(b *testing.B) {
			l := latency(b, text, 1024)
			var sum node.Instant
			i := 0
			for b.Loop() {
				sum += l.Between(i&1023, i>>3&1023)
				i++
			}
			if sum == 0 {
				b.Fatal("nothing takes time")
			}
		})
	}
}

func BenchmarkJitter(b *testing.B) {
	j := must(b, first(ParseJitter("exponential:mean=2ms")), nil)
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		j.Draw(r)
	}
}
