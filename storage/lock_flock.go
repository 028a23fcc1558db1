//go:build linux || darwin || freebsd

package storage

import (
	"os"
	"syscall"
)

// InUse reports whether a process, perhaps this one, has the store in a directory open: Badger holds a lock on it then. Where
// the system has no such locks the answer is false.
func InUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}
