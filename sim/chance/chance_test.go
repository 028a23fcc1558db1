package chance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/kernel"
)

const seed = 20261

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if t.Failed() {
		return // one number says enough
	}
	if !(math.Abs(got-want) <= relative*max(math.Abs(want), 1e-300)) {
		t.Errorf("%s is %.17g, want %.17g within %g of it", what, got, want, relative)
	}
}

func TestNormalQuantileInvertsTheDistribution(t *testing.T) {
	for _, p := range []float64{1e-300, 1e-15, 1e-9, 1e-4, 0.01, 0.074, 0.076, 0.3, 0.4999, 0.6, 0.924, 0.926, 0.99, 1 - 1e-9} {
		x := NormalQuantile(p)
		near(t, "the probability below the quantile", math.Erfc(-x/math.Sqrt2)/2, p, 1e-12*max(1, x*x))
	}
	if x := NormalQuantile(0.5); x != 0 {
		t.Errorf("the median is %g", x)
	}
}

func TestGammaFunction(t *testing.T) {
	for x := 1.0; x <= 100; x += 0.37 {
		near(t, "gamma", Gamma(x), math.Gamma(x), 1e-12)
	}
}

// sample draws from a distribution and returns mean and variance.
func sample(n int, draw func() float64) (mean, variance float64) {
	var sum, squares float64
	for range n {
		x := draw()
		sum += x
		squares += x * x
	}
	mean = sum / float64(n)
	return mean, squares/float64(n) - mean*mean
}

func TestDistributionsHaveTheirMoments(t *testing.T) {
	s := Stream(seed, Session, 3)
	for _, c := range []struct {
		name           string
		draw           func() float64
		mean, variance float64
	}{
		{"unit", func() float64 { return Unit(s.Uint64()) }, 0.5, 1.0 / 12},
		{"exponential", func() float64 { return Exponential(s.Uint64()) }, 1, 1},
		{"1 + normal", func() float64 { return 1 + Normal(s.Uint64()) }, 1, 1},
		{"log-normal", func() float64 { return LogNormal(s.Uint64(), 0.5) }, math.Exp(0.125), (math.Exp(0.25) - 1) * math.Exp(0.25)},
		{"weibull", func() float64 { return Weibull(s.Uint64(), 2) }, math.Gamma(1.5), math.Gamma(2) - math.Pow(math.Gamma(1.5), 2)},
		{"gamma", func() float64 { return GammaVariate(s, 3) }, 3, 3},
		{"below", func() float64 { return float64(Below(s.Uint64(), 11)) }, 5, 10},
	} {
		mean, variance := sample(400_000, c.draw)
		near(t, c.name+": the mean", mean, c.mean, 0.01)
		near(t, c.name+": the variance", variance, c.variance, 0.03)
	}
}

func TestPairsAreSymmetricalAndSpread(t *testing.T) {
	key := Key(seed, Latency)
	seen := make(map[uint64]bool)
	var ones [64]int
	const n = 400
	for a := range n {
		for b := range a {
			w := Pair(key, a, b)
			if w != Pair(key, b, a) {
				t.Fatalf("the words of (%d, %d) and (%d, %d) differ", a, b, b, a)
			}
			if seen[w] {
				t.Fatalf("the word of (%d, %d) is not the first of its kind", a, b)
			}
			seen[w] = true
			for i := range ones {
				ones[i] += int(w >> i & 1)
			}
		}
	}
	for _, k := range ones {
		near(t, "the share of ones", float64(k)/float64(len(seen)), 0.5, 0.02)
	}
	if Key(seed, Latency) == Key(seed, Punch) || Key(seed, Latency) == Key(seed+1, Latency) {
		t.Error("keys of other purposes or seeds are the same")
	}
}

func TestStreamsOfNeighboursAreIndependent(t *testing.T) {
	var ones, draws int
	for i := range 1000 {
		a, b := Stream(seed, Session, i), Stream(seed, Session, i+1)
		for range 20 {
			w := a.Uint64() ^ b.Uint64()
			for ; w != 0; w &= w - 1 {
				ones++
			}
			draws += 64
		}
	}
	near(t, "the share of bits that differ", float64(ones)/float64(draws), 0.5, 0.01)
}

func TestQuantilesFollowTheDistribution(t *testing.T) {
	exact := func(u float64) float64 { return 40e6 * kernel.Exp(0.5*NormalQuantile(u)) }
	q := NewQuantiles(exact)
	source := rand.NewPCG(seed, 1)
	for range 200_000 {
		w := source.Uint64()
		near(t, "the quantile", float64(q.At(w)), exact(Unit(w)), 0.002)
	}
	for _, w := range []uint64{0, 1, 1 << 40, 1<<54 - 1, math.MaxUint64, math.MaxUint64 - 1<<40} {
		near(t, "the tail", float64(q.At(w)), exact(Unit(w)), 1e-6)
	}
	last := int64(0)
	for i := range uint64(1 << 16) {
		v := q.At(i << 48)
		if v < last {
			t.Fatalf("the quantile at %d/65536 is %d, below the one before, %d", i, v, last)
		}
		last = v
	}
}

func TestDealKeepsToTheShares(t *testing.T) {
	for _, shares := range [][]float64{{1}, {0, 1}, {1, 0}, {0.3, 0.5, 0.2}, {0.3, 0.7 - 1e-7, 0}, {0.1, 0, 0.9}} {
		for _, n := range []int{1, 7, 10, 1000} {
			of := Deal(Stream(seed, NAT, n), n, shares)
			counts := make([]int, len(shares))
			for _, c := range of {
				counts[c]++
			}
			for c, share := range shares {
				if got := float64(counts[c]); math.Abs(got-share*float64(n)) > 1 || share == 0 && got > 0 {
					t.Errorf("of %d nodes %d are of class %d with share %g", n, counts[c], c, share)
				}
			}
		}
	}
	if of := Deal(Stream(seed, NAT, 0), 1000, []float64{0.5, 0.5}); slices.IsSorted(of) {
		t.Error("classes are not in random places")
	}
}

func TestWordsAreTheSameOnEveryMachine(t *testing.T) {
	s := Stream(1, Session, 2)
	w := s.Uint64()
	got := []uint64{
		Key(1, Latency), Pair(Key(1, Latency), 3, 4), Of(Key(1, Speed), 5), w, math.Float64bits(Normal(w)), math.Float64bits(Exponential(w)),
		math.Float64bits(Weibull(w, 0.5)), math.Float64bits(LogNormal(w, 0.5)), math.Float64bits(Gamma(3)), math.Float64bits(GammaVariate(s, 3)),
		uint64(NewQuantiles(func(u float64) float64 { return 1e9 * NormalQuantile(u/2+0.5) }).At(w)),
	}
	want := []uint64{
		0xf09be0d07e14871f, 0x1e5bb4e05a5769cc, 0x168e80a91653312, 0x472f87b9e1afb98a, 0xbfe2d5b580141a47, 0x3ff47a69b9b6a812,
		0x3ffa35b0df536399, 0x3fe7d78303ef9a32, 0x4000000000000002, 0x401127f533a9f746, 0x1536498a,
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %#x,\nwant %#x", got, want)
	}
}

func BenchmarkQuantiles(b *testing.B) {
	q := NewQuantiles(func(u float64) float64 { return 40e6 * kernel.Exp(0.5*NormalQuantile(u)) })
	key := Key(1, Latency)
	var sum int64
	i := 0
	for b.Loop() {
		sum += q.At(Pair(key, i&1023, 5))
		i++
	}
	_ = sum
}
