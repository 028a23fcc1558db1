package scalar

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"starling/mixing/philox"
)

func families() []Family { return []Family{Rademacher, Binom8, Binom32, Structured} }

// Starts are flat indices at and around the ends of blocks, and where the number of a block needs a second word.
func starts() []uint64 {
	return []uint64{0, 5, 127, 128, 4095, 1<<32*8 - 3, 1<<32*4 - 3, 1<<32*16 - 5, 1<<32*128 - 3}
}

func TestASweepIsTheSumOfItsDirections(t *testing.T) {
	rng := rand.New(philox.NewStream(3, philox.Data, 0))
	for _, f := range families() {
		for _, first := range starts() {
			p := Pool{Family: f, K: 1 << (1 + rng.IntN(6)), Seed: rng.Uint64()}
			generation, tensor, n := rng.Uint32N(5), rng.Uint32N(5), 1+rng.IntN(300)
			a := make([]int64, p.K)
			for i := range a {
				a[i] = rng.Int64N(1<<40) - 1<<39
			}
			a[rng.IntN(len(a))] = 0
			got := make([]int64, n)
			got[0] = 42
			p.Sweep(generation, a).Add(got, tensor, first)
			for i := range got {
				want := int64(0)
				if i == 0 {
					want = 42
				}
				for k, c := range a {
					want += c * p.At(generation, uint32(k), tensor, first+uint64(i))
				}
				if got[i] != want {
					t.Fatalf("%s, %d directions, parameter %d: the sum is %d, want %d", f, p.K, first+uint64(i), got[i], want)
				}
			}
		}
	}
}

func TestPerturbingFollowsTheDirection(t *testing.T) {
	rng := rand.New(philox.NewStream(4, philox.Data, 0))
	for _, f := range families() {
		for _, first := range starts() {
			p := Pool{Family: f, K: 16, Seed: rng.Uint64()}
			x, got := make([]float32, 1500), make([]float32, 1500)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			d := p.Direction(3, 9)
			d.Perturb(got, x, -1e-3, 2, first)
			for i, w := range got {
				z := float64(p.At(3, 9, 2, first+uint64(i)))
				if want := x[i] + float32(-1e-3*z/f.Sigma()); w != want {
					t.Fatalf("%s, parameter %d: %g moves to %g, want %g", f, first+uint64(i), x[i], w, want)
				}
			}
			d.Perturb(x, x, -1e-3, 2, first)
			if x[700] != got[700] {
				t.Errorf("%s: in place %g, otherwise %g", f, x[700], got[700])
			}
		}
	}
}

// Entries of variance 1, and for each family its fourth moment (spec 04, 4.5).
func TestEntriesHaveTheirMoments(t *testing.T) {
	const n = 1 << 18
	for f, kurtosis := range []float64{1, 2.75, 2.9375, 1} {
		p := Pool{Family: Family(f), K: 64, Seed: 7}
		var mean, second, fourth float64
		for j := range uint64(n) {
			z := float64(p.At(1, 5, 0, j)) / p.Family.Sigma()
			mean += z / n
			second += z * z / n
			fourth += z * z * z * z / n
		}
		if math.Abs(mean) > 0.01 || math.Abs(second-1) > 0.01 || math.Abs(fourth-kurtosis) > 0.01*kurtosis {
			t.Errorf("%s: mean %.4f, variance %.4f, fourth moment %.4f; want 0, 1, %g", p.Family, mean, second, fourth, kurtosis)
		}
	}
}

func TestGenerationsAndDirectionsDiffer(t *testing.T) {
	for _, f := range families() {
		p := Pool{Family: f, K: 8, Seed: 11}
		column := func(generation, k, tensor uint32) string {
			var out []int64
			for j := range uint64(64) {
				out = append(out, p.At(generation, k, tensor, j))
			}
			return fmt.Sprint(out)
		}
		seen := map[string]string{}
		for generation := range uint32(3) {
			for k := range p.K {
				for tensor := range uint32(2) {
					c, name := column(generation, k, tensor), fmt.Sprint(generation, k, tensor)
					if other := seen[c]; other != "" {
						t.Errorf("%s: generation, direction and tensor %s are like %s", f, name, other)
					}
					seen[c] = name
				}
			}
		}
	}
}

func TestAssignmentsAreEven(t *testing.T) {
	p := Pool{K: 10, Seed: 5}
	own, common := make([]int, p.K), make([]int, p.K)
	const n = 20000
	for i := range uint32(n) {
		own[p.Assign(77, uint64(i), i/256)]++
		common[p.AssignCommon(i/256, i%256)]++
	}
	for k := range own {
		if math.Abs(float64(own[k])-n/10) > 250 || math.Abs(float64(common[k])-n/10) > 250 { // six standard deviations
			t.Errorf("direction %d is taken %d and %d times of %d, want a tenth", k, own[k], common[k], n)
		}
	}
}
