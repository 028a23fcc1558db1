package codec

import (
	"errors"
	"fmt"

	"starling/mixing/kernel"
)

var errUnbiased = errors.New("codec: error feedback is for codecs that lose the same whatever the seed, and this one makes up for what it leaves out: leave unbiased out")

// EF14 encodes an input plus what earlier ones lost, and remembers what this one loses (Seide et al. 2014; spec 05, 5.4): with
// u = input + residual it appends the encoding of u to dst, sets sent to what receivers will decode, and residual to u - sent.
// The inputs so far are what was sent so far plus the residual, but for rounding. A step size that changes belongs into the input.
//
// It is for gradients, and for what else is worth sending once. A pseudo-gradient is measured anew from an anchor that has not moved
// where nothing was sent, so a residual of it would count twice: see how package node keeps it in the local copy.
//
// The residual, zero at first, is the sender's alone. If a message is known to be lost, add sent to it again; if the receiver may
// have it, do not. On an error nothing but sent changes. All vectors have one length.
func EF14(dst []byte, c Codec, input, residual, sent []float32, seed uint64) ([]byte, error) {
	if c.Unbiased() && c.Lossy() {
		return nil, fmt.Errorf("%w: %s", errUnbiased, c.Name())
	}
	at := len(dst)
	whole := make([]float32, len(input))
	copy(whole, input)
	kernel.Add(residual, whole)
	dst, err := c.Encode(dst, whole, seed)
	if err != nil {
		return nil, err
	}
	if err := c.Decode(sent, dst[at:]); err != nil {
		return nil, err
	}
	kernel.Sub(whole, whole, sent)
	if !kernel.Finite(whole) {
		return nil, errNotFinite
	}
	copy(residual, whole)
	return dst, nil
}

// explosion is how many times longer than the input a residual is when it is out of hand.
const explosion = 100

// Tame halves a residual of [EF14] that is more than 100 times as long as an input that is not zero, and reports whether it did
// (spec 05, 5.12). That is a sign of a step size, or a part kept, that does not suit the run: tell somebody.
func Tame(residual, input []float32) bool {
	if n := kernel.Norm2(input); n == 0 || kernel.Norm2(residual) <= explosion*n {
		return false
	}
	kernel.Scale(0.5, residual)
	return true
}

// EF21 encodes how a target differs from the copy of it that receivers have, and moves the copy as they will (Richtarik et al.
// 2021; spec 05, 5.5): it appends the encoding of target - public to dst, sets change to what receivers will decode, and adds
// that to public. There is no residual: the copy follows the target.
//
// Copies are zero at first, or sent whole, and stay equal as long as every receiver does [Follow] with every message, in order;
// one that misses a message needs the whole copy. On an error nothing but change is changed. All vectors have one length.
func EF21(dst []byte, c Codec, target, public, change []float32, seed uint64) ([]byte, error) {
	if c.Unbiased() && c.Lossy() {
		return nil, fmt.Errorf("%w: %s", errUnbiased, c.Name())
	}
	at := len(dst)
	away := make([]float32, len(target))
	kernel.Sub(away, target, public)
	dst, err := c.Encode(dst, away, seed)
	if err != nil {
		return nil, err
	}
	if err := Follow(c, public, change, dst[at:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// Follow is a receiver's part of [EF21]: it sets change to what b encodes and adds it to the copy. It returns [ErrCorrupt], and
// leaves the copy as it is, if b is not an encoding, or the copy would no longer be finite.
func Follow(c Codec, public, change []float32, b []byte) error {
	if err := c.Decode(change, b); err != nil {
		return err
	}
	for i, x := range change {
		if y := public[i] + x; y-y != 0 {
			return corrupt("with it number %d of the copy would be %g", i, y)
		}
	}
	kernel.Add(change, public)
	return nil
}
