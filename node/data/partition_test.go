package data

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkParts returns what is wrong with a division of n rows.
func checkParts(parts [][]int32, n, nodes int) error {
	if len(parts) != nodes {
		return fmt.Errorf("%d parts for %d nodes", len(parts), nodes)
	}
	seen := make([]bool, n)
	total := 0
	for i, p := range parts {
		if len(p) == 0 {
			return fmt.Errorf("part %d is empty", i)
		}
		if !slices.IsSorted(p) {
			return fmt.Errorf("part %d is not ascending", i)
		}
		for _, row := range p {
			if row < 0 || int(row) >= n || seen[row] {
				return fmt.Errorf("row %d in part %d is there twice, or not a row", row, i)
			}
			seen[row] = true
		}
		total += len(p)
	}
	if total != n {
		return fmt.Errorf("%d of %d rows are in a part", total, n)
	}
	return nil
}

func TestEveryRowIsInExactlyOnePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.Int32Range(0, 12), 1, 400).Draw(t, "labels")
		nodes := rapid.IntRange(1, len(labels)).Draw(t, "nodes")
		spec := rapid.SampledFrom([]string{
			"iid", "contiguous", "dirichlet:0.3", "dirichlet:1e-300", "dirichlet:0.001", "dirichlet:1", "dirichlet:1e300", "shards:1", "shards:2",
		}).Draw(t, "spec")
		if spec == "shards:2" && 2*nodes > len(labels) {
			spec = "shards:1"
		}
		seed := rapid.Uint64().Draw(t, "seed")
		before := slices.Clone(labels)
		parts, err := Partition(spec, labels, nodes, seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkParts(parts, len(labels), nodes); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		least := max(1, min(10, len(labels)/nodes/2))
		for i, p := range parts {
			if strings.HasPrefix(spec, "dirichlet") && len(p) < least {
				t.Fatalf("%s: part %d has %d rows, fewer than %d", spec, i, len(p), least)
			}
		}
		if !slices.Equal(before, labels) {
			t.Fatal("labels were changed")
		}
		again, err := Partition(spec, labels, nodes, seed)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(parts) {
			t.Fatalf("%s: another division for the same seed (%v)", spec, err)
		}
	})
}

// digits returns n labels of ten classes, in mixed order.
func digits(n int) []int32 {
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(i * 7 % 10)
	}
	return labels
}

// distance is the mean over nodes of the total variation distance between a node's labels and all labels.
func distance(parts [][]int32, labels []int32) float64 {
	share := func(rows []int32) (p [10]float64) {
		for _, r := range rows {
			p[labels[r]] += 1 / float64(len(rows))
		}
		return
	}
	all := share(upTo(len(labels)))
	var sum float64
	for _, rows := range parts {
		p := share(rows)
		for c := range p {
			sum += math.Abs(p[c]-all[c]) / 2
		}
	}
	return sum / float64(len(parts))
}

