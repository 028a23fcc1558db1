package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// Records are consecutive one-byte records of the author: a batch of its log. A log counts its records from 0 and has no gaps, and
// neither has the chain of its batches. Like a [Delta], a batch is not made void by the author's next message.
//
// An author makes a batch durable before it sends it, and never cuts anew what it has sent: see [Equivocation].
type Records struct {
	Epoch    uint32   // of all of them
	First    uint64   // number of the first one in the author's log
	Base     uint64   // how many records the author had applied, its own included; for metrics only
	Previous [32]byte // Digest of the batch that ends at First; zeros if First is 0
	Sets     [16]byte // what the records were measured on, see [Commit]; zeros in a run in which nobody looks
	Bytes    []byte   // a record each; 0x80 is none
}

// DefaultBatch is how many records an author collects before it sends them. With it 1,000 records are 3,128 bytes at most on each link
// of gossipsub. It divides the default number of records in an epoch, 256.
const DefaultBatch = 128

// noRecord is the negative zero, which no record is.
const noRecord = 0x80

func (*Records) kind() Kind { return KindRecords }

// Tag names the author's log in the record set of a run: the first 8 bytes, little-endian, of a SHA-256 of both. Whoever orders logs or
// draws directions by author does it by tag.
func Tag(run RunID, author PeerID) uint64 {
	h := sha256.New()
	h.Write([]byte("starling tag\x00"))
	h.Write(run[:])
	h.Write(author[:])
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// End is the number of the record after the last one.
func (r *Records) End() uint64 { return r.First + uint64(len(r.Bytes)) }

// Digest is the link of the author's chain that the next batch names as its previous one. It covers what the records are, and not
// Base.
func (r *Records) Digest(author PeerID) [32]byte {
	h := sha256.New()
	if r.Sets == [16]byte{} {
		h.Write([]byte("starling records 1\x00"))
	} else {
		h.Write([]byte("starling records 2\x00"))
		h.Write(r.Sets[:])
	}
	h.Write(r.Previous[:])
	h.Write(author[:])
	h.Write(binary.BigEndian.AppendUint32(nil, r.Epoch))
	h.Write(binary.BigEndian.AppendUint64(nil, r.First))
	h.Write(r.Bytes)
	return [32]byte(h.Sum(nil))
}

// Equivocation reports whether two batches of one author in one run cannot both be of one log, and from which record on: the first one
// whose epoch or byte they disagree about, or, if they disagree about what came before, the first record of the later batch. That
// is so if both begin with the same record and name different previous batches, or if one begins where the other ends and names
// another previous one. Two batches of the same records that commit to different sets conflict from their first record on. Two ballots
// prove that somebody votes twice, and the records are void that did not count before. The order of a and b does not matter. Signatures
// are not looked at.
func Equivocation(a, b *Message) (first uint64, ok bool) {
	if x, isBallot := a.Body.(*Ballot); isBallot && a.Author == b.Author && a.Run == b.Run {
		if y, isAlso := b.Body.(*Ballot); isAlso {
			return votedTwice(x, y)
		}
		return 0, false
	}
	x, isBatch := a.Body.(*Records)
	y, isAlso := b.Body.(*Records)
	if !isBatch || !isAlso || a.Author != b.Author || a.Run != b.Run {
		return 0, false
	}
	if x.First > y.First {
		x, y = y, x
	}
	ahead := y.First - x.First
	switch {
	case ahead == 0 && x.Previous != y.Previous:
		return y.First, true
	case ahead > uint64(len(x.Bytes)):
		return 0, false
	case ahead == uint64(len(x.Bytes)):
		return y.First, y.Previous != x.Digest(a.Author)
	}
	for i, known := range x.Bytes[ahead:] {
		if i == len(y.Bytes) {
			break
		}
		if x.Epoch != y.Epoch || known != y.Bytes[i] {
			return y.First + uint64(i), true
		}
	}
	return y.First, ahead == 0 && len(x.Bytes) == len(y.Bytes) && x.Sets != y.Sets
}

type wireRecords struct {
	_        struct{} `cbor:",toarray"`
	Epoch    uint32
	First    uint64
	Base     uint64
	Previous [32]byte
	Bytes    []byte
}

// wireCommitted is the form of records that commit to what they were measured on.
type wireCommitted struct {
	_        struct{} `cbor:",toarray"`
	Epoch    uint32
	First    uint64
	Base     uint64
	Previous [32]byte
	Bytes    []byte
	Sets     [16]byte
}

// committed is the first byte of that form: an array of six.
const committed = 0x86

func recordsToWire(r *Records) any {
	if r.Sets != [16]byte{} {
		return &wireCommitted{Epoch: r.Epoch, First: r.First, Base: r.Base, Previous: r.Previous, Bytes: filled(r.Bytes), Sets: r.Sets}
	}
	return &wireRecords{Epoch: r.Epoch, First: r.First, Base: r.Base, Previous: r.Previous, Bytes: filled(r.Bytes)}
}

func recordsFromWire(raw []byte, lim Limits) (Body, Verdict) {
	var w wireCommitted
	ok := false
	if len(raw) > 0 && raw[0] == committed {
		ok = decodeBody(raw, &w) && w.Sets != [16]byte{}
	} else {
		var short wireRecords
		ok = decodeBody(raw, &short)
		w = wireCommitted{Epoch: short.Epoch, First: short.First, Base: short.Base, Previous: short.Previous, Bytes: short.Bytes}
	}
	switch {
	case !ok,
		len(w.Bytes) == 0, len(w.Bytes) > lim.MaxRecords, bytes.IndexByte(w.Bytes, noRecord) >= 0,
		w.First > math.MaxUint64-uint64(len(w.Bytes)),
		(w.First == 0) != (w.Previous == [32]byte{}):
		return nil, Verdict{Reject, ReasonMalformed}
	}
	return &Records{Epoch: w.Epoch, First: w.First, Base: w.Base, Previous: w.Previous, Bytes: w.Bytes, Sets: w.Sets}, Verdict{}
}

func recordsSize(r *Records) int {
	sets := 0
	if r.Sets != [16]byte{} {
		sets = 1 + len(r.Sets)
	}
	return sets + 1 + number(uint64(r.Epoch)) + number(r.First) + number(r.Base) + bytes32 + head(len(r.Bytes)) + len(r.Bytes)
}
