package compute

import (
	"fmt"

	"starling/node/data"
	"starling/node/model"
	"starling/node/model/llama"
)

// published is a language model that was trained before, as a [model.Model]: its rows are of tokens, in which documents do not see
// each other.
type published struct {
	*llama.Model
	context int
	batch   llama.Batch
}

var _ model.Model = (*published)(nil)

// Row implements [model.Model].
func (p *published) Row() (inputs, labels int) { return p.context, p.context }

// Clone implements [model.Model].
func (p *published) Clone() model.Model {
	return &published{Model: p.Model.Clone(), context: p.context}
}

// Gradient implements [model.Model].
func (p *published) Gradient(grad, params, x []float32, y []int32) float64 {
	loss, _ := p.Model.Gradient(grad, params, p.documents(x, y))
	return loss
}

// Evaluate implements [model.Model].
func (p *published) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	loss, right, _ = p.Model.Evaluate(params, p.documents(x, y))
	return loss, right
}

// documents returns the documents in some rows. Those that have nothing to learn are left out, and so is what comes after the last
// label of one: it makes no difference.
func (p *published) documents(x []float32, y []int32) llama.Batch {
	b := &p.batch
	b.Tokens, b.Targets, b.Lengths = b.Tokens[:0], b.Targets[:0], b.Lengths[:0]
	for at := 0; at < len(y); at += p.context {
		row, labels := x[at:][:p.context], y[at:][:p.context]
		for from := 0; from < len(row); {
			to := from + 1
			for to < len(row) && row[to] >= 0 {
				to++
			}
			p.add(row[from:to], labels[from:to])
			from = to
		}
	}
	return *b
}

// add adds a document to the batch.
func (p *published) add(tokens []float32, labels []int32) {
	n := len(labels)
	for n > 0 && labels[n-1] < 0 {
		n--
	}
	if n == 0 {
		return
	}
	b := &p.batch
	for i, label := range labels[:n] {
		token, _ := model.Token(tokens[i])
		b.Tokens, b.Targets = append(b.Tokens, int32(token)), append(b.Targets, label)
	}
	b.Lengths = append(b.Lengths, n)
}

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
	p.model, p.labels = &published{Model: m, context: spec.Context}, spec.Context
	p.evalRows = max(1, evalTokens/spec.Context)
	return source.Tokens(l.words, spec.Context)
}
