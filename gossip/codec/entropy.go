package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"

	"starling/mixing/kernel"
)

// entropy codes a quantizer's bytes with Huffman codes. Bytes of the same place in their numbers are coded together, for
// exponents repeat and mantissas do not.
//
// The bytes are cut into blocks. Each is a byte that says how it is coded, its coded length as a uvarint, and that many
// bytes. A block that would not get smaller is stored as it is.
type entropy struct{ q quantizer }

const (
	blockLength = 64 << 10
	blockRaw    = 0
	blockHuff0  = 1
	blockHeader = 1 + binary.MaxVarintLen32
)

func (c entropy) Name() string { return c.q.name() + ",huff0" }
func (c entropy) Lossy() bool  { return c.q.lossy() }

func (c entropy) MaxEncoded(n int) int {
	size := c.q.size(n)
	return size + blockHeader*((size+blockLength-1)/blockLength)
}

func (c entropy) Encode(dst []byte, v []float32, _ uint64) ([]byte, error) {
	if !kernel.Finite(v) {
		return nil, errNotFinite
	}
	plain := make([]byte, c.q.size(len(v)))
	c.q.encode(plain, v)
	shuffled := make([]byte, len(plain))
	shuffle(shuffled, plain, c.q.width())
	for at := 0; at < len(shuffled); at += blockLength {
		b := shuffled[at:min(len(shuffled), at+blockLength)]
		// A table used again gives blocks that do not always decode, so every block has a fresh one.
		coded, _, err := huff0.Compress1X(b, &huff0.Scratch{Reuse: huff0.ReusePolicyNone})
		kind := byte(blockHuff0)
		if err != nil || len(coded) >= len(b) { // incompressible, or one value throughout
			kind, coded = blockRaw, b
		}
		dst = append(dst, kind)
		dst = binary.AppendUvarint(dst, uint64(len(coded)))
		dst = append(dst, coded...)
	}
	return dst, nil
}

func (c entropy) Decode(dst []float32, src []byte) error {
	shuffled := make([]byte, c.q.size(len(dst)))
	for at := 0; at < len(shuffled); at += blockLength {
		n := min(blockLength, len(shuffled)-at)
		if len(src) < 1 {
			return fmt.Errorf("%w: it ends early", ErrCorrupt)
		}
		kind := src[0]
		length, used := binary.Uvarint(src[1:])
		if used <= 0 || length > uint64(len(src)-1-used) || length > blockLength {
			return fmt.Errorf("%w: a block's length", ErrCorrupt)
		}
		coded := src[1+used : 1+used+int(length)]
		src = src[1+used+int(length):]
		switch kind {
		case blockRaw:
			if copy(shuffled[at:at+n], coded) != n || len(coded) != n {
				return fmt.Errorf("%w: a raw block of %d bytes instead of %d", ErrCorrupt, len(coded), n)
			}
		case blockHuff0:
			s, rest, err := huff0.ReadTable(coded, &huff0.Scratch{MaxDecodedSize: n})
			if err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			out, err := s.Decoder().Decompress1X(shuffled[at:at:at+n], rest)
			if err != nil || len(out) != n {
				return fmt.Errorf("%w: a block does not decode", ErrCorrupt)
			}
			copy(shuffled[at:], out)
		default:
			return fmt.Errorf("%w: block of kind %d", ErrCorrupt, kind)
		}
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrCorrupt, len(src))
	}
	plain := make([]byte, len(shuffled))
	unshuffle(plain, shuffled, c.q.width())
	if err := c.q.decode(dst, plain); err != nil {
		return err
	}
	if !kernel.Finite(dst) {
		return fmt.Errorf("%w: a number is not finite", ErrCorrupt)
	}
	return nil
}

// shuffle puts all first bytes of the numbers first, then all second ones, and so on.
func shuffle(dst, src []byte, width int) {
	n := len(src) / width
	for w := range width {
		d := dst[w*n : (w+1)*n]
		for i := range d {
			d[i] = src[i*width+w]
		}
	}
}

func unshuffle(dst, src []byte, width int) {
	n := len(src) / width
	for w := range width {
		s := src[w*n : (w+1)*n]
		for i, b := range s {
			dst[i*width+w] = b
		}
	}
}
