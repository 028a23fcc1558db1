package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"starling/node/model/gguf"
	"starling/node/model/weights"
)

// numberNames are the number formats of weights by PyTorch's names.
var numberNames = map[weights.Type]string{weights.BF16: "bfloat16", weights.F16: "float16", weights.F32: "float32"}

// JSON returns c as the config.json of a model whose weights are saved as numbers: BF16, F16 or F32. [ParseConfig] reads the same from
// it. Only rotary factors of a GGUF file come back under the name that they have elsewhere, Llama 3's scaling. It returns an error for
// other factors, and for biases in some projections only, which config.json cannot express.
func (c *Config) JSON(numbers weights.Type) ([]byte, error) {
	one := func(id int) ids {
		if id < 0 {
			return nil
		}
		return ids{id}
	}
	f := configFile{ModelType: string(c.Family), Vocab: c.Vocab, Tied: &c.Tied, BOS: one(c.BOS), EOS: c.EOS, Pad: one(c.Pad)}
	all := struct {
		Architectures []string `json:"architectures"`
		Numbers       string   `json:"torch_dtype"`
		*configFile
	}{configFile: &f, Numbers: numberNames[numbers]}
	if all.Numbers == "" {
		return nil, fmt.Errorf("weights in %s are not what config.json describes; use BF16, F16 or F32", numbers)
	}
	switch c.Family {
	case GPT2:
		all.Architectures = []string{"GPT2LMHeadModel"}
		f.GPTContext, f.GPTHidden, f.GPTLayers, f.GPTHeads, f.GPTInner, f.GPTEps, f.GPTActivation = c.Context, c.Hidden, c.Layers, c.Heads, &c.MLP, &c.NormEps, &c.Activation
		return json.MarshalIndent(all, "", "  ")
	case Qwen2:
		if !c.QKVBias || c.OutBias || c.MLPBias {
			return nil, errors.New("a Qwen2 model with other biases than those of queries, keys and values cannot be described by config.json")
		}
		all.Architectures = []string{"Qwen2ForCausalLM"}
	default:
		if c.QKVBias != c.OutBias {
			return nil, errors.New("a Llama model with biases in some of its attention projections cannot be described by config.json")
		}
		all.Architectures = []string{"LlamaForCausalLM"}
		f.Bias, f.MLPBias = &c.QKVBias, &c.MLPBias
	}
	f.Context, f.Hidden, f.MLP, f.Layers, f.Heads, f.KVHeads, f.HeadDim = &c.Context, c.Hidden, c.MLP, c.Layers, c.Heads, &c.KVHeads, &c.HeadDim
	f.RMSEps, f.Activation = &c.NormEps, &c.Activation
	r, theta := c.Rope, fraction(c.Rope.Theta)
	f.Theta = &theta
	if r.Scaling == "factors" {
		var ok bool
		if r, ok = r.llama3Scaling(c.HeadDim); !ok {
			return nil, errors.New("the rotary frequencies of the GGUF file are not those of Llama 3's scaling, and config.json cannot describe others")
		}
	}
	if r.Scaling != "" {
		f.Scaling = &scaling{Type: r.Scaling, Factor: fraction(r.Factor), Low: fraction(r.Low), High: fraction(r.High), Original: r.Original}
	}
	return json.MarshalIndent(all, "", "  ")
}

// llama3Scaling returns the scaling of Llama 3 that r, which has factors, is the result of: converters keep no more of it. All published
// models have the same bounds of wavelengths, and were made for a power of two of tokens before their context was extended.
func (r Rope) llama3Scaling(dim int) (found Rope, ok bool) {
	have := r.Frequencies(dim)
	for original := 1; original <= maxContext; original *= 2 {
		found = Rope{Theta: r.Theta, Scaling: "llama3", Factor: float64(slices.Max(r.Factors)), Low: 1, High: 4, Original: original}
		if found.Factor < 1 {
			break
		}
		i := 0
		for _, f := range found.Frequencies(dim) {
			if math.Abs(float64(f-have[i])) > 1e-5*float64(have[i]) { // converters divide in another order
				break
			}
			i++
		}
		if i == len(have) {
			return found, true
		}
	}
	return r, false
}

// descriptions are the files that belong to a model in a directory beside its weights.
var descriptions = []string{"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "chat_template.jinja"}

// Describe writes into a directory what goes beside the weights of the model, by which transformers and [Open] read them: for a model in
// a directory copies of the files there, for a GGUF file config.json, tokenizer.json and tokenizer_config.json made of its metadata.
// numbers is the format in which the weights are saved: BF16, F16 or F32. It returns an error for models that files cannot describe, see
// [Config.JSON].
func (c *Checkpoint) Describe(dir string, numbers weights.Type) error {
	err := c.describe(dir, numbers)
	if err != nil {
		return fmt.Errorf("describe model %s: %w", c.path, err)
	}
	return nil
}

func (c *Checkpoint) describe(dir string, numbers weights.Type) error {
	if c.gguf == nil {
		for _, name := range descriptions {
			text, err := os.ReadFile(filepath.Join(c.path, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	config, err := c.Config.JSON(numbers)
	if err != nil {
		return err
	}
	spec, err := ggufTokenizer(c.gguf)
	if err != nil {
		return err
	}
	words, err := spec.JSON()
	if err != nil {
		return err
	}
	how, err := tokenizerConfig(c.gguf, c.Config)
	if err != nil {
		return err
	}
	for i, text := range [][]byte{config, words, how} { // in the order of their names
		if err := os.WriteFile(filepath.Join(dir, descriptions[i]), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tokenizerConfig returns the tokenizer_config.json for a GGUF file. The class is the one that takes tokenizer.json as it is.
func tokenizerConfig(f *gguf.File, c *Config) ([]byte, error) {
	out := struct {
		Class    string   `json:"tokenizer_class"`
		BOS      string   `json:"bos_token,omitempty"`
		EOS      string   `json:"eos_token,omitempty"`
		Pad      string   `json:"pad_token,omitempty"`
		Unknown  string   `json:"unk_token,omitempty"`
		Template string   `json:"chat_template,omitempty"`
		Length   int      `json:"model_max_length"`
		Inputs   []string `json:"model_input_names"` // those that models of these families take
		CleanUp  bool     `json:"clean_up_tokenization_spaces"`
	}{Class: "PreTrainedTokenizerFast", Length: c.Context, Inputs: []string{"input_ids", "attention_mask"}}
	t, err := ggufTemplate(f)
	if err != nil {
		return nil, err
	}
	out.Template, out.BOS, out.EOS = t.Text, t.BOS, t.EOS
	tokens, err := f.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	if out.Pad, err = ggufToken(f, tokens, "padding"); err != nil {
		return nil, err
	}
	if out.Unknown, err = ggufToken(f, tokens, "unknown"); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(out)
	return b.Bytes(), err
}
