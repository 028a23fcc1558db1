// Package topology says who mixes with whom and with what weight: graphs, mixing matrices, and schedules that change
// from round to round (spec 06, sections 6.2 to 6.6).
//
// Start with [Parse], which makes a [Topology] from text such as "regular:4" or "base:k=1", and with [Topology.Row],
// which gives one peer its weights for a round. Someone who builds their own graph calls [NewGraph] and [Metropolis].
//
// A row of a [Matrix] is what a peer receives: x_i becomes the sum over j of w_ij x_j. A link of a directed [Graph]
// is what a peer sends: a link i to j is the entry w_ji.
//
// Everything is a pure function of its arguments and of a seed, so that peers that agree on the member list, the view
// and the round agree on their partners without a word. There is no I/O, clock, goroutine or hidden state, and values
// are safe for concurrent use as long as nobody changes the slices in them. The package moves no models and knows
// nothing of membership: positions 0..n-1 are those of the sorted members of a view, which the caller keeps. The
// handshake for two peers without a common view is in the package pairwise below.
//
// Any package may import it; it imports only the generator philox.
package topology
