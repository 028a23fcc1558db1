// Package track is the arithmetic of compressed gossip and of gradient tracking (spec 05, 5.6 and 5.7): what a node makes of its
// vectors, of public copies of them that are kept up to date by compressed differences, and of control variates.
//
// Start with [Choco.Step], which draws a model towards those of the neighbours through public copies (Koloskova et al. 2019), or
// with [Tracking.Round], which besides tracks the mean gradient, so that nodes with different data reach the common optimum
// (SCAFCOM of Huang, Li and Li 2024 without its server; with one local step BEER of Zhao et al. 2022). [Controlled] is the form
// with an aggregator, to compare with. All give linear forms over named vectors, to be computed in float64 and rounded once, as
// kernel.WeightedSum does.
//
// A public copy is what all neighbours know of a vector: zero or sent whole at first, and then moved by the same messages, in
// order, everywhere, as EF21 of the codec does. What compresses, and what becomes of lost messages, is not the business of this
// package. It holds no vectors, and there is no I/O, clock, goroutine or chance in it. Any package may import it; it imports
// nothing of the project.
package track
