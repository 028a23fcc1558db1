package pull

import (
	"context"
	"errors"
	"slices"
	"sync"

	"starling/storage"
)

// ID names a blob.
type ID = storage.BlobID

// A Store holds blobs, whole or in part. It must be safe for concurrent use.
type Store interface {
	// List returns how a blob is cut, if it is known.
	List(id ID) (storage.ChunkList, bool)
	// Chunk returns a verified chunk, or false if it is not there. It must not be changed.
	Chunk(id ID, i int) ([]byte, bool)
	// Begin makes room for a blob that comes in chunks.
	Begin(l storage.ChunkList) error
	// PutChunk stores a chunk of a blob that was begun, and refuses one with another hash. It keeps the slice.
	PutChunk(l storage.ChunkList, i int, chunk []byte) error
}

// memory keeps the blobs used last, up to a number of bytes.
type memory struct {
	most int64

	mu    sync.Mutex
	blobs map[ID]*memoryBlob // guarded by mu, as all below
	order []ID               // the one used last is last
	bytes int64
}

type memoryBlob struct {
	list   storage.ChunkList
	chunks [][]byte
}

func (m *memory) List(id ID) (storage.ChunkList, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.use(id)
	if b == nil {
		return storage.ChunkList{}, false
	}
	return b.list, true
}

func (m *memory) Chunk(id ID, i int) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.use(id)
	if b == nil || i < 0 || i >= len(b.chunks) || b.chunks[i] == nil {
		return nil, false
	}
	return b.chunks[i], true
}

func (m *memory) Begin(l storage.ChunkList) error {
	id := l.ID()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.use(id) != nil {
		return nil
	}
	for m.bytes+l.Size > m.most && len(m.order) > 0 {
		oldest := m.order[0]
		m.bytes -= m.blobs[oldest].list.Size
		delete(m.blobs, oldest)
		m.order = m.order[1:]
	}
	m.blobs[id] = &memoryBlob{list: l, chunks: make([][]byte, len(l.Hashes))}
	m.order = append(m.order, id)
	m.bytes += l.Size
	return nil
}

func (m *memory) PutChunk(l storage.ChunkList, i int, chunk []byte) error {
	if !l.Verify(i, chunk) {
		return storage.ErrDamaged
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.blobs[l.ID()]; b != nil { // it may have had to make room meanwhile
		b.chunks[i] = chunk
	}
	return nil
}

// use marks a blob as used last. The caller holds mu.
func (m *memory) use(id ID) *memoryBlob {
	b := m.blobs[id]
	if b != nil {
		i := slices.Index(m.order, id)
		m.order = append(slices.Delete(m.order, i, i+1), id)
	}
	return b
}

// Tiered keeps small blobs in memory, for the updates of a round are worth nothing after the next, and large ones on
// disk, so that a transfer outlives the process.
type Tiered struct {
	disk *storage.Store
	opt  TieredOptions
	mem  memory

	mu     sync.Mutex
	pinned []ID // on disk, oldest first; guarded by mu, as below
	sizes  map[ID]int64
	bytes  int64
}

// TieredOptions say what goes where. Zero values are the defaults.
type TieredOptions struct {
	Small  int64 // largest blob that stays in memory; default 4 MiB
	Memory int64 // bytes of memory; default 32 MiB
	Disk   int64 // bytes of disk, beyond which the oldest blob goes; default 2 GiB
}

// diskRef is what the blobs of this package are needed for, in the store's words.
const diskRef = "pulled"

// NewTiered returns a store on top of the given one. Blobs on disk from before are known and resumed.
func NewTiered(disk *storage.Store, opt TieredOptions) (*Tiered, error) {
	for _, o := range []struct {
		v   *int64
		def int64
	}{{&opt.Small, 4 << 20}, {&opt.Memory, 32 << 20}, {&opt.Disk, 2 << 30}} {
		if *o.v == 0 {
			*o.v = o.def
		}
	}
	t := &Tiered{disk: disk, opt: opt, sizes: make(map[ID]int64)}
	t.mem = memory{most: max(opt.Memory, opt.Small), blobs: make(map[ID]*memoryBlob)}
	ids, err := disk.Blobs(diskRef)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if l, err := disk.BlobList(id); err == nil {
			t.pinned = append(t.pinned, id)
			t.sizes[id] = l.Size
			t.bytes += l.Size
		}
	}
	return t, nil
}

// Put stores a whole blob and returns its name.
func (t *Tiered) Put(ctx context.Context, data []byte) (ID, error) {
	l := storage.Chunks(data)
	store := t.of(l)
	if err := store.Begin(l); err != nil {
		return ID{}, err
	}
	for i := range l.Hashes {
		if err := errors.Join(ctx.Err(), store.PutChunk(l, i, l.Cut(data, i))); err != nil {
			return ID{}, err
		}
	}
	return l.ID(), nil
}

func (t *Tiered) of(l storage.ChunkList) Store {
	if l.Size <= t.opt.Small {
		return &t.mem
	}
	return onDisk{t}
}

// List implements [Store].
func (t *Tiered) List(id ID) (storage.ChunkList, bool) {
	if l, ok := t.mem.List(id); ok {
		return l, true
	}
	l, err := t.disk.BlobList(id)
	return l, err == nil
}

// Chunk implements [Store].
func (t *Tiered) Chunk(id ID, i int) ([]byte, bool) {
	if b, ok := t.mem.Chunk(id, i); ok {
		return b, true
	}
	b, err := t.disk.BlobChunk(id, i)
	return b, err == nil
}

// Begin implements [Store].
func (t *Tiered) Begin(l storage.ChunkList) error { return t.of(l).Begin(l) }

// PutChunk implements [Store].
func (t *Tiered) PutChunk(l storage.ChunkList, i int, chunk []byte) error {
	return t.of(l).PutChunk(l, i, chunk)
}

// onDisk is the part of a Tiered for large blobs.
type onDisk struct{ *Tiered }

func (t onDisk) Begin(l storage.ChunkList) error {
	id := l.ID()
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.sizes[id]; ok {
		return nil
	}
	for t.bytes+l.Size > t.opt.Disk && len(t.pinned) > 0 {
		oldest := t.pinned[0]
		if err := t.disk.Unpin(oldest, diskRef); err != nil {
			return err
		}
		t.bytes -= t.sizes[oldest]
		delete(t.sizes, oldest)
		t.pinned = t.pinned[1:]
	}
	if err := t.disk.Begin(l, diskRef); err != nil {
		return err
	}
	t.pinned = append(t.pinned, id)
	t.sizes[id] = l.Size
	t.bytes += l.Size
	return nil
}

func (t onDisk) PutChunk(l storage.ChunkList, i int, chunk []byte) error {
	return t.disk.PutChunk(l, i, chunk)
}
