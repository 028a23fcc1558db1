package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filled returns the directory of a store with a record.
func filled(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Put([]Record{{Key: "a", Value: []byte("b")}}), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAMemtableThatWasOnlyJustBegunIsNoDamage(t *testing.T) {
	dir := filled(t)
	if err := os.WriteFile(filepath.Join(dir, "00001.mem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := s.Records("a"); err != nil || len(r) != 1 || string(r[0].Value) != "b" {
		t.Errorf("the records are %v (%v)", r, err)
	}
}

func TestTablesWithoutTheirListStay(t *testing.T) {
	dir := filled(t)
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "MANIFEST is missing") {
		t.Errorf("opened without its list: %v", err)
	}
	for _, path := range tables {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
