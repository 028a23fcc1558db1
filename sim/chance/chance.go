// Package chance draws what the simulated world leaves to chance, the same bits on every machine.
//
// Start with [Stream], a source of random words for a seed, a purpose and an owner, and with [Pair], a random word that
// belongs to two nodes and is never stored. Functions such as [Normal] and [Exponential] turn one word into one number of a
// distribution, by the inverse of its distribution function; [Quantiles] does it from a table in a few nanoseconds. The
// package has no state of its own and does not use the tables and logarithms of math/rand, which differ between machines.
//
// Packages of the simulator may import it. It imports mixing/kernel and mixing/philox.
package chance

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"starling/mixing/kernel"
	"starling/mixing/philox"
)

// A Purpose keeps the streams of one seed apart.
type Purpose uint32

// The purposes of streams and pairs.
const (
	Latency   Purpose = 1 + iota // of pairs of nodes
	Region                       // where a node is
	Bandwidth                    // rates and classes of nodes
	NAT                          // classes of nodes
	Punch                        // whether a pair can punch holes
	Partition                    // who is on which side
	Session                      // how long nodes stay and are away
	Phase                        // time zones
	Ending                       // crash or sleep
	Speed                        // of computing
)

// Key turns a seed and a purpose into a key for [Pair] and [Of].
func Key(seed uint64, p Purpose) uint64 {
	w := philox.Block(seed, [4]uint32{0, 0, uint32(p), philox.World})
	return uint64(w[0]) | uint64(w[1])<<32
}

// Stream returns the source of random words of an owner, such as a node, for a purpose. Other owners and purposes do not
// change it.
func Stream(seed uint64, p Purpose, owner int) *rand.PCG {
	a := philox.Block(seed, [4]uint32{uint32(owner), 1, uint32(p), philox.World})
	return rand.NewPCG(uint64(a[0])|uint64(a[1])<<32, uint64(a[2])|uint64(a[3])<<32)
}

// mix is a bijection in which every bit of x moves about half of the bits (the finalizer of SplitMix64, Stafford's
// variant 13).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Of returns the random word of one node under a key.
func Of(key uint64, n int) uint64 { return mix(mix(uint64(n)+0x9e3779b97f4a7c15) ^ key) }

// Pair returns the random word of two nodes under a key, the same in both orders. Nodes are below 2³².
func Pair(key uint64, a, b int) uint64 {
	if a > b {
		a, b = b, a
	}
	return mix(mix(uint64(a)<<32+uint64(b)+0x9e3779b97f4a7c15) ^ key)
}

// Unit maps a word to a number between 0 and 1, both excluded.
func Unit(w uint64) float64 { return float64((float64(w>>12) + 0.5) * 0x1p-52) }

// Below maps a word to a whole number below n, which is above 0. The bias is below n/2⁶⁴.
func Below(w, n uint64) uint64 {
	hi, _ := bits.Mul64(w, n)
	return hi
}

// Exponential maps a word to the exponential distribution with mean 1.
func Exponential(w uint64) float64 { return -kernel.Log(Unit(w)) }

// Weibull maps a word to the Weibull distribution with scale 1: its mean is [Gamma](1 + 1/shape).
func Weibull(w uint64, shape float64) float64 { return Power(Exponential(w), 1/shape) }

// Normal maps a word to the standard normal distribution.
func Normal(w uint64) float64 { return NormalQuantile(Unit(w)) }

// LogNormal maps a word to the log-normal distribution with median 1.
func LogNormal(w uint64, sigma float64) float64 { return kernel.Exp(sigma * Normal(w)) }

// Power returns x to the power y, for x above 0.
func Power(x, y float64) float64 { return kernel.Exp(y * kernel.Log(x)) }

// Shuffle puts v in random order (Fisher–Yates).
func Shuffle(source rand.Source, v []int32) {
	for i := len(v) - 1; i > 0; i-- {
		j := Below(source.Uint64(), uint64(i)+1)
		v[i], v[j] = v[j], v[i]
	}
}

// Deal gives each of n nodes one of the classes, in random places but in numbers that differ from the shares by less than
// one node. The shares add up to 1.
func Deal(source rand.Source, n int, shares []float64) []int32 {
	of := make([]int32, n)
	last := len(shares) - 1
	for last > 0 && shares[last] == 0 {
		last-- // a class without a share must not get what rounding leaves over
	}
	var sum float64
	from := 0
	for class, share := range shares[:last+1] {
		sum += share
		to := n
		if class < last {
			to = min(int(math.Floor(float64(sum*float64(n))+0.5)), n)
		}
		for ; from < to; from++ {
			of[from] = int32(class)
		}
	}
	Shuffle(source, of)
	return of
}

// Nanoseconds rounds a duration to whole nanoseconds, within what an int64 holds.
func Nanoseconds(x float64) int64 {
	const most = 1 << 62
	if !(x < most) {
		return most
	}
	return int64(math.Floor(x + 0.5))
}
