package gossip

import (
	"encoding/binary"
	"math"
)

// A Snapshot is the sum of a record set: what a node that comes late needs instead of the records. If it is not whole, it only names
// the sum, to be compared with one that came from elsewhere.
type Snapshot struct {
	Config [32]byte // digest of the method's configuration
	Base   [32]byte // digest of the model that the records change
	Digest [32]byte // of the sums, as mixing/scalar makes it
	Whole  bool

	// Not whole: the digests of the version vector and of the bans, see [Place].
	VectorDigest, BansDigest [32]byte

	// Whole.
	Closed uint32  // epochs that are closed, in runs that close them; else 0, as Certificate is nil
	Tails  []Tail  // the version vector, and what is needed to go on from there; ascending by tag
	Bans   []Place // ascending by tag
	Sums   []Sums  // ascending by generation; those that are all zero can be left out

	Certificate *Certificate // of the last closed epoch; nil if none is closed
}

// A Tail says where a log goes on: after Next records, the last InEpoch of them of epoch Epoch. Hashes is the sum of their hashes
// modulo 2^128, low word first.
type Tail struct {
	Tag, Next      uint64
	Epoch, InEpoch uint32
	Hashes         [2]uint64
}

// Sums are the accumulators of a pool generation, as [PackSums] writes them: inline, or as a blob if all together would not fit into
// a message.
type Sums struct {
	Generation uint32
	Len        uint32 // how many there are
	Packed     Piece
}

func (*Snapshot) kind() Kind { return KindSnapshot }

// maxPacked is the most bytes that an accumulator takes.
const maxPacked = binary.MaxVarintLen64

// PackSums encodes accumulators: zigzag, so that small ones of either sign are short, and then base 128, low digits first.
func PackSums(sums []int64) []byte {
	b := make([]byte, 0, 4*len(sums))
	for _, a := range sums {
		b = binary.AppendVarint(b, a)
	}
	return b
}

// UnpackSums decodes n accumulators. It is not ok if the bytes are anything but what [PackSums] makes of n of them. It takes at most
// eight times the memory of the bytes.
func UnpackSums(packed []byte, n int) (sums []int64, ok bool) {
	if !packs(packed, n) {
		return nil, false
	}
	sums = make([]int64, n)
	for i := range sums {
		var size int
		sums[i], size = binary.Varint(packed)
		packed = packed[size:]
	}
	return sums, true
}

// packs reports whether the bytes are n accumulators in their only form.
func packs(b []byte, n int) bool {
	if n < 0 || len(b) < n {
		return false
	}
	for ; n > 0; n-- {
		_, size := binary.Uvarint(b)
		if size <= 0 || size > 1 && b[size-1] == 0 { // cut off, more than 64 bits, or longer than it need be
			return false
		}
		b = b[size:]
	}
	return len(b) == 0
}

type (
	wireSnapshot struct {
		_            struct{} `cbor:",toarray"`
		Config       [32]byte
		Base         [32]byte
		Digest       [32]byte
		Whole        bool
		VectorDigest []byte // empty if it is whole
		BansDigest   []byte
		Closed       uint32 // 0 if it is not whole, and what follows is empty
		Tails        []wireTail
		Bans         []wirePlace
		Sums         []wireSums
		Certificate  []byte // empty if none is closed
	}
	wireTail struct {
		_              struct{} `cbor:",toarray"`
		Tag, Next      uint64
		Epoch, InEpoch uint32
		Hashes         [16]byte // little-endian
	}
	wireSums struct {
		_          struct{} `cbor:",toarray"`
		Generation uint32
		Len        uint32
		Size       uint64
		Inline     []byte // empty when they are a blob
		Blob       []byte // empty when they are inline
	}
)

func snapshotToWire(s *Snapshot) *wireSnapshot {
	w := &wireSnapshot{
		Config: s.Config, Base: s.Base, Digest: s.Digest, Whole: s.Whole,
		VectorDigest: []byte{}, BansDigest: []byte{}, Tails: []wireTail{}, Bans: []wirePlace{}, Sums: []wireSums{}, Certificate: []byte{},
	}
	if !s.Whole {
		w.VectorDigest, w.BansDigest = s.VectorDigest[:], s.BansDigest[:]
		return w
	}
	if s.Certificate != nil {
		w.Certificate, _ = encMode.Marshal(certificateToWire(s.Certificate))
	}
	w.Closed, w.Bans = s.Closed, toPlaces(s.Bans)
	for _, t := range s.Tails {
		wt := wireTail{Tag: t.Tag, Next: t.Next, Epoch: t.Epoch, InEpoch: t.InEpoch}
		binary.LittleEndian.PutUint64(wt.Hashes[:], t.Hashes[0])
		binary.LittleEndian.PutUint64(wt.Hashes[8:], t.Hashes[1])
		w.Tails = append(w.Tails, wt)
	}
	for i := range s.Sums {
		sums := &s.Sums[i]
		ws := wireSums{Generation: sums.Generation, Len: sums.Len, Size: sums.Packed.Size, Inline: filled(sums.Packed.Inline), Blob: []byte{}}
		if sums.Packed.Inline == nil {
			ws.Blob = sums.Packed.Blob[:]
		}
		w.Sums = append(w.Sums, ws)
	}
	return w
}

