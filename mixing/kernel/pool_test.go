package kernel

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"starling/mixing/philox"
)

// starts are flat indices to begin at: not at the start of a block, beyond what a word counts, and before a carry of the low
// word of the block number, of 8 and of 128 parameters.
var starts = []uint64{0, 1, 7, 8, 129, 1<<32 + 3, 1<<32*8 - 77, 1<<32*128 - 203, 1<<32*128*3 + 5}

// poolEntry returns the bucket and the sign of a parameter.
func poolEntry(j, key uint64, tensor, buckets uint32) (bucket uint32, sign int64) {
	b := j >> 3
	word := philox.Block(key, [4]uint32{uint32(b), uint32(b >> 32), tensor, philox.SparseIndex})[j&7>>1]
	if j&1 == 1 {
		word >>= 16
	}
	if word&0x8000 != 0 {
		return word & (buckets - 1), 1
	}
	return word & (buckets - 1), -1
}

// entry returns the ±1 of direction k.
func entry(j, key uint64, tensor, k, buckets uint32) int64 {
	bucket, sign := poolEntry(j, key, tensor, buckets)
	if bits.OnesCount32(bucket&k)%2 == 1 {
		return -sign
	}
	return sign
}

// dense returns the ±1 of a parameter in the direction of a seed.
func dense(j, key uint64, tensor uint32) int64 {
	b := j >> 7
	word := philox.Block(key, [4]uint32{uint32(b), uint32(b >> 32), tensor, philox.Perturbation})[j&127>>5]
	return int64(word>>(j&31)&1)*2 - 1
}

// passes are arguments of all functions that go over the parameters of a tensor.
type passes struct {
	n          int
	key, first uint64
	tensor     uint32
	w, theta   []int64
	k          uint32
	coef       []int64
	keys       []uint64
	x          []float32
	step       float32
	unit       float64
}

func drawPasses(rng *rand.Rand, n int, first uint64) passes {
	p := passes{n: n, key: rng.Uint64(), first: first, tensor: rng.Uint32(), step: float32(rng.NormFloat64() / 100), unit: math.Exp2(-float64(rng.IntN(40)))}
	p.w = integers(rng, 2<<rng.IntN(15))
	p.k = rng.Uint32N(uint32(len(p.w)))
	p.theta = integers(rng, n)
	p.coef = integers(rng, rng.IntN(70))
	p.keys = make([]uint64, len(p.coef))
	for i := range p.keys {
		p.keys[i] = rng.Uint64()
	}
	p.x = odd(rng, n)
	return p
}

// integers are numbers of all sizes, the smallest and zero among them.
func integers(rng *rand.Rand, n int) []int64 {
	v := make([]int64, n)
	for i := range v {
		switch v[i] = int64(rng.Uint64()) >> rng.IntN(64); rng.IntN(40) {
		case 0:
			v[i] = math.MinInt64
		case 1:
			v[i] = 0
		}
	}
	return v
}

