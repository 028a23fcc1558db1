package scalar

import (
	"fmt"
	"math/bits"
	"strings"

	"starling/mixing/philox"
	"starling/mixing/spelling"
)

// A Family says what the entries of a direction are (spec 04, 4.5 and 4.19). All have mean 0 and variance 1 after division by
// [Family.Sigma], and all are integers before.
type Family uint8

// The families.
const (
	Rademacher Family = iota // ±1, one bit per parameter and seed
	Binom8                   // bits set in a byte, less 4
	Binom32                  // bits set in a word, less 16: near Gaussian
	Structured               // ±1; a pass over the parameters serves all directions of a pool at once
)

// Families lists the names of families.
func Families() []string { return []string{"rademacher", "binom8", "binom32", "structured"} }

// String is the name of the family in a manifest.
func (f Family) String() string { return Families()[f] }

// ParseFamily finds a family by its name.
func ParseFamily(name string) (Family, error) {
	for i, n := range Families() {
		if n == name {
			return Family(i), nil
		}
	}
	return 0, fmt.Errorf("directions %q are not known: there are %s%s", spelling.Brief(name), strings.Join(Families(), ", "), spelling.Hint(name, Families()))
}

// Sigma is the standard deviation of an entry as an integer.
func (f Family) Sigma() float64 {
	switch f {
	case Binom8:
		return 1.4142135623730951 // √2
	case Binom32:
		return 2.8284271247461903 // √8
	}
	return 1
}

// Largest is the largest absolute value of an entry as an integer.
func (f Family) Largest() int64 {
	switch f {
	case Binom8:
		return 4
	case Binom32:
		return 16
	}
	return 1
}

// A Pool is the directions of a run: K of them in each generation, all made from the run's seed.
type Pool struct {
	Family Family
	K      uint32 // a power of two from 2 to 32768 if the family is Structured
	Seed   uint64 // of the run
}

// Assign chooses the direction of a record from its place, so that no peer chooses its own.
func (p Pool) Assign(peer, seq uint64, epoch uint32) uint32 {
	w := philox.Block(peer, [4]uint32{uint32(seq), uint32(seq >> 32), epoch, philox.SeedAssignment})
	return philox.Below(w[0], p.K)
}

// AssignCommon chooses the direction that all peers take in a step of an epoch. Its counter has a second word that that of a peer's
// group (see [Group]) has only for one tag in 2³².
func (p Pool) AssignCommon(epoch, step uint32) uint32 {
	w := philox.Block(p.Seed, [4]uint32{step, 1<<32 - 1, epoch, philox.SeedAssignment})
	return philox.Below(w[0], p.K)
}

// Key is the key of direction k in a generation. All directions of a structured generation share one.
func (p Pool) Key(generation, k uint32) uint64 {
	c := [4]uint32{k, generation, 0, philox.SeedPool}
	if p.Family == Structured {
		c = [4]uint32{generation, 0, 0, philox.SparseIndex}
	}
	w := philox.Block(p.Seed, c)
	return uint64(w[0]) | uint64(w[1])<<32
}

// At is the entry of direction k for parameter j of a tensor, as an integer: the definition that the passes over memory follow, one
// parameter at a time.
func (p Pool) At(generation, k, tensor uint32, j uint64) int64 {
	key := p.Key(generation, k)
	block := func(b uint64, domain uint32) [4]uint32 {
		return philox.Block(key, [4]uint32{uint32(b), uint32(b >> 32), tensor, domain})
	}
	switch p.Family {
	case Binom8:
		return int64(bits.OnesCount8(uint8(block(j>>4, philox.Perturbation)[j&15>>2]>>(8*(j&3))))) - 4
	case Binom32:
		return int64(bits.OnesCount32(block(j>>2, philox.Perturbation)[j&3])) - 16
	case Structured:
		half := block(j>>3, philox.SparseIndex)[j&7>>1] >> (16 * (j & 1)) & 0xffff
		return sign(half>>15&1 == 1) * sign(bits.OnesCount32(k&half&(p.K-1))&1 == 0)
	}
	return sign(block(j>>7, philox.Perturbation)[j&127>>5]>>(j&31)&1 == 1)
}

func sign(positive bool) int64 {
	if positive {
		return 1
	}
	return -1
}
