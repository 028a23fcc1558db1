// Package sim runs many nodes of a run in one process on virtual time, with the node code that the daemon runs.
//
// Start with [New] and [World.Run]. A world is a queue of events ordered by time; what a core asks for becomes later events:
// messages arrive after the latency of their link or are lost, jobs end after their duration. What nodes compute is real, only
// its duration is virtual. The same [Config] gives the same trace, bit for bit, however many goroutines help with the
// arithmetic: [World.TraceHash].
//
// What flows where: package network says how long a message takes and whether it arrives, package mesh which copies gossipsub
// makes of it, package churn who is there, package adversary who does not play by the rules, and package compute does the
// arithmetic. This package owns the time, the queue, the nodes and the vectors. Reading experiment files and writing reports is
// for the packages trial, experiment and report.
//
// The package opens no sockets and reads no clock but that of the processor, for accounts of cost, if it is handed one.
// Commands, tests and sim/trial may import it. It imports the core, models, data, messages and mixing: never gossip/swarm
// or node/daemon.
package sim
