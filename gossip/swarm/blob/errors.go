package blob

import "errors"

// Errors that callers branch on. What a store returns, such as storage.ErrDiskFull, is passed on wrapped.
var (
	// ErrTooLarge: the announced size is above the caller's limit, or a blob is above a store's. Retrying never helps.
	ErrTooLarge = errors.New("blob is too large")
	// ErrSizeMismatch: the blob of that ID does not have the announced size, so the announcement was wrong. Retrying
	// does not help, unless with another size.
	ErrSizeMismatch = errors.New("blob does not have the announced size")
	// ErrNotFound: every candidate answered, and none has the blob. Retrying helps once somebody has it.
	ErrNotFound = errors.New("blob not found")
	// ErrCorrupt: who claimed to have the blob served wrong bytes, and nobody else has it. Retrying helps only with
	// other candidates.
	ErrCorrupt = errors.New("blob is served with wrong bytes")
	// ErrNoHolders: holders were lost, or could not be reached, before the blob was whole. Retrying helps: what has
	// arrived is kept while the store has room.
	ErrNoHolders = errors.New("no holder of the blob is left")
	// ErrFull: the store is full of blobs that are being fetched. Retrying helps when one of those is done.
	ErrFull = errors.New("store is full of unfinished blobs")
)

// What went wrong with one peer.
var (
	errBusy     = errors.New("peer is busy")
	errRefused  = errors.New("peer refuses to serve")
	errGone     = errors.New("peer lost the chunk")
	errSlow     = errors.New("peer is too slow")
	errRequest  = errors.New("malformed request")
	errProtocol = errors.New("broke the protocol")
)
