package scalar

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// A Record is one gradient: a byte and its place. Seq counts the records of a peer from 0 without gaps; Epoch decides about learning rate
// and pool generation.
type Record struct {
	Peer, Seq uint64
	Epoch     uint32
	Byte      byte
}

// RecordSize is the length of the canonical form of a record in bytes.
const RecordSize = 21

// AppendBinary appends the canonical form: peer, seq, epoch and byte, little-endian. It never fails.
func (r Record) AppendBinary(to []byte) ([]byte, error) {
	to = binary.LittleEndian.AppendUint64(to, r.Peer)
	to = binary.LittleEndian.AppendUint64(to, r.Seq)
	to = binary.LittleEndian.AppendUint32(to, r.Epoch)
	return append(to, r.Byte), nil
}

// Hash is the first half of the SHA-256 of the canonical form.
func (r Record) Hash() Sum {
	var form [RecordSize]byte
	binary.LittleEndian.PutUint64(form[0:], r.Peer)
	binary.LittleEndian.PutUint64(form[8:], r.Seq)
	binary.LittleEndian.PutUint32(form[16:], r.Epoch)
	form[20] = r.Byte
	h := sha256.Sum256(form[:])
	return Sum{binary.LittleEndian.Uint64(h[0:]), binary.LittleEndian.Uint64(h[8:])}
}

// A Sum is a sum of hashes of records modulo 2¹²⁸, the low half first. It tells sets apart that differ by accident, not those of
// somebody who looks for collisions: records are signed, and version vectors are exact.
type Sum [2]uint64

// Add returns s + t.
func (s Sum) Add(t Sum) Sum {
	low, carry := bits.Add64(s[0], t[0], 0)
	high, _ := bits.Add64(s[1], t[1], carry)
	return Sum{low, high}
}

// Sub returns s - t.
func (s Sum) Sub(t Sum) Sum {
	low, borrow := bits.Sub64(s[0], t[0], 0)
	high, _ := bits.Sub64(s[1], t[1], borrow)
	return Sum{low, high}
}

// A Run is consecutive records of one peer in one epoch, as they travel: record i has the sequence number First+i.
type Run struct {
	Peer, First uint64
	Epoch       uint32
	Bytes       []byte
}

// End is the sequence number after the last record.
func (r Run) End() uint64 { return r.First + uint64(len(r.Bytes)) }

// At returns record i of the run.
func (r Run) At(i int) Record { return Record{r.Peer, r.First + uint64(i), r.Epoch, r.Bytes[i]} }

// after returns the part of a run from a sequence number on.
func (r Run) after(seq uint64) Run {
	if seq > r.First {
		skip := min(seq-r.First, uint64(len(r.Bytes)))
		r.First, r.Bytes = r.First+skip, r.Bytes[skip:]
	}
	return r
}
