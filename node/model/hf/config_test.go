package hf

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"starling/node/data/tokenizer"
	"starling/node/model/gguf"
	"starling/node/model/weights"
)

const (
	llama32 = `{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
		"hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
		"num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
		"rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
		"rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256}`
	smol = `{"bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536, "max_position_embeddings": 8192,
		"model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2, "rms_norm_eps": 1e-05,
		"rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true, "vocab_size": 49152}`
	qwen25 = `{"model_type": "qwen2", "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
		"max_position_embeddings": 32768, "max_window_layers": 21, "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
		"rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}`
	gpt2Small = `{"model_type": "gpt2", "activation_function": "gelu_new", "bos_token_id": 50256, "eos_token_id": 50256, "layer_norm_epsilon": 1e-05, "n_ctx": 1024,
		"n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "n_inner": null, "vocab_size": 50257}`
	newer = `{"model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9,
		"rope_parameters": {"rope_theta": 1234.5, "rope_type": "linear", "factor": 4}, "layer_types": ["full_attention"], "eos_token_id": null}`
)

func TestConfigsOfPublishedModelsAreRead(t *testing.T) {
	llama3 := Rope{Theta: 500000, Scaling: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192}
	for _, test := range []struct {
		text       string
		want       Config
		parameters int64
	}{
		{llama32, Config{Family: Llama, Vocab: 128256, Context: 131072, Hidden: 2048, MLP: 8192, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, NormEps: 1e-5, Rope: llama3,
			Activation: "silu", Tied: true, BOS: 128000, EOS: []int{128001, 128008, 128009}, Pad: -1}, 1_235_814_400},
		{smol, Config{Family: Llama, Vocab: 49152, Context: 8192, Hidden: 576, MLP: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, NormEps: 1e-5, Rope: Rope{Theta: 100000},
			Activation: "silu", Tied: true, BOS: 1, EOS: []int{2}, Pad: 2}, 134_515_008},
		{qwen25, Config{Family: Qwen2, Vocab: 151936, Context: 32768, Hidden: 896, MLP: 4864, Layers: 24, Heads: 14, KVHeads: 2, HeadDim: 64, NormEps: 1e-6, Rope: Rope{Theta: 1000000},
			Activation: "silu", Tied: true, QKVBias: true, BOS: 151643, EOS: []int{151645}, Pad: -1}, 494_032_768},
		{gpt2Small, Config{Family: GPT2, Vocab: 50257, Context: 1024, Hidden: 768, MLP: 3072, Layers: 12, Heads: 12, KVHeads: 12, HeadDim: 64, NormEps: 1e-5,
			Activation: "gelu_new", Tied: true, QKVBias: true, OutBias: true, MLPBias: true, BOS: 50256, EOS: []int{50256}, Pad: -1}, 124_439_808},
		{newer, Config{Family: Llama, Vocab: 9, Context: 2048, Hidden: 8, MLP: 12, Layers: 1, Heads: 2, KVHeads: 2, HeadDim: 4, NormEps: 1e-6, Rope: Rope{Theta: 1234.5, Scaling: "linear", Factor: 4},
			Activation: "silu", BOS: -1, Pad: -1}, 9*8 + 8 + 8 + 4*8*8 + 3*8*12 + 8 + 9*8},
	} {
		got, err := ParseConfig([]byte(test.text))
		if err != nil || !reflect.DeepEqual(*got, test.want) {
			t.Errorf("have %+v %v\nwant %+v", got, err, test.want)
			continue
		}
		if n := got.Parameters(); n != test.parameters {
			t.Errorf("%d parameters, want %d", n, test.parameters)
		}
		text, err := got.JSON(weights.BF16)
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := ParseConfig(text)
		if err != nil || !reflect.DeepEqual(*again, test.want) {
			t.Errorf("%s\nis read as %+v %v\nwant %+v", text, again, err, test.want)
		}
	}
}

