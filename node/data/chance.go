package data

import (
	"math"
	"math/bits"

	"starling/mixing/kernel"
	"starling/mixing/philox"
)

// Purposes keep the streams of one seed apart.
const (
	forPartition = 1
	forBatches   = 2
	forSynthetic = 3
	forDrawn     = 4
)

// chance is a stream of random numbers. It uses no function whose last bit depends on the machine.
type chance struct{ *philox.Stream }

// draw returns the stream of (seed, purpose, owner, part).
func draw(seed uint64, purpose uint32, owner uint64, part uint32) chance {
	return chance{philox.NewStream(streamKey(seed, purpose, owner), philox.Data, part)}
}

// streamKey is what the streams of all parts of (seed, purpose, owner) have in common.
func streamKey(seed uint64, purpose uint32, owner uint64) uint64 {
	w := philox.Block(seed, [4]uint32{uint32(owner), uint32(owner >> 32), purpose, philox.Data})
	return uint64(w[0]) | uint64(w[1])<<32
}

// unit returns a number between 0 and 1, both excluded.
func (c chance) unit() float64 { return float64((float64(c.Uint64()>>12) + 0.5) * 0x1p-52) }

// below returns a number below n, all equally likely (Lemire 2019).
func (c chance) below(n uint64) uint64 {
	hi, lo := bits.Mul64(c.Uint64(), n)
	if lo < n {
		for reject := -n % n; lo < reject; {
			hi, lo = bits.Mul64(c.Uint64(), n)
		}
	}
	return hi
}

// shuffle puts v in random order (Fisher–Yates).
func (c chance) shuffle(v []int32) {
	for i := len(v) - 1; i > 0; i-- {
		j := c.below(uint64(i) + 1)
		v[i], v[j] = v[j], v[i]
	}
}

// normal returns a number from the standard normal distribution, by Marsaglia's polar method.
func (c chance) normal() float64 {
	for {
		u, v := float64(2*c.unit())-1, float64(2*c.unit())-1
		s := float64(u*u) + float64(v*v)
		if s < 1 && s > 0 {
			return u * math.Sqrt(-2*kernel.Log(s)/s)
		}
	}
}

// logGamma returns the logarithm of a number from the gamma distribution with shape a and scale 1 (Marsaglia and Tsang
// 2000). With a small shape the number itself would often be too small for a float.
func (c chance) logGamma(a float64) float64 {
	if a < 1 {
		return c.logGamma(a+1) + kernel.Log(c.unit())/a
	}
	d := a - 1.0/3
	k := 1 / math.Sqrt(9*d)
	for {
		x := c.normal()
		v := 1 + float64(k*x)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if kernel.Log(c.unit()) < float64(0.5*x*x)+d-float64(d*v)+float64(d*kernel.Log(v)) {
			return kernel.Log(d * v)
		}
	}
}

// dirichlet fills p with shares from the symmetric Dirichlet distribution with concentration a. They sum to about 1.
func (c chance) dirichlet(a float64, p []float64) {
	largest := math.Inf(-1)
	for i := range p {
		p[i] = c.logGamma(a)
		largest = max(largest, p[i])
	}
	var sum float64
	for i := range p {
		p[i] = kernel.Exp(p[i] - largest)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
}