// check compares every function with its definition, parameter by parameter.
func (p passes) check(t *testing.T, use tier) {
	t.Helper()
	where := fmt.Sprintf("%d of tensor %d from %d, %d buckets, %d seeds", p.n, p.tensor, p.first, len(p.w), len(p.keys))
	buckets := uint32(len(p.w))
	sums := func(name string, f func(theta []int64), want func(j uint64) int64) {
		t.Helper()
		memory := append(slices.Clone(p.theta), 4711)
		f(memory[:p.n:p.n])
		for i, before := range p.theta {
			if sum := before + want(p.first+uint64(i)); memory[i] != sum {
				t.Fatalf("%s for %s: element %d of %d is %d, want %d", name, where, i, before, memory[i], sum)
			}
		}
		if memory[p.n] != 4711 {
			t.Fatalf("%s for %s writes behind the end", name, where)
		}
	}
	floats := func(name string, f func(dst []float32), want func(i int, j uint64) float32) {
		t.Helper()
		for _, start := range [][]float32{p.x, make([]float32, p.n)} { // in place, and not
			memory := append(slices.Clone(start), mark)
			f(memory[:p.n:p.n])
			for i := range p.n {
				if value := want(i, p.first+uint64(i)); !sameFloat(memory[i], value) {
					t.Fatalf("%s for %s: element %d of %v is %v, want %v", name, where, i, p.x[i], memory[i], value)
				}
			}
			if memory[p.n] != mark {
				t.Fatalf("%s for %s writes behind the end", name, where)
			}
		}
	}
	sums("PoolAdd", func(theta []int64) { use.poolAddAll(theta, p.w, p.key, p.tensor, p.first) }, func(j uint64) int64 {
		bucket, sign := poolEntry(j, p.key, p.tensor, buckets)
		return sign * p.w[bucket]
	})
	sums("SignsAdd", func(theta []int64) { use.signsAddAll(theta, p.coef, p.keys, p.tensor, p.first) }, func(j uint64) (sum int64) {
		for s, c := range p.coef {
			sum += c * dense(j, p.keys[s], p.tensor)
		}
		return sum
	})
	floats("PoolPerturb", func(dst []float32) { use.poolPerturbAll(dst, p.x, p.step, p.k, buckets, p.key, p.tensor, p.first) },
		func(i int, j uint64) float32 {
			return p.x[i] + float32(p.step*float32(entry(j, p.key, p.tensor, p.k, buckets)))
		})
	floats("SignsPerturb", func(dst []float32) { use.signsPerturbAll(dst, p.x, p.step, p.key, p.tensor, p.first) },
		func(i int, j uint64) float32 { return p.x[i] + float32(p.step*float32(dense(j, p.key, p.tensor))) })
	floats("ThetaFloats", func(dst []float32) { use.thetaFloatsAll(dst, p.x, p.theta, p.unit) }, func(i int, _ uint64) float32 {
		return float32(float64(p.x[i]) - float64(p.unit*float64(p.theta[i])))
	})
}

func TestPassesEqualTheirDefinitions(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		rng := rand.New(rand.NewPCG(31, 32))
		for n := range 301 {
			drawPasses(rng, n, starts[n%len(starts)]).check(t, use)
		}
		for range 12 { // of several chunks
			first := starts[5+rng.IntN(len(starts)-5)] - uint64(rng.IntN(2))*5000
			drawPasses(rng, 4000+rng.IntN(6000), first).check(t, use)
		}
	})
}

func FuzzPasses(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint64(1<<39-77))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, first uint64) {
		p := drawPasses(rand.New(rand.NewPCG(seed, 0)), int(n)%10000, first>>1)
		for _, use := range tiers() {
			p.check(t, use)
		}
	})
}

// What is done to a tensor does not depend on how it is cut into slices.
func TestPassesMayBeCutAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	for _, first := range starts {
		p := drawPasses(rng, 3000, first)
		whole, cut := slices.Clone(p.theta), slices.Clone(p.theta)
		PoolAdd(whole, p.w, p.key, p.tensor, first)
		SignsAdd(whole, p.coef, p.keys, p.tensor, first)
		for from := 0; from < p.n; {
			to := min(p.n, from+rng.IntN(700))
			PoolAdd(cut[from:to], p.w, p.key, p.tensor, first+uint64(from))
			SignsAdd(cut[from:to], p.coef, p.keys, p.tensor, first+uint64(from))
			from = to
		}
		if !slices.Equal(whole, cut) {
			t.Errorf("3000 parameters from %d in slices differ from all at once", first)
		}
	}
}

// One pass with the transform of the coefficients is the sum of all directions, and its floats are those of a vector of integers.
func TestPoolIsTheSumOfItsDirections(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 36))
	for _, buckets := range []int{2, 8, 64, 1024} {
		const n, key, tensor, first = 333, 0x123456789abcdef0, 7, 1<<35 - 100
		a := integers(rng, buckets)
		want := make([]int64, n)
		for i := range want {
			for k, c := range a {
				want[i] += c * entry(first+uint64(i), key, tensor, uint32(k), uint32(buckets))
			}
		}
		w, got := slices.Clone(a), make([]int64, n)
		Hadamard(w)
		PoolAdd(got, w, key, tensor, first)
		if !slices.Equal(got, want) {
			t.Errorf("a pool of %d directions is not their sum", buckets)
		}
	}
}

func TestHadamardEqualsItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(37, 38))
	for size := 1; size <= 256; size *= 2 {
		a := integers(rng, size)
		got := slices.Clone(a)
		Hadamard(got)
		for h, sum := range got {
			var want int64
			for k, c := range a {
				want += c * int64(1-bits.OnesCount(uint(k&h))%2*2)
			}
			if sum != want {
				t.Fatalf("element %d of %d is %d, want %d", h, size, sum, want)
			}
		}
		Hadamard(got)
		for i, x := range a {
			if got[i] != x*int64(size) {
				t.Fatalf("twice the transform of %d elements has %d for %d", size, got[i], x)
			}
		}
	}
}

func TestPassesPanicOnWhatDoesNotFit(t *testing.T) {
	two, three, sums := make([]float32, 2), make([]float32, 3), make([]int64, 4)
	for name, f := range map[string]func(){
		"buckets":      func() { PoolAdd(sums, sums[:3], 1, 0, 0) },
		"one bucket":   func() { PoolAdd(sums, sums[:1], 1, 0, 0) },
		"many buckets": func() { PoolAdd(sums, make([]int64, 2*MaxBuckets), 1, 0, 0) },
		"PoolPerturb":  func() { PoolPerturb(two, three, 1, 0, 4, 1, 0, 0) },
		"direction":    func() { PoolPerturb(two, two, 1, 4, 4, 1, 0, 0) },
		"SignsAdd":     func() { SignsAdd(sums, sums[:2], []uint64{1}, 0, 0) },
		"SignsPerturb": func() { SignsPerturb(two, three, 1, 1, 0, 0) },
		"base":         func() { ThetaFloats(two, three, sums[:2], 1) },
		"theta":        func() { ThetaFloats(two, two, sums, 1) },
		"Hadamard":     func() { Hadamard(sums[:3]) },
		"no Hadamard":  func() { Hadamard(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// Bits of results on one machine; the test passes on every other one only if they are the same there.
func TestPassesHaveTheRecordedBits(t *testing.T) {
	const n, first = 5000, 1<<35 - 1234
	rng := rand.New(rand.NewPCG(39, 40))
	w, coef, keys := integers(rng, 4096), integers(rng, 21), make([]uint64, 21)
	for i := range keys {
		keys[i] = rng.Uint64()
	}
	theta, x := make([]int64, n), random(rng, n)
	Hadamard(w)
	SignsAdd(theta, coef, keys, 2, first)
	PoolAdd(theta, w, 1, 2, first)
	ThetaFloats(x, x, theta, 0x1p-62)
	PoolPerturb(x, x, 0.01, 77, 4096, 3, 4, first)
	SignsPerturb(x, x, 0.02, 5, 6, first)
	var h uint64 = 14695981039346656037
	for i, v := range x {
		h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
		h = (h ^ uint64(theta[i])) * 1099511628211
	}
	if h != 0x7c5105f2a0343e24 {
		t.Errorf("hash of 10000 results is %#x", h)
	}
}

func TestPassesAllocateNothing(t *testing.T) {
	everyTier(t, func(t *testing.T, use tier) {
		p := drawPasses(rand.New(rand.NewPCG(41, 42)), 5000, 3)
		for name, f := range map[string]func(){
			"PoolAdd":      func() { use.poolAddAll(p.theta, p.w, p.key, p.tensor, p.first) },
			"PoolPerturb":  func() { use.poolPerturbAll(p.x, p.x, p.step, 1, 4096, p.key, p.tensor, p.first) },
			"SignsAdd":     func() { use.signsAddAll(p.theta, p.coef, p.keys, p.tensor, p.first) },
			"SignsPerturb": func() { use.signsPerturbAll(p.x, p.x, p.step, p.key, p.tensor, p.first) },
			"ThetaFloats":  func() { use.thetaFloatsAll(p.x, p.x, p.theta, p.unit) },
		} {
			if n := testing.AllocsPerRun(3, f); n > 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}
