package storage

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// A blob is bytes under their hash, with the names of those who need it. It may be partial: then some of its chunks are
// missing.
type blobRecord struct {
	Refs []string // ascending
	List ChunkList
}

type blobWire struct {
	_    struct{} `cbor:",toarray"`
	Refs []string
	List []byte
}

func (b blobRecord) encode() ([]byte, error) {
	return cbor.Marshal(blobWire{Refs: b.Refs, List: b.List.Encode()})
}

func decodeBlob(value []byte) (blobRecord, error) {
	var w blobWire
	if err := cbor.Unmarshal(value, &w); err != nil {
		return blobRecord{}, fmt.Errorf("%w: blob record: %w", ErrDamaged, err)
	}
	l, err := ParseChunkList(w.List, maxCheckpoint)
	if err != nil {
		return blobRecord{}, fmt.Errorf("%w: blob record: %w", ErrDamaged, err)
	}
	return blobRecord{Refs: w.Refs, List: l}, nil
}

func blobKey(id BlobID) string { return keyBlob + string(id[:]) }

// PutBlob stores bytes for somebody who needs them, and returns their name. A blob is removed when nobody needs it any
// more.
func (s *Store) PutBlob(data []byte, ref string) (BlobID, error) {
	l := Chunks(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, err := s.putChunks([]ChunkList{l}, [][]byte{data})
	if err != nil {
		return BlobID{}, fmt.Errorf("put blob: %w", err)
	}
	if err := s.pin(l, ref, writes...); err != nil {
		return BlobID{}, fmt.Errorf("put blob: %w", err)
	}
	return l.ID(), nil
}

// Begin makes room for a blob that will come chunk by chunk. What is there already, also from before a restart, need not
// come again.
func (s *Store) Begin(l ChunkList, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(l.Size); err != nil {
		return fmt.Errorf("begin blob: %w", err)
	}
	return s.pin(l, ref)
}

// pin adds a reference, behind other writes. The caller holds mu.
func (s *Store) pin(l ChunkList, ref string, writes ...write) error {
	id := l.ID()
	value, err := s.get(blobKey(id))
	b := blobRecord{List: l}
	known := err == nil
	if known {
		if b, err = decodeBlob(value); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	if i, ok := slices.BinarySearch(b.Refs, ref); !ok {
		b.Refs = slices.Insert(b.Refs, i, ref)
	} else if known {
		return s.commit("blob", writes)
	}
	if value, err = b.encode(); err != nil {
		return err
	}
	if err := s.commit("blob", append(writes, write{key: blobKey(id), value: value})); err != nil {
		return err
	}
	if !known {
		s.count(l.Hashes, 1)
	}
	return nil
}

// Unpin takes one reference away; with the last one the blob goes. Unknown blobs and references are not an error.
func (s *Store) Unpin(id BlobID, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := s.get(blobKey(id))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := decodeBlob(value)
	if err != nil {
		return err
	}
	b.Refs = slices.DeleteFunc(b.Refs, func(r string) bool { return r == ref })
	if len(b.Refs) > 0 {
		if value, err = b.encode(); err != nil {
			return err
		}
		return s.commit("unpin", []write{{key: blobKey(id), value: value}})
	}
	// The record first: chunks that nothing names are harmless, a blob without chunks is not.
	if err := s.commit("unpin", []write{{key: blobKey(id)}}); err != nil {
		return err
	}
	return s.commit("unpin chunks", s.drop(b.List.Hashes))
}

// Blobs lists the blobs that somebody needs.
func (s *Store) Blobs(ref string) ([]BlobID, error) {
	var ids []BlobID
	err := s.scan(keyBlob, func(key string, value []byte) error {
		if b, err := decodeBlob(value); err == nil && slices.Contains(b.Refs, ref) {
			ids = append(ids, BlobID([]byte(key[1:])))
		}
		return nil
	})
	return ids, err
}

// BlobList returns how a blob is cut. It returns [ErrNotFound] if the blob is unknown.
func (s *Store) BlobList(id BlobID) (ChunkList, error) {
	value, err := s.get(blobKey(id))
	if err != nil {
		return ChunkList{}, err
	}
	b, err := decodeBlob(value)
	return b.List, err
}

// BlobChunk reads chunk i of a blob and checks it. It returns [ErrNotFound] if the blob is unknown and [ErrDamaged] if the
// chunk is missing or wrong.
func (s *Store) BlobChunk(id BlobID, i int) ([]byte, error) {
	l, err := s.BlobList(id)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(l.Hashes) {
		return nil, ErrNotFound
	}
	return s.chunk(l.Hashes[i])
}

// PutChunk stores a chunk of a blob that was begun, if its hash is right; else it returns [ErrDamaged].
func (s *Store) PutChunk(l ChunkList, i int, data []byte) error {
	if !l.Verify(i, data) {
		return fmt.Errorf("chunk %d: %w", i, ErrDamaged)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, err := s.place([]string{chunkKey(l.Hashes[i])}, [][]byte{data}, int64(len(data)))
	if err != nil {
		return err
	}
	return s.commit("blob chunk", writes)
}

// HasChunk reports whether a chunk is there, without reading it.
func (s *Store) HasChunk(h [32]byte) bool {
	found := false
	s.keys(chunkKey(h), func(string) error {
		found = true
		return nil
	})
	return found
}
