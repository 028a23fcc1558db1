package storage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// The long form: go test ./storage -run Kill -kills 200.
var kills = flag.Int("kills", 8, "processes to kill in TestAcknowledgedCheckpointsSurviveKill")

func TestMain(m *testing.M) {
	if dir := os.Getenv("STARLING_STORAGE_VICTIM"); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m,
		// Badger leaves a process-wide publisher of glog behind.
		goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		// And these when it refuses to open damaged files; the daemon ends then.
		goleak.IgnoreAnyFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"),
		goleak.IgnoreAnyFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"))
}

func open(t *testing.T, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// inBoth runs a test with chunks that are in Badger, and with chunks that are in packs.
func inBoth(t *testing.T, test func(t *testing.T, from int64)) {
	t.Run("tree", func(t *testing.T) { test(t, packFrom) })
	t.Run("packs", func(t *testing.T) { test(t, 1) })
}

// state makes a checkpoint whose content follows from n: big sections, of which the first half changes rarely.
func state(n uint64) Checkpoint {
	r := rand.New(rand.NewPCG(n/4, 1))
	same := make([]byte, ChunkSize+1000)
	for i := range same {
		same[i] = byte(r.Uint32())
	}
	return Checkpoint{
		Meta:     binary.BigEndian.AppendUint64(nil, n),
		Sections: []Section{{"same", same}, {"new", bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), 5000)}, {"empty", nil}},
	}
}

func number(c Checkpoint) uint64 { return binary.BigEndian.Uint64(c.Meta) }

// whole fails if the checkpoint is not exactly what state makes.
func whole(c Checkpoint) error {
	want := state(number(c))
	for i := range want.Sections {
		if !bytes.Equal(c.Sections[i].Data, want.Sections[i].Data) || c.Sections[i].Name != want.Sections[i].Name {
			return fmt.Errorf("checkpoint %d: section %s differs", number(c), want.Sections[i].Name)
		}
	}
	return nil
}

// TestNobodyFindsMoreCheckpointsThanAreKept looks before every write of a save.
func TestNobodyFindsMoreCheckpointsThanAreKept(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		var s *Store
		most := 0
		s = open(t, t.TempDir(), Options{packFrom: from, Keep: 3, fault: func(string) error {
			if s != nil {
				list, err := s.List()
				if err != nil {
					return err
				}
				most = max(most, len(list))
			}
			return nil
		}})
		for n := range uint64(6) {
			if err := s.SaveCheckpoint(t.Context(), state(n)); err != nil {
				t.Fatal(err)
			}
		}
		if most != 3 {
			t.Errorf("%d checkpoints are listed in the middle of a save, 3 are kept", most)
		}
	})
}

func TestCheckpointsComeBackAndOldOnesGo(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		dir := t.TempDir()
		s := open(t, dir, Options{packFrom: from, Keep: 3})
		if _, _, err := s.Latest(t.Context()); !errors.Is(err, ErrNotFound) {
			t.Fatalf("Latest of an empty store: %v", err)
		}
		for n := range uint64(9) {
			if err := s.SaveCheckpoint(t.Context(), state(n)); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		s = open(t, dir, Options{packFrom: from, Keep: 3})
		c, damage, err := s.Latest(t.Context())
		if err != nil || len(damage) > 0 || number(c) != 8 {
			t.Fatalf("Latest: number %d, %v, %v", number(c), damage, err)
		}
		if err := whole(c); err != nil {
			t.Error(err)
		}
		list, err := s.List()
		if err != nil || len(list) != 3 || list[0].Seq != c.Seq {
			t.Fatalf("List: %+v, %v", list, err)
		}
		// 6 and 7 share their large section; 8 has its own. Each of the three has one small one.
		var chunks int
		s.keys(keyChunk, func(string) error { chunks++; return nil })
		if chunks != 2*2+3 {
			t.Errorf("%d chunks are stored, want 7: equal chunks once, and none of removed checkpoints", chunks)
		}
		if _, err := s.Load(list[2].Seq); err != nil {
			t.Error(err)
		}
	})
}

