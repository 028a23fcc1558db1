package srrw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The form of a history: the visits, the sum as float64, the value of one count and that of unknown peers as float32, the number of
// entries, and the entries by ascending tag: the tag in 8 bytes, the value as float32, and how many visits ago the peer was visited. Whole
// numbers are uvarints, the rest is little-endian. The limit is not in it, as all who share a run share the limit.
const (
	smallestEntry = 8 + 4 + 1
	// The errors of 2^64 additions of rounding to a sum, and more; a history whose sum is off by more was not made by this package.
	sumTolerance = 1e-6
)

// Append appends the history's form to b: at most 22 bytes for each peer and 37, 13 to 14 for a peer that was visited not long ago.
func (h *History) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.visits)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(h.sum))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.one))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.unknown))
	b = binary.AppendUvarint(b, uint64(len(h.entries)))
	for _, e := range h.entries {
		b = binary.LittleEndian.AppendUint64(b, e.tag)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e.value))
		b = binary.AppendUvarint(b, h.visits-e.last)
	}
	return b
}

// DecodeHistory reads what [History.Append] wrote, all of b and nothing else. It takes no more entries than the limit, and only what
// a history can be: equal histories have equal forms, so that digests of them can be compared.
func DecodeHistory(b []byte, limit int) (*History, error) {
	h := NewHistory(limit)
	r := reader{rest: b}
	h.visits = r.uvarint()
	h.sum = math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
	h.one, h.unknown = r.float(), r.float()
	n := r.uvarint()
	switch {
	case r.short:
		return nil, errShort
	case n > uint64(h.limit):
		return nil, fmt.Errorf("history of %d peers: the limit is %d", n, h.limit)
	case n > uint64(len(r.rest)/smallestEntry):
		return nil, errShort
	case !inRange(h.one) || h.one > 1:
		return nil, fmt.Errorf("history counts in units of %v", h.one)
	case h.unknown != 0 && !inRange(h.unknown):
		return nil, fmt.Errorf("history has %v for unknown peers", h.unknown)
	}
	h.entries = make([]entry, n)
	sum := 0.0
	for i := range h.entries {
		e := entry{tag: binary.LittleEndian.Uint64(r.take(8)), value: r.float()}
		age := r.uvarint()
		e.last = h.visits - age
		switch {
		case r.short:
			return nil, errShort
		case i > 0 && h.entries[i-1].tag >= e.tag:
			return nil, fmt.Errorf("history is not in order at entry %d", i)
		case !inRange(e.value):
			return nil, fmt.Errorf("history has %v for peer %d", e.value, e.tag)
		case age > h.visits:
			return nil, fmt.Errorf("history visited peer %d before it began", e.tag)
		}
		h.entries[i] = e
		sum += float64(e.value)
	}
	if !(math.Abs(h.sum-sum) <= sumTolerance*sum) {
		return nil, fmt.Errorf("history of sum %v says that it is %v", sum, h.sum)
	}
	if len(r.rest) > 0 || !bytes.Equal(h.Append(make([]byte, 0, len(b))), b) {
		return nil, errForm
	}
	return h, nil
}

func inRange(v float32) bool { return v >= least && v <= most }

var (
	errShort = errors.New("it ends too early")
	errForm  = errors.New("it is not in the shortest form")
)

// Append appends the form of the counters to b: the token, the numbers of tokens and peers, their tags ascending, and for each token the
// counts. A count below 128 takes a byte, so peers are named once and not by every token.
func (s *Shared) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.own)
	b = binary.AppendUvarint(b, uint64(len(s.tokens)))
	b = binary.AppendUvarint(b, uint64(len(s.peers)))
	for _, tags := range [][]uint64{s.tokens, s.peers} {
		for _, tag := range tags {
			b = binary.LittleEndian.AppendUint64(b, tag)
		}
	}
	for _, counts := range s.counts {
		for _, n := range counts {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// DecodeShared reads what [Shared.Append] wrote, all of b and nothing else, with at most [MaxTokens] tokens and limit peers.
func DecodeShared(b []byte, limit int) (*Shared, error) {
	r := reader{rest: b}
	s := NewShared(binary.LittleEndian.Uint64(r.take(8)), limit)
	tokens, peers := r.uvarint(), r.uvarint()
	switch {
	case r.short:
		return nil, errShort
	case tokens > MaxTokens || peers > uint64(s.limit):
		return nil, fmt.Errorf("visits of %d tokens to %d peers: the limits are %d and %d", tokens, peers, MaxTokens, s.limit)
	case uint64(len(r.rest)) < 8*(tokens+peers)+tokens*peers:
		return nil, errShort
	}
	for _, list := range []struct {
		to *[]uint64
		n  uint64
	}{{&s.tokens, tokens}, {&s.peers, peers}} {
		for range list.n {
			tag := binary.LittleEndian.Uint64(r.take(8))
			if n := len(*list.to); n > 0 && (*list.to)[n-1] >= tag {
				return nil, fmt.Errorf("tags are not in order at %d", tag)
			}
			*list.to = append(*list.to, tag)
		}
	}
	for range tokens {
		counts := make([]uint64, peers)
		for p := range counts {
			counts[p] = r.uvarint()
		}
		s.counts = append(s.counts, counts)
	}
	if r.short {
		return nil, errShort
	}
	if len(r.rest) > 0 || !bytes.Equal(s.Append(make([]byte, 0, len(b))), b) {
		return nil, errForm
	}
	return s, nil
}

// A reader takes pieces off what it reads. Past the end it gives zeros and says so.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.rest, r.short = nil, true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) float() float32 { return math.Float32frombits(binary.LittleEndian.Uint32(r.take(4))) }

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.short = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return x
}
