package llama

import "starling/mixing/kernel"

// forward computes the stream before the last norm. What the way back needs is kept if train is set.
func (m *Model) forward(params []float32, c chunk, train bool) {
	n, w := len(c.tokens), m.base.config.Hidden
	stream := m.stream[:n*w]
	if train {
		stream = m.traces[0].in[:n*w]
	}
	m.embed(stream, params, c)
	for l := range m.base.layers {
		t := m.trace(l, n, train)
		next := t.mid
		if train {
			if next = m.stream[:n*w]; l+1 < len(m.traces) {
				next = m.traces[l+1].in[:n*w]
			}
		}
		m.attention(params, l, &t, c)
		m.rows(n, func(b *bench, from, rows int) { m.second(b, params, l, &t, next, from, rows) })
	}
}

// trace returns that of a layer for n rows. If nothing is kept, the stream stays where it is.
func (m *Model) trace(l, n int, train bool) trace {
	t, s := m.traces[l], m.sizes()
	if !train {
		t = m.traces[0]
		t.in, t.mid = m.stream, m.stream
	}
	t.in, t.mid, t.qkv, t.mixed, t.wide = t.in[:n*s.stream], t.mid[:n*s.stream], t.qkv[:n*s.qkv], t.mixed[:n*s.mixed], t.wide[:n*s.wide]
	return t
}

// embed sets the stream to the embeddings of tokens, and of their positions if there are any.
func (m *Model) embed(stream, params []float32, c chunk) {
	w := m.base.config.Hidden
	var positions, table []float32
	if m.base.gpt2() {
		positions = m.tensor(m.base.positions, m.plan.positions, params)
	}
	if at := m.plan.embedding; at >= 0 {
		table = m.plan.layout.Tensors[at].Of(params)
	}
	for _, s := range c.sequences {
		for i := range s.length {
			row, token := stream[(s.first+i)*w:][:w], int(c.tokens[s.first+i])
			if table != nil {
				copy(row, table[token*w:])
			} else {
				m.base.embedding.Column(row, token)
			}
			if positions != nil {
				kernel.Add(positions[(s.past+i)*w:][:w], row)
			}
		}
	}
}

// attention computes what a layer's heads mix, from the stream before it.
func (m *Model) attention(params []float32, l int, t *trace, c chunk) {
	n, size := len(c.tokens), m.sizes()
	queries, keys := m.base.widths()
	places := c.places(n)
	m.rows(n, func(b *bench, from, rows int) {
		w := size.stream
		normed := grow(&b.normed, rows*w)
		m.norm(b, &m.base.layers[l].norms[0], m.plan.layers[l].norms[0], params).forward(normed, t.in[from*w:][:rows*w])
		m.project(b, params, l, attentionIn, false, normed, t, from, rows, t.qkv[from*size.qkv:])
		for i := range rows {
			m.rotate(t.qkv[(from+i)*size.qkv:][:queries+keys], places[from+i], false)
		}
	})
	if c.cache != nil {
		c.cache.put(l, t.qkv, c.sequences[0])
	}
	tasks := m.queries(c)
	m.each(len(tasks), func(b *bench, i int) { m.attend(b, l, t, c, tasks[i]) })
}

// places returns the position of every token in its sequence.
func (c chunk) places(n int) []int {
	places := make([]int, 0, n)
	for _, s := range c.sequences {
		for i := range s.length {
			places = append(places, s.past+i)
		}
	}
	return places
}

// second computes the rest of a layer for some rows: the stream in the midst of it, and after it.
func (m *Model) second(b *bench, params []float32, l int, t *trace, next []float32, from, rows int) {
	size := m.sizes()
	w := size.stream
	mid := t.mid[from*w:][:rows*w]
	copy(mid, t.in[from*w:])
	m.project(b, params, l, attentionOut, true, t.mixed[from*size.mixed:][:rows*size.mixed], t, from, rows, mid)

	normed := grow(&b.normed, rows*w)
	m.norm(b, &m.base.layers[l].norms[1], m.plan.layers[l].norms[1], params).forward(normed, mid)
	wide := t.wide[from*size.wide:]
	m.project(b, params, l, mlpIn, false, normed, t, from, rows, wide)
	units := grow(&b.units, rows*size.units)
	m.activate(b, units, wide[:rows*size.wide], nil)
	out := next[from*w:][:rows*w]
	copy(out, mid)
	m.project(b, params, l, mlpOut, true, units, t, from, rows, out)
}

// activate sets units to the activation of rows. If there is a gradient of the units, the rows become theirs.
func (m *Model) activate(b *bench, units, wide, d []float32) {
	size := m.sizes()
	u := size.units
	for i := range len(units) / u {
		out, x := units[i*u:][:u], wide[i*size.wide:][:size.wide]
		slope := grow(&b.row, u)
		copy(slope, x[:u])
		if m.base.gpt2() {
			kernel.GELU(out, slope)
			if d != nil {
				copy(x, d[i*u:])
				kernel.Mul(slope, x)
			}
			continue
		}
		gate, up := x[:u], x[u:]
		kernel.SiLU(out, slope)
		if d == nil {
			kernel.Mul(up, out)
			continue
		}
		row := d[i*u:][:u]
		copy(gate, row)
		kernel.Mul(up, gate)
		kernel.Mul(slope, gate)
		kernel.Mul(out, up) // which leaves the units
		copy(slope, out)
		copy(out, up)
		copy(up, row)
		kernel.Mul(slope, up)
	}
}

// project sets rows of y to a linear map of rows of x, or adds it, and keeps what adapters make of x in the trace.
func (m *Model) project(b *bench, params []float32, l, number int, accumulate bool, x []float32, t *trace, from, rows int, y []float32) {
	lin, p := &m.base.layers[l].maps[number], &m.plan.layers[l].maps[number]
	for i := range lin.projections {
		v := &lin.projections[i]
		if at := p.weights[i]; at >= 0 {
			kernel.MulNT(accumulate, rows, v.out, lin.in, x, lin.in, m.plan.layout.Tensors[at].Of(params), lin.in, y[v.at:], lin.out)
		} else {
			kernel.MulPacked(accumulate, rows, x, lin.in, v.weights, y[v.at:], lin.out)
		}
		if bias := m.tensor(v.bias, p.biases[i], params); bias != nil {
			for r := range rows {
				kernel.Add(bias, y[r*lin.out+v.at:][:v.out])
			}
		}
	}
	if len(p.adapted) == 0 {
		return
	}
	rank := m.training.Rank
	all := rank * len(p.adapted)
	low := t.low[number][from*all:][:rows*all]
	kernel.MulNT(false, rows, all, lin.in, x, lin.in, m.stacked(p, params), lin.in, low, all)
	kernel.Scale(m.scale, low)
	for i, which := range p.adapted {
		v := &lin.projections[which]
		kernel.MulNT(true, rows, v.out, rank, low[i*rank:], all, m.plan.layout.Tensors[p.b[i]].Of(params), rank, y[v.at:], lin.out)
	}
}

// stacked returns the A of all adapters of a map, one below the other.
func (m *Model) stacked(p *mapPlan, v []float32) []float32 {
	t := m.plan.layout.Tensors[p.a]
	n := t.Len() * len(p.adapted)
	return v[t.Offset : t.Offset+n : t.Offset+n]
}
