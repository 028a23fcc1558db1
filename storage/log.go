package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Append adds entries to the end of a log, durably, and returns the number of the first one. Numbers
// start at 1 and are never used twice, also after [Store.Truncate].
func (s *Store) Append(log string, entries ...[]byte) (first uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.nextEntry(log)
	if err != nil {
		return 0, err
	}
	writes := []write{{key: logEndKey(log), value: binary.BigEndian.AppendUint64(nil, next+uint64(len(entries)))}}
	for i, e := range entries {
		b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(e)), crc32.ChecksumIEEE(e))
		writes = append(writes, write{key: logKey(log, next+uint64(i)), value: append(b, e...)})
	}
	return next, s.commit("append", writes)
}

func (s *Store) nextEntry(log string) (uint64, error) {
	b, err := s.get(logEndKey(log))
	if err == ErrNotFound {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("end of log %s: %w", log, ErrDamaged)
	}
	return binary.BigEndian.Uint64(b), nil
}

// Read calls fn with the entries of a log from a number on, ascending, until fn returns an error. An entry is valid during
// the call. A damaged entry is reported as such, with a nil entry, and the next one follows.
func (s *Store) Read(log string, from uint64, fn func(number uint64, entry []byte, err error) error) error {
	return s.scan(logPrefix(log), func(key string, value []byte) error {
		n := binary.BigEndian.Uint64([]byte(key[len(key)-8:]))
		switch {
		case n < from:
			return nil
		case len(value) < 4 || crc32.ChecksumIEEE(value[4:]) != binary.BigEndian.Uint32(value):
			return fn(n, nil, fmt.Errorf("entry %d of log %s: %w", n, log, ErrDamaged))
		}
		return fn(n, value[4:], nil)
	})
}

// Truncate removes the entries of a log before a number.
func (s *Store) Truncate(log string, before uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []write
	err := s.keys(logPrefix(log), func(key string) error {
		if binary.BigEndian.Uint64([]byte(key[len(key)-8:])) < before {
			gone = append(gone, write{key: key})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.commit("truncate", gone)
}

func logPrefix(log string) string { return keyLog + log + "\x00" }

func logKey(log string, n uint64) string {
	return logPrefix(log) + string(binary.BigEndian.AppendUint64(nil, n))
}

// logEndKey is where the number of the next entry is kept, outside of the log's own keys.
func logEndKey(log string) string { return keyLogEnd + log }
