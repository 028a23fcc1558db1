// Package storage keeps what one node must not lose: checkpoints, blobs and small records. They are in Badger, but for what is large, which
// is in files beside it, to which Badger points.
//
// Start with [Open] and [Store.SaveCheckpoint]; [LoadOrCreateKey] keeps a node's identity beside the store. Large values
// are cut into chunks that are named by their hash, stored once, and checked whenever they are read. What was
// acknowledged is on disk.
//
// The package knows bytes and keys: not models, messages or networks. It imports nothing of the project. The daemon and
// package gossip/swarm may import it.
package storage
