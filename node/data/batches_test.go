package data

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newPlan(t interface{ Fatal(...any) }, rows, batch int, seed, node uint64) Plan {
	p, err := NewPlan(rows, batch, seed, node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnEpochHasEveryRowOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, batch := rapid.IntRange(1, 60).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "batch")
		p := newPlan(t, rows, batch, rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "node"))
		var b Batches
		var all []int32
		for step := uint64(0); len(all) < 3*rows; step++ {
			all = append(all, b.Rows(p, step)...)
		}
		for epoch := range 3 {
			one := slices.Sorted(slices.Values(all[epoch*rows : (epoch+1)*rows]))
			if !slices.Equal(one, upTo(rows)) {
				t.Fatalf("epoch %d has rows %v", epoch, one)
			}
		}
	})
}

func TestABatchDependsOnItsStepAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, batch := rapid.IntRange(1, 60).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "batch")
		plans := []Plan{newPlan(t, rows, batch, 3, 4), newPlan(t, rows, batch, 3, 5), newPlan(t, 7, 3, 3, 4)}
		var used Batches
		for _, step := range rapid.SliceOfN(rapid.Uint64Max(1000), 1, 8).Draw(t, "steps") {
			p := rapid.SampledFrom(plans).Draw(t, "plan")
			if got, want := used.Rows(p, step), new(Batches).Rows(p, step); !slices.Equal(got, want) {
				t.Fatalf("step %d is %v after other steps and %v at once", step, got, want)
			}
		}
	})
}

func TestNodesSeedsAndEpochsAreShuffledApart(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct{ seed, node, step uint64 }{{1, 1, 0}, {1, 2, 0}, {2, 1, 0}, {1, 1, 1}, {1, 1 << 32, 0}, {1 << 32, 1, 0}} {
		name, order := fmt.Sprint(c), fmt.Sprint(new(Batches).Rows(newPlan(t, 50, 50, c.seed, c.node), c.step))
		if other, ok := seen[order]; ok {
			t.Errorf("%s and %s have the same order", name, other)
		}
		seen[order] = name
	}
}

func TestAPassHasEveryRowOnceAndPassesDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, batch := rapid.IntRange(0, 60).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "batch")
		p := newPlan(t, rows, batch, 1, 2)
		if want := (rows + batch - 1) / batch; p.Pass() != uint64(want) || p.Len() != rows {
			t.Fatalf("%d rows in %d batches", p.Len(), p.Pass())
		}
		var b Batches
		seen := map[string]bool{}
		for pass := range uint64(2) {
			var all []int32
			for i := range p.Pass() {
				got := b.Of(p, pass*p.Pass(), i, 1)
				if len(got) != min(batch, rows-len(all)) {
					t.Fatalf("batch %d of pass %d has %d rows", i, pass, len(got))
				}
				all = append(all, got...)
			}
			if p.Pass() > 0 {
				i := rapid.Uint64Range(0, p.Pass()-1).Draw(t, "from")
				n := rapid.Uint64Range(1, 3).Draw(t, "count")
				want := all[i*uint64(batch) : min(rows, int(i+n)*batch)]
				if got := b.Of(p, pass*p.Pass(), i, n); !slices.Equal(got, want) {
					t.Fatalf("%d batches from %d on are %v, want %v", n, i, got, want)
				}
			}
			seen[fmt.Sprint(all)] = true
			if slices.Sort(all); !slices.Equal(all, upTo(rows)) {
				t.Fatalf("pass %d has rows %v", pass, all)
			}
		}
		if rows > 20 && len(seen) < 2 {
			t.Fatal("both passes have one order")
		}
	})
}

func TestOrdersCostNoMemory(t *testing.T) {
	p := newPlan(t, 4, 1, 1, 1)
	var b Batches
	step := uint64(0)
	run := func() {
		b.Of(p, step, 1, 2)
		b.Rows(p, step)
		step += 4
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%g allocations a pass", n)
	}
	if b.Rows(newPlan(t, 0, 3, 1, 1), 5) != nil {
		t.Error("no rows make a batch")
	}
}

func TestBatchesOfNothingAreRefused(t *testing.T) {
	for _, c := range [][2]int{{1, 0}, {-1, 1}, {1, -1}, {maxRows + 1, 1}, {1, maxRows + 1}} {
		if _, err := NewPlan(c[0], c[1], 1, 1); err == nil {
			t.Errorf("%d rows in batches of %d are accepted", c[0], c[1])
		}
	}
}

