// Package pull moves blobs between nodes: bytes that are named by their hash and pulled from whoever has them.
//
// Start with [NewServer], which serves what a [Store] holds, and [NewFetcher] with [Fetcher.Fetch], which pulls. A blob is
// cut into chunks that are verified one by one, so that a lying holder is caught at its first chunk and a transfer that
// breaks off goes on where it was, also from other holders.
//
// The package does not know what is in a blob, does not decide which to pull, and finds no peers: the caller names those
// that might have it. It runs on the libp2p host of package swarm, on streams of /starling/blob/1:
//
//	request   1 byte operation (1 list, 2 chunk), 32 bytes ID, 4 bytes chunk number, big-endian
//	answer    1 byte status (0 here it is, 1 not here, 2 busy), 4 bytes length, that many bytes
//
// A stream carries any number of requests, one after the other. Only drivers may import the package.
package pull
