package blob

import (
	"context"
	"fmt"
	"sync"

	"starling/storage"
)

// DefaultMemory is the room of a [Memory] in bytes.
const DefaultMemory = 64 << 20

// Memory is a store that forgets: when its room is taken the blobs that were not used for longest go. Blobs that are
// being fetched stay, and of those made here the newest, up to half of the room. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	shelf *shelf              // guarded by mu
	blobs map[ID]*memoryBytes // guarded by mu
}

// NewMemory returns an empty store with room for some bytes; 0 stands for [DefaultMemory].
func NewMemory(room int64) *Memory {
	if room <= 0 {
		room = DefaultMemory
	}
	return &Memory{shelf: newShelf(room), blobs: make(map[ID]*memoryBytes)}
}

// memoryBytes is a blob; who holds it may use it even after it was evicted.
type memoryBytes struct {
	list ChunkList

	mu   sync.RWMutex
	data []byte // a chunk does not change once it is there
	have bitmap // guarded by mu
}

// Put stores a copy of data as a blob of this node's own. The error is [ErrTooLarge] or [ErrFull] if there is no room.
func (m *Memory) Put(_ context.Context, data []byte) (ID, error) {
	l := storage.Chunks(data)
	b, err := m.begin(l, true)
	if err != nil {
		return ID{}, err
	}
	defer b.Close()
	for i := range l.Hashes {
		if err := b.Put(i, l.Cut(data, i)); err != nil {
			return ID{}, err
		}
	}
	return l.ID(), nil
}

// Open implements [Store].
func (m *Memory) Open(id ID) (Blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.blobs[id]
	if b == nil {
		return nil, ErrNotFound
	}
	m.shelf.touch(id)
	return memoryBlob{b, func() {}}, nil
}

// Begin implements [Store].
func (m *Memory) Begin(l ChunkList) (Blob, error) { return m.begin(l, false) }

func (m *Memory) begin(l ChunkList, own bool) (Blob, error) {
	id := l.ID()
	m.mu.Lock()
	defer m.mu.Unlock()
	gone, err := m.shelf.add(id, l.Size, own)
	if err != nil {
		return nil, fmt.Errorf("keep blob of %d bytes in memory: %w", l.Size, err)
	}
	for _, old := range gone {
		delete(m.blobs, old)
	}
	b := m.blobs[id]
	if b == nil {
		b = &memoryBytes{list: l, data: make([]byte, l.Size), have: newBitmap(len(l.Hashes))}
		m.blobs[id] = b
	}
	m.shelf.pin(id)
	return memoryBlob{b, sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.shelf.unpin(id)
	})}, nil
}

type memoryBlob struct {
	*memoryBytes
	close func()
}

func (b memoryBlob) Close()          { b.close() }
func (b memoryBlob) List() ChunkList { return b.list }

func (b memoryBlob) Has(i int) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.have.has(i)
}

func (b memoryBlob) Chunk(i int) ([]byte, error) {
	if !b.Has(i) {
		return nil, ErrNotFound
	}
	return b.list.Cut(b.data, i), nil
}

func (b memoryBlob) Put(i int, chunk []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.have.has(i) {
		copy(b.list.Cut(b.data, i), chunk)
		b.have.set(i)
	}
	return nil
}

func (b memoryBlob) Bytes() ([]byte, error) {
	if missing(b) > 0 {
		return nil, ErrNotFound
	}
	return b.data, nil
}
