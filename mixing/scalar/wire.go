package scalar

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The form of a message: the number of parts, and for each a byte, the keys that the byte does not spare, and what the part says. Numbers
// are uvarints but for peers (8 bytes) and sums (16), little-endian. Bits 0 and 1 of the byte are the kind; bit 2 says that the
// part begins where the last one ended (the first one: with the first key), bit 3 that it ends behind all records.
const (
	kindBits = 3
	joined   = 4
	toEnd    = 8
)

// AppendBinary appends the compact form of a message. It never fails.
func (m Message) AppendBinary(to []byte) ([]byte, error) {
	to = binary.AppendUvarint(to, uint64(len(m)))
	last := Key{}
	for _, p := range m {
		head := byte(p.Kind)
		if p.From == last {
			head |= joined
		}
		if p.To == lastKey {
			head |= toEnd
		}
		to = append(to, head)
		if head&joined == 0 {
			to = p.From.append(to)
		}
		if head&toEnd == 0 {
			to = p.To.append(to)
		}
		if p.Kind == Print || p.Kind == Deep {
			to = binary.AppendUvarint(to, p.Count)
			to = binary.LittleEndian.AppendUint64(to, p.Sum[0])
			to = binary.LittleEndian.AppendUint64(to, p.Sum[1])
		} else {
			to = binary.AppendUvarint(to, uint64(len(p.Ends)))
			for _, e := range p.Ends {
				to = Key{e.Peer, e.Next}.append(to)
			}
		}
		last = p.To
	}
	return to, nil
}

func (k Key) append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint64(to, k.Peer)
	return binary.AppendUvarint(to, k.Seq)
}

// ParseMessage reads the compact form, and refuses what no replica sends.
func ParseMessage(form []byte) (Message, error) {
	r := reader{rest: form}
	n := r.uvarint()
	if n > maxParts {
		return nil, fmt.Errorf("reconcile: %d parts: want at most %d", n, maxParts)
	}
	var m Message
	last := Key{}
	for range n {
		p := r.part(last)
		if r.err != nil {
			return nil, r.err
		}
		last = p.To
		m = append(m, p)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = errors.New("reconcile: bytes after the end of a message")
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, m.valid()
}

// A reader takes numbers off bytes until they are wrong.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) part(last Key) Part {
	head := r.bytes(1)[0]
	p := Part{From: last, To: lastKey, Kind: PartKind(head & kindBits)}
	if head > toEnd|joined|kindBits {
		r.fail()
	}
	if head&joined == 0 {
		p.From = r.key()
	}
	if head&toEnd == 0 {
		p.To = r.key()
	}
	if p.Kind == Print || p.Kind == Deep {
		p.Count = r.uvarint()
		p.Sum = Sum{r.word(), r.word()}
		return p
	}
	n := r.uvarint()
	if n > leafLogs {
		r.fail()
	}
	for i := uint64(0); i < n && r.err == nil; i++ {
		k := r.key()
		p.Ends = append(p.Ends, Entry{k.Peer, k.Seq})
	}
	return p
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("reconcile: a message is malformed %d bytes before its end", len(r.rest))
	}
}

// bytes takes n bytes; zeros if there are fewer.
func (r *reader) bytes(n int) []byte {
	if len(r.rest) < n || r.err != nil {
		r.fail()
		return make([]byte, n)
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) word() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 || r.err != nil { // 0 at the end: there is a shorter form
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

func (r *reader) key() Key { return Key{r.word(), r.uvarint()} }
