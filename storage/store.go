package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Options say how a Store behaves. The zero value is what a daemon wants.
type Options struct {
	Logger    *slog.Logger // default: discard
	DiskLimit int64        // bytes on disk; writes beyond it fail with ErrDiskFull. 0 is no limit
	Keep      int          // newest checkpoints that are kept; default 3; see [Store.SetKeep]

	fault    func(op string) error // tests: asked before every commit
	free     func() int64          // tests: in place of the space on the disk
	packFrom int64                 // tests: in place of the constant of that name
}

// schema is the version of the layout of keys.
const schema = 2 // since 2 there are packs

// packFrom is from how many bytes on chunks that are written together go into a pack.
const packFrom = 128 << 10

// The first byte of a key says what it holds.
const (
	keySchema     = "v"
	keyRecord     = "r"
	keyChunk      = "c"
	keyBlob       = "b"
	keyCheckpoint = "k" // then 8 bytes big-endian
	keyLog        = "l"
	keyLogEnd     = "e"
)

// A Store is one directory on disk. All methods are safe for concurrent use.
type Store struct {
	db  *badger.DB
	opt Options
	dir string

	// mu orders writers of chunks against each other and against the removal of chunks. It guards what follows.
	mu       sync.Mutex
	refs     map[hash]int  // how often a chunk is named by checkpoints and blobs
	bad      map[hash]bool // chunks that were found damaged and are written again when they come by
	newest   uint64        // number of the newest checkpoint ever written
	packs    map[uint64]*pack
	lastPack uint64 // the largest number of a pack
	closed   bool
}

