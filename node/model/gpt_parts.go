package model

import (
	"math"

	"starling/mixing/kernel"
)

// gptScratch is the memory of one chunk. Scores of attention and logits exist for a block of tokens at a time, and scores are
// computed again on the way back, so that it grows with the length of a sequence and not with its square.
type gptScratch struct {
	stream, normed, delta []float32 // width a token
	wide                  []float32 // as much as the widest layer
	saved                 []gptSaved
	last                  rms
	scores, slopes        []float32 // of a block of queries of one head, and their gradient
	logits                []float32 // of a block of tokens
	row                   []float32 // one
	ones                  []float32
}

// gptSaved is what the way back through a layer needs of the way there.
type gptSaved struct {
	attentionNorm, mlpNorm rms
	qkv                    []float32 // queries, keys and values, all heads of each behind each other
	mixed                  []float32 // sums of values
	tops, shares           []float32 // of the scores of every token and head: the largest, and 1/sum of powers
	slopes, units          []float32 // derivatives and outputs of the hidden layer
}

// scratch returns how many floats are in use for so many tokens, about.
func (s gptShape) scratch(tokens int) int64 {
	n, w, context := int64(tokens), int64(s.width), int64(s.context)
	layer := 2*(w+1) + (4+2*mlpFactor)*w + 2*int64(s.heads)
	return n*(int64(s.layers)*layer+(4+mlpFactor)*w) + 2*queryTokens*context + headTokens*int64(s.tokens)
}

// reserve makes room for so many tokens.
func (g *gpt) reserve(n int) {
	w := g.width
	if len(g.stream) >= n*w {
		return
	}
	floats := func(k int) []float32 { return make([]float32, k) }
	norm := func() rms { return rms{floats(n * w), floats(n)} }
	g.gptScratch = gptScratch{
		stream: floats(n * w), normed: floats(n * w), delta: floats(n * w), wide: floats(n * mlpFactor * w), last: norm(),
		scores: floats(queryTokens * g.context), slopes: floats(queryTokens * g.context), logits: floats(headTokens * g.tokens),
		row: floats(w), ones: floats(max(g.context, g.tokens)), saved: make([]gptSaved, g.layers),
	}
	for i := range g.ones {
		g.ones[i] = 1
	}
	for l := range g.saved {
		g.saved[l] = gptSaved{
			attentionNorm: norm(), mlpNorm: norm(), qkv: floats(n * 3 * w), mixed: floats(n * w), tops: floats(n * g.heads),
			shares: floats(n * g.heads), slopes: floats(n * mlpFactor * w), units: floats(n * mlpFactor * w),
		}
	}
}

// rms is a norm of rows with what it needs on the way back.
type rms struct {
	shapes []float32 // rows before the gain
	scales []float32 // 1/√(mean square + ε) of each
}

// forward writes the norm of the rows of x.
func (r *rms) forward(to, x, gain []float32) {
	w := len(gain)
	for i := range len(x) / w {
		row, shape := x[i*w:][:w], r.shapes[i*w:][:w]
		r.scales[i] = float32(1 / math.Sqrt(kernel.Dot(row, row)/float64(w)+epsilon))
		copy(shape, row)
		kernel.Scale(r.scales[i], shape)
	}
	r.outputs(to, gain)
}

// outputs writes what forward wrote.
func (r *rms) outputs(to, gain []float32) {
	w := len(gain)
	copy(to, r.shapes)
	for i := range len(to) / w {
		kernel.Mul(gain, to[i*w:][:w])
	}
}

// backward adds the gradient of the rows to dx and that of the gain to dgain, from that of the outputs, dy, which is lost. With
// d = gain·dy, the gradient of a row is scale·(d − shape·mean(shape·d)). row is scratch.
func (r *rms) backward(dx, dy, gain, dgain, row []float32) {
	w := len(gain)
	for i := range len(dy) / w {
		d, shape := dy[i*w:][:w], r.shapes[i*w:][:w]
		copy(row, d)
		kernel.Mul(shape, row)
		kernel.Add(row, dgain)
		mean := kernel.Dot(row, gain) / float64(w)
		kernel.Mul(gain, d)
		kernel.Axpy(float32(-mean), shape, d)
		kernel.Axpy(r.scales[i], d, dx[i*w:][:w])
	}
}

// queries are a block of the queries of one head in one sequence, and the keys and values that they may look at.
type queries struct {
	first, head, from int // tokens before the sequence, and of it before the block
	rows, keys        int
	q, k, v           int // where they begin among the rows of 3·width
	out               int // where their sums begin among the rows of width
}

// blocks calls f for all blocks of n tokens, one after the other.
func (g *gpt) blocks(n int, f func(b queries)) {
	size, wide := g.width/g.heads, 3*g.width
	for first := 0; first < n; first += g.context {
		for h := range g.heads {
			for from := 0; from < g.context; from += queryTokens {
				rows, at := min(queryTokens, g.context-from), h*size
				f(queries{
					first: first, head: h, from: from, rows: rows, keys: from + rows, q: (first+from)*wide + at, k: first*wide + g.width + at,
					v: first*wide + 2*g.width + at, out: (first+from)*g.width + at,
				})
			}
		}
	}
}

// attention returns the size of a head and the factor of scores.
func (g *gpt) attention() (size int, scale float32) {
	size = g.width / g.heads
	return size, float32(1 / math.Sqrt(float64(size)))
}

