package blob

import (
	"context"
	"errors"

	"starling/storage"
)

// TieredOptions say how a Tiered behaves. The zero value is what a daemon wants.
type TieredOptions struct {
	Threshold int64 // bytes; blobs of at most this size stay in memory. Default 4 MiB; never more than Memory
	Memory    int64 // room in memory in bytes; default [DefaultMemory]
	Disk      int64 // room on disk in bytes; default [DefaultDisk]
}

// Tiered keeps small blobs in memory, as they are short-lived and writing them would wear out the disk, and large ones on
// disk, as it would be a pity to fetch them twice. Small ones also go to disk while the memory is full of unfinished blobs. It is safe for concurrent use.
type Tiered struct {
	threshold int64
	memory    *Memory
	disk      *Disk
}

// NewTiered returns a store whose large blobs are in st. There must be one for a storage at a time.
func NewTiered(st *storage.Store, opt TieredOptions) *Tiered {
	if opt.Threshold <= 0 {
		opt.Threshold = 4 << 20
	}
	if opt.Memory <= 0 {
		opt.Memory = DefaultMemory
	}
	return &Tiered{min(opt.Threshold, opt.Memory), NewMemory(opt.Memory), NewDisk(st, opt.Disk)}
}

// Put stores a copy of data as a blob of this node's own, which others can pull from now on.
func (t *Tiered) Put(ctx context.Context, data []byte) (ID, error) {
	if int64(len(data)) <= t.threshold {
		if id, err := t.memory.Put(ctx, data); !errors.Is(err, ErrFull) {
			return id, err
		}
	}
	if err := ctx.Err(); err != nil {
		return ID{}, err
	}
	return t.disk.Put(data)
}

// Open implements [Store].
func (t *Tiered) Open(id ID) (Blob, error) {
	b, err := t.memory.Open(id)
	if errors.Is(err, ErrNotFound) {
		return t.disk.Open(id)
	}
	return b, err
}

// Begin implements [Store].
func (t *Tiered) Begin(l ChunkList) (Blob, error) {
	if l.Size <= t.threshold {
		if b, err := t.memory.Begin(l); !errors.Is(err, ErrFull) {
			return b, err
		}
	}
	return t.disk.Begin(l)
}
