// Package codec turns a vector of floats into few bytes and back.
//
// Start with [Parse], which makes a [Codec] from its name in a manifest, such as "bf16", "int4,huff0" or
// "topk:0.01,int4,rice". A codec is a line of stages: what is kept of the vector (all, the largest entries, random entries, the
// largest coefficients of a cosine transform), a quantizer for what is kept, and an entropy coder. Decoding is bounded by the
// length of the vector that the caller expects, whatever the bytes say, and gives finite numbers or an error. The same input
// gives the same bytes on every machine. format.md says what they are.
//
// Codecs that are not [Codec.Unbiased] lose a part of the vector for good, unless [EF14] or [EF21] feeds it back. The package
// keeps no state between vectors: what error feedback remembers is the caller's. Nodes, the simulator and the manifest may
// import it; of the project it imports the kernels, random words and spelling hints of mixing.
package codec

import (
	"errors"
	"fmt"

	"starling/mixing/kernel"
)

// A Codec encodes vectors. It is safe for concurrent use.
type Codec interface {
	// Name is the canonical name, which [Parse] accepts.
	Name() string
	// MaxEncoded bounds the bytes that a vector of n floats takes.
	MaxEncoded(n int) int
	// Encode appends the encoded vector to dst. A vector with a number that is not finite is an error, and so is one with a
	// magnitude above 2¹⁰⁰ for a codec with a cosine transform. The seed is for codecs that choose or round at random; two
	// vectors with the same seed are treated alike, so every vector should have a seed of its own.
	Encode(dst []byte, v []float32, seed uint64) ([]byte, error)
	// Decode fills dst from exactly all of src. It returns [ErrCorrupt] if src is not an encoding of len(dst) finite
	// numbers; dst is undefined then.
	Decode(dst []float32, src []byte) error
	// Lossy reports whether decoding can give other numbers than were encoded.
	Lossy() bool
	// Unbiased reports whether the mean over all seeds of what decoding gives is the vector itself.
	Unbiased() bool
	// Coarse reports whether the codec leaves entries out, or keeps little more of them than their signs or exponents: it is fit
	// for a difference, best with what is lost fed back, and not for a model.
	Coarse() bool
}

// ErrCorrupt is what Decode returns for bytes that no encoder makes. Trying again does not help.
var ErrCorrupt = errors.New("codec: not an encoding of this vector")

var (
	errNotFinite = errors.New("codec: the vector has a number that is not finite")
	errTooLarge  = errors.New("codec: the vector has a number above 2^100, too large for a cosine transform")
)

// corrupt is [ErrCorrupt] with what is wrong.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}

// A quantizer turns floats into bytes of a length that depends on their number only.
type quantizer interface {
	name() string
	size(n int) int
	head(n int) int                                 // bytes at the start that an entropy coder leaves as they are
	width() int                                     // bytes of one number behind them, to be coded apart
	encode(dst []byte, v []float32, seed uint64)    // len(dst) is size(len(v))
	decode(dst []float32, src []byte) (fault error) // len(src) is size(len(dst))
	lossy() bool
	unbiased() bool
}

// A sparsifier chooses what of a vector is sent.
type sparsifier interface {
	name() string
	kept(n int) int // numbers sent for a vector of n, n above 0
	head(n int) int // bounds the bytes that say which
	// choose appends which numbers are kept of v to dst, and returns the numbers.
	choose(dst []byte, v []float32, seed uint64) ([]byte, []float32, error)
	// which reads what choose wrote, and returns the rest of src.
	which(n int, src []byte) (at []uint32, rest []byte, err error)
	// fill sets dst from the kept numbers.
	fill(dst []float32, at []uint32, kept []float32)
	unbiased() bool
}

// line is a codec: its stages in a row.
type line struct {
	text  string
	keep  sparsifier // nil keeps all
	write quantizer
	code  *coder // nil writes the quantizer's bytes as they are
}

func (c *line) Name() string { return c.text }
func (c *line) Lossy() bool  { return c.keep != nil || c.write.lossy() }

func (c *line) Unbiased() bool { return c.write.unbiased() && (c.keep == nil || c.keep.unbiased()) }

func (c *line) Coarse() bool {
	switch c.write.(type) {
	case ternary, signs, powers:
		return true
	}
	return c.keep != nil
}

func (c *line) MaxEncoded(n int) int {
	switch {
	case n == 0:
		return 0
	case c.keep != nil:
		return c.keep.head(n) + c.most(c.keep.kept(n))
	}
	return c.most(n)
}

// most bounds the bytes of k numbers.
func (c *line) most(k int) int {
	size := c.write.size(k)
	if c.code == nil {
		return size
	}
	head := c.write.head(k)
	return head + c.code.most(size-head, c.write.width())
}

func (c *line) Encode(dst []byte, v []float32, seed uint64) ([]byte, error) {
	if !kernel.Finite(v) {
		return nil, errNotFinite
	}
	if len(v) == 0 {
		return dst, nil
	}
	if c.keep != nil {
		var err error
		if dst, v, err = c.keep.choose(dst, v, seed); err != nil {
			return nil, err
		}
	}
	size := c.write.size(len(v))
	if c.code == nil {
		at := len(dst)
		dst = append(dst, make([]byte, size)...)
		c.write.encode(dst[at:], v, seed)
		return dst, nil
	}
	plain := make([]byte, size)
	c.write.encode(plain, v, seed)
	head := c.write.head(len(v))
	dst = append(dst, plain[:head]...)
	return c.code.encode(dst, plain[head:], c.write.width()), nil
}

func (c *line) Decode(dst []float32, src []byte) error {
	if len(dst) == 0 {
		if len(src) > 0 {
			return corrupt("%d bytes for no numbers", len(src))
		}
		return nil
	}
	if len(src) > c.MaxEncoded(len(dst)) {
		return corrupt("%d bytes for %d numbers", len(src), len(dst))
	}
	if c.keep == nil {
		if err := c.read(dst, src); err != nil {
			return err
		}
	} else {
		at, rest, err := c.keep.which(len(dst), src)
		if err != nil {
			return err
		}
		kept := make([]float32, c.keep.kept(len(dst)))
		if err := c.read(kept, rest); err != nil {
			return err
		}
		c.keep.fill(dst, at, kept)
	}
	if !kernel.Finite(dst) {
		return corrupt("a number is not finite")
	}
	return nil
}

// read decodes the numbers that were kept.
func (c *line) read(dst []float32, src []byte) error {
	size := c.write.size(len(dst))
	if c.code == nil {
		if len(src) != size {
			return corrupt("%d bytes for %d numbers", len(src), len(dst))
		}
		return c.write.decode(dst, src)
	}
	head := c.write.head(len(dst))
	if len(src) < head {
		return corrupt("it ends early")
	}
	plain := make([]byte, size)
	copy(plain, src[:head])
	if err := c.code.decode(plain[head:], src[head:], c.write.width()); err != nil {
		return err
	}
	return c.write.decode(dst, plain)
}

// blocks returns how many blocks n things make.
func blocks(n, length int) int { return (n + length - 1) / length }
