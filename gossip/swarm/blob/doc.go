// Package blob moves blobs between nodes: bytes that are named by their hash and pulled from whoever has them, in
// verified chunks, over libp2p streams (protocol /starling/blob/1).
//
// Start with [NewServer], which serves what a [Store] holds, and [NewFetcher] with [Fetcher.Fetch], which gets a blob
// into the store. [NewTiered] is the store of a daemon: small blobs in memory, large ones on disk, where they survive a
// crash in the middle of a transfer.
//
// A blob's ID is the hash of its chunk list, and the list holds the hash of every chunk. So a liar is caught at the list
// or at the first wrong chunk, every chunk may come from another holder, and what has arrived is kept. Nodes that are
// still fetching a blob serve the chunks that they have. Nothing announces a length on the wire: both sides know it from
// the size of the blob, which is bounded before anything is asked for.
//
// The package does not announce blobs, does not choose peers (callers name holders and candidates), does not compress,
// and does not know what a blob means. Only drivers (node/daemon) may import it.
//
// Locks: Server.mu, Fetcher.mu, pull.mu, Memory.mu and Disk.mu guard the state of their struct. The order is pull.mu,
// then Fetcher.mu; a store's lock is the last. None is held while a stream or a limiter is waited for.
package blob
