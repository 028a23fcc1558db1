package hf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"starling/mixing/spelling"
	"starling/node/model/gguf"
	"starling/node/model/weights"
)

// metadata reads the keys of one architecture and keeps the first error.
type metadata struct {
	f    *gguf.File
	arch string
	err  error
}

func (m *metadata) key(name string) string { return m.arch + "." + name }

func (m *metadata) has(name string) bool { return m.f.Has(m.key(name)) }

func (m *metadata) int(name string) int {
	x, err := m.f.Int(m.key(name))
	if m.err == nil {
		m.err = err
	}
	return x
}

func (m *metadata) intOr(name string, otherwise int) int {
	if !m.has(name) {
		return otherwise
	}
	return m.int(name)
}

func (m *metadata) floatOr(name string, otherwise float64) float64 {
	if !m.has(name) {
		return otherwise
	}
	x, err := m.f.Float(m.key(name))
	if m.err == nil {
		m.err = err
	}
	return x
}

// ConfigFromGGUF returns the Config that the metadata and the tensors of a GGUF file say. Errors are as for [ParseConfig].
func ConfigFromGGUF(f *gguf.File) (*Config, error) {
	arch, err := f.Text("general.architecture")
	if err != nil {
		return nil, err
	}
	known := []string{string(Llama), string(Qwen2), string(GPT2)}
	if !slices.Contains(known, arch) {
		return nil, fmt.Errorf("general.architecture is %s, and only llama, qwen2 and gpt2 are read%s", spelling.Quote(arch), spelling.Hint(arch, known))
	}
	m := &metadata{f: f, arch: arch}
	if f.Has("split.count") {
		if n, err := f.Int("split.count"); err != nil || n != 1 {
			return nil, errors.New("the model is split over several GGUF files; join them with llama-gguf-split --merge")
		}
	}
	if m.intOr("expert_count", 0) != 0 {
		return nil, errors.New("the model is a mixture of experts, which is not computed here")
	}
	c := &Config{
		Family: Family(arch), Context: m.int("context_length"), Hidden: m.int("embedding_length"), MLP: m.int("feed_forward_length"),
		Layers: m.int("block_count"), Heads: m.int("attention.head_count"),
	}
	c.KVHeads = m.intOr("attention.head_count_kv", c.Heads)
	if c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	c.HeadDim = m.intOr("attention.key_length", c.HeadDim)
	if v := m.intOr("attention.value_length", c.HeadDim); v != c.HeadDim {
		return nil, fmt.Errorf("attention.value_length is %d and key_length %d, and only equal ones are computed here", v, c.HeadDim)
	}
	if c.Family == GPT2 {
		c.NormEps, c.Activation = m.floatOr("attention.layer_norm_epsilon", 1e-5), "gelu_new"
		c.QKVBias, c.OutBias, c.MLPBias = true, true, true
	} else {
		c.NormEps, c.Activation = m.floatOr("attention.layer_norm_rms_epsilon", 1e-6), "silu"
		c.QKVBias, c.OutBias, c.MLPBias = hasTensor(f, "blk.0.attn_q.bias"), hasTensor(f, "blk.0.attn_output.bias"), hasTensor(f, "blk.0.ffn_up.bias")
		c.Rope = m.rope(c.HeadDim)
	}
	c.NormEps = decimal(c.NormEps)
	c.Tied = !hasTensor(f, "output.weight")
	embedding, err := f.Tensor("token_embd.weight")
	if m.err != nil {
		return nil, m.err
	}
	if err != nil {
		return nil, err
	}
	c.Vocab = embedding.Rows()
	if c.BOS, c.EOS, c.Pad, err = specialTokens(f); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// decimal returns the shortest decimal number that is x in float32: GGUF files keep as float32 what config.json writes in decimals.
func decimal(x float64) float64 {
	var y float64
	if _, err := fmt.Sscan(fmt.Sprint(float32(x)), &y); err != nil {
		return x
	}
	return y
}

func hasTensor(f *gguf.File, name string) bool {
	_, ok := slices.BinarySearch(f.Names(), name)
	return ok
}

// rope reads what rotary embeddings do in heads of dim elements.
func (m *metadata) rope(dim int) Rope {
	fail := func(format string, args ...any) {
		if m.err == nil {
			m.err = fmt.Errorf(format, args...)
		}
	}
	r := Rope{Theta: decimal(m.floatOr("rope.freq_base", 10000))}
	if n := m.intOr("rope.dimension_count", dim); n != dim {
		fail("rope.dimension_count is %d of %d, and heads are always rotated as a whole here", n, dim)
	}
	kind := "none"
	if m.has("rope.scaling.type") {
		text, err := m.f.Text(m.key("rope.scaling.type"))
		if err != nil {
			fail("%w", err)
		}
		kind = text
	} else if m.has("rope.scale_linear") {
		kind = "linear" // of old files
	}
	switch kind {
	case "none":
	case "linear":
		if factor := m.floatOr("rope.scaling.factor", m.floatOr("rope.scale_linear", 1)); factor != 1 {
			r.Scaling, r.Factor = "linear", decimal(factor)
		}
	default:
		fail("rope.scaling.type is %s, which is not known here; none and linear are", spelling.Quote(kind))
	}
	if t, err := m.f.Tensor("rope_freqs.weight"); err == nil { // what is left of the scaling of Llama 3
		if r.Scaling != "" {
			fail("rotary frequencies are scaled twice, by rope.scaling and by rope_freqs.weight")
		}
		if err := t.Want(dim / 2); err != nil {
			fail("%w", err)
			return r
		}
		r.Scaling = "factors"
		if r.Factors, err = t.Floats(); err != nil {
			fail("%w", err)
		}
	}
	return r
}

func specialTokens(f *gguf.File) (bos int, eos []int, pad int, err error) {
	one := func(name string) int {
		key := "tokenizer.ggml." + name + "_token_id"
		if !f.Has(key) {
			return -1
		}
		id, e := f.Int(key)
		if err == nil {
			err = e
		}
		return id
	}
	bos, pad = one("bos"), one("padding")
	for _, name := range []string{"eos", "eot", "eom"} {
		if id := one(name); id >= 0 && !slices.Contains(eos, id) {
			eos = append(eos, id)
		}
	}
	return bos, eos, pad, err
}

// ggufNames are the names of llama.cpp for the tensors of a layer, behind "blk.N.", by Hugging Face's, for each family.
var ggufNames = map[string]string{
	"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",

	"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
	"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
}

// ggufName returns llama.cpp's name for one of [Config.Tensors]; ok is false if it has none.
func ggufName(name string) (out string, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", false
	}
	stem, kind := name[:dot], name[dot:]
	before := ""
	for _, prefix := range []string{"model.layers.", "transformer.h."} {
		if rest, found := strings.CutPrefix(stem, prefix); found {
			number, inner, _ := strings.Cut(rest, ".")
			before, stem = "blk."+number+".", inner
		}
	}
	short, ok := ggufNames[stem]
	return before + short + kind, ok
}