// weigh sets scores to the weights of the keys of every query of a block, in rows of keys: the powers of their scaled products,
// over their sum. They are zero for keys that come later than the query. fresh is false on the way back, when the largest
// product and the sum are known.
func (g *gpt) weigh(s *gptSaved, b queries, fresh bool) {
	size, scale := g.attention()
	wide := 3 * g.width
	kernel.MulNT(false, b.rows, b.keys, size, s.qkv[b.q:], wide, s.qkv[b.k:], wide, g.scores, b.keys)
	for i := range b.rows {
		row, seen := g.scores[i*b.keys:][:b.keys], b.from+i+1
		at := (b.first+b.from+i)*g.heads + b.head
		if fresh {
			s.tops[at] = float32(scale * kernel.Max(row[:seen]))
		}
		kernel.Exps32(row, scale, s.tops[at])
		clear(row[seen:])
		if fresh {
			s.shares[at] = float32(1 / kernel.Dot(row, g.ones[:b.keys]))
		}
		kernel.Scale(s.shares[at], row)
	}
}

// attend sets mixed: for every head and token the values up to there, weighted.
func (g *gpt) attend(s *gptSaved, n int) {
	size, _ := g.attention()
	g.blocks(n, func(b queries) {
		g.weigh(s, b, true)
		kernel.MulNN(false, b.rows, size, b.keys, g.scores, b.keys, s.qkv[b.v:], 3*g.width, s.mixed[b.out:], g.width)
	})
}

// attendBack sets dqkv to the gradient of queries, keys and values from that of mixed. With weights P and the gradient dO of the
// sums O of a query, that of its products is scale·P·(dO·Vᵀ − ⟨dO,O⟩).
func (g *gpt) attendBack(s *gptSaved, dqkv, dmixed []float32, n int) {
	size, scale := g.attention()
	w, wide := g.width, 3*g.width
	clear(dqkv[:n*wide])
	g.blocks(n, func(b queries) {
		g.weigh(s, b, false)
		kernel.MulTN(true, b.keys, size, b.rows, g.scores, b.keys, dmixed[b.out:], w, dqkv[b.v:], wide)
		kernel.MulNT(false, b.rows, b.keys, size, dmixed[b.out:], w, s.qkv[b.v:], wide, g.slopes, b.keys)
		for i := range b.rows {
			slopes, at := g.slopes[i*b.keys:][:b.keys], b.out+i*w
			mean := kernel.Dot(dmixed[at:][:size], s.mixed[at:][:size])
			kernel.Axpy(float32(-mean), g.ones[:b.keys], slopes)
		}
		slopes := g.slopes[:b.rows*b.keys]
		kernel.Mul(g.scores[:len(slopes)], slopes)
		kernel.Scale(scale, slopes)
		kernel.MulNN(false, b.rows, size, b.keys, slopes, b.keys, s.qkv[b.k:], wide, dqkv[b.q:], wide)
		kernel.MulTN(true, b.keys, size, b.rows, slopes, b.keys, s.qkv[b.q:], wide, dqkv[b.k:], wide)
	})
}

// head returns the sum of the losses of tokens whose normed stream is there, and sets delta to its gradient of share times
// that sum, and adds to that of the embedding. The logits of a block of tokens become their own gradient while they are in
// the cache; they are at most 256 a token, so that their largest is found first.
func (g *gpt) head(grad, params []float32, y []int32, share float64) (loss float64) {
	w := g.width
	g.logit(params, y, func(from int, z []float32, labels []int32) {
		for i, label := range labels {
			row := z[i*g.tokens:][:g.tokens]
			if label < 0 {
				clear(row)
				continue
			}
			sum, right := g.powers(row, label)
			loss += kernel.Log(sum) - right
			kernel.Scale(float32(share/sum), row)
			row[label] -= float32(share)
		}
		rows := len(labels)
		kernel.MulNN(false, rows, w, g.tokens, z, g.tokens, g.outer(params, embedding), w, g.delta[from*w:], w)
		kernel.MulTN(true, g.tokens, w, rows, z, g.tokens, g.normed[from*w:], w, g.outer(grad, embedding), w)
	})
	return loss
}

// score is head without gradients; it counts the tokens whose label has the largest logit.
func (g *gpt) score(params []float32, y []int32) (loss float64, right int) {
	g.logit(params, y, func(_ int, z []float32, labels []int32) {
		for i, label := range labels {
			if label < 0 {
				continue
			}
			row := z[i*g.tokens:][:g.tokens]
			if largest(row) == int(label) {
				right++
			}
			sum, logit := g.powers(row, label)
			loss += kernel.Log(sum) - logit
		}
	})
	return loss, right
}

// logit calls f with the logits of one block of tokens after the other, the first of which has the number from.
func (g *gpt) logit(params []float32, y []int32, f func(from int, z []float32, labels []int32)) {
	w := g.width
	for from := 0; from < len(y); from += headTokens {
		rows := min(headTokens, len(y)-from)
		kernel.MulNT(false, rows, g.tokens, w, g.normed[from*w:], w, g.outer(params, embedding), w, g.logits, g.tokens)
		f(from, g.logits[:rows*g.tokens], y[from:][:rows])
	}
}

// powers replaces logits by their exponentials over that of the largest. It returns the sum of those, and how far the logit of
// the label is from the largest.
func (g *gpt) powers(logits []float32, label int32) (sum, right float64) {
	most := kernel.Max(logits)
	right = float64(logits[label]) - float64(most)
	kernel.Exps32(logits, 1, most)
	return kernel.Dot(logits, g.ones[:g.tokens]), right
}
