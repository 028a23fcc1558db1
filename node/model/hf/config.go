package hf

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"starling/mixing/kernel"
)

// A Family names the arithmetic that the layers of a model do.
type Family string

const (
	Llama Family = "llama" // Llama 2 and 3, SmolLM2 and others: RMSNorm, rotary embeddings, SwiGLU
	Qwen2 Family = "qwen2" // as Llama, with biases of the query, key and value projections
	GPT2  Family = "gpt2"  // LayerNorm, learned positions, one hidden layer with GELU, biases everywhere
)

// A Config is the shape and the constants of a model, the same whether they were read from config.json or from a GGUF file.
// A Config that this package returns is valid.
type Config struct {
	Family  Family
	Vocab   int // rows of the token embedding; a tokenizer may have fewer tokens
	Context int // the longest sequence that the model was made for, in tokens
	Hidden  int // width of the residual stream
	MLP     int // width inside the feed-forward layers
	Layers  int

	Heads   int // of queries
	KVHeads int // of keys and values; divides Heads
	HeadDim int // width of one head; Heads·HeadDim may differ from Hidden

	NormEps    float64 // added to the variance by RMSNorm or LayerNorm
	Rope       Rope    // zero for GPT-2
	Activation string  // "silu" for Llama and Qwen2; "gelu_new" (the tanh form), "gelu" (with erf) or "relu" for GPT-2

	Tied    bool // the head uses the token embedding
	QKVBias bool // q_proj, k_proj and v_proj have biases
	OutBias bool // o_proj has a bias
	MLPBias bool // the feed-forward projections have biases

	BOS int   // token that begins a text, -1 if there is none
	EOS []int // tokens that end a text or a turn, in the order of the file
	Pad int   // token that fills batches, -1 if there is none
}

// A Rope says how rotary embeddings turn with positions. Halves rotate: element i of a head goes with element i + HeadDim/2, as
// in Hugging Face's models, and weights from GGUF files are brought into that order.
type Rope struct {
	Theta   float64 // base of the frequencies
	Scaling string  // "", "linear", "llama3" or "factors"

	Factor   float64 // linear and llama3: low frequencies are divided by it
	Low      float64 // llama3: wavelengths above Original/Low are stretched by Factor
	High     float64 // llama3: wavelengths below Original/High stay as they are
	Original int     // llama3: the context before it was extended, in tokens

	Factors []float32 // factors: each frequency is divided by its own; HeadDim/2 of them, as in GGUF's rope_freqs.weight
}

// Frequencies returns the angle in radians by which each pair of elements of a head turns per position, fastest first: dim/2
// of them. Every step rounds to float32, as in the reference.
func (r Rope) Frequencies(dim int) []float32 {
	out := make([]float32, dim/2)
	logTheta := kernel.Log(r.Theta)
	for i := range out {
		f := 1 / float32(kernel.Exp(float64(float32(2*i)/float32(dim))*logTheta))
		switch r.Scaling {
		case "linear":
			f /= float32(r.Factor)
		case "llama3":
			f = r.llama3(f)
		case "factors":
			f /= r.Factors[i]
		}
		out[i] = f
	}
	return out
}

func (r Rope) llama3(f float32) float32 {
	length, original := 2*math.Pi/float64(f), float64(r.Original)
	switch {
	case length < original/r.High:
		return f
	case length > original/r.Low:
		return f / float32(r.Factor)
	}
	smooth := float32((original/length - r.Low) / (r.High - r.Low))
	return float32((1-smooth)*f/float32(r.Factor)) + float32(smooth*f)
}

// Limits that no model of these families comes near: what is beyond is a broken or a hostile file.
const (
	maxVocab   = 1 << 22
	maxContext = 1 << 26
	maxWidth   = 1 << 18
	maxLayers  = 1 << 12
	maxHeads   = 1 << 12
)

// Validate reports everything that is wrong with c, each problem with the name that the field has in config.json.
func (c *Config) Validate() error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	size := func(name string, x, most int) {
		if x < 1 || x > most {
			add("%s is %d, want 1 to %d", name, x, most)
		}
	}
	if !slices.Contains([]Family{Llama, Qwen2, GPT2}, c.Family) {
		add("model_type is %q, want llama, qwen2 or gpt2", c.Family)
	}
	size("vocab_size", c.Vocab, maxVocab)
	size("max_position_embeddings", c.Context, maxContext)
	size("hidden_size", c.Hidden, maxWidth)
	size("intermediate_size", c.MLP, maxWidth)
	size("num_hidden_layers", c.Layers, maxLayers)
	size("num_attention_heads", c.Heads, maxHeads)
	size("num_key_value_heads", c.KVHeads, maxHeads)
	size("head_dim", c.HeadDim, maxWidth)
	if c.Heads > 0 && c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		add("num_attention_heads is %d, which is no multiple of num_key_value_heads, %d", c.Heads, c.KVHeads)
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		add("the epsilon of the norms is %g, want a small positive number", c.NormEps)
	}
	if c.Family == GPT2 {
		if c.Heads > 0 && (c.KVHeads != c.Heads || c.Heads*c.HeadDim != c.Hidden) {
			add("n_embd is %d, want a multiple of n_head, %d", c.Hidden, c.Heads)
		}
		if !slices.Contains([]string{"gelu_new", "gelu", "relu"}, c.Activation) {
			add("activation_function is %q, want gelu_new, gelu or relu", c.Activation)
		}
	} else {
		if c.Activation != "silu" {
			add("hidden_act is %q, want silu", c.Activation)
		}
		all = append(all, c.Rope.validate(c.HeadDim)...)
	}
	all = append(all, c.validateTokens()...)
	return errors.Join(all...)
}

func (c *Config) validateTokens() []error {
	var all []error
	for _, id := range append([]int{c.BOS, c.Pad}, c.EOS...) {
		if id < -1 || id >= c.Vocab {
			all = append(all, fmt.Errorf("special token %d is not in the vocabulary of %d", id, c.Vocab))
		}
	}
	return all
}

func (r Rope) validate(dim int) []error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if dim%2 != 0 {
		add("head_dim is %d, want an even number", dim)
	}
	if !(r.Theta >= 1 && r.Theta <= 1e12) {
		add("rope_theta is %g, want 1 to 1e12", r.Theta)
	}
	switch r.Scaling {
	case "":
	case "linear", "llama3":
		if !(r.Factor >= 1 && r.Factor <= 1e6) {
			add("the factor of rope_scaling is %g, want 1 to 1e6", r.Factor)
		}
		if r.Scaling == "linear" {
			break
		}
		if !(r.Low > 0 && r.High > r.Low && r.High <= 1e6) {
			add("rope_scaling has low_freq_factor %g and high_freq_factor %g, want 0 < low < high", r.Low, r.High)
		}
		if r.Original < 1 || r.Original > maxContext {
			add("original_max_position_embeddings of rope_scaling is %d, want 1 to %d", r.Original, maxContext)
		}
	case "factors":
		if len(r.Factors) != dim/2 {
			add("there are %d factors of rotary frequencies, want %d", len(r.Factors), dim/2)
		}
		for _, f := range r.Factors {
			if !(f > 0 && f <= 1e6) {
				add("a factor of rotary frequencies is %g, want more than 0 and at most 1e6", f)
				break
			}
		}
	default:
		add("rope_scaling of type %q is not known here; linear and llama3 are", r.Scaling)
	}
	return all
}
