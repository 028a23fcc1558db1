// Package kernel holds the loops that everything above shares: matrix products and vector operations on float32, and the
// few elementary functions that training needs.
//
// Start with [MulNT], the matrix product of a forward pass, and [WeightedSum], which mixes vectors in one pass. The package
// knows nothing of layouts or models, allocates nothing, starts no goroutine and keeps no state, so every function is safe
// for concurrent use on different outputs. Any package of the project may import it; it imports the standard library only.
//
// # Same bits everywhere
//
// Every result is a function of the arguments alone, bit for bit, on every machine. Three rules make it so, and an
// assembly version of a function has to keep them:
//
//   - A product is rounded before it is added: float32(x*y) + z, never a fused multiply-add.
//   - The order of every sum is fixed and documented at the function: blocks of the inner dimension for matrix products,
//     a fixed number of lanes for reductions. Neither depends on the machine, on alignment, or on how the caller tiles rows.
//   - Package math is used for square roots and bit patterns only. Its Exp, Log and Cos are assembly on some machines and
//     fused on others, so they differ in the last bit; [Exp], [Log] and [CosPi] do not.
//
// Slices of unequal length and leading dimensions that do not fit are bugs of the caller and panic.
package kernel
