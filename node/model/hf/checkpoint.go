package hf

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"starling/node/data/tokenizer"
	"starling/node/model/gguf"
	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

const (
	maxConfig    = 1 << 20 // bytes of config.json and its like
	maxTokenizer = 1 << 27 // bytes of tokenizer.json
)

// A Checkpoint is an open model: what it is, its tensors by Hugging Face's names, and the way to its tokenizer. Weights are mapped into
// memory; see [weights.Source] for how long they are valid.
type Checkpoint struct {
	weights.Source
	Config *Config

	path string     // of the directory or the file
	gguf *gguf.File // nil for a directory
}

// Open opens the directory of a model with config.json and safetensors, or a GGUF file. It returns one error, which says what to do, for
// a model that is broken or incomplete or that cannot be computed here. Every tensor of [Config.Tensors] is there, with its shape.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	c := &Checkpoint{path: path}
	switch {
	case info.IsDir():
		err = c.openDirectory()
	case strings.EqualFold(filepath.Ext(path), ".gguf"):
		err = c.openGGUF()
	default:
		err = errors.New("neither a directory nor a .gguf file")
	}
	if err == nil {
		err = c.Config.Check(c.Source)
	}
	if err != nil {
		if c.Source != nil {
			c.Source.Close()
		}
		return nil, fmt.Errorf("open model %s: %w", path, oneLine(err))
	}
	return c, nil
}

// oneLine puts an error that was joined from several on one line.
func oneLine(err error) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return errors.New(strings.ReplaceAll(text, "\n", "; "))
	}
	return err
}

func (c *Checkpoint) openDirectory() error {
	text, err := weights.ReadSmall(filepath.Join(c.path, "config.json"), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no config.json in the directory")
	} else if err != nil {
		return err
	}
	if c.Config, err = ParseConfig(text); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	source, err := openWeights(c.path)
	if err != nil {
		return err
	}
	c.Source = withPrefix(source, c.Config)
	return nil
}

// openWeights opens the safetensors of a directory, in one file or several.
func openWeights(dir string) (weights.Source, error) {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case exists(safetensors.FileName):
		return safetensors.Open(filepath.Join(dir, safetensors.FileName))
	case exists(safetensors.IndexName):
		return safetensors.OpenIndex(filepath.Join(dir, safetensors.IndexName))
	case exists("pytorch_model.bin"), exists("pytorch_model.bin.index.json"):
		return nil, errors.New("the weights are in pytorch_model.bin, which can hold programs and is not read; save the model as safetensors")
	}
	return nil, fmt.Errorf("there is neither %s nor %s in the directory", safetensors.FileName, safetensors.IndexName)
}

// A prefixed source has tensors whose names lack what names begin with elsewhere: models that were saved without their head.
type prefixed struct {
	weights.Source
	prefix string
	names  []string
}

// withPrefix returns s with the names that it should have.
func withPrefix(s weights.Source, c *Config) weights.Source {
	first := c.Tensors()[0].Name
	prefix, rest, _ := strings.Cut(first, ".")
	has := func(name string) bool {
		_, ok := slices.BinarySearch(s.Names(), name)
		return ok
	}
	if has(first) || !has(rest) {
		return s
	}
	p := &prefixed{Source: s, prefix: prefix + "."}
	for _, name := range s.Names() {
		p.names = append(p.names, p.outside(name))
	}
	slices.Sort(p.names)
	return p
}

func (p *prefixed) outside(name string) string {
	if strings.HasPrefix(name, "lm_head.") {
		return name
	}
	return p.prefix + name
}

func (p *prefixed) Names() []string { return p.names }

func (p *prefixed) Tensor(name string) (weights.Tensor, error) {
	inside, cut := strings.CutPrefix(name, p.prefix)
	if !cut && p.outside(name) != name {
		return weights.Tensor{}, weights.Missing(name, p.names)
	}
	t, err := p.Source.Tensor(inside)
	t.Name = name
	if err != nil {
		return t, weights.Missing(name, p.names)
	}
	return t, nil
}

func (c *Checkpoint) openGGUF() (err error) {
	if c.gguf, err = gguf.Open(c.path); err != nil {
		return err
	}
	c.Source = c.gguf
	if c.Config, err = ConfigFromGGUF(c.gguf); err != nil {
		return err
	}
	c.Source = newGGUFSource(c.gguf, c.Config)
	return nil
}

// GGUF returns the file that the model is in; nil for a model in a directory.
func (c *Checkpoint) GGUF() *gguf.File { return c.gguf }

// Tokenizer reads the tokenizer of the model: tokenizer.json of the directory, or that in the GGUF file. It returns an error for one
// that is not matched here, or that has tokens that the model does not have.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	t, err := c.tokenizer()
	if err == nil && t.Size() > c.Config.Vocab {
		err = fmt.Errorf("it has tokens up to %d, and the model a vocabulary of %d: it belongs to another model", t.Size()-1, c.Config.Vocab)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer of model %s: %w", c.path, err)
	}
	return t, nil
}

func (c *Checkpoint) tokenizer() (*tokenizer.Tokenizer, error) {
	if c.gguf != nil {
		return TokenizerFromGGUF(c.gguf)
	}
	text, err := weights.ReadSmall(filepath.Join(c.path, "tokenizer.json"), maxTokenizer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no tokenizer.json in the directory")
	} else if err != nil {
		return nil, err
	}
	return tokenizer.Parse(text)
}

// identity is all of a configuration that the arithmetic depends on.
func (c *Config) identity() string {
	text := fmt.Sprintf("1 %s vocab=%d context=%d hidden=%d mlp=%d layers=%d heads=%d/%d/%d eps=%g activation=%s tied=%t biases=%t/%t/%t",
		c.Family, c.Vocab, c.Context, c.Hidden, c.MLP, c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.NormEps, c.Activation, c.Tied, c.QKVBias, c.OutBias, c.MLPBias)
	r := c.Rope
	return text + fmt.Sprintf(" rope=%g/%s/%g/%g/%g/%d/%v", r.Theta, r.Scaling, r.Factor, r.Low, r.High, r.Original, r.Factors)
}

// Digest returns a hash of what the Config says of the arithmetic, and of all weights as the model's files have them: who has the same
// digest computes the same. Runs are named by it, so that it never changes. It reads all weights once. The same numbers in another number format or order of rows have another digest.
func (c *Checkpoint) Digest() ([32]byte, error) {
	h := sha256.New()
	record := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	record([]byte(c.Config.identity()))
	for _, s := range c.Config.Tensors() {
		t, err := c.Tensor(s.Name)
		if err != nil {
			return [32]byte{}, fmt.Errorf("digest of model %s: %w", c.path, err)
		}
		record([]byte(s.Name))
		record([]byte(t.Type.String()))
		order := "as stored"
		if t.Bytes() == nil && t.Len() > 0 {
			order = "reordered"
		}
		record([]byte(order))
		record(t.Stored())
	}
	return [32]byte(h.Sum(nil)), nil
}
