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

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// sound checks the parts of the tables in a directory that Badger reads while it opens them: on a table that was cut off,
// or whose index or last block is not what was written, Badger panics on a goroutine of its own, and nothing above it
// could say what is wrong. Damage elsewhere in a table comes to light when it is read, and costs no more than what it hits.
// A table that Badger's list does not have is one that a process was killed in the midst of: Badger removes it unread.
func sound(dir string) error {
	ids, err := listed(dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		path := table.NewFilename(id, dir)
		err := soundTable(path)
		// A missing one is compaction by another process, which holds the store, or else Badger tells.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// unbegun removes logs of memtables without content: a process was killed before it gave them any, or when it removed them. Badger would
// not open the store.
func unbegun(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		if info, err := os.Stat(path); err != nil || info.Size() > 0 || InUse(dir) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// listed returns the tables that Badger opens, in ascending order: none where there is no list yet.
func listed(dir string) ([]uint64, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unlisted(dir)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", badger.ManifestFilename, err)
	}
	return slices.Sorted(maps.Keys(m.Tables)), nil
}

// unlisted returns an error if there are tables without a list: Badger would remove them, unread.
func unlisted(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err == nil && len(tables) > 0 {
		err = fmt.Errorf("%s is missing, and there are %d tables that it would list", badger.ManifestFilename, len(tables))
	}
	return err
}

// soundTable reads a table from its end: the length of a checksum, the checksum, the length of the index, the index, of
// which the last block is one entry.
func soundTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r := backwards{f: f, at: info.Size()}
	sum := r.checksum()
	index := r.block(r.number())
	if r.err != nil {
		return r.err
	}
	if len(index) < 4 { // zeros read as the right checksum of an empty index, which has no place for a root
		return errCutOff
	}
	if err := verify(index, sum); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	var last fb.BlockOffset
	blocks := fb.GetRootAsTableIndex(index, 0)
	if n := blocks.OffsetsLength(); n == 0 || !blocks.Offsets(&last, n-1) {
		return errCutOff
	}
	end := int64(last.Offset()) + int64(last.Len())
	if end > info.Size() {
		return errCutOff
	}
	r.at = end
	sum = r.checksum()
	data := r.block(r.at - int64(last.Offset()))
	if r.err != nil {
		return r.err
	}
	if err := verify(data, sum); err != nil {
		return fmt.Errorf("last block: %w", err)
	}
	return nil
}

var (
	errCutOff   = errors.New("it is cut off, or its end is overwritten")
	errWrongSum = errors.New("its checksum is wrong")
)

func verify(data, sum []byte) error {
	var want pb.Checksum
	if proto.Unmarshal(sum, &want) != nil || pb.Checksum_Algorithm_name[int32(want.Algo)] == "" || y.VerifyChecksum(data, &want) != nil {
		return errWrongSum
	}
	return nil
}

// backwards reads a file from its end. The first error stays.
type backwards struct {
	f   *os.File
	at  int64
	err error
}

// block reads the n bytes before the place where it is.
func (r *backwards) block(n int64) []byte {
	if r.err == nil && (n < 0 || n > r.at) {
		r.err = errCutOff
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, err := r.f.ReadAt(b, r.at-n); err != nil {
		r.err = err
		return nil
	}
	r.at -= n
	return b
}

func (r *backwards) number() int64 {
	if b := r.block(4); b != nil {
		return int64(binary.BigEndian.Uint32(b))
	}
	return 0
}

// checksum reads a checksum with its length behind it.
func (r *backwards) checksum() []byte { return r.block(r.number()) }
