package codec

import (
	"encoding/binary"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// The ways in which a block is coded: the byte it begins with.
const (
	blockRaw   = iota // as it is
	blockHuff0        // one stream of Huffman codes
	blockHuff4        // four, which are decoded side by side
	blockFSE          // finite state entropy: fractions of bits
	blockZstd         // a frame of zstd: repeats
	blockRun          // one byte, which all are
)

const (
	blockLength = 64 << 10
	blockHeader = 1 + binary.MaxVarintLen32
)

// A coder makes bytes fewer. Bytes of the same place in their numbers are coded together, for exponents repeat and mantissas do
// not. The bytes of every place, or if it is old those of all in a row, are cut into blocks. Each is a byte that says how it is coded, its coded length as a uvarint, and that many
// bytes. Tables are never used for a second block: those that huff0 accepts for one do not always decode. A block that would not
// get smaller is stored as it is.
type coder struct {
	name string
	old  bool
	try  func(b []byte, z **zstd.Encoder) (kind byte, coded []byte) // coded is b itself, or shorter
}

// coders are those that there are.
func coders() []coder {
	return []coder{{"huff0", false, tryHuff4}, {"fse", false, tryFSE}, {"zstd", false, tryZstd}, {"auto", false, tryAll}}
}

// cut returns the length of the part of size bytes that blocks do not cross, for numbers of width bytes.
func (c *coder) cut(size, width int) int {
	if c.old {
		return size
	}
	return size / width
}

// most bounds the bytes that encode makes of size bytes.
func (c *coder) most(size, width int) int {
	part := c.cut(size, width)
	if part == 0 {
		return 0
	}
	return size + size/part*blocks(part, blockLength)*blockHeader
}

func (c *coder) encode(dst, plain []byte, width int) []byte {
	shuffled := plain
	if width > 1 {
		shuffled = make([]byte, len(plain))
		shuffle(shuffled, plain, width)
	}
	var z *zstd.Encoder
	part := c.cut(len(plain), width)
	for rest := shuffled; len(rest) > 0; rest = rest[part:] {
		for at := 0; at < part; at += blockLength {
			kind, coded := c.try(rest[at:min(part, at+blockLength)], &z)
			dst = append(dst, kind)
			dst = binary.AppendUvarint(dst, uint64(len(coded)))
			dst = append(dst, coded...)
		}
	}
	return dst
}

func tryHuff1(b []byte, _ **zstd.Encoder) (byte, []byte) {
	coded, _, err := huff0.Compress1X(b, &huff0.Scratch{Reuse: huff0.ReusePolicyNone})
	if err != nil || len(coded) >= len(b) { // incompressible, or one value throughout
		return blockRaw, b
	}
	return blockHuff0, coded
}

func tryHuff4(b []byte, _ **zstd.Encoder) (byte, []byte) {
	if run(b) {
		return blockRun, b[:1]
	}
	coded, _, err := huff0.Compress4X(b, &huff0.Scratch{Reuse: huff0.ReusePolicyNone})
	if err != nil || len(coded) >= len(b) {
		return blockRaw, b
	}
	return blockHuff4, coded
}

func tryFSE(b []byte, _ **zstd.Encoder) (byte, []byte) {
	if run(b) {
		return blockRun, b[:1]
	}
	coded, err := fse.Compress(b, &fse.Scratch{})
	if err != nil || len(coded) >= len(b) {
		return blockRaw, b
	}
	return blockFSE, coded
}

func tryZstd(b []byte, z **zstd.Encoder) (byte, []byte) {
	if run(b) {
		return blockRun, b[:1]
	}
	if *z == nil {
		var err error
		if *z, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(blockLength), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false)); err != nil {
			panic("codec: internal error: " + err.Error())
		}
	}
	coded := (*z).EncodeAll(b, nil)
	if len(coded) >= len(b) {
		return blockRaw, b
	}
	return blockZstd, coded
}

// tryAll takes the shortest of what is worth trying: Huffman codes always, fractions of bits where whole ones waste much (if it
// gains an eighth, for they take several times as long to decode), and repeats where bytes seem either random or nearly all the
// same.
func tryAll(b []byte, z **zstd.Encoder) (byte, []byte) {
	kind, coded := tryHuff4(b, z)
	if kind == blockRun {
		return kind, coded
	}
	bits := float64(8*len(coded)) / float64(len(b))
	if bits < 1.6 {
		if k, other := tryFSE(b, z); 8*len(other) < 7*len(coded) {
			kind, coded = k, other
		}
	}
	if bits < 1.25 || kind == blockRaw {
		if k, other := tryZstd(b, z); len(other) < len(coded) {
			kind, coded = k, other
		}
	}
	return kind, coded
}

