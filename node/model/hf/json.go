package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"starling/mixing/spelling"
)

// configFile is a config.json, as far as it matters here. Pointers are nil where it says nothing, and Hugging Face's default holds.
type configFile struct {
	ModelType string `json:"model_type"`

	Vocab        int       `json:"vocab_size"`
	Context      *int      `json:"max_position_embeddings,omitempty"`
	Hidden       int       `json:"hidden_size,omitempty"`
	MLP          int       `json:"intermediate_size,omitempty"`
	Layers       int       `json:"num_hidden_layers,omitempty"`
	Heads        int       `json:"num_attention_heads,omitempty"`
	KVHeads      *int      `json:"num_key_value_heads,omitempty"`
	HeadDim      *int      `json:"head_dim,omitempty"`
	RMSEps       *float64  `json:"rms_norm_eps,omitempty"`
	Activation   *string   `json:"hidden_act,omitempty"`
	Tied         *bool     `json:"tie_word_embeddings,omitempty"`
	Bias         *bool     `json:"attention_bias,omitempty"`
	MLPBias      *bool     `json:"mlp_bias,omitempty"`
	Theta        *fraction `json:"rope_theta,omitempty"`
	Scaling      *scaling  `json:"rope_scaling,omitempty"`
	Parameters   *scaling  `json:"rope_parameters,omitempty"` // theta and scaling in newer files
	Partial      *float64  `json:"partial_rotary_factor,omitempty"`
	Sliding      bool      `json:"use_sliding_window,omitempty"`
	LayerTypes   []string  `json:"layer_types,omitempty"`
	Quantization any       `json:"quantization_config,omitempty"`

	GPTContext    int      `json:"n_positions,omitempty"`
	GPTHidden     int      `json:"n_embd,omitempty"`
	GPTLayers     int      `json:"n_layer,omitempty"`
	GPTHeads      int      `json:"n_head,omitempty"`
	GPTInner      *int     `json:"n_inner,omitempty"`
	GPTEps        *float64 `json:"layer_norm_epsilon,omitempty"`
	GPTActivation *string  `json:"activation_function,omitempty"`
	ScaleAttn     *bool    `json:"scale_attn_weights,omitempty"`
	ScaleLayers   bool     `json:"scale_attn_by_inverse_layer_idx,omitempty"`
	CrossAttn     bool     `json:"add_cross_attention,omitempty"`

	BOS ids `json:"bos_token_id"` // null is none; where they are missing, readers have tokens of their own
	EOS ids `json:"eos_token_id"`
	Pad ids `json:"pad_token_id"`
}

type scaling struct {
	Type     string    `json:"rope_type,omitempty"`
	OldType  string    `json:"type,omitempty"`
	Theta    *fraction `json:"rope_theta,omitempty"`
	Factor   fraction  `json:"factor,omitempty"`
	Low      fraction  `json:"low_freq_factor,omitempty"`
	High     fraction  `json:"high_freq_factor,omitempty"`
	Original int       `json:"original_max_position_embeddings,omitempty"`
	Partial  *float64  `json:"partial_rotary_factor,omitempty"`
}

// A fraction is a number that is written with a point: some readers refuse 8 where they want 8.0.
type fraction float64

func (x fraction) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(x))
	if err == nil && !bytes.ContainsAny(text, ".e") {
		text = append(text, ".0"...)
	}
	return text, err
}

// ids is one token, a list of tokens, or null.
type ids []int

func (x *ids) UnmarshalJSON(text []byte) error {
	*x = nil
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]int)(x))
	}
	var one *int
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	if one != nil {
		*x = ids{*one}
	}
	return nil
}

// MarshalJSON writes one token as a number, as most readers expect it, and none as null.
func (x ids) MarshalJSON() ([]byte, error) {
	switch len(x) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(x[0])
	}
	return json.Marshal([]int(x))
}

// first returns the first token; -1 if there is none.
func (x ids) first() int {
	if len(x) == 0 {
		return -1
	}
	return x[0]
}

