package llama

// scratch is the memory of one chunk.
type scratch struct {
	room    int  // tokens
	longest int  // keys that a query may have
	trained bool // there is what the way back needs

	stream []float32 // of the residual stream before the head
	traces []trace   // of the layers, of which all but the first share their memory if nothing is trained
	cos    []float32 // of rotations, for every position
	sin    []float32
	slopes slopes

	counted []int32   // rows whose targets count
	tops    []float32 // of each of them the largest logit, and the sum of powers
	sums    []float64
	losses  []float64
	targets []float32 // logits of the targets
	benches []*bench
}

// A trace is what the way back through a layer needs of the way there, a row for every token.
type trace struct {
	in, mid      []float32       // the stream before attention, and before the second half
	qkv          []float32       // queries, keys and values
	mixed        []float32       // sums of values
	wide         []float32       // outputs of the first map of the second half, before the activation
	low          [maps][]float32 // inputs times A of adapters, times the scale
	tops, shares []float32       // of the scores of every token and head: the largest, and 1/sum of powers
}

// slopes are gradients within one layer, a row for every token, and inputs that are computed again.
type slopes struct {
	out, mid, in []float32 // of the stream after the layer, in its midst and before it
	normed       [2][]float32
	dnormed      [2][]float32
	units        []float32 // inputs of the last map
	mixed, qkv   []float32
	keys, values []float32 // of every head of queries by itself
	low          [maps][]float32
}

// A bench is the memory of one worker.
type bench struct {
	normed, units      []float32 // of a piece of rows
	scores, slopes     []float32 // of a block of queries
	logits, sums, rows []float32 // of the head
	ones               []float32
	row, row2          []float32
}

func grow(v *[]float32, n int) []float32 {
	if cap(*v) < n {
		*v = make([]float32, n)
	}
	*v = (*v)[:n]
	return *v
}

// bench returns the memory of a worker.
func (m *Model) bench(worker int) *bench {
	for len(m.benches) <= worker {
		m.benches = append(m.benches, &bench{})
	}
	return m.benches[worker]
}

// sizes are how many floats a token has in the parts of a trace.
type sizes struct {
	stream, qkv, mixed, wide, units, heads int
	low                                    [maps]int
}

func (m *Model) sizes() sizes {
	c := m.base.config
	queries, keys := m.base.widths()
	units, wide := m.base.units()
	s := sizes{stream: c.Hidden, qkv: queries + 2*keys, mixed: queries, wide: wide, units: units, heads: c.Heads}
	for i := range maps {
		s.low[i] = len(m.plan.layers[0].maps[i].adapted) * m.training.Rank
	}
	return s
}

// trace returns memory for so many tokens; in and mid are left to the caller.
func (s sizes) trace(n int) trace {
	t := trace{
		qkv: make([]float32, n*s.qkv), mixed: make([]float32, n*s.mixed), wide: make([]float32, n*s.wide),
		tops: make([]float32, n*s.heads), shares: make([]float32, n*s.heads),
	}
	for i, r := range s.low {
		t.low[i] = make([]float32, n*r)
	}
	return t
}

// reserve makes room for a chunk.
func (m *Model) reserve(c chunk, train bool) {
	n := len(c.tokens)
	for _, s := range c.sequences {
		m.longest = max(m.longest, s.past+s.length)
	}
	m.rotations(m.longest)
	m.bench(m.workers - 1)
	if n <= m.room && (m.trained || !train) {
		return
	}
	n = max(n, m.room)
	s, layers := m.sizes(), len(m.base.layers)
	old := m.scratch
	m.scratch = scratch{room: n, longest: old.longest, trained: train || old.trained, cos: old.cos, sin: old.sin, benches: old.benches}
	floats := func(k int) []float32 { return make([]float32, n*k) }
	m.stream, m.traces = floats(s.stream), make([]trace, layers)
	m.tops, m.sums, m.losses = floats(1), make([]float64, n), make([]float64, n)
	m.targets = floats(1)
	shared := s.trace(n)
	shared.mid = floats(s.stream)
	for l := range m.traces {
		switch {
		case m.trained && !m.frugal && l > 0:
			m.traces[l] = s.trace(n)
			m.traces[l].mid = floats(s.stream)
		default:
			m.traces[l] = shared
		}
		if m.trained {
			m.traces[l].in = floats(s.stream)
		}
	}
	if m.trained {
		m.slopes = slopes{
			out: floats(s.stream), mid: floats(s.stream), in: floats(s.stream), units: floats(s.units), mixed: floats(s.mixed), qkv: floats(s.qkv),
			normed:  [2][]float32{floats(s.stream), floats(s.stream)},
			dnormed: [2][]float32{floats(s.stream), floats(s.stream)},
			keys:    floats(s.mixed), values: floats(s.mixed),
		}
		for i, r := range s.low {
			m.slopes.low[i] = floats(r)
		}
	}
}
