// Package real runs an experiment of the simulator for real, on this machine: a daemon for each node, in a network namespace
// behind a link like that of the experiment. Then it simulates the same with the durations that were measured, node by node and
// round by round, since other work on the machine makes them differ, and puts what both say side by side.
//
// Start with [Run] and [Report.Write]. It does not judge: [Figure.Met] does, by the goals that figures have.
//
// What is compared is a round of a node, once the first is over: what it takes to start and connect is not part of a simulation
// of training. The simulator counts what nodes send each other, as the daemon does: messages of gossip with their framing, direct
// messages, requests and answers about blobs. Below that are the headers of TCP or QUIC, IP and Ethernet, acknowledgements, and
// what is sent again; the kernel's counters of the interfaces have them, and [OnWire] reckons with them.
//
// The command line imports it.
package real