// Open opens the store in a directory, which is made if there is none. One process at a time may have it open; a second
// one gets [ErrLocked]. A store that a newer version has written is refused with [ErrSchema].
func Open(dir string, opt Options) (*Store, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Keep == 0 {
		opt.Keep = 3
	}
	if opt.packFrom == 0 {
		opt.packFrom = packFrom
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", explain(err))
	}
	if err := (&Store{dir: dir, opt: opt}).space(0); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	// Values that are too small for a pack stay in the tree: checkpoints come and go every few seconds, and compaction reclaims
	// deleted values at once, while the value log learns of them only when a memtable of tiny keys is full, which is almost never.
	// The sizes keep an idle store at a few MiB of memory; no block cache, as reads are rare and large.
	o := badger.DefaultOptions(dir).
		WithLogger(quiet{opt.Logger}).
		WithSyncWrites(true).
		WithMetricsEnabled(false).
		WithDetectConflicts(false).
		WithMemTableSize(4 << 20).WithNumMemtables(2).
		WithValueThreshold(1 << 19).WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(0).WithIndexCacheSize(0).WithCompression(options.None).
		WithNumCompactors(2).WithNumLevelZeroTables(3).WithNumLevelZeroTablesStall(8).
		WithBaseTableSize(4 << 20).WithBaseLevelSize(16 << 20).
		WithNumGoroutines(2)
	if err := unbegun(dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	if err := sound(dir); err != nil {
		if InUse(dir) { // and so the tables change
			return nil, fmt.Errorf("open store %s: %w", dir, ErrLocked)
		}
		return nil, unusable(dir, err)
	}
	db, err := badger.Open(o)
	if err != nil {
		err = explain(err)
		switch {
		case strings.Contains(err.Error(), "Another process is using this Badger database"):
			return nil, fmt.Errorf("open store %s: %w", dir, ErrLocked)
		case errors.Is(err, ErrDiskFull), errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "permission denied"):
			return nil, fmt.Errorf("open store %s: %w", dir, err)
		}
		return nil, unusable(dir, err)
	}
	s := &Store{db: db, opt: opt, dir: dir, refs: make(map[hash]int), bad: make(map[hash]bool), packs: make(map[uint64]*pack)}
	if err := s.begin(); err != nil {
		db.Close()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

// unusable says that Badger's own files are damaged, and what to do about it.
func unusable(dir string, err error) error {
	return fmt.Errorf("open store %s: %w: %w: restore it from a backup, or move it away to start anew from what peers have", dir, ErrDamaged, err)
}

// begin checks the schema and counts the references to chunks.
func (s *Store) begin() error {
	v, err := s.get(keySchema)
	switch {
	case err == nil && len(v) != 4:
		return fmt.Errorf("schema record: %w", ErrDamaged)
	case err == nil && binary.BigEndian.Uint32(v) > schema:
		return fmt.Errorf("%w: schema %d, this one reads up to %d", ErrSchema, binary.BigEndian.Uint32(v), schema)
	case errors.Is(err, ErrNotFound), err == nil && binary.BigEndian.Uint32(v) < schema: // what older ones wrote is read as it is
		err = s.commit("schema", []write{{key: keySchema, value: binary.BigEndian.AppendUint32(nil, schema)}})
	}
	if err != nil {
		return err
	}
	if err := s.openPacks(); err != nil {
		return err
	}
	err = s.scan(keyCheckpoint, func(key string, value []byte) error {
		s.newest = max(s.newest, numberOf(key))
		if m, err := decodeManifest(value); err == nil { // a damaged one is reported by Latest and Verify
			s.count(m.chunks(), 1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.scan(keyBlob, func(_ string, value []byte) error {
		if b, err := decodeBlob(value); err == nil {
			s.count(b.List.Hashes, 1)
		}
		return nil
	})
}

func (s *Store) count(chunks []hash, by int) {
	for _, h := range chunks {
		if s.refs[h] += by; s.refs[h] == 0 {
			delete(s.refs, h)
		}
	}
}

// Close closes the store. It is idempotent. On a full disk it only stops using the store and returns [ErrDiskFull]: what
// was acknowledged is in the log, from which the next Open completes the rest, but the directory stays locked until the
// process ends. To finish by writing, as Badger does, would end the process at once; see spare.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.space(0); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return explain(s.db.Close())
}

// Run keeps the store small until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	t := time.NewTicker(5 * time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := s.GC(ctx); err != nil && ctx.Err() == nil {
				s.opt.Logger.Warn("collect garbage", "error", err)
			}
		}
	}
}

// SetKeep changes how many of the newest checkpoints stay when the next one is saved, at least one.
func (s *Store) SetKeep(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opt.Keep = max(1, n)
}

// GC removes chunks that nothing names, which interrupted writes leave behind, and compacts packs and the value log.
func (s *Store) GC(ctx context.Context) error {
	if err := s.collect(ctx); err != nil {
		return err
	}
	return s.repack()
}

func (s *Store) collect(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	var gone []write
	err := s.keys(keyChunk, func(key string) error {
		if h, ok := chunkOf(key); !ok || s.refs[h] == 0 {
			gone = append(gone, write{key: key})
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := s.commit("gc", gone); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := s.db.RunValueLogGC(0.5); err != nil {
			if errors.Is(err, badger.ErrNoRewrite) {
				return nil
			}
			return explain(err)
		}
	}
	return ctx.Err()
}

// Usage returns the bytes that the store takes on disk.
func (s *Store) Usage() int64 {
	var n int64
	filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file that went away while walking takes no space
		}
		if info, err := d.Info(); err == nil {
			n += allocated(info)
		}
		return nil
	})
	return n
}

// spare is the space that must stay free on the disk. Badger writes through memory maps of sparse files, and where such a
// write finds no space the system kills the process: so the store stops well before.
const spare = 32 << 20

// space fails if the disk has no room for n more bytes.
func (s *Store) space(n int64) error {
	left, ok := free(s.dir)
	if s.opt.free != nil {
		left, ok = s.opt.free(), true
	}
	if ok && left < n+spare {
		return fmt.Errorf("%w: %d MiB are left where %s is, and %d MiB must stay free: remove something there", ErrDiskFull, left>>20, s.dir, spare>>20)
	}
	return nil
}

// room fails if n more bytes would exceed the limit, or the disk.
func (s *Store) room(n int64) error {
	if err := s.space(n); err != nil {
		return err
	}
	if s.opt.DiskLimit == 0 {
		return nil
	}
	if used := s.Usage(); used+n > s.opt.DiskLimit {
		return fmt.Errorf("%w: the store may take %d MiB and has %d, and needs %d more: allow it more with --disk", ErrDiskFull, s.opt.DiskLimit>>20, used>>20, (n+1<<20-1)>>20)
	}
	return nil
}

