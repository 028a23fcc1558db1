// Package node is one participant of a run: a deterministic state machine that decides when to train, what to
// announce, what to fetch and what to mix. The same [Core] runs in the daemon on libp2p, Badger and the real clock,
// and in the simulator on virtual time.
//
// Start with [New] and [Core.Step]: a driver hands in one [Event] at a time and carries out the [Batch] that comes
// back. Messages from the wire go through [Core.Check] first.
//
// The package does no I/O, reads no clock, starts no goroutine and owns no randomness; tests enforce it. It never holds
// a model: vectors live with the driver and are named by a [VecRef]. It does not verify signatures (package gossip
// does, before Check) and it does not know how vectors are encoded, trained or stored.
//
// # How a node works
//
// A [Method] decides what is learned; this build has average, which mixes models, outer, which agrees on what
// rounds of local steps have changed, and scalar, whose nodes share a set of one-byte slopes. The Core around it keeps
// the roster of authors with the newest message of each, guards against replay, numbers and persists its own messages,
// and repairs what gossip lost by exchanging digests with one random peer at a time; scalar has exchanges of its own,
// and can have nodes measure some of each other's records again.
// Nobody waits for a round of somebody else: a node mixes what has arrived when its own local steps are done.
//
// It may be imported by the daemon, the simulator and the commands. It imports package mixing, the mathematics beside
// it, and the message types of package gossip, nothing else of the project.
package node
