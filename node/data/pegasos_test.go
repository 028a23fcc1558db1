package data

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"
)

func openPegasos(t *testing.T, spec string) (all *Set, labels []int32, train int) {
	t.Helper()
	s, err := Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Test()
	if err != nil {
		t.Fatal(err)
	}
	if s.Inputs() != 57 || s.Classes() != 2 || a.Len() != 4141 || b.Len() != 460 {
		t.Fatalf("%d and %d rows of %d features in %d classes", a.Len(), b.Len(), s.Inputs(), s.Classes())
	}
	x, y := make([]float32, 4601*57), make([]int32, 4601)
	a.FillRange(x, y, 0, 4141)
	b.FillRange(x[4141*57:], y[4141:], 0, 460)
	return &Set{inputs: 57, classes: 2, labels: y, numbers: pages[float32]{width: 57, per: 4601, rows: 4601, list: [][]float32{x}}}, y, 4141
}

func TestThePegasosSetIsWhatItSays(t *testing.T) {
	set, labels, train := openPegasos(t, "pegasos")
	x, _, ok := set.Range(0, 4601)
	if !ok {
		t.Fatal("not in one piece")
	}
	var w [57]float64 // the difference of the means of the classes in the training rows
	ones := 0
	for i := range 57 {
		var sum, squares float64
		for r := range 4601 {
			v := float64(x[r*57+i])
			sum += v
			squares += v * v
			if r < train {
				w[i] += v * (2*float64(labels[r]) - 1)
			}
		}
		if mean, variance := sum/4601, squares/4601; math.Abs(mean) > 1e-6 || math.Abs(variance-1) > 1e-5 {
			t.Errorf("feature %d has mean %g and variance %g", i, mean, variance)
		}
	}
	// ⟨w,x⟩ + 0.35e is N(0, 1.06²), of which 0.399 is above 0.27.
	for _, l := range labels {
		ones += int(l)
	}
	if share := float64(ones) / 4601; math.Abs(share-0.399) > 0.03 {
		t.Errorf("a share of %g is in class 1", share)
	}
	var norm float64
	for _, v := range w {
		norm += v * v
	}
	right := 0
	for r := train; r < 4601; r++ {
		var side float64
		for i, v := range w {
			side += v * float64(x[r*57+i]) / math.Sqrt(norm)
		}
		if (side > 0.27) == (labels[r] == 1) {
			right++
		}
	}
	if right < 400 || right > 440 { // the best possible is right in about nine of ten
		t.Errorf("%d of 460 rows are right", right)
	}
}

func TestPegasosSeedsAreApartAndHaveTheRecordedBits(t *testing.T) {
	one, first, _ := openPegasos(t, "pegasos")
	if _, same, _ := openPegasos(t, "pegasos:seed=1"); !slices.Equal(first, same) {
		t.Error("the seed is not 1 if none is given")
	}
	if _, other, _ := openPegasos(t, "pegasos:seed=2"); slices.Equal(first, other) {
		t.Error("seeds 1 and 2 give one set")
	}
	x, y, _ := one.Range(0, 4601)
	h := fnv.New64a()
	for i, v := range x {
		fmt.Fprintf(h, "%08x", math.Float32bits(v))
		if i%57 == 0 {
			fmt.Fprint(h, y[i/57])
		}
	}
	if got := h.Sum64(); got != 0x1007ec41388154ea {
		t.Errorf("the hash is %#x", got)
	}
	for _, spec := range []string{"pegasos:", "pegasos:2", "pegasos:seed=", "pegasos:seed=x", "pegasos:seed=-1"} {
		if _, err := Open(spec); err == nil {
			t.Errorf("%s is accepted", spec)
		}
	}
}

func TestRowsInOnePieceAreNotCopied(t *testing.T) {
	s, err := Gaussians(2000, 1000, 1, 1) // 262 rows a page
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.Train(nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(set *Set, first, count int, want bool) {
		t.Helper()
		gx, gy, ok := set.Range(first, count)
		if ok != want {
			t.Fatalf("rows %d+%d: %v", first, count, ok)
		}
		if !ok {
			return
		}
		x, y := make([]float32, count*set.Inputs()), make([]int32, count)
		set.FillRange(x, y, first, count)
		if !slices.Equal(x, gx) || !slices.Equal(y, gy) {
			t.Errorf("rows %d+%d differ", first, count)
		}
	}
	check(set, 0, 262, true)
	check(set, 261, 2, false)
	check(set, 262, 262, true)
	check(set, 1999, 1, true)
	check(set, 0, 0, false)
	part := set.Subset([]int32{5, 700})
	check(part, 0, 1, false)
	check(part.Unpacked(), 0, 2, true)
	check(set.Unpacked(), 100, 1900, true)
	if part.Unpacked().Label(1) != set.Label(700) {
		t.Error("labels are mixed up")
	}
}

func BenchmarkPegasos(b *testing.B) {
	for b.Loop() {
		Pegasos(1)
	}
}