// A ggufSource gives the tensors of a GGUF file the names and the order of rows that they have elsewhere.
type ggufSource struct {
	*gguf.File
	config *Config
	names  []string
	known  map[string]bool
}

func newGGUFSource(f *gguf.File, c *Config) *ggufSource {
	s := &ggufSource{File: f, config: c, known: map[string]bool{}}
	for _, t := range c.Tensors() {
		s.names = append(s.names, t.Name)
		s.known[t.Name] = true
	}
	slices.Sort(s.names)
	return s
}

// Names returns the names of the tensors of the model, sorted.
func (s *ggufSource) Names() []string { return s.names }

// Tensor returns a tensor by Hugging Face's name for it.
func (s *ggufSource) Tensor(name string) (weights.Tensor, error) {
	inside, ok := ggufName(name)
	if !ok || !s.known[name] {
		return weights.Tensor{}, weights.Missing(name, s.names)
	}
	t, err := s.File.Tensor(inside)
	if err != nil {
		return t, err
	}
	t.Name = name
	if s.config.Family == GPT2 && strings.Contains(name, ".c_") && strings.HasSuffix(name, ".weight") {
		return t.Transposed()
	}
	if s.config.Family == Llama && (strings.Contains(name, ".q_proj.") || strings.Contains(name, ".k_proj.")) {
		return halves(t, s.config.HeadDim)
	}
	return t, nil
}

// halves undoes what llama.cpp does to the queries and keys of Llama models: it puts element i + dim/2 of every head, with which
// element i rotates, right behind that.
func halves(t weights.Tensor, dim int) (weights.Tensor, error) {
	order := func(row int) int {
		head, i := row/dim*dim, row%dim
		return head + i%(dim/2)*2 + i/(dim/2)
	}
	if len(t.Shape) != 1 {
		if t.Rows()%dim != 0 {
			return t, fmt.Errorf("tensor %q has %d rows, want a multiple of %d", t.Name, t.Rows(), dim)
		}
		return t.Reordered(order), nil
	}
	in, err := t.Floats()
	if err != nil {
		return t, err
	}
	if len(in)%dim != 0 {
		return t, fmt.Errorf("tensor %q has %d numbers, want a multiple of %d", t.Name, len(in), dim)
	}
	out := make([]float32, len(in))
	for i := range out {
		out[i] = in[order(i)]
	}
	return weights.FromFloats(t.Name, t.Shape, out)
}