func divide(t testing.TB, spec string, labels []int32, nodes int, seed uint64) [][]int32 {
	t.Helper()
	parts, err := Partition(spec, labels, nodes, seed)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestDivisionsAreAsSkewedAsTheySay(t *testing.T) {
	labels := digits(20000)
	for _, test := range []struct {
		spec      string
		low, high float64 // of distance
		ratio     float64 // of the largest part to an equal one, at most
	}{
		{"iid", 0, 0.05, 1.001},
		{"contiguous", 0, 0.01, 1.001},
		{"dirichlet:1e6", 0, 0.01, 1.01},
		{"dirichlet:100", 0.01, 0.08, 1.2},
		{"dirichlet:1", 0.2, 0.5, 4},
		{"dirichlet:0.1", 0.5, 0.8, 10},
		{"dirichlet:0.001", 0.6, 0.9, 20},
		{"shards:1", 0.85, 0.9, 1.001},
		{"shards:2", 0.7, 0.9, 1.001},
	} {
		parts := divide(t, test.spec, labels, 20, 5)
		if d := distance(parts, labels); d < test.low || d > test.high {
			t.Errorf("%s: distance %.3f, want %v to %v", test.spec, d, test.low, test.high)
		}
		for i, p := range parts {
			if r := float64(len(p)) * 20 / float64(len(labels)); r > test.ratio {
				t.Errorf("%s: part %d is %.2f times an equal one", test.spec, i, r)
			}
		}
	}
}

func TestAShardHasFewLabels(t *testing.T) {
	labels := digits(6000)
	for i, p := range divide(t, "shards:2", labels, 30, 9) {
		kinds := map[int32]bool{}
		for _, r := range p {
			kinds[labels[r]] = true
		}
		if len(kinds) > 2 {
			t.Errorf("node %d has %d labels, want 2 at most", i, len(kinds))
		}
	}
}

func TestSeedsDivideDifferently(t *testing.T) {
	labels := digits(1000)
	for _, spec := range []string{"iid", "dirichlet:0.5", "shards:2"} {
		if fmt.Sprint(divide(t, spec, labels, 5, 1)) == fmt.Sprint(divide(t, spec, labels, 5, 2)) {
			t.Errorf("%s: the same division for two seeds", spec)
		}
	}
}

// A hash of divisions on one machine: the test passes on others only if they divide in the same way.
func TestDivisionsHaveTheRecordedBits(t *testing.T) {
	h := fnv.New64a()
	for _, spec := range []string{"iid", "dirichlet:0.3", "dirichlet:5", "shards:2"} {
		fmt.Fprint(h, divide(t, spec, digits(3000), 17, 42))
	}
	p := newPlan(t, 1000, 32, 42, 7)
	var b Batches
	for _, step := range []uint64{0, 31, 1e6} { // one by one: they share their memory
		fmt.Fprint(h, b.Rows(p, step))
	}
	if got := h.Sum64(); got != 0x827591cd364ff4c3 {
		t.Errorf("the hash is %#x", got)
	}
}

func TestPartitionSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		spec  string
		nodes int
		want  string
	}{
		{"", 2, "use iid, contiguous, dirichlet:A or shards:K"},
		{"random", 2, "use iid"},
		{"iid:3", 2, "use iid"},
		{"dirichlet", 2, "use iid"},
		{"dirichlet:", 2, "above 0"},
		{"dirichlet:0", 2, "above 0"},
		{"dirichlet:-1", 2, "above 0"},
		{"dirichlet:NaN", 2, "above 0"},
		{"dirichlet:Inf", 2, "above 0"},
		{"shards:0", 2, "number of shards"},
		{"shards:x", 2, "number of shards"},
		{"shards:65536", 2, "number of shards"},
		{"shards:51", 2, "too few"},
		{"iid", 0, "among 0 nodes"},
		{"dirichlet:1", 101, "among 101 nodes"},
	} {
		if _, err := Partition(test.spec, digits(100), test.nodes, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s for %d nodes: got %v, want %q", test.spec, test.nodes, err, test.want)
		}
	}
}

func TestMoreNodesThanRowsLeaveSomeWithout(t *testing.T) {
	for _, spec := range []string{"iid", "contiguous"} {
		parts := divide(t, spec, digits(4141), 10000, 3)
		counts := map[int]int{}
		for _, p := range parts {
			counts[len(p)]++
		}
		if counts[1] != 4141 || counts[0] != 10000-4141 {
			t.Errorf("%s: parts by size: %v", spec, counts)
		}
	}
	if parts := divide(t, "contiguous", digits(10), 4, 3); fmt.Sprint(parts) != "[[0 1] [2 3 4] [5 6] [7 8 9]]" {
		t.Errorf("ten rows for four nodes: %v", parts)
	}
}

func TestTheGammaSamplerHasTheRightMoments(t *testing.T) {
	for _, a := range []float64{0.05, 0.3, 1, 2.5, 40} {
		c := draw(11, forPartition, 0, 0)
		const n = 200_000
		var sum, squares float64
		for range n {
			x := math.Exp(c.logGamma(a))
			sum += x
			squares += x * x
		}
		mean := sum / n
		variance := squares/n - mean*mean
		if math.Abs(mean-a) > 5*math.Sqrt(a/n) {
			t.Errorf("shape %v: mean %v", a, mean)
		}
		// The variance of the sample variance is (μ4-σ⁴)/n with μ4 = 3a²+6a.
		if math.Abs(variance-a) > 6*math.Sqrt((2*a*a+6*a)/n) {
			t.Errorf("shape %v: variance %v", a, variance)
		}
	}
}

func TestNumbersBelowABoundAreEquallyLikely(t *testing.T) {
	c := draw(1, forSynthetic, 0, 0)
	var counts [7]int
	for range 70_000 {
		counts[c.below(7)]++
	}
	for v, got := range counts {
		if math.Abs(float64(got)-10_000) > 5*math.Sqrt(10_000) {
			t.Errorf("%d was drawn %d times of 70000", v, got)
		}
	}
	for range 1000 {
		if v := c.below(1<<63 + 1); v > 1<<63 {
			t.Fatalf("%d is not below 2^63+1", v)
		}
	}
}

func BenchmarkPartition(b *testing.B) {
	labels := digits(60000)
	for _, spec := range []string{"iid", "dirichlet:0.3", "shards:2"} {
		b.Run(spec, func(b *testing.B) {
			for b.Loop() {
				divide(b, spec, labels, 100, 1)
			}
		})
	}
}
