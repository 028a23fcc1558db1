package llama

import (
	"math"

	"starling/mixing/kernel"
)

// queryTokens is the number of tokens whose scores exist at a time, of one head. It is part of the definition of a gradient.
const queryTokens = 64

// queries are a block of the queries of one head in one sequence.
type queries struct {
	sequence
	head, from, rows int
}

// keys returns how many keys the last of them sees.
func (q queries) keys() int { return q.past + q.from + q.rows }

// queries returns all blocks, the longest first, so that workers end at about the same time.
func (m *Model) queries(c chunk) []queries {
	var all []queries
	for _, s := range c.sequences {
		for from := (s.length - 1) / queryTokens * queryTokens; from >= 0; from -= queryTokens {
			for h := range m.base.config.Heads {
				all = append(all, queries{s, h, from, min(queryTokens, s.length-from)})
			}
		}
	}
	return all
}

// keysOf returns the keys and the values of a head of queries, in rows of a stride.
func (m *Model) keysOf(l int, t *trace, c chunk, q queries) (keys, values []float32, stride int) {
	cfg := m.base.config
	wide, narrow := m.base.widths()
	at := q.head / (cfg.Heads / cfg.KVHeads) * cfg.HeadDim
	if c.cache != nil {
		v := c.cache.layers[l]
		return v[at:], v[narrow+at:], 2 * narrow
	}
	stride = wide + 2*narrow
	rows := t.qkv[q.first*stride:]
	return rows[wide+at:], rows[wide+narrow+at:], stride
}

// weigh sets the scores of a block to the weights of the keys of every query, in rows of keys: the powers of their scaled products,
// over their sum. They are zero for keys that come later than the query. fresh is false on the way back, when the largest
// product and the sum are known.
func (m *Model) weigh(b *bench, l int, t *trace, c chunk, q queries, fresh bool) []float32 {
	cfg := m.base.config
	size, keys := cfg.HeadDim, q.keys()
	scale := m.temper()
	width := m.sizes().qkv
	k, _, stride := m.keysOf(l, t, c, q)
	scores := grow(&b.scores, q.rows*keys)
	kernel.MulNT(false, q.rows, keys, size, t.qkv[(q.first+q.from)*width+q.head*size:], width, k, stride, scores, keys)
	ones := b.one(keys)
	for i := range q.rows {
		row, seen := scores[i*keys:][:keys], q.past+q.from+i+1
		at := (q.first+q.from+i)*cfg.Heads + q.head
		if fresh {
			t.tops[at] = float32(scale * kernel.Max(row[:seen]))
		}
		kernel.Exps32(row[:seen], scale, t.tops[at])
		clear(row[seen:])
		if fresh {
			t.shares[at] = float32(1 / kernel.Dot(row, ones))
		}
		kernel.Scale(t.shares[at], row)
	}
	return scores
}

// temper returns the factor of scores.
func (m *Model) temper() float32 { return float32(1 / math.Sqrt(float64(m.base.config.HeadDim))) }

// attend sets what a head mixes for a block of its queries: the values up to each, weighted.
func (m *Model) attend(b *bench, l int, t *trace, c chunk, q queries) {
	scores, keys, size, width := m.weigh(b, l, t, c, q, true), q.keys(), m.base.config.HeadDim, m.sizes().mixed
	_, values, stride := m.keysOf(l, t, c, q)
	kernel.MulNN(false, q.rows, size, keys, scores, keys, values, stride, t.mixed[(q.first+q.from)*width+q.head*size:], width)
}

// attendBack sets the gradients of the queries, keys and values of a head in a sequence, from that of what it mixed. With weights P
// and the gradient dO of the sums O of a query, that of its products is scale·P·(dO·Vᵀ − ⟨dO,O⟩). Keys and values have several
// heads of queries, so that every head writes its own.
func (m *Model) attendBack(b *bench, l int, t *trace, c chunk, head int, s sequence) {
	size, width, wide, d := m.base.config.HeadDim, m.sizes().mixed, m.sizes().qkv, &m.slopes
	for from := (s.length - 1) / queryTokens * queryTokens; from >= 0; from -= queryTokens {
		q := queries{s, head, from, min(queryTokens, s.length-from)}
		rows, keys, add := q.rows, q.keys(), from+queryTokens < s.length // the first block sees all keys
		at := (s.first+from)*width + head*size
		to := s.first*width + head*size
		k, v, stride := m.keysOf(l, t, c, q)
		scores := m.weigh(b, l, t, c, q, false)
		kernel.MulTN(add, keys, size, rows, scores, keys, d.mixed[at:], width, d.values[to:], width)
		slopes := grow(&b.slopes, rows*keys)
		kernel.MulNT(false, rows, keys, size, d.mixed[at:], width, v, stride, slopes, keys)
		ones := b.one(keys)
		for i := range rows {
			mean := kernel.Dot(d.mixed[at+i*width:][:size], t.mixed[at+i*width:][:size])
			kernel.Axpy(float32(-mean), ones, slopes[i*keys:][:keys])
		}
		kernel.Mul(scores, slopes)
		kernel.Scale(m.temper(), slopes)
		kernel.MulNN(false, rows, size, keys, slopes, keys, k, stride, d.qkv[(s.first+from)*wide+head*size:], wide)
		kernel.MulTN(add, keys, size, rows, slopes, keys, t.qkv[(s.first+from)*wide+head*size:], wide, d.keys[to:], width)
	}
}
