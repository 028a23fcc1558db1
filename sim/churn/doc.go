// Package churn is when simulated nodes come and go, and how fast they compute.
//
// Start with [ParseSessions], whose [Sessions.Next] says when a node's present state ends, and [ParseSpeeds], whose
// [Speeds.Duration] stretches a job. Both are made from a specification such as "weibull:shape=0.5,online=1h,offline=10m",
// listed at the Parse function, and from a seed. Every node has random streams of its own, so that equal seeds give equal
// sessions, bit for bit, on every machine, whatever other nodes do.
//
// The package owns no clock and no queue of events, and does not know what a node does when it comes or goes. Nothing in it
// is safe for concurrent use, except where a method says so.
//
// Packages of the simulator and commands may import it. It imports node for the type of time, mixing/kernel, and sim/spec
// and sim/chance.
package churn
