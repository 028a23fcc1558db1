package storage

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const keyType = "STARLING ED25519 SEED"

// LoadOrCreateKey reads a node's identity, or makes a new one if there is no file. The file is PEM of type "STARLING
// ED25519 SEED" with the 32 bytes of the seed, mode 0600. A file that exists is never replaced: if it cannot be read,
// is not a key, or can be read by others, that is an error which says what to do.
func LoadOrCreateKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s can be read by others (mode %#o): run chmod 600 on it", path, info.Mode().Perm())
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != keyType || len(block.Bytes) != ed25519.SeedSize || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("key %s is not a starling key: restore it from a backup, or move it away to get a new identity", path)
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

func createKey(path string) (_ ed25519.PrivateKey, err error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: seed}))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write key: %w", explain(err))
	}
	// Link, unlike rename, does not replace a key that another process has made meanwhile.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return LoadOrCreateKey(path)
	} else if err != nil {
		if err := os.Rename(f.Name(), path); err != nil { // a file system without links
			return nil, fmt.Errorf("write key: %w", err)
		}
	}
	syncDir(filepath.Dir(path))
	return ed25519.NewKeyFromSeed(seed), nil
}

// syncDir makes the names in a directory durable, where the system has a way to.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
