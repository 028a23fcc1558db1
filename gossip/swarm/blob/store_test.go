package blob

import (
	"bytes"
	"errors"
	"testing"

	"starling/storage"
)

func TestStoresKeepChunks(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) Store{
		"memory": func(*testing.T) Store { return NewMemory(0) },
		"disk":   func(t *testing.T) Store { return NewDisk(disk(t, t.TempDir()), 0) },
		"tiered": func(t *testing.T) Store { return NewTiered(disk(t, t.TempDir()), TieredOptions{Threshold: 1000}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			data := noisy(3*chunkSize+1, 1)
			l := storage.Chunks(data)
			if _, err := s.Open(l.ID()); !errors.Is(err, ErrNotFound) {
				t.Fatalf("open of an unknown blob: %v", err)
			}
			b, err := s.Begin(l)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if _, err := b.Chunk(1); !errors.Is(err, ErrNotFound) {
				t.Errorf("chunk that did not come: %v", err)
			}
			for _, i := range []int{1, 3, 0, 1} {
				if err := b.Put(i, l.Cut(data, i)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Bytes(); !errors.Is(err, ErrNotFound) {
				t.Errorf("bytes of an unfinished blob: %v", err)
			}
			again, err := s.Open(l.ID())
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if missing(again) != 1 || again.Has(2) {
				t.Errorf("%d chunks are missing, want one", missing(again))
			}
			if err := b.Put(2, l.Cut(data, 2)); err != nil {
				t.Fatal(err)
			}
			got, err := again.Bytes()
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("bytes: %v", err)
			}
			chunk, err := again.Chunk(3)
			if err != nil || !bytes.Equal(chunk, data[3*chunkSize:]) {
				t.Errorf("last chunk: %v", err)
			}
		})
	}
}

func TestMemoryForgetsWhatWasNotUsedForLongest(t *testing.T) {
	m := NewMemory(10 << 10)
	put := func(n int, seed uint64) ID {
		t.Helper()
		id, err := m.Put(t.Context(), noisy(n, seed))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	begin := func(n int, seed uint64) (ID, Blob) {
		t.Helper()
		l := storage.Chunks(noisy(n, seed))
		b, err := m.Begin(l)
		if err != nil {
			t.Fatal(err)
		}
		return l.ID(), b
	}
	has := func(id ID) bool { _, err := m.Open(id); return err == nil }

	own := put(3<<10, 1)
	a, blob := begin(3<<10, 2)
	blob.Close()
	b, blob := begin(3<<10, 3)
	blob.Close()
	if !has(a) { // and is used by that
		t.Fatal("a is gone too early")
	}
	c, pinned := begin(3<<10, 4)
	if has(b) || !has(a) || !has(own) || !has(c) {
		t.Errorf("a %v, b %v, c %v, own %v: want b to go", has(a), has(b), has(c), has(own))
	}
	second := put(6<<10, 5)
	if has(a) || has(own) || !has(c) || !has(second) {
		t.Errorf("a %v, own %v, c %v, second %v: want all but c to make room", has(a), has(own), has(c), has(second))
	}
	if _, err := m.Put(t.Context(), noisy(8<<10, 6)); !errors.Is(err, ErrFull) {
		t.Errorf("put beside an unfinished blob: %v, want %v", err, ErrFull)
	}
	pinned.Close()
	pinned.Close()
	put(8<<10, 6)
	if _, err := m.Put(t.Context(), noisy(11<<10, 7)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("put of more than the room: %v, want %v", err, ErrTooLarge)
	}
	if m.shelf.used != 8<<10 || len(m.blobs) != 1 || len(m.shelf.items) != 1 {
		t.Errorf("%d bytes in %d blobs, want one of 8 KiB", m.shelf.used, len(m.blobs))
	}
}

func TestDiskStaysWithinItsRoomAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	st := disk(t, dir)
	const size, room = 1 << 20, 4 << 20
	var ids []ID
	for i := range 7 {
		id, err := NewDisk(st, room).Put(noisy(size, uint64(i))) // as if it were restarted each time
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = disk(t, dir)
	d := NewDisk(st, room)
	for i, id := range ids {
		b, err := d.Open(id)
		if i < 3 {
			if _, listed := st.BlobList(id); !errors.Is(err, ErrNotFound) || !errors.Is(listed, storage.ErrNotFound) {
				t.Errorf("blob %d is still there: %v, %v", i, err, listed)
			}
			continue
		}
		if err != nil {
			t.Fatalf("blob %d: %v", i, err)
		}
		if got, err := b.Bytes(); err != nil || !bytes.Equal(got, noisy(size, uint64(i))) {
			t.Errorf("blob %d: %v", i, err)
		}
	}
	small := NewDisk(st, 2<<20)
	for i, id := range ids {
		if _, err := small.Open(id); (err == nil) != (i >= 5) {
			t.Errorf("with less room, blob %d: %v", i, err)
		}
	}
	if _, err := small.Put(make([]byte, 3<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("put of more than the room: %v", err)
	}
}

func TestTieredPutsSmallBlobsInMemoryAndLargeOnesOnDisk(t *testing.T) {
	st := disk(t, t.TempDir())
	s := NewTiered(st, TieredOptions{Threshold: 1000, Memory: 1500})
	for _, tt := range []struct {
		size   int
		onDisk bool
	}{{0, false}, {1000, false}, {1001, true}} {
		id, err := s.Put(t.Context(), noisy(tt.size, 1))
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.BlobList(id)
		if (err == nil) != tt.onDisk {
			t.Errorf("%d bytes: on disk %v, want %v", tt.size, err == nil, tt.onDisk)
		}
		if b, err := s.Open(id); err != nil || b.List().Size != int64(tt.size) {
			t.Errorf("%d bytes: %v", tt.size, err)
		}
	}
	// While the memory is full of unfinished blobs small ones go to disk, too.
	b, err := s.Begin(storage.Chunks(noisy(900, 2)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	id, err := s.Put(t.Context(), noisy(800, 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.BlobList(id); err != nil {
		t.Errorf("small blob is not on disk: %v", err)
	}
}
