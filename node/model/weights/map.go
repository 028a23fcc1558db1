package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
)

// A Mapping is a file in memory, for reading. Pages are read when they are first used, and all processes that map the file share them.
// The file must not be cut short meanwhile: the operating system ends a process that reads what is no longer there.
type Mapping struct {
	Data []byte // nil after Close; must not be changed

	unmap func([]byte) error
}

// Map maps a regular file into memory. Where the operating system has no such thing, it reads the file.
func Map(path string) (*Mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "map", Path: path, Err: errors.New("not a regular file")}
	case info.Size() == 0:
		return &Mapping{Data: []byte{}}, nil
	case info.Size() > math.MaxInt:
		return nil, fmt.Errorf("map %s: %d bytes do not fit the memory of this machine", path, info.Size())
	}
	m, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: path, Err: err}
	}
	return m, nil
}

// Close gives the memory back; what points into Data must not be used any more. Closing again does nothing.
func (m *Mapping) Close() error {
	data := m.Data
	m.Data = nil
	if len(data) == 0 || m.unmap == nil {
		return nil
	}
	return m.unmap(data)
}
