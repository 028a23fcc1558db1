// Package outer is the arithmetic of training with rare exchanges (spec 03): outer optimizers on what many local steps changed,
// the schedule of a model that is sent in fragments, and the few numbers around them.
//
// Start with [Optimizer.Step] for synchronous rounds (DiLoCo; Douillard et al. 2023), or with [Delayed.Fold] for pushes that come
// one by one (delayed Nesterov; Liu et al. 2024). Both give a [Step]: the new state as linear forms over the old state and the
// pseudo-gradients, to be computed in float64 and rounded once, as kernel.WeightedSum does. [NoLoCo] is the optimizer without
// all-reduce (Kolehmainen et al. 2025), [Streaming] the schedule of Streaming DiLoCo (Douillard et al. 2025). The methods
// called Stable refuse settings that cannot train, and say why.
//
// A pseudo-gradient is parameters before minus parameters after: the descent direction is against it.
//
// The package holds no vectors: it does not know how they travel, how long they are or who keeps them. There is no I/O, clock,
// goroutine or hidden chance in it. Any package may import it; of the project it imports mixing, for layouts, and the
// permutations of mixing/topology.
package outer
