package pull

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"starling/storage"
)

// Protocol is the libp2p protocol of the streams.
const Protocol = "/starling/blob/1"

// The operations of a request.
const (
	opList  = 1
	opChunk = 2
)

// The status of an answer.
const (
	statusOK    = 0
	statusNone  = 1
	statusBusy  = 2
	statusLimit = 3 // one more than the largest
)

type request struct {
	op    byte
	id    ID
	chunk uint32
}

const requestLen = 1 + 32 + 4

func (r request) encode() []byte {
	b := append(make([]byte, 0, requestLen), r.op)
	b = append(b, r.id[:]...)
	return binary.BigEndian.AppendUint32(b, r.chunk)
}

var errProtocol = errors.New("does not follow the protocol")

func readRequest(r io.Reader) (request, error) {
	var b [requestLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return request{}, err
	}
	q := request{op: b[0], chunk: binary.BigEndian.Uint32(b[33:])}
	copy(q.id[:], b[1:])
	if q.op != opList && q.op != opChunk {
		return request{}, fmt.Errorf("%w: operation %d", errProtocol, q.op)
	}
	return q, nil
}

const answerLen = 1 + 4

func answerHead(status byte, length int) []byte {
	return binary.BigEndian.AppendUint32([]byte{status}, uint32(length))
}

// readAnswerHead reads the head of an answer whose body may have at most most bytes.
func readAnswerHead(r io.Reader, most int) (status byte, length int, err error) {
	var b [answerLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(b[1:])
	switch {
	case b[0] >= statusLimit:
		return 0, 0, fmt.Errorf("%w: status %d", errProtocol, b[0])
	case b[0] != statusOK && n != 0, n > uint32(most):
		return 0, 0, fmt.Errorf("%w: answer of %d bytes, at most %d are allowed", errProtocol, n, most)
	}
	return b[0], int(n), nil
}

// listBytes is the length of the encoded chunk list of a blob.
func listBytes(size int64) int {
	return 8 + 32*int((size+storage.ChunkSize-1)/storage.ChunkSize)
}
