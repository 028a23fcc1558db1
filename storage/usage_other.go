//go:build !unix

package storage

import "io/fs"

// allocated is the size of a file, for want of what it takes on disk.
func allocated(info fs.FileInfo) int64 { return info.Size() }