// TestAFaultAtAnyWriteLosesNothingAcknowledged fails the k-th write for every k, drops the store as it is, and looks at
// what a new process finds.
func TestAFaultAtAnyWriteLosesNothingAcknowledged(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		for _, cause := range []error{errors.New("power cut"), syscall.ENOSPC} {
			for k := 1; ; k++ {
				dir := t.TempDir()
				writes := 0
				s, err := Open(dir, Options{packFrom: from, Keep: 2, fault: func(string) error {
					if writes++; writes >= k {
						return cause
					}
					return nil
				}})
				if err != nil { // the very first write; nothing was acknowledged
					open(t, dir, Options{packFrom: from}).Close()
					continue
				}
				acked, record, blobAcked := -1, -1, false
				var blob BlobID
				for n := 0; n < 5 && err == nil; n++ {
					if err = s.SaveCheckpoint(context.Background(), state(uint64(n))); err == nil {
						acked = n
					}
					if err == nil {
						if err = s.Put([]Record{{"a", []byte{byte(n)}}, {"b", []byte{byte(n)}}}); err == nil {
							record = n
						}
					}
					if err == nil && n == 2 {
						if blob, err = s.PutBlob(state(1).Sections[0].Data, "test"); err == nil {
							blobAcked = true
						}
					}
				}
				if cause == syscall.ENOSPC && err != nil && !errors.Is(err, ErrDiskFull) {
					t.Fatalf("write %d: a full disk is reported as %v", k, err)
				}
				// A copy of the directory is what a power cut would leave: nothing of Close.
				after := t.TempDir()
				if err := os.CopyFS(filepath.Join(after, "x"), os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				s.Close()
				r := open(t, filepath.Join(after, "x"), Options{packFrom: from, Keep: 2})
				c, damage, lerr := r.Latest(t.Context())
				switch {
				case len(damage) > 0:
					t.Fatalf("write %d: damage %v", k, damage)
				case errors.Is(lerr, ErrNotFound):
					if acked >= 0 {
						t.Fatalf("write %d: checkpoint %d was acknowledged and is gone", k, acked)
					}
				case lerr != nil:
					t.Fatalf("write %d: %v", k, lerr)
				case int(number(c)) < acked:
					t.Fatalf("write %d: checkpoint %d was acknowledged, %d is the newest", k, acked, number(c))
				default:
					if err := whole(c); err != nil {
						t.Fatalf("write %d: %v", k, err)
					}
				}
				a, _ := r.Get("a")
				b, _ := r.Get("b")
				if !bytes.Equal(a, b) || (record >= 0 && (len(a) == 0 || int(a[0]) < record)) {
					t.Fatalf("write %d: records are %v and %v, %d was acknowledged", k, a, b, record)
				}
				if err := r.GC(t.Context()); err != nil {
					t.Fatal(err)
				}
				if lerr == nil {
					if c, damage, err := r.Latest(t.Context()); err != nil || len(damage) > 0 || whole(c) != nil {
						t.Fatalf("write %d: after garbage collection: %v %v", k, damage, err)
					}
				}
				if blobAcked {
					if _, err := r.BlobChunk(blob, 1); err != nil {
						t.Fatalf("write %d: blob: %v", k, err)
					}
				}
				r.Close()
				if writes < k {
					if k < 15 {
						t.Fatalf("only %d writes were tried", k)
					}
					break // the whole story went through without reaching write k
				}
			}
		}
	})
}

func TestADamagedCheckpointIsNamedAndTheOneBeforeUsed(t *testing.T) {
	for name, damage := range map[string]func(s *Store, newest *manifest) write{
		"flipped byte": func(s *Store, m *manifest) write {
			h := m.chunks()[len(m.chunks())-1]
			b, err := s.get(chunkKey(h))
			if err != nil {
				t.Fatal(err)
			}
			b[17] ^= 1
			return write{key: chunkKey(h), value: b}
		},
		"missing chunk": func(s *Store, m *manifest) write { return write{key: chunkKey(m.chunks()[len(m.chunks())-1])} },
		"truncated record": func(s *Store, _ *manifest) write {
			return write{key: checkpointKey(s.newest), value: []byte{0x82, 0x41}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			for n := range uint64(3) {
				if err := s.SaveCheckpoint(t.Context(), state(n)); err != nil {
					t.Fatal(err)
				}
			}
			value, err := s.get(checkpointKey(s.newest))
			if err != nil {
				t.Fatal(err)
			}
			m, err := decodeManifest(value)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.commit("damage", []write{damage(s, m)}); err != nil {
				t.Fatal(err)
			}
			c, skipped, err := s.Latest(t.Context())
			if err != nil || number(c) != 1 || whole(c) != nil {
				t.Fatalf("Latest: number %d, %v", number(c), err)
			}
			if len(skipped) != 1 || skipped[0].Checkpoint != s.newest || !strings.Contains(skipped[0].String(), fmt.Sprint(s.newest)) {
				t.Errorf("skipped %v, want checkpoint %d", skipped, s.newest)
			}
			if bad, err := s.Verify(s.newest); err != nil || len(bad) != 1 {
				t.Errorf("Verify: %v, %v", bad, err)
			}
			if _, err := s.Load(s.newest); !errors.Is(err, ErrDamaged) {
				t.Errorf("Load: %v, want ErrDamaged", err)
			}
			if err := s.SaveCheckpoint(t.Context(), state(9)); err != nil {
				t.Errorf("saving after damage: %v", err)
			}
		})
	}
}

