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
// Examples are rows of features x and labels y, as many of each as [Model.Row] says. Labels are below the number of classes.
// A model of sequences has a label for every feature: a feature is a token, a whole number below the number of classes, and its
// label the token that comes next, or a negative number where that is nothing to learn from: such a label does not count. Where
// another document begins within a row, the feature is −1 less the token, see [Token].
// Vectors of the wrong length are bugs of the caller and panic.
type Model interface {
	// Layout describes the parameters. It is the same for all clones.
	Layout() *mixing.Layout

	// Row returns how many features and how many labels a row has.
	Row() (inputs, labels int)

	// Init fills params with initial values, a function of the seed.
	Init(params []float32, seed uint64)

	// Gradient writes the gradient of the mean loss over the labels to grad, as long as params, and returns that loss, in
	// nats where it is that of probabilities. It is not finite when parameters are not, or are far too large. At least one row
	// is needed; where no label counts, gradient and loss are 0.
	Gradient(grad, params, x []float32, y []int32) float64

	// Evaluate returns the sum of the losses over the labels, and how many of them are predicted right.
	Evaluate(params, x []float32, y []int32) (loss float64, right int)

	// Clone returns a model with scratch memory of its own.
	Clone() Model
}

// A Preparer is a Model that can evaluate the same rows with less work each time.
type Preparer interface {
	// Prepare returns a function that does for these rows what Evaluate does, with the same results. It is safe for concurrent
	// use. x and y must stay as they are.
	Prepare(x []float32, y []int32) func(params []float32) (loss float64, right int)
}

// Token returns the token that a feature of a sequence stands for. A document begins with it if the feature is negative.
func Token(feature float32) float32 {
	if feature < 0 {
		return -1 - feature
	}
	return feature
}

// Counted returns how many of the labels count: those that are not negative.
func Counted(y []int32) int {
	n := len(y)
	for _, label := range y {
		if label < 0 {
			n--
		}
	}
	return n
}
