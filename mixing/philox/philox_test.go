package philox

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The published answers of the Random123 distribution.
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		counter [4]uint32
		key     uint64
		want    [4]uint32
	}{
		{[4]uint32{}, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Block(c.key, c.counter); got != c.want {
			t.Errorf("Block(%x, %x) = %x, want %x", c.key, c.counter, got, c.want)
		}
	}
}

func TestStreamsAreIndependentAndEven(t *testing.T) {
	a, b := rand.New(NewStream(1, Data, 0)), rand.New(NewStream(1, Data, 1))
	var dot, sum float64
	const n = 100000
	for range n {
		x, y := a.NormFloat64(), b.NormFloat64()
		dot += x * y
		sum += x
	}
	if math.Abs(dot)/n > 0.02 || math.Abs(sum)/n > 0.02 {
		t.Errorf("correlation %g, mean %g of %d draws", dot/n, sum/n, n)
	}
	c, d := NewStream(1, Data, 0), NewStream(1, Data, 0)
	first := c.Uint64()
	if second := c.Uint64(); first != d.Uint64() || first == second {
		t.Error("a stream does not repeat, or gives one number twice")
	}
}

func TestBelowAndUnitCoverTheirRange(t *testing.T) {
	if Below(0, 7) != 0 || Below(math.MaxUint32, 7) != 6 || Unit(0) != 0 || Unit(math.MaxUint32) >= 1 {
		t.Error("out of range")
	}
}

func TestWordsAreThoseOfConsecutiveBlocks(t *testing.T) {
	const key = 0x299f31d0a4093822
	for n := range 70 {
		c := [4]uint32{math.MaxUint32 - 7, 3, 5, Rounding} // wraps around
		got := make([]uint32, n)
		Words(got, key, c)
		for i, w := range got {
			if want := Block(key, [4]uint32{c[0] + uint32(i/4), c[1], c[2], c[3]})[i%4]; w != want {
				t.Fatalf("word %d of %d is %x, want %x", i, n, w, want)
			}
		}
		Firsts(got, key, c)
		for i, w := range got {
			if want := Block(key, [4]uint32{c[0] + uint32(i), c[1], c[2], c[3]})[0]; w != want {
				t.Fatalf("first word %d of %d is %x, want %x", i, n, w, want)
			}
		}
	}
}

func BenchmarkWords(b *testing.B) {
	dst := make([]uint32, 256)
	b.SetBytes(1024)
	for b.Loop() {
		Words(dst, 42, [4]uint32{})
	}
}

func BenchmarkBlock(b *testing.B) {
	b.SetBytes(16)
	var c [4]uint32
	for b.Loop() {
		c = Block(42, c)
	}
}
