package data

import (
	"slices"
	"testing"
)

func TestDrawnRowsDependOnOwnerAndStepAlone(t *testing.T) {
	draw := func(n int, seed, owner, step uint64) []int32 {
		out := make([]int32, n)
		Drawn(out, 1000, seed, owner, step)
		return out
	}
	long := draw(200, 1, 2, 3)
	if short := draw(33, 1, 2, 3); !slices.Equal(long[:33], short) {
		t.Error("the first rows depend on how many there are")
	}
	for name, other := range map[string][]int32{"seed": draw(200, 2, 2, 3), "owner": draw(200, 1, 3, 3), "step": draw(200, 1, 2, 4), "far step": draw(200, 1, 2, 3+1<<32)} {
		same := 0
		for i := range other {
			if other[i] == long[i] {
				same++
			}
		}
		if same > 5 {
			t.Errorf("another %s draws the same row %d times of 200", name, same)
		}
	}
	counts := make([]int, 10)
	for step := range uint64(2000) {
		for _, row := range draw(50, 1, 2, step) {
			if row < 0 || row >= 1000 {
				t.Fatalf("row %d of 1000", row)
			}
			counts[row/100]++
		}
	}
	for i, n := range counts {
		if n < 9600 || n > 10400 {
			t.Errorf("rows %d to %d come %d times, want about 10000", 100*i, 100*i+99, n)
		}
	}
}
