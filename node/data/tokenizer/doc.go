// Package tokenizer turns text into the token IDs of a language model and back: byte-level byte-pair encoding, as models of the GPT-2,
// Llama 3, Qwen2 and SmolLM2 families use it.
//
// Start with [Parse], which reads a tokenizer.json, or [New] for a vocabulary from elsewhere; then [Tokenizer.NewEncoder] and
// [Tokenizer.Decode]. IDs are those of the reference, Hugging Face's tokenizers, on every machine. The package does not train
// vocabularies, and it refuses tokenizers that it would not match: other models than BPE on bytes, other pre-tokenizers.
//
// Packages of node/data, node/model and above may import it; it imports only package spelling of the project.
package tokenizer
