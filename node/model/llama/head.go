package llama

import (
	"math"

	"starling/mixing/kernel"
)

const (
	// vocabTokens is the number of tokens of the vocabulary whose logits exist at a time, for a piece of rows: with the weights
	// of the head that make them they stay in the caches. It is part of the definition of a gradient.
	vocabTokens = 768

	// headTokens is the number of rows whose contributions to the gradient of the head are added at a time, which is part of
	// that definition too.
	headTokens = 256
)

// head returns the sum of the losses over the targets that count, and how many of them have the largest logit. If there is a gradient
// it sets that of the normed stream, for share times the sum, and adds to that of the head if it is trained.
//
// It takes one pass over the vocabulary, block by block, as attention does that never holds all its weights (Milakov and Gimelshein
// 2018; Rabe and Staats 2021): the gradient of a normed row is share·(Σ p·E − E[target]), with E the rows of the head, so that
// powers of logits over the largest so far weigh rows of E at once, and what was summed is scaled when a larger one comes.
func (m *Model) head(grad, params []float32, c chunk, share float64) (loss float64, right int) {
	m.counted = m.counted[:0]
	for i, target := range c.targets {
		if target >= 0 {
			m.counted = append(m.counted, int32(i))
		}
	}
	n, w := len(m.counted), m.base.config.Hidden
	if grad != nil {
		clear(m.slopes.dnormed[0][:len(c.tokens)*w])
	}
	m.rows(n, func(b *bench, from, rows int) { m.score(b, params, c, from, rows, grad != nil, share) })
	for i := range n {
		loss += m.losses[i]
		if m.targets[i] == m.tops[i] {
			right++
		}
	}
	at := m.plan.head
	if m.base.config.Tied {
		at = m.plan.embedding
	}
	if dhead := gradient(m.plan.layout, at, grad); dhead != nil {
		m.learnHead(dhead, params, c, float32(share))
	}
	return loss, right
}

// score deals with rows whose targets count.
func (m *Model) score(b *bench, params []float32, c chunk, from, rows int, back bool, share float64) {
	w, vocab := m.base.config.Hidden, m.base.config.Vocab
	counted, tops, sums := m.counted[from:][:rows], m.tops[from:][:rows], m.sums[from:][:rows]
	logits := m.targets[from:][:rows]
	var x, weighted []float32
	if back {
		weighted = grow(&b.sums, rows*w)
		x = m.slopes.normed[0][from*w:][:rows*w] // learnHead wants them too
	} else {
		x = grow(&b.rows, rows*w)
	}
	for i, at := range counted {
		copy(x[i*w:][:w], m.stream[int(at)*w:])
		tops[i], sums[i] = float32(math.Inf(-1)), 0
	}
	m.norm(b, &m.base.norm, m.plan.norm, params).forward(x, x)
	for first := 0; first < vocab; first += vocabTokens {
		size := min(vocabTokens, vocab-first)
		z := grow(&b.logits, rows*size)
		m.logit(params, x, z, first, size)
		for i, at := range counted {
			row := z[i*size:][:size]
			if most := kernel.Max(row); most > tops[i] {
				scale := kernel.Exp32(tops[i] - most)
				if back && first > 0 {
					kernel.Scale(scale, weighted[i*w:][:w])
				}
				tops[i], sums[i] = most, float64(sums[i]*float64(scale))
			}
			if target := int(c.targets[at]) - first; target >= 0 && target < size {
				logits[i] = row[target]
			}
			kernel.Exps32(row, 1, tops[i])
			sums[i] += kernel.Dot(row, b.one(size))
		}
		if back {
			m.logitBack(params, weighted, z, first, size)
		}
	}
	for i, at := range counted {
		target := int(c.targets[at])
		m.losses[from+i] = kernel.Log(sums[i]) + (float64(tops[i]) - float64(logits[i]))
		if back {
			row, d := weighted[i*w:][:w], m.slopes.dnormed[0][int(at)*w:][:w]
			copy(d, m.headRow(b, params, target))
			kernel.Scale(float32(-share), d)
			kernel.Axpy(float32(share/sums[i]), row, d)
		}
	}
}

// headWeights returns the rows of the head if they are trained.
func (m *Model) headWeights(params []float32) []float32 {
	at := m.plan.head
	if m.base.config.Tied {
		at = m.plan.embedding
	}
	return m.tensor(nil, at, params)
}

// headRow returns the row of a token.
func (m *Model) headRow(b *bench, params []float32, token int) []float32 {
	w := m.base.config.Hidden
	if e := m.headWeights(params); e != nil {
		return e[token*w:][:w]
	}
	row := grow(&b.row2, w)
	m.base.head.Column(row, token)
	return row
}

// logit sets z to the logits of some tokens for the rows of x.
func (m *Model) logit(params, x, z []float32, first, size int) {
	w := m.base.config.Hidden
	if e := m.headWeights(params); e != nil {
		kernel.MulNT(false, len(x)/w, size, w, x, w, e[first*w:], w, z, size)
		return
	}
	view := m.base.head.Columns(first, size)
	kernel.MulPacked(false, len(x)/w, x, w, &view, z, size)
}

// logitBack sets d to the rows of these tokens, weighted by z, or adds them if they are not the first.
func (m *Model) logitBack(params, d, z []float32, first, size int) {
	w := m.base.config.Hidden
	if e := m.headWeights(params); e != nil {
		kernel.MulNN(first > 0, len(d)/w, w, size, z, size, e[first*w:], w, d, w)
		return
	}
	view := m.base.head.Columns(first, size)
	kernel.MulPackedT(first > 0, len(d)/w, z, size, &view, d, w)
}

// learnHead adds to the gradient of the head, from the normed rows and sums that score left: a second pass, since the weights
// of a row are known at the end of the first.
func (m *Model) learnHead(dhead, params []float32, c chunk, share float32) {
	w, vocab := m.base.config.Hidden, m.base.config.Vocab
	m.each((vocab+vocabTokens-1)/vocabTokens, func(b *bench, task int) {
		first := task * vocabTokens
		size := min(vocabTokens, vocab-first)
		for from := 0; from < len(m.counted); from += headTokens {
			rows := min(headTokens, len(m.counted)-from)
			x, z := m.slopes.normed[0][from*w:][:rows*w], grow(&b.logits, rows*size)
			m.logit(params, x, z, first, size)
			for i, at := range m.counted[from:][:rows] {
				row := z[i*size:][:size]
				kernel.Exps32(row, 1, m.tops[from+i])
				kernel.Scale(float32(float64(share)/m.sums[from+i]), row)
				if target := int(c.targets[at]) - first; target >= 0 && target < size {
					row[target] -= share
				}
			}
			kernel.MulTN(true, size, w, rows, z, size, x, w, dhead[first*w:], w)
		}
	})
}

// logits writes those for the rows of a stream.
func (m *Model) logits(dst, params, stream []float32) {
	w, vocab := m.base.config.Hidden, m.base.config.Vocab
	m.rows(len(stream)/w, func(b *bench, from, rows int) {
		x := grow(&b.rows, rows*w)
		m.norm(b, &m.base.norm, m.plan.norm, params).forward(x, stream[from*w:][:rows*w])
		if e := m.headWeights(params); e != nil {
			kernel.MulNT(false, rows, vocab, w, x, w, e, w, dst[from*vocab:], vocab)
		} else {
			kernel.MulPacked(false, rows, x, w, m.base.head, dst[from*vocab:], vocab)
		}
	})
}
