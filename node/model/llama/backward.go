package llama

import "starling/mixing/kernel"

// backward adds to the gradient, from that of the normed stream before the head, which head left.
func (m *Model) backward(grad, params []float32, c chunk) {
	n, w, d := len(c.tokens), m.base.config.Hidden, &m.slopes
	clear(d.out[:n*w])
	m.rows(n, func(b *bench, from, rows int) {
		from, to := from*w, (from+rows)*w
		m.norm(b, &m.base.norm, m.plan.norm, params).backward(d.out[from:to], d.out[from:to], d.dnormed[0][from:to], m.stream[from:to],
			grow(&b.row, w), grow(&b.row2, w))
	})
	b := m.bench(0)
	m.learnNorm(b, &m.base.norm, m.plan.norm, grad, params, n, d.dnormed[0], m.stream)

	bottom := m.bottom()
	for l := len(m.base.layers) - 1; l >= bottom; l-- {
		t := m.trace(l, n, true)
		if m.frugal && l < len(m.base.layers)-1 {
			m.attention(params, l, &t, c)
			m.rows(n, func(b *bench, from, rows int) { m.second(b, params, l, &t, m.stream, from, rows) })
		}
		m.layerBack(params, l, &t, c)
		m.learn(grad, params, l, &t, n)
		d.out, d.in = d.in, d.out
	}
	if bottom == 0 {
		m.learnEmbedding(grad, c)
	}
}

// bottom returns the lowest layer that the way back has to go through.
func (m *Model) bottom() int {
	if m.plan.embedding >= 0 || m.plan.positions >= 0 {
		return 0
	}
	for l := range m.plan.layers {
		if m.plan.layers[l].trained() {
			return l
		}
	}
	return len(m.plan.layers)
}

// trained reports whether anything in a layer is.
func (p *layerPlan) trained() bool {
	for _, at := range p.norms {
		if at[0] >= 0 || at[1] >= 0 {
			return true
		}
	}
	for i := range p.maps {
		q := &p.maps[i]
		for j := range q.weights {
			if len(q.adapted) > 0 || q.weights[j] >= 0 || q.biases[j] >= 0 {
				return true
			}
		}
	}
	return false
}

// layerBack takes the gradient of the stream back through a layer. It leaves those of the outputs of its maps in the slopes, or in
// the place of the outputs.
func (m *Model) layerBack(params []float32, l int, t *trace, c chunk) {
	n, size, d := len(c.tokens), m.sizes(), &m.slopes
	w, cfg := size.stream, m.base.config
	layer, plan := &m.base.layers[l], &m.plan.layers[l]
	m.rows(n, func(b *bench, from, rows int) {
		part := func(v []float32, width int) []float32 { return v[from*width:][:rows*width] }
		units, wide, mid := grow(&b.units, rows*size.units), part(t.wide, size.wide), part(t.mid, w)
		m.projectBack(params, l, mlpOut, part(d.out, w), from, rows, units)
		m.activate(b, part(d.units, size.units), wide, units)
		m.projectBack(params, l, mlpIn, wide, from, rows, part(d.dnormed[1], w))
		norm := m.norm(b, &layer.norms[1], plan.norms[1], params)
		norm.forward(part(d.normed[1], w), mid)
		norm.backward(part(d.mid, w), part(d.out, w), part(d.dnormed[1], w), mid, grow(&b.row, w), grow(&b.row2, w))
		m.projectBack(params, l, attentionOut, part(d.mid, w), from, rows, part(d.mixed, size.mixed))
	})
	m.each(len(c.sequences)*cfg.Heads, func(b *bench, i int) {
		m.attendBack(b, l, t, c, i%cfg.Heads, c.sequences[i/cfg.Heads])
	})
	places := c.places(n)
	m.rows(n, func(b *bench, from, rows int) {
		part := func(v []float32, width int) []float32 { return v[from*width:][:rows*width] }
		for i := range rows {
			m.gather(from+i, places[from+i])
		}
		m.projectBack(params, l, attentionIn, part(d.qkv, size.qkv), from, rows, part(d.dnormed[0], w))
		norm := m.norm(b, &layer.norms[0], plan.norms[0], params)
		norm.forward(part(d.normed[0], w), part(t.in, w))
		norm.backward(part(d.in, w), part(d.mid, w), part(d.dnormed[0], w), part(t.in, w), grow(&b.row, w), grow(&b.row2, w))
	})
}

// gather sums the gradients of the keys and values of a token over the heads of queries that share them, and turns those of queries and
// keys back.
func (m *Model) gather(token, place int) {
	c, size, d := m.base.config, m.sizes(), &m.slopes
	queries, keys := m.base.widths()
	row := d.qkv[token*size.qkv:][:size.qkv]
	group := c.Heads / c.KVHeads
	for h := range c.Heads {
		at, from := h/group*c.HeadDim, token*size.mixed+h*c.HeadDim
		k, v := row[queries+at:][:c.HeadDim], row[queries+keys+at:][:c.HeadDim]
		if h%group == 0 {
			copy(k, d.keys[from:])
			copy(v, d.values[from:])
			continue
		}
		kernel.Add(d.keys[from:][:c.HeadDim], k)
		kernel.Add(d.values[from:][:c.HeadDim], v)
	}
	m.rotate(row[:queries+keys], place, true)
}