// victim writes checkpoints and says so until it is killed.
func victim(dir string) {
	from, err := strconv.ParseInt(os.Getenv("STARLING_STORAGE_PACK_FROM"), 10, 64)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	s, err := Open(dir, Options{Keep: 2, packFrom: from})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	c, _, err := s.Latest(context.Background())
	next := uint64(0)
	if err == nil {
		next = number(c) + 1
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); next++ {
		if err := s.SaveCheckpoint(context.Background(), state(next)); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(next)
	}
}

func TestAcknowledgedCheckpointsSurviveKill(t *testing.T) {
	inBoth(t, acknowledgedCheckpointsSurviveKill)
}

func acknowledgedCheckpointsSurviveKill(t *testing.T, from int64) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	for k := range *kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STARLING_STORAGE_VICTIM="+dir, fmt.Sprintf("STARLING_STORAGE_PACK_FROM=%d", from))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked uint64
		after := 2 + r.IntN(12)
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			if _, err := fmt.Sscan(lines.Text(), &acked); err != nil {
				t.Fatalf("victim: %s", lines.Text())
			}
			if i == after {
				// Somewhere in the middle of the next one.
				time.Sleep(time.Duration(r.IntN(8000)) * time.Microsecond)
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		s := open(t, dir, Options{Keep: 2})
		c, damage, err := s.Latest(t.Context())
		if err != nil || len(damage) > 0 || number(c) < acked || whole(c) != nil {
			t.Fatalf("kill %d: %d was acknowledged; found %d, damage %v, %v, %v", k, acked, number(c), damage, err, whole(c))
		}
		s.Close()
	}
}

func TestASecondProcessIsToldWhoHoldsTheStore(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrLocked that names %s", err, dir)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	if err := s.commit("schema", []write{{key: keySchema, value: []byte{0, 0, 0, 9}}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
}

func TestTheDiskLimitRefusesAndLosesNothing(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		s := open(t, t.TempDir(), Options{packFrom: from, DiskLimit: 12 << 20, Keep: 100})
		var last uint64
		var err error
		for n := uint64(0); n < 200; n++ {
			if err = s.SaveCheckpoint(t.Context(), state(4*n)); err != nil {
				break
			}
			last = n
		}
		if !errors.Is(err, ErrDiskFull) {
			t.Fatalf("got %v, want ErrDiskFull", err)
		}
		if used := s.Usage(); used > 16<<20 {
			t.Errorf("%d bytes are used with a limit of 12 MiB", used)
		}
		c, damage, err := s.Latest(t.Context())
		if err != nil || len(damage) > 0 || number(c) != 4*last {
			t.Errorf("newest is %d, want %d; %v %v", number(c), 4*last, damage, err)
		}
	})
}

func TestSpaceOfOldCheckpointsComesBack(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		s := open(t, t.TempDir(), Options{packFrom: from})
		for n := uint64(0); n < 400; n++ {
			if err := s.SaveCheckpoint(t.Context(), state(4*n)); err != nil {
				t.Fatal(err)
			}
		}
		// 400 checkpoints of 300 KB are 120 MB; three are kept.
		if used := s.Usage(); used > 64<<20 {
			t.Errorf("%d MiB are used for 3 checkpoints of 0.3 MB", used>>20)
		}
	})
}

func TestBlobsResumeAndGoWithTheirLastReference(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		dir := t.TempDir()
		s := open(t, dir, Options{packFrom: from})
		data := state(5).Sections[0].Data
		l := Chunks(data)
		if err := s.Begin(l, "fetch"); err != nil {
			t.Fatal(err)
		}
		if err := s.PutChunk(l, 0, l.Cut(data, 1)); !errors.Is(err, ErrDamaged) {
			t.Errorf("a wrong chunk: %v", err)
		}
		if err := s.PutChunk(l, 1, l.Cut(data, 1)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = open(t, dir, Options{packFrom: from})
		if err := s.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.HasChunk(l.Hashes[0]) || !s.HasChunk(l.Hashes[1]) {
			t.Fatal("after a restart the chunk that came is not there, or one that did not is")
		}
		// A checkpoint with the same bytes must not rely on the chunk that has not come.
		if err := s.SaveCheckpoint(t.Context(), Checkpoint{Sections: []Section{{"x", data}}}); err != nil {
			t.Fatal(err)
		}
		if _, damage, err := s.Latest(t.Context()); err != nil || len(damage) > 0 {
			t.Fatalf("checkpoint over a partial blob: %v %v", damage, err)
		}
		id, err := s.PutBlob(data, "other")
		if err != nil || id != l.ID() {
			t.Fatalf("PutBlob: %v %v", id, err)
		}
		if err := s.Unpin(id, "fetch"); err != nil {
			t.Fatal(err)
		}
		if b, err := s.BlobChunk(id, 0); err != nil || !bytes.Equal(b, l.Cut(data, 0)) {
			t.Errorf("blob with one reference left: %v", err)
		}
		if ids, err := s.Blobs("other"); err != nil || len(ids) != 1 || ids[0] != id {
			t.Fatalf("Blobs: %v %v", ids, err)
		}
		if err := s.Unpin(id, "other"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.BlobList(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("blob without references: %v", err)
		}
		if _, damage, err := s.Latest(t.Context()); err != nil || len(damage) > 0 {
			t.Errorf("the checkpoint lost chunks with the blob: %v %v", damage, err)
		}
	})
}

