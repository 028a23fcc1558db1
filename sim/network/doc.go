// Package network is the weather between simulated nodes: how long messages take and whether they arrive, how much the links
// of nodes carry, who is cut off from whom and when, and who can dial whom through address translation.
//
// Start with [ParseLatency], whose [Latency.Between] is the time of flight of a pair, and with [NewLinks], which queues
// messages on the up- and downlinks of nodes; [Streams] shares the same links among long transfers. Every part is made from
// a specification such as "lognormal:median=40ms,sigma=0.5", listed at its Parse function, and from a seed; equal ones give
// equal weather, bit for bit, on every machine.
//
// The package owns no clock and no queue of events: calls pass the time, which must not go back, and return times at which
// the caller does something. It does not know what messages say, models neither packets nor congestion control, and lets
// messages and streams pass each other on the same link without slowing down. Nothing in it is safe for concurrent use,
// except where a method says so.
//
// Packages of the simulator and commands may import it. It imports node for the type of time, and sim/spec and sim/chance.
package network
