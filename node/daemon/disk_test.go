package daemon

import (
	"flag"
	"fmt"
	"testing"

	"starling/node"
	"starling/storage"
)

var diskRecords = flag.Int("disk.records", 200, "own records to persist in TestTheOwnLogTakesBoundedDisk")

// TestTheOwnLogTakesBoundedDisk persists records as a node does: the open batch anew with each, and none that a checkpoint holds and that
// is not kept. The disk in use must not depend on how many there were.
func TestTheOwnLogTakesBoundedDisk(t *testing.T) {
	s, err := storage.Open(t.TempDir(), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const batch, kept = 1024, 4
	key := func(i int) string { return fmt.Sprintf("%s%016x", node.ScalarKey, i) }
	value := make([]byte, 60, 60+batch)
	most := int64(0)
	for i := range *diskRecords {
		first := i - i%batch
		writes := []storage.Record{{Key: key(first), Value: value[:60+i%batch+1]}}
		if i%batch == 0 && i >= kept*batch {
			writes = append(writes, storage.Record{Key: key(first - kept*batch)})
		}
		if err := s.Put(writes); err != nil {
			t.Fatal(err)
		}
		if i%batch == 0 {
			most = max(most, s.Usage())
		}
	}
	log, err := s.Records(node.ScalarKey)
	if err != nil || len(log) > kept+1 {
		t.Errorf("%d batches in the store, %v; want at most %d", len(log), err, kept+1)
	}
	t.Logf("%d records took up to %d KiB of disk", *diskRecords, most>>10)
	if most > 32<<20 {
		t.Errorf("%d records took up to %d MiB of disk", *diskRecords, most>>20)
	}
}
