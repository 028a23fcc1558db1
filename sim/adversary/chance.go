package adversary

import (
	"math"

	"starling/mixing/kernel"
	"starling/mixing/philox"
)

// The purposes of draws, which keep those of one seed apart.
const (
	forRoster    = 1
	forNoise     = 2
	forVersion   = 3
	forSilence   = 4
	forDirection = 5
)

// word is a number that depends on the seed, the purpose and two nodes alone.
func word(seed uint64, purpose uint32, node, to int) uint32 {
	return philox.Block(seed, [4]uint32{uint32(node), uint32(to), purpose, philox.Adversary})[0]
}

// noise is a stream of normal numbers. It uses no function whose last bit depends on the machine.
type noise struct {
	stream philox.Stream
	spare  float64
	left   bool
}

// newNoise returns the stream of a node, a round and a version, so that asking twice gives the same.
func newNoise(seed uint64, purpose uint32, node int, round uint64, version uint32) noise {
	a := philox.Block(seed, [4]uint32{uint32(node), version, purpose, philox.Adversary})
	key := uint64(a[0]) | uint64(a[1])<<32
	b := philox.Block(key, [4]uint32{uint32(round), uint32(round >> 32), purpose, philox.Adversary})
	return noise{stream: *philox.NewStream(uint64(b[0])|uint64(b[1])<<32, philox.Adversary, purpose)}
}

// normal returns a number from the standard normal distribution, by Marsaglia's polar method.
func (n *noise) normal() float64 {
	if n.left {
		n.left = false
		return n.spare
	}
	for {
		u, v := n.symmetric(), n.symmetric()
		s := float64(u*u) + float64(v*v)
		if s < 1 && s > 0 {
			r := math.Sqrt(-2 * kernel.Log(s) / s)
			n.spare, n.left = float64(v*r), true
			return float64(u * r)
		}
	}
}

// symmetric returns a number between -1 and 1, neither of them nor 0.
func (n *noise) symmetric() float64 {
	return float64((float64(n.stream.Uint64()>>12)+0.5)*0x1p-51) - 1
}

// power returns x to the power p, for x > 0, with the same bits on every machine.
func power(x, p float64) float64 { return kernel.Exp(float64(p * kernel.Log(x))) }

// quantile returns the z below which a standard normal number is with probability p, 0 < p < 1: Newton's method on the
// series Phi(z) = 1/2 + phi(z)·(z + z³/3 + z⁵/(3·5) + ...) of Marsaglia (2004). For p from 1e-9 to 1-1e-9 it is right to
// 1e-12 relative to the density there.
func quantile(p float64) float64 {
	if p < 0.5 {
		return -quantile(1 - p)
	}
	z := 0.0
	for range 200 { // far more than it takes: from 0 it climbs without overshooting
		density := kernel.Exp(float64(-0.5*z*z)) / math.Sqrt(2*math.Pi)
		sum, term := 0.0, z
		for i := 3.0; sum+term != sum; i += 2 {
			sum += term
			term *= z * z / i
		}
		step := (p - 0.5 - float64(density*sum)) / density
		z += step
		if math.Abs(step) < 1e-13 {
			break
		}
	}
	return z
}