func TestSyntheticSetsAreWhatTheySay(t *testing.T) {
	for name, build := range map[string]func(seed uint64) (*Source, error){
		"gaussians": func(seed uint64) (*Source, error) { return Gaussians(4000, 5, 3, seed) },
		"linear":    func(seed uint64) (*Source, error) { return Linear(4000, 5, 0, seed) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := build(1)
			if err != nil {
				t.Fatal(err)
			}
			train, err := s.Train(nil)
			if err != nil {
				t.Fatal(err)
			}
			test, err := s.Test()
			if err != nil {
				t.Fatal(err)
			}
			if train.Len() != 4000 || test.Len() != 1000 || s.Inputs() != 5 || s.Classes() != 2 {
				t.Fatalf("%d and %d rows of %d features in %d classes", train.Len(), test.Len(), s.Inputs(), s.Classes())
			}
			x, y := make([]float32, 20000), make([]int32, 4000)
			train.FillRange(x, y, 0, 4000)
			ones := 0
			for _, l := range y {
				ones += int(l)
			}
			if ones < 1700 || ones > 2300 {
				t.Errorf("%d of 4000 labels are 1", ones)
			}
			// The difference of the means of the classes is a good classifier of both; it must do for rows not seen.
			var w [5]float64
			for i, l := range y {
				for j := range w {
					w[j] += float64(x[5*i+j]) * float64(2*int(l)-1)
				}
			}
			test.FillRange(x, y, 0, 1000)
			right := 0
			for i, l := range y[:1000] {
				var side float64
				for j := range w {
					side += w[j] * float64(x[5*i+j])
				}
				if (side > 0) == (l == 1) {
					right++
				}
			}
			if right < 910 || name == "gaussians" && right > 960 { // gaussians: 0.933 is the best possible
				t.Errorf("%d of 1000 are right", right)
			}
			again, err := build(1)
			if err != nil {
				t.Fatal(err)
			}
			other, err := build(2)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(again.Labels(), s.Labels()) || slices.Equal(other.Labels(), s.Labels()) {
				t.Error("labels are not a function of the seed")
			}
			part, err := s.Train([]int32{5, 9})
			if err != nil || part.Len() != 2 || part.Label(1) != train.Label(9) {
				t.Errorf("a part has %d rows, %v", part.Len(), err)
			}
		})
	}
	if _, err := Gaussians(3, 5, 1, 1); err == nil {
		t.Error("3 rows are accepted")
	}
	if _, err := Linear(100, 0, 1, 1); err == nil {
		t.Error("no features are accepted")
	}
	if _, err := Linear(100, -1, 1, 1); err == nil {
		t.Error("fewer than no features are accepted")
	}
}

func TestFlippedLabelsAreAsManyAsAsked(t *testing.T) {
	clean, err := Linear(10000, 3, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Linear(10000, 3, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range clean.Labels() {
		if all.Labels()[i] != 1-l {
			t.Fatalf("label %d is not flipped", i)
		}
	}
}

func BenchmarkBatches(b *testing.B) {
	plan := newPlan(b, 60000, 32, 1, 1)
	var order Batches
	step := uint64(0)
	for b.Loop() {
		order.Rows(plan, step)
		step++
	}
}

func BenchmarkTinyPass(b *testing.B) {
	plan := newPlan(b, 4, 1, 1, 1)
	var order Batches
	step := uint64(0)
	for b.Loop() {
		order.Of(plan, step, 0, 4)
		step += 4
	}
}

func BenchmarkFill(b *testing.B) {
	s := openMNIST(b)
	set, err := s.Train(upTo(7500))
	if err != nil {
		b.Fatal(err)
	}
	plan := newPlan(b, 7500, 32, 1, 1)
	var order Batches
	x, y := make([]float32, 32*784), make([]int32, 32)
	step := uint64(0)
	for b.Loop() {
		set.Fill(x, y, order.Rows(plan, step))
		step++
	}
}

func BenchmarkTrain(b *testing.B) {
	s := openMNIST(b)
	for b.Loop() {
		if _, err := s.Train(upTo(7500)); err != nil {
			b.Fatal(err)
		}
	}
}
