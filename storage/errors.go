package storage

import (
	"errors"
	"fmt"
	"syscall"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")                                            // retrying does not help
	ErrLocked   = errors.New("the store is in use by another process")               // stop that one
	ErrDiskFull = errors.New("disk full")                                            // free some space, then retry
	ErrSchema   = errors.New("the store was written by a newer version of starling") // install that one
	ErrDamaged  = errors.New("damaged")                                              // the bytes on disk are not what was written
	ErrClosed   = errors.New("the store is closed")
)

// Damaged names a part of the store whose bytes are not what was written.
type Damaged struct {
	Checkpoint uint64
	Section    string // empty: the record of the checkpoint itself
	Chunk      int
	Why        string
}

// String names the damage for a person.
func (d Damaged) String() string {
	if d.Section == "" {
		return fmt.Sprintf("%d: %s", d.Checkpoint, d.Why)
	}
	return fmt.Sprintf("%d, section %s, chunk %d: %s", d.Checkpoint, d.Section, d.Chunk, d.Why)
}

// explain turns what Badger says into what a person can act on.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
