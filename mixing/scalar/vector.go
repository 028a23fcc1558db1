package scalar

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// An Entry says that a peer's records below Next are known.
type Entry struct{ Peer, Next uint64 }

// A Vector is a version vector: it describes a set of records exactly, as logs have no gaps. Entries are in ascending order of peers, one
// for each, and none has Next 0.
type Vector []Entry

// A Range is records First to End-1 of a peer.
type Range struct{ Peer, First, End uint64 }

// Len is the number of records in the range.
func (r Range) Len() uint64 { return r.End - r.First }

// Find returns the place of a peer's entry, and whether there is one; else where it would be.
func (v Vector) Find(peer uint64) (int, bool) {
	return slices.BinarySearchFunc(v, peer, func(e Entry, peer uint64) int { return cmp.Compare(e.Peer, peer) })
}

// Next is the number of a peer's records that are known, counted from 0 without gaps.
func (v Vector) Next(peer uint64) uint64 {
	if i, ok := v.Find(peer); ok {
		return v[i].Next
	}
	return 0
}

// Count is the number of records.
func (v Vector) Count() uint64 {
	n := uint64(0)
	for _, e := range v {
		n += e.Next
	}
	return n
}

// Valid reports whether the entries are in order, without repetition and not 0, as must be checked of a vector that arrived.
func (v Vector) Valid() bool {
	for i, e := range v {
		if e.Next == 0 || i > 0 && v[i-1].Peer >= e.Peer {
			return false
		}
	}
	return true
}

// Digest is the SHA-256 of the entries, peer and next, little-endian. Equal digests mean equal sets.
func (v Vector) Digest() [32]byte {
	form := make([]byte, 0, 16*len(v))
	for _, e := range v {
		form = binary.LittleEndian.AppendUint64(form, e.Peer)
		form = binary.LittleEndian.AppendUint64(form, e.Next)
	}
	return sha256.Sum256(form)
}

// Missing lists what v lacks of w, in order of peers. Both are valid.
func (v Vector) Missing(w Vector) []Range {
	var out []Range
	for _, e := range w {
		for len(v) > 0 && v[0].Peer < e.Peer {
			v = v[1:]
		}
		from := uint64(0)
		if len(v) > 0 && v[0].Peer == e.Peer {
			from = v[0].Next
		}
		if from < e.Next {
			out = append(out, Range{e.Peer, from, e.Next})
		}
	}
	return out
}
