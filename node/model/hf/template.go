package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"starling/node/data/chat"
	"starling/node/model/gguf"
	"starling/node/model/weights"
)

// Template is how a conversation is written for a model.
type Template struct {
	Text     string // in the Jinja language; empty if the model says none
	BOS, EOS string // tokens that templates may name; empty if the model says none
}

// Template reads the chat template of the model. It returns an error if files cannot be read.
func (c *Checkpoint) Template() (Template, error) {
	var t Template
	var err error
	if c.gguf != nil {
		t, err = ggufTemplate(c.gguf)
	} else {
		t, err = directoryTemplate(c.path)
	}
	if err != nil {
		return Template{}, fmt.Errorf("chat template of model %s: %w", c.path, err)
	}
	return t, nil
}

// Chat returns the chat template of the model, ready to render. It returns an error if the model says none, or one that uses what is
// not known here.
func (c *Checkpoint) Chat() (*chat.Template, error) {
	t, err := c.Template()
	if err != nil {
		return nil, err
	}
	if t.Text == "" {
		return nil, fmt.Errorf("model %s has no chat template: it was not made for conversations; train it on plain text, or on prompts and completions", c.path)
	}
	out, err := chat.Parse(t.Text, t.BOS, t.EOS)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", c.path, err)
	}
	return out, nil
}

func ggufTemplate(f *gguf.File) (t Template, err error) {
	if key := "tokenizer.chat_template"; f.Has(key) {
		if t.Text, err = f.Text(key); err != nil {
			return t, err
		}
	}
	tokens, err := f.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return t, err
	}
	if t.BOS, err = ggufToken(f, tokens, "bos"); err != nil {
		return t, err
	}
	t.EOS, err = ggufToken(f, tokens, "eos")
	return t, err
}

// ggufToken returns the text of the token with a task, or "" if there is none.
func ggufToken(f *gguf.File, tokens []string, task string) (string, error) {
	key := "tokenizer.ggml." + task + "_token_id"
	if !f.Has(key) {
		return "", nil
	}
	id, err := f.Int(key)
	if err != nil || id < 0 || id >= len(tokens) {
		return "", fmt.Errorf("%s is no token", key)
	}
	return tokens[id], nil
}

// named is a token in tokenizer_config.json: its text, or an object with that.
type named string

func (n *named) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var object struct{ Content string }
		err := json.Unmarshal(text, &object)
		*n = named(object.Content)
		return err
	}
	return json.Unmarshal(text, (*string)(n))
}

// templates is one template, or several with names, of which one is "default".
type templates string

func (t *templates) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '[' {
		return json.Unmarshal(text, (*string)(t))
	}
	var several []struct{ Name, Template string }
	if err := json.Unmarshal(text, &several); err != nil {
		return err
	}
	for _, one := range several {
		if one.Name == "default" {
			*t = templates(one.Template)
		}
	}
	return nil
}

func directoryTemplate(dir string) (Template, error) {
	var f struct {
		Template templates `json:"chat_template"`
		BOS      named     `json:"bos_token"`
		EOS      named     `json:"eos_token"`
	}
	text, err := weights.ReadSmall(filepath.Join(dir, "tokenizer_config.json"), maxTokenizer)
	if err == nil {
		if err := json.Unmarshal(text, &f); err != nil {
			return Template{}, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Template{}, err
	}
	t := Template{Text: string(f.Template), BOS: string(f.BOS), EOS: string(f.EOS)}
	text, err = weights.ReadSmall(filepath.Join(dir, "chat_template.jinja"), maxConfig) // of newer models; goes before the other
	if err == nil {
		t.Text = string(text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Template{}, err
	}
	return t, nil
}
