// Package mixing combines models, deltas and sums: pure functions on flat vectors.
//
// Start with [ParseRule], which makes a [Rule] from its name, and [Rule.Mix]. A [Layout] names the tensors in a vector.
// [PushSum] and [Link] conserve mass where links are directed and lose messages.
//
// There is no I/O, clock, goroutine or global randomness here, and results are the same bits on every machine: sums run in
// a fixed order, and products are rounded before they are added. The package does not decide whom to mix with, and it
// does not know how vectors travel.
//
// Any package may import it; it imports nothing of the project but its own sub-packages.
package mixing