// projectBack sets dx to the gradient of rows of the input of a map, from that of its outputs, and keeps what the gradient of
// adapters needs.
func (m *Model) projectBack(params []float32, l, number int, dy []float32, from, rows int, dx []float32) {
	lin, p := &m.base.layers[l].maps[number], &m.plan.layers[l].maps[number]
	for i := range lin.projections {
		v := &lin.projections[i]
		if at := p.weights[i]; at >= 0 {
			kernel.MulNN(i > 0, rows, lin.in, v.out, dy[v.at:], lin.out, m.plan.layout.Tensors[at].Of(params), lin.in, dx, lin.in)
		} else {
			kernel.MulPackedT(i > 0, rows, dy[v.at:], lin.out, v.weights, dx, lin.in)
		}
	}
	if len(p.adapted) == 0 {
		return
	}
	rank := m.training.Rank
	all := rank * len(p.adapted)
	low := m.slopes.low[number][from*all:][:rows*all]
	for i, which := range p.adapted {
		v := &lin.projections[which]
		kernel.MulNN(false, rows, rank, v.out, dy[v.at:], lin.out, m.plan.layout.Tensors[p.b[i]].Of(params), rank, low[i*rank:], all)
	}
	kernel.Scale(m.scale, low)
	kernel.MulNN(true, rows, lin.in, all, low, all, m.stacked(p, params), lin.in, dx, lin.in)
}

// weightRows is the number of rows of a full gradient that a worker computes at a time.
const weightRows = 64

// learn adds to the gradients of what is trained in a layer.
func (m *Model) learn(grad, params []float32, l int, t *trace, n int) {
	d, p, layer := &m.slopes, &m.plan.layers[l], &m.base.layers[l]
	layout := m.plan.layout
	inputs := [maps][]float32{d.normed[0], t.mixed, d.normed[1], d.units}
	outputs := [maps][]float32{d.qkv, d.mid, t.wide, d.out}
	streams := [2][]float32{t.in, t.mid}
	var tasks []func(b *bench)
	for i := range p.maps {
		lin, q, x, dy := &layer.maps[i], &p.maps[i], inputs[i], outputs[i]
		if len(q.adapted) > 0 {
			rank := m.training.Rank
			all := rank * len(q.adapted)
			tasks = append(tasks, func(*bench) {
				kernel.MulTN(true, all, lin.in, n, d.low[i], all, x, lin.in, m.stacked(q, grad), lin.in)
			})
			for j, which := range q.adapted {
				v, to := &lin.projections[which], layout.Tensors[q.b[j]].Of(grad)
				tasks = append(tasks, func(*bench) {
					kernel.MulTN(true, v.out, rank, n, dy[v.at:], lin.out, t.low[i][j*rank:], all, to, rank)
				})
			}
		}
		for j := range lin.projections {
			v := &lin.projections[j]
			if to := gradient(layout, q.weights[j], grad); to != nil {
				for from := 0; from < v.out; from += weightRows {
					tasks = append(tasks, func(*bench) {
						kernel.MulTN(true, min(weightRows, v.out-from), lin.in, n, dy[v.at+from:], lin.out, x, lin.in, to[from*lin.in:], lin.in)
					})
				}
			}
			if to := gradient(layout, q.biases[j], grad); to != nil {
				tasks = append(tasks, func(*bench) {
					for r := range n {
						kernel.Add(dy[r*lin.out+v.at:][:v.out], to)
					}
				})
			}
		}
	}
	for i := range layer.norms {
		tasks = append(tasks, func(b *bench) {
			m.learnNorm(b, &layer.norms[i], p.norms[i], grad, params, n, d.dnormed[i], streams[i])
		})
	}
	m.each(len(tasks), func(b *bench, i int) { tasks[i](b) })
}

func (m *Model) learnNorm(b *bench, v *norm, at [2]int, grad, params []float32, n int, dy, x []float32) {
	dgain, dbias := gradient(m.plan.layout, at[0], grad), gradient(m.plan.layout, at[1], grad)
	if dgain != nil || dbias != nil {
		w := len(v.gain)
		m.norm(b, v, at, params).learn(dgain, dbias, dy[:n*w], x[:n*w], grow(&b.row, w))
	}
}

// learnEmbedding adds the gradient of the stream before the first layer to the rows of its tokens and positions.
func (m *Model) learnEmbedding(grad []float32, c chunk) {
	w := m.base.config.Hidden
	tokens, positions := gradient(m.plan.layout, m.plan.embedding, grad), gradient(m.plan.layout, m.plan.positions, grad)
	for _, s := range c.sequences {
		for i := range s.length {
			row := m.slopes.out[(s.first+i)*w:][:w]
			if tokens != nil {
				kernel.Add(row, tokens[int(c.tokens[s.first+i])*w:][:w])
			}
			if positions != nil {
				kernel.Add(row, positions[i*w:][:w])
			}
		}
	}
}
