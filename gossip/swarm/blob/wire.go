package blob

import (
	"encoding/binary"
	"fmt"
	"io"

	"starling/gossip"
)

// Protocol is the libp2p protocol of this package.
//
// A stream is about one blob. The client opens with an open request, then sends chunk requests; the server answers each
// in order. All integers are big-endian.
//
//	open request    'O', ID (32), size (8), flags (1: bit 0 asks for the chunk list)
//	open reply      status (1); if it is 0: holding (1: 0 all, 1 a bitmap follows), the bitmap ((chunks+7)/8, chunk i
//	                is bit i%8 of byte i/8, unused bits are 0), the encoded chunk list if it was asked for
//	chunk request   'C', first (4), count (2: 1 to 64, within the blob)
//	chunk reply     for each chunk: status (1: 0 or 1), index (4), and if the status is 0 the bytes
//
// After an open reply with another status than 0, at the end of the requests, and after a mistake of the other side
// nothing more is sent. The lengths of all parts follow from the size, which both sides must agree on.
const Protocol = gossip.ProtocolBlob

// The statuses of replies. The numbers are part of the wire format and are never reused.
const (
	statusOK       = 0
	statusNotFound = 1 // the blob, or the chunk, is not here
	statusSize     = 2 // the blob is here, but has another size
	statusBusy     = 3 // ask again in a second
	statusRefused  = 4 // this peer is not served
)

const (
	openLen    = 1 + 32 + 8 + 1
	askLen     = 1 + 4 + 2
	headLen    = 1 + 4
	maxRange   = 64
	maxSize    = chunkSize << 31 // chunks are counted in 31 bits
	flagList   = 1
	holdAll    = 0
	holdBitmap = 1
)

// chunks counts the chunks of a blob of some size.
func chunks(size int64) int { return int((size + chunkSize - 1) / chunkSize) }

type openRequest struct {
	id   ID
	size int64
	list bool // the chunk list is wanted
}

func (r openRequest) append(b []byte) []byte {
	b = append(b, 'O')
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	if r.list {
		return append(b, flagList)
	}
	return append(b, 0)
}

func readOpen(r io.Reader) (q openRequest, err error) {
	var b [openLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return q, err
	}
	size, flags := binary.BigEndian.Uint64(b[33:]), b[41]
	if b[0] != 'O' || flags > flagList || size > maxSize {
		return q, errRequest
	}
	return openRequest{id: ID(b[1:33]), size: int64(size), list: flags == flagList}, nil
}

type chunkRequest struct{ first, count int }

func (r chunkRequest) append(b []byte) []byte {
	b = append(b, 'C')
	b = binary.BigEndian.AppendUint32(b, uint32(r.first))
	return binary.BigEndian.AppendUint16(b, uint16(r.count))
}

// readChunkRequest reads a request for some of n chunks. It returns io.EOF at the end of the requests.
func readChunkRequest(r io.Reader, n int) (q chunkRequest, err error) {
	var b [askLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return q, err
	}
	first, count := int64(binary.BigEndian.Uint32(b[1:])), int64(binary.BigEndian.Uint16(b[5:]))
	if b[0] != 'C' || count < 1 || count > maxRange || first+count > int64(n) {
		return q, errRequest
	}
	return chunkRequest{int(first), int(count)}, nil
}

// A bitmap says which chunks a holder has; nil is all of them.
type bitmap []byte

func newBitmap(n int) bitmap { return make(bitmap, (n+7)/8) }

func (m bitmap) has(i int) bool { return m == nil || m[i/8]>>(i%8)&1 == 1 }
func (m bitmap) set(i int)      { m[i/8] |= 1 << (i % 8) }
func (m bitmap) unset(i int)    { m[i/8] &^= 1 << (i % 8) }

type openReply struct {
	status byte
	have   bitmap
	list   []byte // encoded; nil if it was not asked for
}

func (r openReply) append(b []byte) []byte {
	b = append(b, r.status)
	if r.status != statusOK {
		return b
	}
	if r.have == nil {
		b = append(b, holdAll)
	} else {
		b = append(append(b, holdBitmap), r.have...)
	}
	return append(b, r.list...)
}

// readOpenReply reads the reply to a request. The size in the request bounds what is allocated.
func readOpenReply(r io.Reader, q openRequest) (a openReply, err error) {
	var b [2]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return a, err
	}
	if a.status = b[0]; a.status > statusRefused {
		return a, fmt.Errorf("%w: status %d", errProtocol, a.status)
	}
	if a.status != statusOK {
		return a, nil
	}
	if _, err := io.ReadFull(r, b[1:]); err != nil {
		return a, err
	}
	n := chunks(q.size)
	switch b[1] {
	case holdAll:
	case holdBitmap:
		have, err := readGrowing(r, (n+7)/8)
		if err != nil {
			return a, err
		}
		if n%8 != 0 && have[n/8]>>(n%8) != 0 {
			return a, fmt.Errorf("%w: bits above the last chunk", errProtocol)
		}
		a.have = have
	default:
		return a, fmt.Errorf("%w: holding %d", errProtocol, b[1])
	}
	if !q.list {
		return a, nil
	}
	a.list, err = readGrowing(r, 8+32*n)
	return a, err
}

// readGrowing reads n bytes. Memory grows with what has arrived: at most twice that, or 64 KiB.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, 64<<10))
	for read := 0; ; {
		k, err := io.ReadFull(r, b[read:])
		if read += k; err != nil || read == n {
			return b[:read], err
		}
		grown := make([]byte, min(n, 2*len(b)))
		copy(grown, b)
		b = grown
	}
}

func appendHead(b []byte, status byte, index int) []byte {
	return binary.BigEndian.AppendUint32(append(b, status), uint32(index))
}

// readHead reads the head of a chunk reply, which must be about a certain chunk.
func readHead(r io.Reader, index int) (status byte, err error) {
	var b [headLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	if b[0] > statusNotFound {
		return b[0], fmt.Errorf("%w: status %d for a chunk", errProtocol, b[0])
	}
	if got := binary.BigEndian.Uint32(b[1:]); got != uint32(index) {
		return b[0], fmt.Errorf("%w: chunk %d came instead of chunk %d", errProtocol, got, index)
	}
	return b[0], nil
}
