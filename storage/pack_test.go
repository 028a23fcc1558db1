package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// noise is n bytes that follow from a seed.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

func packsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, packDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func save(t *testing.T, s *Store, sections ...[]byte) {
	t.Helper()
	var c Checkpoint
	for i, data := range sections {
		c.Sections = append(c.Sections, Section{Name: fmt.Sprint("section ", i), Data: data})
	}
	if err := s.SaveCheckpoint(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// holds fails if the newest checkpoint is not exactly these sections.
func holds(t *testing.T, s *Store, sections ...[]byte) {
	t.Helper()
	c, damage, err := s.Latest(t.Context())
	if err != nil || len(damage) > 0 || len(c.Sections) != len(sections) {
		t.Fatalf("%d sections, damage %v, %v", len(c.Sections), damage, err)
	}
	for i, want := range sections {
		if !bytes.Equal(c.Sections[i].Data, want) {
			t.Errorf("section %d differs", i)
		}
	}
}

func TestWhatIsLargeGoesIntoPacksThatGoWithIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Keep: 2})
	save(t, s, noise(1, packFrom-1))
	if files := packsIn(t, dir); len(files) != 0 {
		t.Errorf("packs of %d bytes: %v", packFrom-1, files)
	}
	same := bytes.Repeat([]byte{1}, 8*ChunkSize) // one chunk, eight times
	for n := range uint64(5) {
		save(t, s, noise(n, 4*ChunkSize+n2(n)), same)
		holds(t, s, noise(n, 4*ChunkSize+n2(n)), same)
	}
	// Two checkpoints are kept, and the first pack has the chunk that all of them share.
	if files := packsIn(t, dir); len(files) != 3 {
		t.Errorf("packs: %v", files)
	}
	if err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := packsIn(t, dir)
	if len(files) != 3 {
		t.Errorf("packs: %v", files)
	}
	smallest := int64(1 << 40)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		smallest = min(smallest, info.Size())
	}
	if smallest != ChunkSize {
		t.Errorf("the smallest pack has %d bytes: the one of which little was needed was not written anew", smallest)
	}
	holds(t, s, noise(4, 4*ChunkSize+n2(4)), same)
	s.Close()
	s = open(t, dir, Options{Keep: 2})
	holds(t, s, noise(4, 4*ChunkSize+n2(4)), same)
	for n := range uint64(2) {
		save(t, s, noise(90+n, 1000))
	}
	if files := packsIn(t, dir); len(files) != 0 {
		t.Errorf("nothing of these packs is needed any more: %v", files)
	}
}

// n2 makes the lengths differ, so that last chunks are not full.
func n2(n uint64) int { return int(n * 1000) }

func TestAPackThatACrashLeftGoesWhenTheStoreIsOpened(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{packFrom: 1})
	save(t, s, noise(1, ChunkSize+1))
	files := packsIn(t, dir)
	s.Close()
	left := filepath.Join(dir, packDir, "00000000000000ff.pack")
	other := filepath.Join(dir, packDir, "abc.pack")
	for _, path := range []string{left, other} {
		if err := os.WriteFile(path, noise(2, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, Options{packFrom: 1})
	holds(t, s, noise(1, ChunkSize+1))
	if now := packsIn(t, dir); len(now) != len(files)+1 || now[0] != files[0] || now[1] != other {
		t.Errorf("%v, want %v and %s", now, files, other)
	}
	// Its number is not used again.
	save(t, s, noise(3, ChunkSize))
	if _, err := os.Stat(filepath.Join(dir, packDir, "0000000000000100.pack")); err != nil {
		t.Error(err)
	}
}

func TestADamagedPackIsNamedAndItsChunksAreWrittenAgain(t *testing.T) {
	for what, damage := range map[string]func(path string, b []byte) error{
		"flipped byte": func(path string, b []byte) error { b[17] ^= 1; return os.WriteFile(path, b, 0o600) },
		"cut off":      func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
		"empty":        func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"missing":      func(path string, _ []byte) error { return os.Remove(path) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{packFrom: 1})
			first, second := noise(1, 2*ChunkSize), noise(2, 2*ChunkSize)
			save(t, s, first)
			save(t, s, second)
			files := packsIn(t, dir)
			b, err := os.ReadFile(files[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(files[1], b); err != nil {
				t.Fatal(err)
			}
			s.Close()
			s = open(t, dir, Options{packFrom: 1})
			c, skipped, err := s.Latest(t.Context())
			if err != nil || !bytes.Equal(c.Sections[0].Data, first) || len(skipped) != 1 || skipped[0].Checkpoint != 2 || skipped[0].Section != "section 0" {
				t.Fatalf("found checkpoint %d, skipped %v, %v", c.Seq, skipped, err)
			}
			if err := s.GC(t.Context()); err != nil {
				t.Fatal(err)
			}
			damaged, err := s.Verify(2)
			if err != nil || len(damaged) == 0 {
				t.Fatalf("%v, %v", damaged, err)
			}
			save(t, s, second)
			holds(t, s, second)
		})
	}
}

func TestAStoreWithoutPacksIsReadAndMarkedAsNewer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{packFrom: 1 << 40})
	save(t, s, noise(1, 8*ChunkSize))
	if err := s.commit("schema", []write{{key: keySchema, value: []byte{0, 0, 0, 1}}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir, Options{})
	holds(t, s, noise(1, 8*ChunkSize))
	v, err := s.get(keySchema)
	if err != nil || binary.BigEndian.Uint32(v) != schema {
		t.Errorf("schema %v, %v", v, err)
	}
	save(t, s, noise(1, 8*ChunkSize), noise(2, 8*ChunkSize))
	holds(t, s, noise(1, 8*ChunkSize), noise(2, 8*ChunkSize))
}

func TestAPackThatCannotBeWrittenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{packFrom: 1})
	save(t, s, noise(1, ChunkSize))
	packs := filepath.Join(dir, packDir)
	if err := errors.Join(os.Rename(packs, packs+".away"), os.WriteFile(packs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCheckpoint(t.Context(), Checkpoint{Sections: []Section{{"a", noise(2, ChunkSize)}}}); err == nil {
		t.Fatal("saved where no pack can be written")
	}
	if err := errors.Join(os.Remove(packs), os.Rename(packs+".away", packs)); err != nil {
		t.Fatal(err)
	}
	holds(t, s, noise(1, ChunkSize))
	save(t, s, noise(2, ChunkSize))
	holds(t, s, noise(2, ChunkSize))
}

// BenchmarkSave saves checkpoints of which nothing is as in the one before, three of which are kept: what is written when all of it
// goes through Badger, and when it goes into packs.
func BenchmarkSave(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20, 16 << 20} {
		for _, way := range []struct {
			name string
			from int64
		}{{"tree", 1 << 40}, {"packs", 1}} {
			b.Run(fmt.Sprintf("%d KiB/%s", size>>10, way.name), func(b *testing.B) {
				s, err := Open(b.TempDir(), Options{packFrom: way.from})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				data := noise(1, size)
				b.SetBytes(int64(size))
				n := uint64(0)
				for b.Loop() {
					for i := 0; i < size; i += ChunkSize {
						n++
						binary.LittleEndian.PutUint64(data[i:], n)
					}
					if err := s.SaveCheckpoint(b.Context(), Checkpoint{Sections: []Section{{"model", data}}}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
