// Package model holds what is trained: a vector of parameters, the loss of a batch of examples under them, and its gradient.
//
// Start with [Parse], which makes a [Model] from a specification such as "mlp:64", and call its Gradient once a batch. A
// model does not hold parameters: they are a flat vector that the caller owns, described by the model's layout. The package
// does not change parameters (package optim does), reads no files, and starts no goroutine.
//
// Trainers, the simulator and commands may import it; the core does not.
package model

import "starling/mixing"

// A Model computes losses and gradients. It reuses its scratch memory, so that a value must be used by one goroutine at a
// time; [Model.Clone] makes another. Results are the same bits on every machine.
//
// Examples are rows: x holds len(y) rows of as many features as the model has inputs, y their labels, each below the
// number of classes. Vectors of the wrong length are bugs of the caller and panic.
type Model interface {
	// Layout describes the parameters. It is the same for all clones.
	Layout() *mixing.Layout

	// Init fills params with initial values, a function of the seed.
	Init(params []float32, seed uint64)

	// Gradient writes the gradient of the mean loss over the rows to grad, as long as params, and returns that loss, in
	// nats where it is that of probabilities. It is not finite when parameters are not, or are far too large. At least one row
	// is needed.
	Gradient(grad, params, x []float32, y []uint8) float64

	// Evaluate returns the sum of the losses of the rows, and how many of them are classified right.
	Evaluate(params, x []float32, y []uint8) (loss float64, right int)

	// Clone returns a model with scratch memory of its own.
	Clone() Model
}
