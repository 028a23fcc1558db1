package hf

import (
	"fmt"

	"starling/node/model/weights"
)

// A Shape is a tensor that a model has.
type Shape struct {
	Name  string
	Shape []int // rows first
}

// Tensors returns what a model is made of, by Hugging Face's names, in the order of its layers. Projections of Llama and Qwen2 have a
// row for each output; those of GPT-2, as published, a row for each input.
func (c *Config) Tensors() []Shape {
	if c.Family == GPT2 {
		return c.gpt2Tensors()
	}
	var out []Shape
	add := func(name string, shape ...int) { out = append(out, Shape{name, shape}) }
	project := func(name string, outputs, inputs int, bias bool) {
		add(name+".weight", outputs, inputs)
		if bias {
			add(name+".bias", outputs)
		}
	}
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	add("model.embed_tokens.weight", c.Vocab, c.Hidden)
	for i := range c.Layers {
		layer := fmt.Sprintf("model.layers.%d.", i)
		add(layer+"input_layernorm.weight", c.Hidden)
		project(layer+"self_attn.q_proj", q, c.Hidden, c.QKVBias)
		project(layer+"self_attn.k_proj", kv, c.Hidden, c.QKVBias)
		project(layer+"self_attn.v_proj", kv, c.Hidden, c.QKVBias)
		project(layer+"self_attn.o_proj", c.Hidden, q, c.OutBias)
		add(layer+"post_attention_layernorm.weight", c.Hidden)
		project(layer+"mlp.gate_proj", c.MLP, c.Hidden, c.MLPBias)
		project(layer+"mlp.up_proj", c.MLP, c.Hidden, c.MLPBias)
		project(layer+"mlp.down_proj", c.Hidden, c.MLP, c.MLPBias)
	}
	add("model.norm.weight", c.Hidden)
	if !c.Tied {
		add("lm_head.weight", c.Vocab, c.Hidden)
	}
	return out
}

func (c *Config) gpt2Tensors() []Shape {
	var out []Shape
	add := func(name string, shape ...int) { out = append(out, Shape{name, shape}) }
	norm := func(name string) {
		add(name+".weight", c.Hidden)
		add(name+".bias", c.Hidden)
	}
	project := func(name string, inputs, outputs int) {
		add(name+".weight", inputs, outputs)
		add(name+".bias", outputs)
	}
	add("transformer.wte.weight", c.Vocab, c.Hidden)
	add("transformer.wpe.weight", c.Context, c.Hidden)
	for i := range c.Layers {
		layer := fmt.Sprintf("transformer.h.%d.", i)
		norm(layer + "ln_1")
		project(layer+"attn.c_attn", c.Hidden, 3*c.Hidden)
		project(layer+"attn.c_proj", c.Hidden, c.Hidden)
		norm(layer + "ln_2")
		project(layer+"mlp.c_fc", c.Hidden, c.MLP)
		project(layer+"mlp.c_proj", c.MLP, c.Hidden)
	}
	norm("transformer.ln_f")
	if !c.Tied {
		add("lm_head.weight", c.Vocab, c.Hidden)
	}
	return out
}

// Parameters returns how many numbers a model has.
func (c *Config) Parameters() int64 {
	var n int64
	for _, s := range c.Tensors() {
		size := int64(1)
		for _, d := range s.Shape {
			size *= int64(d)
		}
		n += size
	}
	return n
}

// Check returns an error if a source misses a tensor of the model, or has one of another shape or one that cannot be decoded. Tensors
// that the model does not have are left alone.
func (c *Config) Check(s weights.Source) error {
	for _, want := range c.Tensors() {
		t, err := s.Tensor(want.Name)
		if err != nil {
			return err
		}
		if err := t.Want(want.Shape...); err != nil {
			return err
		}
	}
	return nil
}
