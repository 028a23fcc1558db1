// Package hf opens models as they are published: directories with config.json, safetensors and tokenizer.json, and GGUF files, of the
// Llama, Qwen2 and GPT-2 families.
//
// Start with [Open]; a [Checkpoint] has the [Config] of the model, its tensors by Hugging Face's names whatever the file, and makes its
// tokenizer and chat template. [Checkpoint.Describe] writes what goes beside weights that are saved anew. The package computes nothing
// with weights, trains nothing and downloads nothing.
//
// Packages of node/model and above may import it.
package hf