// A Record is a small value under a key.
type Record struct {
	Key   string
	Value []byte
}

// Put writes records; an empty value takes the record away. When it returns nil all of them are on disk, else none or all.
func (s *Store) Put(records []Record) error {
	w := make([]write, len(records))
	for i, r := range records {
		if w[i].key = keyRecord + r.Key; len(r.Value) > 0 {
			w[i].value = r.Value
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.space(0); err != nil {
		return err
	}
	return s.commit("put", w)
}

// Get reads a record. It returns [ErrNotFound] if there is none.
func (s *Store) Get(key string) ([]byte, error) { return s.get(keyRecord + key) }

// Records lists the records whose keys begin with a prefix, ascending by key.
func (s *Store) Records(prefix string) (out []Record, err error) {
	err = s.scan(keyRecord+prefix, func(key string, value []byte) error {
		out = append(out, Record{Key: strings.TrimPrefix(key, keyRecord), Value: bytes.Clone(value)})
		return nil
	})
	return out, err
}

// A write sets a key, or deletes it if value is nil.
type write struct {
	key   string
	value []byte
	meta  byte
}

// metaPlace marks the key of a chunk whose value is its place in a pack.
const metaPlace = 1

// commit makes the writes durable: all of them in one transaction if they fit into one, else in several in order. The
// caller holds mu, or is the only user.
func (s *Store) commit(op string, writes []write) error {
	if s.closed {
		return ErrClosed
	}
	for len(writes) > 0 {
		if s.opt.fault != nil {
			if err := s.opt.fault(op); err != nil {
				return explain(err)
			}
		}
		n, err := s.commitSome(writes)
		if err != nil {
			return explain(err)
		}
		writes = writes[n:]
	}
	s.sweepPacks()
	return nil
}

// commitSome commits as many of the writes as fit into a transaction, and takes note of what is needed of packs, and damaged, by then.
func (s *Store) commitSome(writes []write) (n int, err error) {
	type change struct {
		place
		by int64
	}
	var changes []change
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range writes {
		before, err := placeAt(txn, w.key)
		if err != nil {
			return 0, err
		}
		if w.value == nil {
			err = txn.Delete([]byte(w.key))
		} else {
			err = txn.SetEntry(badger.NewEntry([]byte(w.key), w.value).WithMeta(w.meta))
		}
		if errors.Is(err, badger.ErrTxnTooBig) && n > 0 {
			break
		}
		if err != nil {
			return 0, err
		}
		n++
		if before != nil {
			changes = append(changes, change{*before, -1})
		}
		if w.meta == metaPlace {
			after, err := parsePlace(w.value)
			if err != nil {
				return 0, err
			}
			changes = append(changes, change{*after, 1})
		}
	}
	if err := txn.Commit(); err != nil {
		return 0, err
	}
	for _, c := range changes {
		s.needed(c.place, c.by)
	}
	for _, w := range writes[:n] {
		if h, ok := chunkOf(w.key); ok && strings.HasPrefix(w.key, keyChunk) {
			delete(s.bad, h) // it is written again, or gone
		}
	}
	return n, nil
}

func (s *Store) get(key string) (value []byte, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	return value, err
}

// scan calls fn with every key of a kind, ascending, and its value, which is valid during the call.
func (s *Store) scan(kind string, fn func(key string, value []byte) error) error {
	return s.iterate(kind, func(item *badger.Item) error {
		return item.Value(func(v []byte) error { return fn(string(item.Key()), v) })
	})
}

// keys is scan without values.
func (s *Store) keys(kind string, fn func(key string) error) error {
	return s.iterate(kind, func(item *badger.Item) error { return fn(string(item.Key())) })
}

func (s *Store) iterate(kind string, fn func(*badger.Item) error) error {
	return s.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix = []byte(kind)
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := fn(it.Item()); err != nil {
				return err
			}
		}
		return nil
	})
}

// quiet hands Badger's warnings and errors to slog; what it does all day is not news.
type quiet struct{ log *slog.Logger }

func (q quiet) Errorf(f string, a ...any) {
	q.log.Error("store", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (q quiet) Warningf(f string, a ...any) {
	q.log.Warn("store", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (q quiet) Infof(string, ...any)  {}
func (q quiet) Debugf(string, ...any) {}
