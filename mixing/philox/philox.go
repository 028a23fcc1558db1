// Package philox is the project's random generator: Philox4x32-10 of Salmon et al. (2011), a pure function from a key
// and a counter to 128 bits.
//
// Start with [Block], or with [NewStream] for a source of math/rand/v2. Equal keys and counters give equal bits on every
// machine, whatever was drawn before, so streams derived from (seed, node, purpose) are independent of each other and of
// the order of work. It is not for cryptography.
//
// Any package may import it; it imports nothing.
package philox

// The domains keep draws for different purposes apart: the last word of the counter.
const (
	Perturbation   = 1
	SeedPool       = 2
	SeedAssignment = 3
	Rounding       = 4
	SparseIndex    = 5
	Topology       = 6
	Walk           = 7
	Data           = 8  // partitions and batches
	Init           = 9  // initial parameters
	Adversary      = 10 // what dishonest nodes of a simulation draw
	Turns          = 12 // who proposes in which round of an agreement
	World          = 16 // networks and churn of a simulation
)

// Block returns the four words for a counter under a key.
func Block(key uint64, c [4]uint32) [4]uint32 {
	k0, k1 := uint32(key), uint32(key>>32)
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	for range 10 {
		c0, c1, c2, c3 = round(c0, c1, c2, c3, k0, k1)
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// What the two halves of a key grow by from round to round.
const weyl0, weyl1 = 0x9E3779B9, 0xBB67AE85

func round(c0, c1, c2, c3, k0, k1 uint32) (uint32, uint32, uint32, uint32) {
	p, q := 0xD2511F53*uint64(c0), 0xCD9E8D57*uint64(c2)
	return uint32(q>>32) ^ c1 ^ k0, uint32(q), uint32(p>>32) ^ c3 ^ k1, uint32(p)
}

// Words sets dst to the words of consecutive blocks under a key: word i is word i mod 4 of the block whose counter is c with i/4
// added to its first word, modulo 2³².
func Words(dst []uint32, key uint64, c [4]uint32) {
	for len(dst) >= 8 { // two blocks at once keep the multiplier busy
		k0, k1 := uint32(key), uint32(key>>32)
		a0, a1, a2, a3 := c[0], c[1], c[2], c[3]
		b0, b1, b2, b3 := c[0]+1, c[1], c[2], c[3]
		for range 10 {
			a0, a1, a2, a3 = round(a0, a1, a2, a3, k0, k1)
			b0, b1, b2, b3 = round(b0, b1, b2, b3, k0, k1)
			k0 += weyl0
			k1 += weyl1
		}
		to := dst[:8]
		to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7] = a0, a1, a2, a3, b0, b1, b2, b3
		c[0] += 2
		dst = dst[8:]
	}
	for ; len(dst) > 0; c[0]++ {
		b := Block(key, c)
		dst = dst[copy(dst, b[:]):]
	}
}

// Indexed sets dst to the words of consecutive blocks under a key, which are numbered by 64 bits: block b has the counter (b low, b high,
// c2, c3), and the first b is block. Other than in [Words] the low half carries into the high one.
func Indexed(dst []uint32, key, block uint64, c2, c3 uint32) {
	for len(dst) > 0 {
		n := len(dst)
		if left := 1<<32 - block&(1<<32-1); uint64(n) > 4*left {
			n = int(4 * left)
		}
		Words(dst[:n], key, [4]uint32{uint32(block), uint32(block >> 32), c2, c3})
		dst, block = dst[n:], block+uint64(n/4)
	}
}

// RoundKeys returns the keys of the ten rounds, two for each, for those who compute blocks themselves.
func RoundKeys(key uint64) (keys [20]uint32) {
	k0, k1 := uint32(key), uint32(key>>32)
	for i := 0; i < len(keys); i += 2 {
		keys[i], keys[i+1] = k0, k1
		k0 += weyl0
		k1 += weyl1
	}
	return keys
}

// Firsts sets dst to the first words of consecutive blocks under a key: word i is that of the block whose counter is c with i
// added to its first word, modulo 2³².
func Firsts(dst []uint32, key uint64, c [4]uint32) {
	for ; len(dst) >= 2; dst = dst[2:] { // as in Words: a function for both would take 9 % longer
		k0, k1 := uint32(key), uint32(key>>32)
		a0, a1, a2, a3 := c[0], c[1], c[2], c[3]
		b0, b1, b2, b3 := c[0]+1, c[1], c[2], c[3]
		for range 10 {
			a0, a1, a2, a3 = round(a0, a1, a2, a3, k0, k1)
			b0, b1, b2, b3 = round(b0, b1, b2, b3, k0, k1)
			k0 += weyl0
			k1 += weyl1
		}
		dst[0], dst[1] = a0, b0
		c[0] += 2
	}
	if len(dst) > 0 {
		dst[0] = Block(key, c)[0]
	}
}

// Below maps a word to an integer below n. The bias is below n/2^32.
func Below(w, n uint32) uint32 { return uint32(uint64(w) * uint64(n) >> 32) }

// Unit maps a word to [0, 1).
func Unit(w uint32) float64 { return float64(w) / (1 << 32) }

// A Stream is a source for math/rand/v2. It must not be used concurrently.
type Stream struct {
	key   uint64
	id    uint32
	dom   uint32
	next  uint64    // counter of the next block
	words [8]uint32 // of two blocks
	used  int       // of these
}

// NewStream returns the stream of a purpose (domain) and an owner (id) under a seed.
func NewStream(seed uint64, domain, id uint32) *Stream {
	return &Stream{key: seed, id: id, dom: domain, used: 8}
}

// Uint64 returns the next 64 bits.
func (s *Stream) Uint64() uint64 {
	if s.used == 8 {
		s.refill()
	}
	i := s.used & 7
	s.used += 2
	return uint64(s.words[i]) | uint64(s.words[i|1])<<32
}

func (s *Stream) refill() {
	Words(s.words[:], s.key, [4]uint32{uint32(s.next), uint32(s.next >> 32), s.id, s.dom})
	s.next += 2 // even, so that no carry is missed
	s.used = 0
}
