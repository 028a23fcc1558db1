package compute

import (
	"starling/mixing/kernel"
	"starling/node/model"
	"starling/node/model/llama"
)

// publishedTokens is about how many tokens of a batch go through a published model at a time, whole rows, one at least. It bounds memory, and
// is part of the definition of a gradient: those of larger batches are added piece by piece.
const publishedTokens = 1024

// published is a language model that was trained before, as a [model.Model]: its rows are of tokens, in which documents do not see
// each other.
type published struct {
	*llama.Model
	context int
	piece   []float32 // gradient of some rows
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
	clear(grad)
	all := model.Counted(y)
	if all == 0 {
		return 0
	}
	if p.piece == nil {
		p.piece = make([]float32, len(grad))
	}
	var loss float64
	p.pieces(x, y, func(b llama.Batch) {
		l, targets := p.Model.Gradient(p.piece, params, b)
		share := float64(targets) / float64(all)
		loss += float64(l * share)
		kernel.Axpy(float32(share), p.piece, grad)
	})
	return loss
}

// Evaluate implements [model.Model].
func (p *published) Evaluate(params, x []float32, y []int32) (loss float64, right int) {
	p.pieces(x, y, func(b llama.Batch) {
		l, r, _ := p.Model.Evaluate(params, b)
		loss, right = loss+l, right+r
	})
	return loss, right
}

// pieces calls f with the documents of some rows after the other. Those that have nothing to learn are left out, and so is what
// comes after the last label of one: it makes no difference.
func (p *published) pieces(x []float32, y []int32, f func(llama.Batch)) {
	rows := max(1, publishedTokens/p.context)
	for first := 0; first < len(y); first += rows * p.context {
		b := &p.batch
		b.Tokens, b.Targets, b.Lengths = b.Tokens[:0], b.Targets[:0], b.Lengths[:0]
		end := min(len(y), first+rows*p.context)
		for at := first; at < end; at += p.context {
			p.add(x[at:][:p.context], y[at:][:p.context])
		}
		if len(b.Lengths) > 0 {
			f(*b)
		}
	}
}

// add adds the documents of a row to the batch.
func (p *published) add(x []float32, y []int32) {
	b := &p.batch
	for from := 0; from < len(x); {
		to := from + 1
		for to < len(x) && x[to] >= 0 {
			to++
		}
		end := to
		for end > from && y[end-1] < 0 {
			end--
		}
		for i := from; i < end; i++ {
			token, _ := model.Token(x[i])
			b.Tokens, b.Targets = append(b.Tokens, int32(token)), append(b.Targets, y[i])
		}
		if end > from {
			b.Lengths = append(b.Lengths, end-from)
		}
		from = to
	}
}