// run reports whether all bytes of b, of which there are some, are equal.
func run(b []byte) bool {
	for _, x := range b {
		if x != b[0] {
			return false
		}
	}
	return len(b) > 1
}

// decode fills plain from exactly all of src.
func (c *coder) decode(plain, src []byte, width int) error {
	shuffled := plain
	if width > 1 {
		shuffled = make([]byte, len(plain))
	}
	var z *zstd.Decoder
	part := c.cut(len(plain), width)
	for rest := shuffled; len(rest) > 0; rest = rest[part:] {
		for at := 0; at < part; at += blockLength {
			var err error
			if src, err = readBlock(rest[at:min(part, at+blockLength)], src, &z); err != nil {
				return err
			}
		}
	}
	if len(src) > 0 {
		return corrupt("%d bytes too many", len(src))
	}
	if width > 1 {
		unshuffle(plain, shuffled, width)
	}
	return nil
}

// readBlock fills b from the block that src begins with, and returns the rest of src.
func readBlock(b, src []byte, z **zstd.Decoder) ([]byte, error) {
	if len(src) < 1 {
		return nil, corrupt("it ends early")
	}
	length, used := binary.Uvarint(src[1:])
	if used <= 0 || length > uint64(len(src)-1-used) || length > blockLength {
		return nil, corrupt("a block's length")
	}
	end := 1 + used + int(length)
	return src[end:], decodeBlock(b, src[0], src[1+used:end], z)
}

// decodeBlock fills b from exactly all of coded.
func decodeBlock(b []byte, kind byte, coded []byte, z **zstd.Decoder) (err error) {
	n := len(b)
	out := b[:0:n]
	switch kind {
	case blockRaw:
		out = append(out, coded[:min(n, len(coded))]...)
		if len(coded) != n {
			return corrupt("a raw block of %d bytes instead of %d", len(coded), n)
		}
	case blockRun:
		if len(coded) != 1 {
			return corrupt("a run of %d different bytes", len(coded))
		}
		for i := range b {
			b[i] = coded[0]
		}
		return nil
	case blockHuff0, blockHuff4:
		s, rest, e := huff0.ReadTable(coded, &huff0.Scratch{MaxDecodedSize: n})
		if e != nil {
			return corrupt("a table: %w", e)
		}
		if kind == blockHuff0 {
			out, err = s.Decoder().Decompress1X(out, rest)
		} else {
			out, err = s.Decoder().Decompress4X(out, rest)
		}
	case blockFSE:
		out, err = fse.Decompress(coded, &fse.Scratch{Out: out, DecompressLimit: n})
	case blockZstd:
		if *z == nil {
			if *z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
				zstd.WithDecoderMaxMemory(blockLength), zstd.WithDecoderMaxWindow(blockLength)); err != nil {
				panic("codec: internal error: " + err.Error())
			}
		}
		out, err = (*z).DecodeAll(coded, out)
	default:
		return corrupt("block of kind %d", kind)
	}
	if err != nil || len(out) != n {
		return corrupt("a block of kind %d does not decode", kind)
	}
	copy(b, out) // which is where it is, unless a decoder took memory of its own
	return nil
}

// shuffle puts all first bytes of the numbers first, then all second ones, and so on, for numbers of 2 or 4 bytes.
func shuffle(dst, src []byte, width int) {
	n := len(src) / width
	if width == 2 {
		a, b := dst[:n], dst[n:][:n]
		for i := range a {
			x := binary.LittleEndian.Uint16(src[2*i:])
			a[i], b[i] = byte(x), byte(x>>8)
		}
		return
	}
	a, b, c, d := dst[:n], dst[n:][:n], dst[2*n:][:n], dst[3*n:][:n]
	for i := range a {
		x := binary.LittleEndian.Uint32(src[4*i:])
		a[i], b[i], c[i], d[i] = byte(x), byte(x>>8), byte(x>>16), byte(x>>24)
	}
}

func unshuffle(dst, src []byte, width int) {
	n := len(src) / width
	if width == 2 {
		a, b := src[:n], src[n:][:n]
		for i, x := range a {
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(x)|uint16(b[i])<<8)
		}
		return
	}
	a, b, c, d := src[:n], src[n:][:n], src[2*n:][:n], src[3*n:][:n]
	for i, x := range a {
		binary.LittleEndian.PutUint32(dst[4*i:], uint32(x)|uint32(b[i])<<8|uint32(c[i])<<16|uint32(d[i])<<24)
	}
}