func TestConfigsThatAreNotComputedAreRefused(t *testing.T) {
	for _, test := range []struct{ text, old, now, want string }{
		{smol, `"model_type": "llama",`, ``, "model_type is missing"},
		{smol, `"llama"`, `"lama"`, `did you mean "llama"`},
		{smol, `"llama"`, `"mamba"`, "only llama, qwen2 and gpt2"},
		{smol, `"silu"`, `"gelu"`, `hidden_act is "gelu", want silu`},
		{smol, `"num_attention_heads": 9`, `"num_attention_heads": 8`, "no multiple of num_key_value_heads, 3"},
		{smol, `"hidden_size": 576`, `"hidden_size": -1`, "hidden_size is -1"},
		{smol, `"num_hidden_layers": 30`, `"num_hidden_layers": 1e9`, "num_hidden_layers"},
		{smol, `"num_hidden_layers": 30`, `"num_hidden_layers": 5000`, "want 1 to 4096"},
		{smol, `"rms_norm_eps": 1e-05`, `"rms_norm_eps": 0`, "epsilon"},
		{smol, `"rope_theta": 100000`, `"rope_theta": 0`, "rope_theta is 0"},
		{smol, `"rope_theta": 100000`, `"partial_rotary_factor": 0.5`, "partial_rotary_factor"},
		{smol, `"eos_token_id": 2`, `"eos_token_id": 50000`, "special token 50000"},
		{smol, `"bos_token_id": 1`, `"quantization_config": {"bits": 4}`, "quantization_config"},
		{smol, `"bos_token_id": 1`, `"head_dim": 63`, "head_dim is 63, want an even number"},
		{llama32, `"rope_type": "llama3"`, `"rope_type": "yarn"`, `type "yarn"`},
		{llama32, `"rope_type": "llama3"`, `"rope_type": ""`, ""}, // scaling without a type is none
		{llama32, `"factor": 32.0`, `"factor": 0.5`, "factor of rope_scaling is 0.5"},
		{llama32, `"high_freq_factor": 4.0`, `"high_freq_factor": 1.0`, "0 < low < high"},
		{llama32, `"original_max_position_embeddings": 8192`, `"original_max_position_embeddings": 0`, "original_max_position_embeddings"},
		{qwen25, `"use_sliding_window": false`, `"use_sliding_window": true`, "sliding attention"},
		{newer, `"full_attention"`, `"sliding_attention"`, "sliding attention"},
		{gpt2Small, `"n_head": 12`, `"n_head": 11`, "want a multiple of n_head, 11"},
		{gpt2Small, `"n_head": 12`, `"n_head": 0`, "num_attention_heads is 0"},
		{gpt2Small, `"gelu_new"`, `"tanh"`, `activation_function is "tanh"`},
		{gpt2Small, `"n_ctx": 1024`, `"scale_attn_by_inverse_layer_idx": true`, "scale_attn_by_inverse_layer_idx"},
		{gpt2Small, `"n_ctx": 1024`, `"vocab_size": "x"`, "vocab_size"},
	} {
		if !strings.Contains(test.text, test.old) {
			t.Fatalf("there is no %s", test.old)
		}
		text := strings.Replace(test.text, test.old, test.now, 1)
		if test.want == "" {
			if _, err := ParseConfig([]byte(text)); err != nil {
				t.Errorf("%s: %v", test.now, err)
			}
		} else if c, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v %v, want %q", test.now, c, err, test.want)
		}
	}
	c := Config{Rope: Rope{Scaling: "factors"}}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "model_type is") {
		t.Errorf("an empty config: %v", err)
	}
	for factors, want := range map[float32]string{0: "is 0", float32(math.NaN()): "NaN"} {
		r := Rope{Theta: 10000, Scaling: "factors", Factors: []float32{1, factors}}
		if all := r.validate(4); len(all) != 1 || !strings.Contains(all[0].Error(), want) {
			t.Errorf("factor %g: %v", factors, all)
		}
	}
}

// Bits of the reference, PyTorch 2 and transformers 5.24, every fifth frequency of heads of 64.
func TestRotaryFrequenciesAreThoseOfTheReference(t *testing.T) {
	for _, test := range []struct {
		rope Rope
		want []uint32
	}{
		{Rope{Theta: 500000, Scaling: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192},
			[]uint32{0x3f800000, 0x3e03c6a0, 0x3c87a9c3, 0x3aa9279b, 0x370fc8f8, 0x359406cb, 0x341864a7}},
		{Rope{Theta: 100000}, []uint32{0x3f800000, 0x3e297409, 0x3ce054d2, 0x3b947dae, 0x3a44948c, 0x39021f2b, 0x37ac431d}},
	} {
		got := test.rope.Frequencies(64)
		if len(got) != 32 {
			t.Fatalf("%d frequencies", len(got))
		}
		for i, want := range test.want {
			if diff := int64(math.Float32bits(got[5*i])) - int64(want); diff < -1 || diff > 1 { // the reference's power is not rounded right everywhere
				t.Errorf("theta %g: frequency %d is %#x, want %#x", test.rope.Theta, 5*i, math.Float32bits(got[5*i]), want)
			}
		}
	}
	if got := (Rope{Theta: 10000, Scaling: "linear", Factor: 4}).Frequencies(4); got[0] != 0.25 || math.Abs(float64(got[1]-0.0025)) > 1e-9 {
		t.Errorf("linear scaling gives %v", got)
	}
}

