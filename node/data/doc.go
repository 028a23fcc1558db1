// Package data holds what nodes train on: data sets, their division among nodes, and the order in which a node goes through
// its part.
//
// Start with [Open], which finds a data set by its name, and [Partition], which divides its rows. Source.Train then keeps a
// node's rows, and [NewPlan] and [Batches] say which of them make up the batch of a step. MNIST is compiled in; IDX
// and CSV files and text are read from disk. The package never sends or writes anything, starts no goroutine, and owns no
// randomness: divisions and orders are pure functions of a seed, the same on every machine.
//
// Models, trainers, the simulator and commands may import it.
package data
