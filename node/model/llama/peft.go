package llama

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/mixing/spelling"
	"starling/node/model/safetensors"
)

// The two files of an adapter of PEFT, and what names of its tensors begin with.
const (
	peftConfig  = "adapter_config.json"
	peftWeights = "adapter_model.safetensors"
	peftPrefix  = "base_model.model."
	peftDigest  = "base_digest" // in the metadata of the tensors, where others pass it over

	maxConfig = 1 << 20
)

// peftJSON is what matters of adapter_config.json. What is written has these fields in this order.
type peftJSON struct {
	Type     string          `json:"peft_type"`
	Task     string          `json:"task_type"`
	Base     string          `json:"base_model_name_or_path"`
	Rank     int             `json:"r"`
	Alpha    float64         `json:"lora_alpha"`
	RSLoRA   bool            `json:"use_rslora"`
	Targets  json.RawMessage `json:"target_modules"`
	Lying    bool            `json:"fan_in_fan_out"`
	Bias     string          `json:"bias"`
	Dropout  float64         `json:"lora_dropout"`
	Inferred bool            `json:"inference_mode"`
}

// peftRefused is what an adapter may have that is not built in, by the names of settings.
type peftRefused struct {
	DoRA     bool           `json:"use_dora"`
	QALoRA   bool           `json:"use_qalora"`
	LoRABias bool           `json:"lora_bias"`
	Ranks    map[string]any `json:"rank_pattern"`
	Alphas   map[string]any `json:"alpha_pattern"`
	Saved    []string       `json:"modules_to_save"`
	Layers   any            `json:"layers_to_transform"`
	Copies   any            `json:"layer_replication"`
	Tokens   any            `json:"trainable_token_indices"`
	Params   []string       `json:"target_parameters"`
}

