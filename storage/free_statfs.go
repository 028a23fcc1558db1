//go:build linux || darwin

package storage

import "syscall"

// free returns the bytes that this user may still write to the file system of a directory; ok is false if it cannot be told.
func free(dir string) (n int64, ok bool) {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
