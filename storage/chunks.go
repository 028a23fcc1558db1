package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// ChunkSize is the length of every chunk but the last one of a value.
const ChunkSize = 256 << 10

type hash = [32]byte

// A BlobID names bytes: it is the SHA-256 of the encoded [ChunkList], behind a domain. Whoever has the ID can check the
// list, and with the list every chunk by itself.
type BlobID [32]byte

// String returns the ID in hexadecimal.
func (id BlobID) String() string { return hex.EncodeToString(id[:]) }

// A ChunkList says how bytes are cut: Size of all, and the SHA-256 of each chunk of [ChunkSize] bytes, the last of which
// may be shorter.
type ChunkList struct {
	Size   int64
	Hashes []hash
}

// Chunks returns the list of some bytes.
func Chunks(data []byte) ChunkList {
	l := ChunkList{Size: int64(len(data))}
	l.Hashes = make([]hash, l.count())
	var hashers sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), (len(l.Hashes)+chunksOfHasher-1)/chunksOfHasher) {
		hashers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(l.Hashes); i = int(next.Add(1)) - 1 {
				l.Hashes[i] = sha256.Sum256(l.Cut(data, i))
			}
		})
	}
	hashers.Wait()
	return l
}

// chunksOfHasher is for how many chunks one more processor is of use.
const chunksOfHasher = 4

func (l ChunkList) count() int { return int((l.Size + ChunkSize - 1) / ChunkSize) }

// ChunkLen returns the length of chunk i in bytes.
func (l ChunkList) ChunkLen(i int) int { return int(min(ChunkSize, l.Size-int64(i)*ChunkSize)) }

// Cut returns chunk i of the data that the list describes.
func (l ChunkList) Cut(data []byte, i int) []byte {
	return data[i*ChunkSize : i*ChunkSize+l.ChunkLen(i)]
}

// Verify reports whether a chunk is the one at place i.
func (l ChunkList) Verify(i int, chunk []byte) bool {
	return i >= 0 && i < len(l.Hashes) && sha256.Sum256(chunk) == l.Hashes[i]
}

// ID returns the name of the bytes.
func (l ChunkList) ID() BlobID {
	h := sha256.New()
	h.Write([]byte("starling blob 1\x00"))
	h.Write(l.Encode())
	return BlobID(h.Sum(nil))
}

// Encode returns the list in its only form: size as 8 bytes big-endian, then the hashes.
func (l ChunkList) Encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+32*len(l.Hashes)), uint64(l.Size))
	for _, h := range l.Hashes {
		b = append(b, h[:]...)
	}
	return b
}

var errChunkList = errors.New("malformed chunk list")

// ParseChunkList reads an encoded list of at most maxSize bytes of data. It allocates no more than the list's own length.
func ParseChunkList(b []byte, maxSize int64) (ChunkList, error) {
	if len(b) < 8 {
		return ChunkList{}, errChunkList
	}
	size := binary.BigEndian.Uint64(b)
	if size > uint64(max(0, maxSize)) {
		return ChunkList{}, fmt.Errorf("%w: %d bytes of data, at most %d are allowed", errChunkList, size, maxSize)
	}
	l := ChunkList{Size: int64(size)}
	if len(b)-8 != 32*l.count() {
		return ChunkList{}, fmt.Errorf("%w: %d bytes for %d chunks", errChunkList, len(b), l.count())
	}
	l.Hashes = make([]hash, l.count())
	for i := range l.Hashes {
		copy(l.Hashes[i][:], b[8+32*i:])
	}
	return l, nil
}

func chunkKey(h hash) string { return keyChunk + string(h[:]) }

func chunkOf(key string) (h hash, ok bool) {
	ok = len(key) == 1+len(h)
	copy(h[:], key[1:])
	return h, ok
}

// putChunks makes the chunks durable that the store does not have, of several values, and returns what to write to Badger so that they
// are found: with it, or after it, may come what names them. The caller holds mu.
func (s *Store) putChunks(lists []ChunkList, values [][]byte) ([]write, error) {
	var keys []string
	var chunks [][]byte
	var size int64
	seen := make(map[hash]bool)
	for i, l := range lists {
		for j, h := range l.Hashes {
			// A chunk that is named may still be on its way, for a blob that was begun, or be damaged.
			if !seen[h] && (s.refs[h] == 0 || s.bad[h] || !s.HasChunk(h)) {
				chunk := l.Cut(values[i], j)
				keys, chunks = append(keys, chunkKey(h)), append(chunks, chunk)
				size += int64(len(chunk))
			}
			seen[h] = true
		}
	}
	if err := s.room(size); err != nil {
		return nil, err
	}
	writes, err := s.place(keys, chunks, size)
	if err != nil {
		return nil, err
	}
	if len(writes)*placeLen > together || size < s.opt.packFrom && size > together {
		return nil, s.commit("chunk", writes)
	}
	return writes, nil
}

// place makes chunks durable in a pack, if they have size enough in all, and returns what to write to Badger: their places, or themselves.
func (s *Store) place(keys []string, chunks [][]byte, size int64) ([]write, error) {
	writes := make([]write, len(keys))
	if size < s.opt.packFrom {
		for i, key := range keys {
			writes[i] = write{key: key, value: chunks[i]}
		}
		return writes, nil
	}
	places, err := s.writePack(len(chunks), func(i int) ([]byte, error) { return chunks[i], nil })
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		writes[i] = write{key: key, value: places[i].encode(), meta: metaPlace}
	}
	return writes, nil
}

// together is how many bytes of chunks, or of their places, are written in the same transaction as what names them: all of it has to fit.
const together = 64 << 10

// chunk reads a chunk and checks it. The caller does not hold mu.
func (s *Store) chunk(h hash) ([]byte, error) {
	b, err := s.getChunk(h)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: missing", ErrDamaged)
	}
	if err == nil && sha256.Sum256(b) == h {
		return b, nil
	}
	s.mu.Lock()
	s.bad[h] = true
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, fmt.Errorf("%w: its hash is wrong", ErrDamaged)
}

// getChunk reads a chunk from Badger, or from the pack where it is.
func (s *Store) getChunk(h hash) ([]byte, error) {
	for last := (place{}); ; {
		var value []byte
		var at *place
		err := s.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get([]byte(chunkKey(h)))
			if err != nil {
				return err
			}
			if at, err = placeIn(item); at != nil || err != nil {
				return err
			}
			value, err = item.ValueCopy(nil)
			return err
		})
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil, ErrNotFound
		}
		if err != nil || at == nil {
			return value, err
		}
		value, err = s.readPlace(*at)
		if errors.Is(err, fs.ErrNotExist) && *at != last { // it may be in a new pack by now
			last = *at
			continue
		}
		return value, err
	}
}

// drop forgets references, and returns the removal of the chunks that nothing names any more. The caller holds mu.
func (s *Store) drop(chunks []hash) []write {
	s.count(chunks, -1)
	var gone []write
	for _, h := range chunks {
		if s.refs[h] == 0 {
			gone = append(gone, write{key: chunkKey(h)})
		}
	}
	return gone
}