// or returns *p, or otherwise where it is nil.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// ParseConfig reads a config.json. It returns an error that names all that is wrong with the model, and for models that would compute
// something else than this project does.
func ParseConfig(text []byte) (*Config, error) {
	var f configFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.Quantization != nil {
		return nil, errors.New("quantization_config is set, and weights that were quantised that way are not read; take the model in bf16 or a GGUF file")
	}
	var c *Config
	var err error
	switch Family(f.ModelType) {
	case Llama, Qwen2:
		c, err = f.llama()
	case GPT2:
		c, err = f.gpt2()
	case "":
		return nil, errors.New("model_type is missing")
	default:
		known := []string{string(Llama), string(Qwen2), string(GPT2)}
		return nil, fmt.Errorf("model_type is %s, and only llama, qwen2 and gpt2 are read%s", spelling.Quote(f.ModelType), spelling.Hint(f.ModelType, known))
	}
	if err != nil {
		return nil, err
	}
	c.Family, c.Vocab = Family(f.ModelType), f.Vocab
	c.BOS, c.EOS, c.Pad = f.BOS.first(), f.EOS, f.Pad.first()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

func (f *configFile) llama() (*Config, error) {
	qwen := Family(f.ModelType) == Qwen2
	context := 2048
	if qwen {
		context = 32768
	}
	c := &Config{
		Context: or(f.Context, context), Hidden: f.Hidden, MLP: f.MLP, Layers: f.Layers, Heads: f.Heads, KVHeads: or(f.KVHeads, f.Heads),
		NormEps: or(f.RMSEps, 1e-6), Activation: or(f.Activation, "silu"), Tied: or(f.Tied, false),
		QKVBias: qwen || or(f.Bias, false), OutBias: !qwen && or(f.Bias, false), MLPBias: !qwen && or(f.MLPBias, false),
	}
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	c.HeadDim = or(f.HeadDim, c.HeadDim)
	if f.Sliding || slices.ContainsFunc(f.LayerTypes, func(s string) bool { return s != "full_attention" }) {
		return nil, errors.New("the model has layers with sliding attention (use_sliding_window, layer_types), which are not computed here")
	}
	var err error
	c.Rope, err = f.rope()
	return c, err
}

func (f *configFile) rope() (Rope, error) {
	theta, partial := or(f.Theta, 10000), or(f.Partial, 1)
	s := f.Scaling
	if f.Parameters != nil {
		s = f.Parameters
		theta, partial = or(s.Theta, theta), or(s.Partial, partial)
	}
	r := Rope{Theta: float64(theta)}
	if partial != 1 {
		return r, fmt.Errorf("partial_rotary_factor is %g, and heads are always rotated as a whole here", partial)
	}
	if s == nil {
		return r, nil
	}
	name := s.Type
	if name == "" {
		name = s.OldType
	}
	switch name {
	case "", "default":
	case "linear":
		r.Scaling, r.Factor = name, float64(s.Factor)
	case "llama3":
		r.Scaling, r.Factor, r.Low, r.High, r.Original = name, float64(s.Factor), float64(s.Low), float64(s.High), s.Original
	default:
		return r, fmt.Errorf("rope_scaling of type %s is not known here; linear and llama3 are", spelling.Quote(name))
	}
	return r, nil
}

func (f *configFile) gpt2() (*Config, error) {
	if !or(f.ScaleAttn, true) || f.ScaleLayers || f.CrossAttn {
		return nil, errors.New("scale_attn_weights, scale_attn_by_inverse_layer_idx or add_cross_attention is not at its default, and nothing else is computed here")
	}
	c := &Config{
		Context: f.GPTContext, Hidden: f.GPTHidden, MLP: or(f.GPTInner, 4*f.GPTHidden), Layers: f.GPTLayers, Heads: f.GPTHeads, KVHeads: f.GPTHeads,
		NormEps: or(f.GPTEps, 1e-5), Activation: or(f.GPTActivation, "gelu_new"), Tied: or(f.Tied, true), QKVBias: true, OutBias: true, MLPBias: true,
	}
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	return c, nil
}
