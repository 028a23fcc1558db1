// Package weights is what files of models have in common, whatever their format: tensors with names in one of many number formats,
// decoded row by row to float32, in files that are mapped into memory.
//
// Start with [Source], which files of every format offer, and [Tensor.Decode]. Headers of files are read by packages safetensors and
// gguf. The package does not quantise, and it does no arithmetic with weights.
//
// Packages of node/model and above may import it.
package weights
