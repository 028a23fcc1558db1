package blob

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"starling/storage"
)

// DefaultDisk is the room of a [Disk] in bytes.
const DefaultDisk = 4 << 30

// Names in the storage: who needs the blobs, and the record of which there are.
const (
	diskRef   = "gossip/swarm/blob"
	diskIndex = "gossip/swarm/blob/index"
)

// Disk keeps blobs in a [storage.Store], where whole chunks survive a crash. It evicts as [Memory] does. It is safe for
// concurrent use; there must be one Disk for a storage at a time.
type Disk struct {
	st *storage.Store

	mu    sync.Mutex
	shelf *shelf           // guarded by mu
	blobs map[ID]*diskFile // guarded by mu: those that were opened
	ready bool             // guarded by mu: the index was read
}

// NewDisk returns the blobs of a storage, with room for some bytes; 0 stands for [DefaultDisk].
func NewDisk(st *storage.Store, room int64) *Disk {
	if room <= 0 {
		room = DefaultDisk
	}
	return &Disk{st: st, shelf: newShelf(room), blobs: make(map[ID]*diskFile)}
}

// diskFile is a blob and which of its chunks are on disk.
type diskFile struct {
	st   *storage.Store
	list ChunkList
	id   ID

	mu   sync.RWMutex
	have bitmap // guarded by mu
}

// load reads which blobs there are, once. The caller holds mu.
func (d *Disk) load() error {
	if d.ready {
		return nil
	}
	index, err := d.st.Get(diskIndex)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for ; len(index) >= 41; index = index[41:] {
		id, size := ID(index[:32]), int64(binary.BigEndian.Uint64(index[32:]))
		l, err := d.st.BlobList(id)
		if err != nil || l.Size != size {
			continue // it was listed, but not begun
		}
		gone, err := d.shelf.add(id, size, index[40] == 1)
		if err != nil {
			gone = []ID{id} // there is less room than there was
		}
		if err := d.unpin(gone); err != nil {
			return err
		}
	}
	d.ready = true
	return nil
}

func (d *Disk) unpin(gone []ID) error {
	for _, id := range gone {
		delete(d.blobs, id)
		if err := d.st.Unpin(id, diskRef); err != nil {
			return err
		}
	}
	return nil
}

// save writes down which blobs there are, the least used one first. The caller holds mu.
func (d *Disk) save() error {
	ids := make([]ID, 0, len(d.shelf.items))
	for id := range d.shelf.items {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return cmp.Compare(d.shelf.items[a].used, d.shelf.items[b].used) })
	index := make([]byte, 0, 41*len(ids))
	for _, id := range ids {
		it := d.shelf.items[id]
		index = binary.BigEndian.AppendUint64(append(index, id[:]...), uint64(it.size))
		if it.own {
			index = append(index, 1)
		} else {
			index = append(index, 0)
		}
	}
	return d.st.Put([]storage.Record{{Key: diskIndex, Value: index}})
}

// reserve makes room for a blob, lists and pins it. It is listed before it is written, so that a crash leaves nothing on
// disk that nobody knows. The caller holds mu.
func (d *Disk) reserve(id ID, size int64, own bool) (known bool, err error) {
	if err := d.load(); err != nil {
		return false, err
	}
	it := d.shelf.items[id]
	if it != nil && (it.own || !own) {
		d.shelf.touch(id)
		d.shelf.pin(id)
		return true, nil
	}
	gone, err := d.shelf.add(id, size, own)
	if err != nil {
		return false, fmt.Errorf("keep blob of %d bytes on disk: %w", size, err)
	}
	if err := errors.Join(d.unpin(gone), d.save()); err != nil {
		return false, err
	}
	d.shelf.pin(id)
	return it != nil, nil
}

// release ends what reserve began.
func (d *Disk) release(id ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shelf.unpin(id)
}

// Put stores data as a blob of this node's own. It is on disk when Put returns.
func (d *Disk) Put(data []byte) (ID, error) {
	l := storage.Chunks(data)
	id := l.ID()
	d.mu.Lock()
	known, err := d.reserve(id, l.Size, true)
	d.mu.Unlock()
	if err != nil {
		return ID{}, err
	}
	_, err = d.st.PutBlob(data, diskRef)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shelf.unpin(id)
	if err != nil {
		if !known {
			d.shelf.remove(id)
		}
		return ID{}, err
	}
	delete(d.blobs, id) // what it knows of the chunks is out of date
	return id, nil
}

// Open implements [Store].
func (d *Disk) Open(id ID) (Blob, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return nil, err
	}
	if d.shelf.items[id] == nil {
		return nil, ErrNotFound
	}
	f, err := d.file(id)
	if err != nil {
		return nil, err
	}
	d.shelf.touch(id)
	return diskBlob{f, func() {}}, nil
}

// file finds out which chunks of a blob are there. The caller holds mu.
func (d *Disk) file(id ID) (*diskFile, error) {
	if f := d.blobs[id]; f != nil {
		return f, nil
	}
	l, err := d.st.BlobList(id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	f := &diskFile{st: d.st, list: l, id: id, have: newBitmap(len(l.Hashes))}
	for i, h := range l.Hashes {
		if d.st.HasChunk(h) {
			f.have.set(i)
		}
	}
	d.blobs[id] = f
	return f, nil
}

// Begin implements [Store].
func (d *Disk) Begin(l ChunkList) (Blob, error) {
	id := l.ID()
	d.mu.Lock()
	defer d.mu.Unlock()
	known, err := d.reserve(id, l.Size, false)
	if err != nil {
		return nil, err
	}
	if !known {
		if err := d.st.Begin(l, diskRef); err != nil {
			d.shelf.remove(id)
			return nil, err
		}
	}
	f, err := d.file(id)
	if err != nil {
		d.shelf.unpin(id)
		return nil, err
	}
	return diskBlob{f, sync.OnceFunc(func() { d.release(id) })}, nil
}

type diskBlob struct {
	*diskFile
	close func()
}

func (b diskBlob) Close()          { b.close() }
func (b diskBlob) List() ChunkList { return b.list }

func (b diskBlob) Has(i int) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.have.has(i)
}

func (b diskBlob) Chunk(i int) ([]byte, error) {
	if !b.Has(i) {
		return nil, ErrNotFound
	}
	chunk, err := b.st.BlobChunk(b.id, i) // which checks it
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrDamaged) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.have.unset(i)
		return nil, fmt.Errorf("%w: chunk %d: %w", ErrNotFound, i, err)
	}
	return chunk, err
}

func (b diskBlob) Put(i int, chunk []byte) error {
	if b.Has(i) {
		return nil
	}
	if err := b.st.PutChunk(b.list, i, chunk); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.have.set(i)
	return nil
}

func (b diskBlob) Bytes() ([]byte, error) {
	if missing(b) > 0 {
		return nil, ErrNotFound
	}
	data := make([]byte, 0, b.list.Size)
	var bad error
	for i := range b.list.Hashes {
		chunk, err := b.Chunk(i)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		bad = cmp.Or(bad, err)
		data = append(data, chunk...)
	}
	if bad != nil {
		return nil, bad
	}
	return data, nil
}
