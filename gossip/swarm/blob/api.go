package blob

import "starling/storage"

// ID names a blob; see [storage.BlobID] for how it is computed.
type ID = storage.BlobID

// ChunkList says how a blob is cut into chunks; it can be checked against the ID.
type ChunkList = storage.ChunkList

const chunkSize = storage.ChunkSize

// A Store keeps blobs, whole ones and those that are on their way. All methods are safe for concurrent use.
type Store interface {
	// Open returns a blob of which something is there. The error is [ErrNotFound] if nothing is.
	Open(ID) (Blob, error)
	// Begin makes room for a blob and returns it with the chunks that are there already, also from before a restart. It
	// is not evicted before the Blob is closed. The error is [ErrTooLarge] or [ErrFull] if there is no room.
	Begin(ChunkList) (Blob, error)
}

// A Blob is one blob in a store. All methods are safe for concurrent use.
type Blob interface {
	List() ChunkList
	// Has reports whether chunk i is there, 0 <= i < len(List().Hashes).
	Has(i int) bool
	// Chunk returns chunk i. The caller must not change it. The error is [ErrNotFound] if it is not there, or not
	// any more.
	Chunk(i int) ([]byte, error)
	// Put keeps a copy of chunk i, which the caller has verified. A chunk that is there is left as it is.
	Put(i int, chunk []byte) error
	// Bytes returns the whole blob. The caller must not change it. If chunks turn out to be missing or damaged the
	// error is [ErrNotFound], and Has reports them as not there.
	Bytes() ([]byte, error)
	// Close lets the store evict the blob. It is idempotent.
	Close()
}

// missing counts the chunks that are not there.
func missing(b Blob) (n int) {
	for i := range b.List().Hashes {
		if !b.Has(i) {
			n++
		}
	}
	return n
}