func TestChunkListsParseStrictly(t *testing.T) {
	for _, n := range []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3 * ChunkSize} {
		l := Chunks(make([]byte, n))
		got, err := ParseChunkList(l.Encode(), int64(n))
		if err != nil || got.ID() != l.ID() || cmp.Diff(len(got.Hashes), len(l.Hashes)) != "" {
			t.Errorf("%d bytes: %v", n, err)
		}
		if n > 0 {
			if _, err := ParseChunkList(l.Encode(), int64(n-1)); err == nil {
				t.Errorf("%d bytes: accepted over the limit", n)
			}
		}
		if _, err := ParseChunkList(append(l.Encode(), 0), int64(n)); err == nil {
			t.Errorf("%d bytes: trailing byte accepted", n)
		}
	}
}

func FuzzParseChunkList(f *testing.F) {
	f.Add(Chunks(make([]byte, 300000)).Encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseChunkList(b, 1<<62)
		if err == nil && !bytes.Equal(l.Encode(), b) {
			t.Errorf("%x parses and encodes to %x", b, l.Encode())
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add([]byte{0x82, 0x40, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeManifest(b); err == nil {
			m.lists()
			m.chunks()
		}
		decodeBlob(b)
	})
}

func TestKeysAreMadeOnceAndNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := LoadOrCreateKey(path); err != nil || !a.Equal(b) {
		t.Errorf("second time: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v %v", info.Mode(), err)
	}
	os.Chmod(path, 0o644)
	if _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "text": "hello", "cut": "-----BEGIN STARLING ED25519 SEED-----\nAAAA\n"} {
		os.WriteFile(path, []byte(text), 0o600)
		os.Chmod(path, 0o600)
		if _, err := LoadOrCreateKey(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if now, _ := os.ReadFile(path); string(now) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestLogsKeepTheirOrderAndNumbers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	var want []string
	for i := range 300 {
		e := fmt.Sprintf("entry %d", i)
		n, err := s.Append("records", []byte(e))
		if err != nil || n != uint64(i+1) {
			t.Fatalf("Append: number %d, %v", n, err)
		}
		want = append(want, e)
	}
	s.Append("records2", []byte("of another log"))
	if err := s.Truncate("records", 101); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir, Options{})
	if n, err := s.Append("records", []byte("x"), []byte("y")); err != nil || n != 301 {
		t.Fatalf("Append after reopening: number %d, %v", n, err)
	}
	want = append(want[100:], "x", "y")
	if err := s.commit("damage", []write{{key: logKey("records", 150), value: []byte{1, 2, 3, 4, 5}}}); err != nil {
		t.Fatal(err)
	}
	want[49] = "damaged"
	var got []string
	err := s.Read("records", 1, func(n uint64, e []byte, err error) error {
		if errors.Is(err, ErrDamaged) {
			e = []byte("damaged")
		}
		if n != uint64(101+len(got)) {
			t.Fatalf("entry number %d at place %d", n, len(got))
		}
		got = append(got, string(e))
		return nil
	})
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestRecordsAreListedByPrefixAndAnEmptyValueTakesOneAway(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	for _, records := range [][]Record{
		{{"a/2", []byte("two")}, {"a/1", []byte("one")}, {"ab", []byte("other")}, {"a/3", []byte("three")}},
		{{"a/2", nil}, {"a/3", []byte{}}, {"a/4", []byte("four")}, {"never", nil}},
	} {
		if err := s.Put(records); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	have, err := s.Records("a/")
	if diff := cmp.Diff([]Record{{"a/1", []byte("one")}, {"a/4", []byte("four")}}, have); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := s.Get("a/3"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