// SavePEFT writes the adapter in params to a directory that exists, for PEFT: adapter_config.json and adapter_model.safetensors. base
// is the name or the path of the model below that PEFT notes there, and digest, unless it is zero, the model's digest, see [PEFT]. It returns an error if full tensors were trained, which
// the format of adapters has no good place for: save the [Merged] weights of those.
func (m *Model) SavePEFT(dir string, params []float32, base string, digest [32]byte) error {
	m.check(params)
	t := m.training
	if t.Rank == 0 || len(t.Full) > 0 {
		return fmt.Errorf("save adapter: %s trains full tensors, which an adapter of PEFT does not hold: save the merged weights, --format merged", t)
	}
	targets := t.Targets
	if len(targets) == 0 {
		targets = m.base.choices()[1:]
	}
	list, err := json.Marshal(targets)
	if err != nil {
		return err
	}
	config, err := json.MarshalIndent(peftJSON{
		Type: "LORA", Task: "CAUSAL_LM", Base: base, Rank: t.Rank, Alpha: t.Alpha, RSLoRA: t.RankStabilized, Targets: list, Lying: m.base.gpt2(),
		Bias: "none", Inferred: true,
	}, "", "  ")
	if err != nil {
		return err
	}
	var tensors []mixing.Tensor
	for _, v := range m.plan.layout.Tensors {
		v.Name = peftPrefix + v.Name
		tensors = append(tensors, v)
	}
	layout, err := mixing.NewLayout(tensors...)
	if err != nil {
		return err
	}
	metadata := map[string]string{"format": "pt"}
	if digest != [32]byte{} {
		metadata[peftDigest] = hex.EncodeToString(digest[:])
	}
	err = replace(filepath.Join(dir, peftWeights), func(w io.Writer) error { return safetensors.Write(w, layout, params, metadata) })
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	err = replace(filepath.Join(dir, peftConfig), func(w io.Writer) error {
		_, err := w.Write(append(config, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	return nil
}

// replace writes a file that appears when it is complete.
func replace(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".adapter-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // which fails when all went well
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// A PEFT is an adapter that PEFT wrote, or that is written as PEFT does.
type PEFT struct {
	Training Training // what a model must train to hold it
	Base     string   // name or path of the model below, as its author knew it; may be empty
	Digest   string   // of that model, in hexadecimal, see hf.Checkpoint.Digest; empty if the author did not say

	file *safetensors.File
}

// OpenPEFT opens the adapter in a directory. It refuses what is not LoRA or rsLoRA of whole projections, and says which setting is
// the reason.
func OpenPEFT(dir string) (*PEFT, error) {
	p, err := openPEFT(dir)
	if err != nil {
		return nil, fmt.Errorf("open adapter: %w", err)
	}
	return p, nil
}

func openPEFT(dir string) (*PEFT, error) {
	path := filepath.Join(dir, peftConfig)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return nil, err
	}
	p := &PEFT{}
	if err := p.parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.file, err = safetensors.Open(filepath.Join(dir, peftWeights)); err != nil {
		return nil, err
	}
	p.Digest = p.file.Metadata[peftDigest]
	return p, nil
}

// parse reads adapter_config.json.
func (p *PEFT) parse(data []byte) error {
	var c peftJSON
	var no peftRefused
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &no); err != nil {
		return err
	}
	for _, refused := range []struct {
		setting string
		is      bool
	}{
		{"use_dora", no.DoRA}, {"use_qalora", no.QALoRA}, {"lora_bias", no.LoRABias}, {"rank_pattern", len(no.Ranks) > 0}, {"alpha_pattern", len(no.Alphas) > 0},
		{"modules_to_save", len(no.Saved) > 0}, {"layers_to_transform", no.Layers != nil}, {"layer_replication", no.Copies != nil},
		{"trainable_token_indices", no.Tokens != nil}, {"target_parameters", len(no.Params) > 0}, {"bias", c.Bias != "" && c.Bias != "none"},
	} {
		if refused.is {
			return fmt.Errorf("the adapter uses %s, which is not built in: LoRA and rsLoRA of whole projections are", refused.setting)
		}
	}
	if c.Type != "LORA" {
		return fmt.Errorf("peft_type is %s, want LORA", spelling.Quote(c.Type))
	}
	if c.Rank < 1 || c.Rank > maxRank || !(c.Alpha > 0 && c.Alpha <= 1e6) {
		return fmt.Errorf("r is %d and lora_alpha %g, want r from 1 to %d and a positive lora_alpha", c.Rank, c.Alpha, maxRank)
	}
	p.Base, p.Training = c.Base, Training{Rank: c.Rank, Alpha: c.Alpha, RankStabilized: c.RSLoRA}
	var word string
	if json.Unmarshal(c.Targets, &word) == nil && word == "all-linear" {
		return nil
	}
	if err := json.Unmarshal(c.Targets, &p.Training.Targets); err != nil || len(p.Training.Targets) == 0 {
		return fmt.Errorf("target_modules is %s, want a list of names, or all-linear", spelling.Brief(string(c.Targets)))
	}
	slices.Sort(p.Training.Targets)
	return nil
}

// Close gives back the memory of the file.
func (p *PEFT) Close() error { return p.file.Close() }

// Params fills params with the adapter, for a model that trains p.Training. It returns an error if a tensor is missing, has another
// shape or numbers that are not finite, or if there is one that the model has no place for.
func (p *PEFT) Params(m *Model, params []float32) error {
	m.check(params)
	var known []string
	for _, t := range m.plan.layout.Tensors {
		name := peftPrefix + t.Name
		known = append(known, name)
		v, err := p.file.Tensor(name)
		if err == nil {
			err = v.Want(t.Shape...)
		}
		if err == nil {
			err = v.Decode(t.Of(params), 0)
		}
		if err == nil && !kernel.Finite(t.Of(params)) {
			err = fmt.Errorf("tensor %s has numbers that are not finite: the file is damaged", name)
		}
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
	}
	for _, name := range p.file.Names() {
		if !slices.Contains(known, name) {
			return fmt.Errorf("adapter: there is no place for tensor %s in %s of this model", spelling.Quote(strings.TrimPrefix(name, peftPrefix)), m.training)
		}
	}
	return nil
}
