// Package thin puts daemons behind links as thin as those of homes, on one machine: each in a network namespace of its own, with
// an uplink, a downlink, and a delay to each other node.
//
// Start with [Open], hand [Net.Sites] to package demo, and read [Net.Traffic]; [Run] does all of that for one run. Where the
// system does not permit namespaces, or is not Linux, Open says so with [ErrNotPermitted].
//
// A namespace in the middle, the hub, routes between the nodes:
//
//	node 0 ── tbf, up ──▶ ┌─────┐ ◀── up, tbf ── node 1
//	       ◀── tbf, down ─│ hub │── down, tbf ─▶
//	                      └─────┘
//
// Rates are those of the kernel's token buckets (tc tbf), whose queues hold half a second, as the modems of homes do, and drop
// what is more. The delay is this package's own: the hub sends whatever comes in through a TUN device to this process, which
// holds each packet as long as the way between its two nodes takes, and gives it back to be routed. The kernel has netem for
// that, but small kernels come without it, and it knows one delay for each link instead of one for each pair.
//
// Nothing has a name outside, so that nothing is left behind: namespaces, devices and queues end with the process that opened
// them, however it ends, and daemons are told to end with it.
//
// The package does not simulate: daemons, kernel and clock are real. What a simulation foretells is for the caller to compare.
// Commands and tests may import it.
package thin
