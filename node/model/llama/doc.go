// Package llama holds language models that were trained before: those of the Llama family (Llama, SmolLM2, Qwen2) and GPT-2,
// with adapters or chosen tensors that are trained on top of weights that stay as they are.
//
// Start with [Load], which packs the weights of a model once, a [Base] that everything in a process shares, and with [New], which
// makes a [Model] of it: losses, and gradients of the trainable vector. That vector is all that a method of training sees; its
// layout, which [Training] chooses, has LoRA adapters or full tensors. [Model.Windows] makes one for trainers, a [Generator] continues
// texts, [Model.Merged] gives the weights with what was learned, [Model.SavePEFT] and [OpenPEFT] exchange adapters with PEFT, and
// [Memory] says beforehand what all that takes.
//
// The package changes no parameters, knows no text, and reads no files of models: weights come through a [Source], such as a
// checkpoint of package hf. It starts goroutines only where a model was given several workers, and waits for them. Results are
// the same bits on every machine and with any number of workers.
//
// Trainers and commands may import it; the core does not.
package llama