func TestRotaryFrequenciesHaveRecordedBits(t *testing.T) {
	h := fnv.New64a()
	for _, r := range []Rope{{Theta: 10000}, {Theta: 500000, Scaling: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192}, {Theta: 1e6, Scaling: "linear", Factor: 3}} {
		for _, dim := range []int{4, 64, 80, 128} {
			for _, f := range r.Frequencies(dim) {
				h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(f)))
			}
		}
	}
	if got, want := h.Sum64(), uint64(0x1c7a47db119d31db); got != want {
		t.Errorf("hash is %#x, want %#x: nodes on different machines would compute different models", got, want)
	}
}

func TestGGUFOfOtherModelsAreRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/smollm2.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, now, want string }{ // of equal lengths, as the file has no slack
		{"general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00llama", "general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00mamba", `architecture is "mamba"`},
		{"llama.block_count", "llama.block_coumt", "no llama.block_count"},
		{"llama.context_length", "llama.expert_count\x04\x00", ""},
		{"llama.rope.scaling.type\x08\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00linear", "llama.rope.scaling.type\x08\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00yarnly", `type is "yarnly"`},
		{"token_embd.weight", "token_embd.weighs", `no tensor "token_embd.weight"`},
		{"blk.1.ffn_up.weight", "blk.1.ffn_up.weighs", `no tensor "blk.1.ffn_up.weight"`},
		{"tokenizer.ggml.pre", "tokenizer.ggml.pro", "does not say how texts are cut"},
		{"tokenizer.ggml.pre\x08\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00smollm", "tokenizer.ggml.pre\x08\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00falcon", `pre is "falcon"`},
		{"tokenizer.ggml.model\x08\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00gpt2", "tokenizer.ggml.model\x08\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00bert", `model is "bert"`},
		{"tokenizer.ggml.token_type", "tokenizer.ggml.token_tape", "no tokenizer.ggml.token_type"},
	} {
		if len(test.old) != len(test.now) && test.want != "" || !strings.Contains(string(data), test.old) {
			t.Fatalf("there is no %q, or it is not as long as %q", test.old, test.now)
		}
		path := filepath.Join(t.TempDir(), "x.gguf")
		write(t, path, strings.Replace(string(data), test.old, test.now, 1))
		c, err := Open(path)
		if err == nil {
			_, err = c.Tokenizer()
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", test.now, err, test.want)
		}
	}
}

// FuzzConfig: whatever is accepted is valid, and can be written and read again.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{llama32, smol, qwen25, gpt2Small, newer} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if c.Family != GPT2 {
			c.Rope.Frequencies(c.HeadDim)
		}
		text, err := c.JSON(weights.BF16)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseConfig(text); err != nil || len(again.EOS) != len(c.EOS) || again.MLP != c.MLP || again.Rope.Theta != c.Rope.Theta {
			t.Fatalf("%s is read as %+v %v, want %+v", text, again, err, c)
		}
	})
}

// FuzzGGUF: files that are well-formed and say strange things about models are refused or give a valid model.
func FuzzGGUF(f *testing.F) {
	for _, name := range tiny {
		data, err := os.ReadFile("testdata/" + name + ".gguf")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := gguf.Parse(data)
		if err != nil {
			return
		}
		if tok, err := TokenizerFromGGUF(file); err == nil {
			ids := tok.NewEncoder().Encode(nil, "the <tool> 12")
			if spec, err := ggufTokenizer(file); err != nil {
				t.Fatal(err)
			} else if text, err := spec.JSON(); err == nil {
				again, err := tokenizer.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				if got := again.NewEncoder().Encode(nil, "the <tool> 12"); !slices.Equal(got, ids) {
					t.Fatalf("a tokenizer that was written encodes to %v, want %v", got, ids)
				}
			}
		}
		if _, err := ggufTemplate(file); err != nil {
			return
		}
		c, err := ConfigFromGGUF(file)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if text, err := c.JSON(weights.BF16); err == nil {
			again, err := ParseConfig(text)
			if err != nil {
				t.Fatal(err)
			}
			if again.Rope = c.Rope; !reflect.DeepEqual(again, c) {
				t.Fatalf("%s is read as %+v, want %+v", text, again, c)
			}
		}
		source := newGGUFSource(file, c)
		if err := c.Check(source); err != nil {
			return
		}
		for _, s := range c.Tensors() {
			tensor, err := source.Tensor(s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tensor.Floats(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
