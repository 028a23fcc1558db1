package scalar

import (
	"math/bits"

	"starling/mixing/kernel"
	"starling/mixing/philox"
)

// A Sweep adds many directions of a generation, each times an integer, in one pass over the parameters. It is made by [Pool.Sweep],
// does not change and may be used concurrently.
type Sweep struct {
	family Family
	key    uint64  // of a structured pool
	w      []int64 // and the transform of its coefficients
	keys   []uint64
	coefs  []int64
}

// Sweep prepares the sum over k of a[k] times direction k. len(a) is K.
func (p Pool) Sweep(generation uint32, a []int64) *Sweep {
	s := &Sweep{family: p.Family}
	if p.Family == Structured {
		s.key, s.w = p.Key(generation, 0), append([]int64(nil), a...)
		kernel.Hadamard(s.w)
		return s
	}
	for k, coef := range a {
		if coef != 0 {
			s.keys = append(s.keys, p.Key(generation, uint32(k)))
			s.coefs = append(s.coefs, coef)
		}
	}
	return s
}

// Add adds to each theta[i] the sum for the parameter with the flat index first+i in a tensor. Sums wrap around.
func (s *Sweep) Add(theta []int64, tensor uint32, first uint64) {
	switch s.family {
	case Rademacher:
		kernel.SignsAdd(theta, s.coefs, s.keys, tensor, first)
	case Structured:
		kernel.PoolAdd(theta, s.w, s.key, tensor, first)
	default:
		for i, coef := range s.coefs {
			entries(s.family, s.keys[i], tensor, first, len(theta), func(i int, r int64) { theta[i] += coef * r })
		}
	}
}

// entries calls do for the entries of a binomial direction for n parameters from the flat index first on.
func entries(f Family, key uint64, tensor uint32, first uint64, n int, do func(i int, r int64)) {
	per := uint64(4) // parameters that a block serves
	if f == Binom8 {
		per = 16
	}
	var words [1024]uint32
	for done := 0; done < n; {
		skip := int(first % per)
		size := min(n-done, len(words)/4*int(per)-skip)
		got := words[:(skip+size+int(per)-1)/int(per)*4]
		philox.Indexed(got, key, first/per, tensor, philox.Perturbation)
		for i := range size {
			j := skip + i
			if f == Binom8 {
				do(done+i, int64(bits.OnesCount8(uint8(got[j>>2]>>(8*(j&3)))))-4)
			} else {
				do(done+i, int64(bits.OnesCount32(got[j]))-16)
			}
		}
		done += size
		first += uint64(size)
	}
}

// A Direction is one of a pool's. It is made by [Pool.Direction], does not change and may be used concurrently.
type Direction struct {
	pool Pool
	k    uint32
	key  uint64
}

// Direction prepares direction k of a generation. k is below K.
func (p Pool) Direction(generation, k uint32) Direction {
	return Direction{p, k, p.Key(generation, k)}
}

// Perturb sets dst[i] to x[i] + eps·z, where z is the direction's entry, of variance 1, for the parameter with the flat index first+i in
// a tensor: eps·z is rounded to float32, and so is the sum. dst may be x.
func (d Direction) Perturb(dst, x []float32, eps float64, tensor uint32, first uint64) {
	switch d.pool.Family {
	case Rademacher:
		kernel.SignsPerturb(dst, x, float32(eps), d.key, tensor, first)
	case Structured:
		kernel.PoolPerturb(dst, x, float32(eps), d.k, d.pool.K, d.key, tensor, first)
	default:
		var steps [33]float32 // by entry
		for i := range steps {
			steps[i] = float32(eps * float64(i-16) / d.pool.Family.Sigma())
		}
		entries(d.pool.Family, d.key, tensor, first, len(dst), func(i int, r int64) { dst[i] = x[i] + steps[r+16] })
	}
}
