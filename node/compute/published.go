package compute

import (
	"fmt"

	"starling/node/data"
	"starling/node/model/llama"
)

// evalTokens is how many tokens of a published model are evaluated at a time, about: an evaluation can end between them.
const evalTokens = 2048

// publish opens the published model that the manifest names, and returns the rows of tokens that it reads.
func (p *Program) publish(source *data.Source, o Options) (rows *data.Source, err error) {
	spec, err := llama.ParseSpec(p.manifest.Model)
	if err != nil {
		return nil, err
	}
	want, _ := p.manifest.Weights()
	if o.Model == "" {
		return nil, fmt.Errorf("this run trains a published model, with the digest %x: say with --model in which directory or GGUF file it is", want)
	}
	l, err := OpenLanguage(o.Model, want, llama.Options{Int8: spec.Int8})
	if err != nil {
		return nil, err
	}
	if most := l.Config().Context; spec.Context > most {
		return nil, fmt.Errorf("the run has rows of %d tokens, and model %s was made for %d at most", spec.Context, o.Model, most)
	}
	if have := llama.TokenizerOf(l.words.Digest()); spec.Tokenizer != "" && spec.Tokenizer != have {
		return nil, fmt.Errorf("the run is of the tokenizer %s, and that of model %s is %s: take the tokenizer.json that belongs to the model", spec.Tokenizer, o.Model, have)
	}
	m, err := llama.New(l.base, spec.Training, max(1, o.Threads))
	if err != nil {
		return nil, err
	}
	m.Frugal(o.Frugal)
	if p.model, err = m.Windows(spec.Context); err != nil {
		return nil, err
	}
	p.labels = spec.Context
	p.evalRows = max(1, evalTokens/spec.Context)
	return source.Tokens(l.words, spec.Context)
}
