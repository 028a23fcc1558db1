// Package swarm connects a node to the other nodes of one run: a libp2p host, a gossipsub topic, direct messages,
// discovery, peer scoring and metrics.
//
// Start with [New], which listens and answers, and [Swarm.Run], which dials, discovers and delivers until its context
// ends. [Swarm.Publish] broadcasts and [Swarm.Send] writes to one peer. [Swarm.Peers] and [Swarm.Dials] say who is
// connected and, in plain words, why others are not.
//
// Messages are opaque bytes here: the callbacks in [Config] or [Swarm.Join] judge and take them. The package does not
// sign, decode or store messages, does not know methods or models, and moves no blobs (package blob does, on the same
// host). It needs only a run's ID, so a newcomer that holds nothing but a link can join, ask any peer for the manifest
// with [Swarm.FetchManifest], and subscribe afterwards. A node is in one topic at a time; a run that has several moves it
// with [Swarm.Move].
//
// Everything that arrives is bounded before it is kept: sizes before allocation, streams for each peer, entries of a
// peer list, addresses of an entry, peers remembered. A peer of another run is told so, disconnected, and shown with
// that reason.
//
// Only drivers (node/daemon) and package blob may import it. Swarm.mu guards the state; it is never held while a
// callback, a stream or a dial runs, but for the one that says who belongs to a topic, which only computes. Under it
// only libp2p's list of connections and the connection manager are asked, which call nothing back. Swarm.joinMu is taken
// before it. The other locks (metrics, traffic, filter, gauge) guard a map each and are leaves.
package swarm
