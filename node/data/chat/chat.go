// Package chat writes conversations the way a model was taught to read them: it renders the chat templates that models come with.
//
// Start with [Parse] and [Template.Render]; [Template.Turns] tells apart what a model is to say and what it is to read. Templates are in
// the Jinja language, of which the package knows what such templates use: conditions, loops, assignments, the common filters, tests
// and methods. What it does not know it refuses, rather than render something else: macros, includes, tools. A template runs in limited
// time and memory, reads no clock, and touches nothing outside.
//
// Packages of node/data, node/model and above may import it; it imports only package spelling of the project.
package chat

import (
	"errors"
	"fmt"
	"strings"
)

// A Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"; templates may know others
	Content string `json:"content"`
}

// A Template renders conversations. It does not change, and is safe for concurrent use.
type Template struct {
	body     []node
	bos, eos string
}

// maxTemplate is longer than any template, in bytes.
const maxTemplate = 1 << 18

// Parse reads a template. bos and eos are the texts of the tokens that it may name bos_token and eos_token.
func Parse(text, bos, eos string) (*Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("chat template: %d bytes, and at most %d are read", len(text), maxTemplate)
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	p := &parser{tokens: tokens}
	body, err := p.template()
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{body: body, bos: bos, eos: eos}, nil
}

// Render writes a conversation; with prompt set it ends where the model is to go on with an answer. It returns an error if the template
// refuses the conversation, or uses something that is not known here.
func (t *Template) Render(messages []Message, prompt bool) (string, error) {
	all := make([]any, len(messages))
	for i, m := range messages {
		all[i] = newDict("role", m.Role, "content", m.Content)
	}
	r := &renderer{scope: &scope{names: map[string]any{
		"messages": all, "add_generation_prompt": prompt, "bos_token": t.bos, "eos_token": t.eos, "tools": nil, "documents": nil,
	}}}
	if err := r.run(t.body); err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return r.out.String(), nil
}

// A Turn is a part of a rendered conversation.
type Turn struct {
	Text  string
	Learn bool // what the model is to say: the content of an assistant's turn and what ends it
}

// Turns renders a conversation and cuts it at the beginning and the end of what the assistant says. Joined, the texts of the turns are
// what Render gives. It returns an error if the template does not write conversations turn after turn, so that there is no telling.
func (t *Template) Turns(messages []Message) ([]Turn, error) {
	whole, err := t.Render(messages, false)
	if err != nil {
		return nil, err
	}
	var turns []Turn
	done := 0
	for i, m := range messages {
		if m.Role != "assistant" {
			continue
		}
		before, err := t.Render(messages[:i], true)
		if err != nil {
			return nil, err
		}
		after, err := t.Render(messages[:i+1], false)
		if err != nil {
			return nil, err
		}
		if len(before) < done || !strings.HasPrefix(after, before) || !strings.HasPrefix(whole, after) {
			return nil, fmt.Errorf("chat template: what the assistant says in message %d cannot be told from the rest", i)
		}
		turns = append(turns, Turn{Text: whole[done:len(before)]}, Turn{Text: whole[len(before):len(after)], Learn: true})
		done = len(after)
	}
	if done < len(whole) {
		turns = append(turns, Turn{Text: whole[done:]})
	}
	if len(turns) == 0 {
		return nil, errors.New("chat template: the conversation is empty")
	}
	return turns, nil
}
