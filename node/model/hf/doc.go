// Package hf reads the directories and files that models of the Llama, Qwen2 and GPT-2 families are published as: config.json, and
// weights in safetensors or GGUF.
//
// Start with [Config], what a model is made of. The package does no arithmetic of models, trains nothing and downloads nothing.
//
// Packages of node/model and above may import it.
package hf
