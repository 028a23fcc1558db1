package storage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFilesThatCannotBeOpenedAreNamed damages Badger's own files where it reads them while it opens, and wants one line that says what
// to do. Badger would panic on several of these, on a goroutine of its own.
func TestFilesThatCannotBeOpenedAreNamed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	for n := range uint64(3) {
		if err := s.SaveCheckpoint(t.Context(), state(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	path := tables[len(tables)-1]
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func(what string, path string, b []byte, must bool) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err == nil {
			s.Close()
			if must {
				t.Errorf("%s: no error", what)
			}
			return
		}
		refused++
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "move it away") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{0, 3, 4, 40, 1000, len(good) / 2, len(good) - 1} {
		try("cut to "+filepath.Base(path), path, good[:n], true)
	}
	for i := len(good) - 1; i > len(good)-700; i -= 23 {
		b := append([]byte{}, good...)
		b[i] ^= 0x40
		try("flipped byte", path, b, false)
	}
	try("zeros", path, make([]byte, len(good)), true)
	try("a few zeros", path, make([]byte, 8), true)
	if refused < 20 {
		t.Errorf("only %d damages were noticed", refused)
	}
	// Where the checkpoint itself is hit the store opens, and damage is told by Verify.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "MANIFEST")
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	try("missing table", manifest, b, true)
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	try("list of tables", manifest, b, true)
	b[0] ^= 1
	try("repaired", manifest, b, false)
	s = open(t, dir, Options{})
	if c, damage, err := s.Latest(t.Context()); err != nil || len(damage) > 0 || number(c) != 2 {
		t.Errorf("when the files are as they were: %d %v %v", number(c), damage, err)
	}
}

// TestATableThatAProcessWasKilledInTheMidstOfIsNoDamage leaves a table behind that is not in Badger's list, as a process does that is
// killed between making the file and listing it.
func TestATableThatAProcessWasKilledInTheMidstOfIsNoDamage(t *testing.T) {
	for what, b := range map[string][]byte{"empty": {}, "zeros": make([]byte, 4096), "noise": []byte("what was to be a table")} {
		dir := t.TempDir()
		s := open(t, dir, Options{})
		if err := s.SaveCheckpoint(t.Context(), state(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "000999.sst"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if c, damage, err := s.Latest(t.Context()); err != nil || len(damage) > 0 || number(c) != 1 {
			t.Errorf("%s: %d %v %v", what, number(c), damage, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestADamagedChunkIsWrittenAgainWithTheNextCheckpoint(t *testing.T) {
	inBoth(t, func(t *testing.T, from int64) {
		s := open(t, t.TempDir(), Options{packFrom: from})
		if err := s.SaveCheckpoint(t.Context(), state(0)); err != nil {
			t.Fatal(err)
		}
		h := Chunks(state(0).Sections[0].Data).Hashes[0] // states 0 to 3 share it
		if err := s.commit("damage", []write{{key: chunkKey(h), value: []byte("something else")}}); err != nil {
			t.Fatal(err)
		}
		if _, skipped, err := s.Latest(t.Context()); !errors.Is(err, ErrNotFound) || len(skipped) != 1 {
			t.Fatalf("%v %v", skipped, err)
		}
		if err := s.SaveCheckpoint(t.Context(), state(1)); err != nil {
			t.Fatal(err)
		}
		if c, skipped, err := s.Latest(t.Context()); err != nil || len(skipped) > 0 || whole(c) != nil {
			t.Errorf("the checkpoint after the damage: %v %v", skipped, err)
		}
	})
}

func TestClosingOnAFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	left := int64(1 << 40)
	s := open(t, dir, Options{free: func() int64 { return left }})
	if err := s.SaveCheckpoint(t.Context(), state(7)); err != nil {
		t.Fatal(err)
	}
	left = 0
	if err := s.SaveCheckpoint(t.Context(), state(8)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("save: %v", err)
	}
	before, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, ErrDiskFull) {
		t.Errorf("close: %v", err)
	}
	t.Cleanup(func() { s.db.Close() }) // what the end of a process does
	after, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(after) != len(before) {
		t.Errorf("closing wrote tables: %v, then %v; %v", before, after, err)
	}
	// A copy, as the directory is locked until the process ends.
	again := filepath.Join(t.TempDir(), "x")
	if err := os.CopyFS(again, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if c, damage, err := open(t, again, Options{}).Latest(t.Context()); err != nil || len(damage) > 0 || number(c) != 7 || whole(c) != nil {
		t.Errorf("after the restart: %d %v %v", number(c), damage, err)
	}
}

func TestTheNumberOfCheckpointsKeptCanBeSet(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	s.SetKeep(5)
	for n := range uint64(9) {
		if err := s.SaveCheckpoint(t.Context(), state(n)); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.List(); err != nil || len(list) != 5 {
		t.Errorf("%d are kept, want 5; %v", len(list), err)
	}
}

func TestADamagedCheckpointDoesNotStandForAWholeOne(t *testing.T) {
	for _, known := range []bool{true, false} {
		s := open(t, t.TempDir(), Options{Keep: 3, packFrom: 1})
		for n := range uint64(3) {
			save(t, s, noise(n, ChunkSize))
		}
		newest := Chunks(noise(2, ChunkSize)).Hashes[0]
		if err := s.commit("damage", []write{{key: chunkKey(newest), value: []byte("something else")}}); err != nil {
			t.Fatal(err)
		}
		if known { // as whoever goes on from the newest whole one finds out
			if c, skipped, err := s.Latest(t.Context()); err != nil || c.Seq != 2 || len(skipped) != 1 {
				t.Fatalf("checkpoint %d, skipped %v, %v", c.Seq, skipped, err)
			}
		}
		for n := range uint64(2) {
			save(t, s, noise(10+n, ChunkSize))
		}
		list, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint64
		for _, c := range list {
			numbers = append(numbers, c.Seq)
		}
		want := []uint64{5, 4, 3}
		if known {
			want = []uint64{5, 4, 3, 2}
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("checkpoints %v are kept, want %v", numbers, want)
		}
		for n := range uint64(2) {
			save(t, s, noise(20+n, ChunkSize))
		}
		if list, err := s.List(); err != nil || len(list) != 3 {
			t.Errorf("%d checkpoints are kept in the end, %v", len(list), err)
		}
	}
}
