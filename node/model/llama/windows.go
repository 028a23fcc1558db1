package llama

import (
	"fmt"

	"starling/mixing"
	"starling/node/model"
)

// windows is a model for rows of a fixed number of tokens, in which documents do not see each other.
type windows struct {
	m       *Model
	context int
	batch   Batch
}

// Windows returns a clone of m as a [model.Model], for rows of so many tokens: features are tokens, and labels the tokens to be
// predicted, of which those below 0 do not count. It returns an error if rows are longer than the context of the model.
func (m *Model) Windows(context int) (model.Model, error) {
	if most := m.base.config.Context; context < 1 || context > most {
		return nil, fmt.Errorf("rows of %d tokens are not possible: the context of this model is %d", context, most)
	}
	return &windows{m: m.Clone(), context: context}, nil
}

func (w *windows) Layout() *mixing.Layout             { return w.m.Layout() }
func (w *windows) Row() (inputs, labels int)          { return w.context, w.context }
func (w *windows) Init(params []float32, seed uint64) { w.m.Init(params, seed) }
func (w *windows) Clone() model.Model                 { return &windows{m: w.m.Clone(), context: w.context} }

func (w *windows) Gradient(grad, params, x []float32, y []int32) float64 {
	loss, _ := w.m.Gradient(grad, params, w.rows(x, y))
	return loss
}

func (w *windows) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	loss, right, _ = w.m.Evaluate(params, w.rows(x, y))
	return loss, right
}

// rows returns the documents in some rows. Those that have nothing to learn are left out, and so is what comes after the last label
// of one: it makes no difference.
func (w *windows) rows(x []float32, y []int32) Batch {
	if len(x) != len(y) || len(y)%w.context != 0 {
		panic(fmt.Sprintf("llama: internal error: %d tokens and %d labels for rows of %d", len(x), len(y), w.context))
	}
	b := &w.batch
	b.Tokens, b.Targets, b.Lengths = b.Tokens[:0], b.Targets[:0], b.Lengths[:0]
	for at := 0; at < len(y); at += w.context {
		row, labels := x[at:][:w.context], y[at:][:w.context]
		for from := 0; from < len(row); {
			to := from + 1
			for to < len(row) && row[to] >= 0 {
				to++
			}
			b.add(row[from:to], labels[from:to])
			from = to
		}
	}
	return *b
}

// add adds a document.
func (b *Batch) add(features []float32, labels []int32) {
	n := len(labels)
	for n > 0 && labels[n-1] < 0 {
		n--
	}
	if n == 0 {
		return
	}
	for i, label := range labels[:n] {
		v := model.Token(features[i])
		token := int32(v)
		if float32(token) != v {
			panic(fmt.Sprintf("llama: internal error: %v is no token", v))
		}
		b.Tokens, b.Targets = append(b.Tokens, token), append(b.Targets, label)
	}
	b.Lengths = append(b.Lengths, n)
}
