// Package codec turns a vector of floats into few bytes and back.
//
// Start with [Parse], which makes a [Codec] from its name in a manifest, such as "bf16" or "int8,huff0". A codec is a line of
// stages: a quantizer, then optionally an entropy coder. Decoding is bounded by the length of the vector that the caller
// expects, whatever the bytes say, and gives finite numbers or an error. The same input gives the same bytes on every
// machine.
//
// The package keeps no state between vectors: error feedback belongs to the method. Nodes, the simulator and the manifest
// may import it; of the project it imports the kernels of mixing.
package codec

import (
	"errors"
	"fmt"
	"strings"

	"starling/mixing/kernel"
	"starling/mixing/spelling"
)

// A Codec encodes vectors. It is safe for concurrent use.
type Codec interface {
	// Name is the canonical name, which [Parse] accepts.
	Name() string
	// MaxEncoded bounds the bytes that a vector of n floats takes.
	MaxEncoded(n int) int
	// Encode appends the encoded vector to dst. A vector with a number that is not finite is an error. The seed is for
	// codecs that round at random.
	Encode(dst []byte, v []float32, seed uint64) ([]byte, error)
	// Decode fills dst from exactly all of src. It returns [ErrCorrupt] if src is not an encoding of len(dst) finite
	// numbers; dst is undefined then.
	Decode(dst []float32, src []byte) error
	// Lossy reports whether decoding can give other numbers than were encoded.
	Lossy() bool
}

// ErrCorrupt is what Decode returns for bytes that no encoder makes. Trying again does not help.
var ErrCorrupt = errors.New("codec: not an encoding of this vector")

var errNotFinite = errors.New("codec: the vector has a number that is not finite")

// A quantizer turns floats into bytes of a length that depends on their number only.
type quantizer interface {
	name() string
	size(n int) int
	encode(dst []byte, v []float32)         // len(dst) is size(len(v))
	decode(dst []float32, src []byte) error // len(src) is size(len(dst))
	width() int                             // bytes of one number, to be coded apart by the entropy stage
	lossy() bool
}

// Names lists what [Parse] accepts, without the entropy stage.
func Names() []string { return []string{"fp32", "bf16", "int8"} }

// Parse makes a codec from its name: fp32, bf16 or int8, each optionally followed by ",huff0".
func Parse(spec string) (Codec, error) {
	stages := strings.Split(spec, ",")
	var q quantizer
	switch stages[0] {
	case "fp32":
		q = fp32{}
	case "bf16":
		q = bf16{}
	case "int8":
		q = int8Block{}
	default:
		return nil, fmt.Errorf("unknown codec %q: there are %s, each with or without %q behind it%s", spec, strings.Join(Names(), ", "),
			",huff0", spelling.Hint(stages[0], Names()))
	}
	switch {
	case len(stages) == 1:
		return plain{q}, nil
	case len(stages) == 2 && stages[1] == "huff0":
		return entropy{q}, nil
	}
	return nil, fmt.Errorf("unknown stage %q in codec %q: did you mean %q?", stages[len(stages)-1], spec, stages[0]+",huff0")
}

// plain is a quantizer alone.
type plain struct{ q quantizer }

func (c plain) Name() string         { return c.q.name() }
func (c plain) Lossy() bool          { return c.q.lossy() }
func (c plain) MaxEncoded(n int) int { return c.q.size(n) }

func (c plain) Encode(dst []byte, v []float32, _ uint64) ([]byte, error) {
	if !kernel.Finite(v) {
		return nil, errNotFinite
	}
	at := len(dst)
	dst = append(dst, make([]byte, c.q.size(len(v)))...)
	c.q.encode(dst[at:], v)
	return dst, nil
}

func (c plain) Decode(dst []float32, src []byte) error {
	if len(src) != c.q.size(len(dst)) {
		return fmt.Errorf("%w: %d bytes for %d numbers", ErrCorrupt, len(src), len(dst))
	}
	if err := c.q.decode(dst, src); err != nil {
		return err
	}
	if !kernel.Finite(dst) {
		return fmt.Errorf("%w: a number is not finite", ErrCorrupt)
	}
	return nil
}