func snapshotFromWire(e *envelope, lim Limits, v Verifier) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireSnapshot
	if !decodeBody(e.Body, &w) {
		return nil, malformed
	}
	s := &Snapshot{Config: w.Config, Base: w.Base, Digest: w.Digest, Whole: w.Whole, Closed: w.Closed}
	if !w.Whole {
		if !digest(&s.VectorDigest, w.VectorDigest) || !digest(&s.BansDigest, w.BansDigest) || w.Closed > 0 || len(w.Tails)+len(w.Bans)+len(w.Sums)+len(w.Certificate) > 0 {
			return nil, malformed
		}
		return s, Verdict{}
	}
	switch {
	case len(w.VectorDigest)+len(w.BansDigest) > 0,
		len(w.Tails) > lim.MaxKnown, len(w.Bans) > lim.MaxKnown, len(w.Sums) > lim.MaxGenerations,
		!ascendingPlaces(w.Bans, 0):
		return nil, malformed
	}
	s.Bans = fromPlaces(w.Bans)
	for i, t := range w.Tails {
		if t.Next == 0 || t.InEpoch == 0 || uint64(t.InEpoch) > t.Next || i > 0 && w.Tails[i-1].Tag >= t.Tag {
			return nil, malformed
		}
		s.Tails = append(s.Tails, Tail{t.Tag, t.Next, t.Epoch, t.InEpoch, [2]uint64{
			binary.LittleEndian.Uint64(t.Hashes[:]), binary.LittleEndian.Uint64(t.Hashes[8:]),
		}})
	}
	for i := range w.Sums {
		sums, ok := sumsFromWire(&w.Sums[i], lim)
		if !ok || i > 0 && w.Sums[i-1].Generation >= sums.Generation {
			return nil, malformed
		}
		s.Sums = append(s.Sums, sums)
	}
	if (w.Closed > 0) != (len(w.Certificate) > 0) {
		return nil, malformed
	}
	if w.Closed > 0 {
		var verdict Verdict
		if s.Certificate, verdict = certificateFromWire(w.Certificate, e.Run, lim, v); verdict.Decision != Accept {
			return nil, verdict
		}
		if s.Certificate.Closing.Epoch != w.Closed-1 {
			return nil, malformed
		}
	}
	return s, Verdict{}
}

func sumsFromWire(w *wireSums, lim Limits) (s Sums, ok bool) {
	switch most := uint64(min(lim.MaxSums, math.MaxUint32)); {
	case w.Len == 0, uint64(w.Len) > most, !payloadForm(w.Size, w.Inline, w.Blob),
		w.Size < uint64(w.Len), w.Size > maxPacked*uint64(w.Len),
		len(w.Inline) > 0 && !packs(w.Inline, int(w.Len)):
		return s, false
	}
	s = Sums{Generation: w.Generation, Len: w.Len, Packed: Piece{Size: w.Size}}
	if len(w.Inline) > 0 {
		s.Packed.Inline = w.Inline
	} else {
		copy(s.Packed.Blob[:], w.Blob)
	}
	return s, true
}

func snapshotSize(s *Snapshot) int {
	n := 1 + 3*bytes32 + 1
	if !s.Whole {
		return n + 2*bytes32 + 1 + 1 + 1 + 1 + 1
	}
	n += 1 + 1 + number(uint64(s.Closed)) + head(len(s.Tails)) + placesSize(s.Bans) + head(len(s.Sums))
	for _, t := range s.Tails {
		n += 1 + number(t.Tag) + number(t.Next) + number(uint64(t.Epoch)) + number(uint64(t.InEpoch)) + 1 + len(wireTail{}.Hashes)
	}
	for i := range s.Sums {
		sums := &s.Sums[i]
		n += 1 + number(uint64(sums.Generation)) + number(uint64(sums.Len)) + pieceSize(&sums.Packed)
	}
	if s.Certificate == nil {
		return n + 1
	}
	form := certificateSize(s.Certificate)
	return n + head(form) + form
}
