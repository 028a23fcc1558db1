package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// A pack is a file of chunks that were written together, one behind the other. What is large goes there and not into Badger, whose tree
// would write it several times: into its log, into a table, and again whenever tables are merged. A pack is made once and never changed;
// Badger has the place of every chunk, written when the pack is durable. A pack goes when nothing of it is needed any more, and one of
// which little is needed is written anew ([Store.GC]). A pack that Badger knows nothing of was left by a crash, and goes when the store
// is opened.
type pack struct {
	size int64
	need int64 // bytes of it to which places point
}

// A place says where in a pack a chunk is.
type place struct {
	pack   uint64
	offset int64
	length int
}

const placeLen = 20

func (p place) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, placeLen), p.pack)
	b = binary.BigEndian.AppendUint64(b, uint64(p.offset))
	return binary.BigEndian.AppendUint32(b, uint32(p.length))
}

func parsePlace(b []byte) (*place, error) {
	if len(b) != placeLen {
		return nil, fmt.Errorf("%w: place of a chunk", ErrDamaged)
	}
	p := &place{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), int(binary.BigEndian.Uint32(b[16:]))}
	if p.offset < 0 || p.length > ChunkSize {
		return nil, fmt.Errorf("%w: place of a chunk", ErrDamaged)
	}
	return p, nil
}

const packDir = "packs"

func (s *Store) packPath(n uint64) string {
	return filepath.Join(s.dir, packDir, fmt.Sprintf("%016x.pack", n))
}

// openPacks counts what is needed of each pack, and removes those of which nothing is.
func (s *Store) openPacks() error {
	err := s.packed(func(_ string, p place) error {
		s.needed(p, 1)
		s.lastPack = max(s.lastPack, p.pack)
		return nil
	})
	if err != nil {
		return err
	}
	files, err := os.ReadDir(filepath.Join(s.dir, packDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain(err)
	}
	for _, f := range files {
		var n uint64
		if _, err := fmt.Sscanf(f.Name(), "%016x", &n); err != nil || f.Name() != filepath.Base(s.packPath(n)) {
			continue // it is not the store's
		}
		s.lastPack = max(s.lastPack, n)
		k, needed := s.packs[n]
		if !needed {
			if err := os.Remove(s.packPath(n)); err != nil {
				return explain(err)
			}
			continue
		}
		if info, err := f.Info(); err == nil {
			k.size = info.Size()
		}
	}
	return nil
}

// packed calls fn with the key of every chunk that is in a pack, and its place. A place that cannot be read is passed over: whoever
// needs the chunk is told.
func (s *Store) packed(fn func(key string, p place) error) error {
	return s.iterate(keyChunk, func(item *badger.Item) error {
		p, err := placeIn(item)
		switch {
		case errors.Is(err, ErrDamaged):
			return nil
		case err != nil || p == nil:
			return err
		}
		return fn(string(item.Key()), *p)
	})
}

// placeIn returns the place that a value is, nil if it is the chunk itself.
func placeIn(item *badger.Item) (p *place, err error) {
	if item.UserMeta() != metaPlace {
		return nil, nil
	}
	err = item.Value(func(v []byte) (err error) {
		p, err = parsePlace(v)
		return err
	})
	return p, err
}

// placeAt returns the place under a key, nil if there is none that can be read.
func placeAt(txn *badger.Txn, key string) (*place, error) {
	if !strings.HasPrefix(key, keyChunk) {
		return nil, nil
	}
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := placeIn(item)
	if errors.Is(err, ErrDamaged) {
		return nil, nil
	}
	return p, err
}

// needed counts a place that points to a pack, or does not any more.
func (s *Store) needed(p place, by int64) {
	k := s.packs[p.pack]
	if k == nil {
		k = new(pack)
		s.packs[p.pack] = k
	}
	k.need += by * int64(p.length)
}

// sweepPacks removes the packs of which nothing is needed any more. Badger knows by then that nothing is.
func (s *Store) sweepPacks() {
	for n, k := range s.packs {
		if k.need > 0 {
			continue
		}
		if err := os.Remove(s.packPath(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.opt.Logger.Warn("remove a pack", "error", err) // it goes when the store is opened
		}
		delete(s.packs, n)
	}
}

// writePack makes a pack durable, of n chunks, and returns their places. The caller holds mu.
func (s *Store) writePack(n int, chunk func(i int) ([]byte, error)) (_ []place, err error) {
	if s.opt.fault != nil {
		if err := s.opt.fault("pack"); err != nil {
			return nil, explain(err)
		}
	}
	number := s.lastPack + 1
	dir := filepath.Join(s.dir, packDir)
	if err := os.Mkdir(dir, 0o700); err == nil {
		syncDir(s.dir)
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, explain(err)
	}
	f, err := os.OpenFile(s.packPath(number), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, explain(err)
	}
	s.lastPack = number
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	places := make([]place, n)
	at := int64(0)
	for i := range places {
		b, err := chunk(i)
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			f.Close()
			return nil, explain(err)
		}
		places[i] = place{number, at, len(b)}
		at += int64(len(b))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, explain(err)
	}
	syncDir(dir)
	s.packs[number] = &pack{size: at}
	return places, nil
}

// readPlace reads a chunk from its pack.
func (s *Store) readPlace(p place) ([]byte, error) {
	f, err := os.Open(s.packPath(p.pack))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, p.length)
	_, err = f.ReadAt(b, p.offset)
	return b, err
}

// repack writes anew what is needed of the packs of which less than half is.
func (s *Store) repack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	type chunk struct {
		key string
		place
	}
	sparse := make(map[uint64][]chunk)
	err := s.packed(func(key string, p place) error {
		if k := s.packs[p.pack]; 2*k.need < k.size {
			sparse[p.pack] = append(sparse[p.pack], chunk{key, p})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(sparse)) {
		chunks := sparse[n]
		if err := s.room(s.packs[n].need); err != nil {
			return err
		}
		places, err := s.writePack(len(chunks), func(i int) ([]byte, error) { return s.readPlace(chunks[i].place) })
		if err != nil {
			s.opt.Logger.Warn("write a pack anew", "error", err)
			continue
		}
		writes := make([]write, len(chunks))
		for i, c := range chunks {
			writes[i] = write{key: c.key, value: places[i].encode(), meta: metaPlace}
		}
		if err := s.commit("repack", writes); err != nil {
			return err
		}
	}
	return nil
}
