package track

import (
	"math"
	"math/rand/v2"
	"slices"

	"starling/mixing/philox"
)

// chance is the source of a seed, which failures print: -run with the test's name repeats them.
func chance(seed uint64) *rand.Rand { return rand.New(philox.NewStream(seed, 99, 0)) }

// A compressor returns what is left of a vector.
type compressor func(x []float64) []float64

func exact(x []float64) []float64 { return slices.Clone(x) }

// topOne keeps the first of the largest magnitudes.
func topOne(x []float64) []float64 {
	best := 0
	for i := range x {
		if math.Abs(x[i]) > math.Abs(x[best]) {
			best = i
		}
	}
	out := make([]float64, len(x))
	out[best] = x[best]
	return out
}

// sum is a linear combination.
func sum(coefficients []float64, vectors ...[]float64) []float64 {
	out := make([]float64, len(vectors[0]))
	for j, c := range coefficients {
		for i := range out {
			if c != 0 {
				out[i] += float64(c * vectors[j][i])
			}
		}
	}
	return out
}

func meanOf(all [][]float64) []float64 {
	return sum(slices.Repeat([]float64{1 / float64(len(all))}, len(all)), all...)
}

// spread is the sum of squared distances from the mean.
func spread(all [][]float64) float64 { return distance(all, meanOf(all)) }

func distance(all [][]float64, from []float64) (d float64) {
	for _, x := range all {
		for i := range x {
			d += (x[i] - from[i]) * (x[i] - from[i])
		}
	}
	return d
}

func zeros(n, d int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, d)
	}
	return out
}

// quadratics are functions a_i/2 |y - b_i|², one for each node.
type quadratics struct {
	a []float64
	b [][]float64
}

func (q quadratics) gradient(i int, y []float64) []float64 {
	return sum([]float64{q.a[i], -q.a[i]}, y, q.b[i])
}

// optimum is where the sum of all is least.
func (q quadratics) optimum() []float64 {
	total := 0.0
	for _, a := range q.a {
		total += a
	}
	out := sum(q.a, q.b...)
	return sum([]float64{1 / total}, out)
}

// local takes steps from x along the gradient and a correction.
func (q quadratics) local(i int, x, correction []float64, steps int, rate float64) []float64 {
	y := x
	for range steps {
		y = sum([]float64{1, -rate, -rate}, y, q.gradient(i, y), correction)
	}
	return y
}

// choco is nodes that agree by public copies.
type choco struct {
	x, h, w [][]float64
	sum     [][]float64 // of the copies, weighted
	rule    Choco
	c       compressor
}

func newChoco(x, w [][]float64, rule Choco, c compressor) *choco {
	return &choco{x: slices.Clone(x), h: zeros(len(x), len(x[0])), sum: zeros(len(x), len(x[0])), w: w, rule: rule, c: c}
}

// publish moves copies towards x, and the sums of copies with them; it returns the changes.
func publish(x, h, sums, w [][]float64, c compressor) [][]float64 {
	q := make([][]float64, len(x))
	for i := range x {
		q[i] = c(sum([]float64{1, -1}, x[i], h[i]))
		h[i] = sum([]float64{1, 1}, h[i], q[i])
	}
	for i := range x {
		for j := range x {
			sums[i] = sum([]float64{1, w[i][j]}, sums[i], q[j])
		}
	}
	return q
}

func (s *choco) round() [][]float64 {
	q := publish(s.x, s.h, s.sum, s.w, s.c)
	f := s.rule.Step()
	for i := range s.x {
		s.x[i] = sum([]float64{f.X, f.Copy, f.Sum}, s.x[i], s.h[i], s.sum[i])
	}
	return q
}

// server is clients with an aggregator.
type server struct {
	problem   quadratics
	rule      Controlled
	c         compressor
	steps     int
	rate      float64
	x, common []float64
	own, v    [][]float64
}

func newServer(p quadratics, rule Controlled, c compressor, steps int, rate float64) *server {
	n, d := len(p.b), len(p.b[0])
	return &server{p, rule, c, steps, rate, make([]float64, d), make([]float64, d), zeros(n, d), zeros(n, d)}
}

func (s *server) round(active []int) (sent [][]float64) {
	work := float64(s.steps) * s.rate
	for _, i := range active {
		y := s.problem.local(i, s.x, sum([]float64{1, -1}, s.common, s.own[i]), s.steps, s.rate)
		eval := func(f UplinkForm) []float64 {
			return sum([]float64{f.X, f.Y, f.Own, f.Common, f.V}, s.x, y, s.own[i], s.common, s.v[i])
		}
		delta, v := s.rule.Uplink(work)
		var q []float64
		q, s.v[i] = s.c(eval(delta)), eval(v)
		s.own[i] = sum([]float64{1, 1}, s.own[i], q)
		sent = append(sent, q)
	}
	mean := meanOf(sent)
	x, common := s.rule.Down(work, len(active), len(s.own))
	eval := func(f DownForm) []float64 { return sum([]float64{f.X, f.Common, f.Mean}, s.x, s.common, mean) }
	s.x, s.common = eval(x), eval(common)
	return sent
}

// peers are nodes with gradient tracking.
type peers struct {
	problem       quadratics
	w             [][]float64
	rule          Tracking
	c             compressor
	steps         int
	rate          float64
	x, m, v, h, g [][]float64
	sumH, sumG    [][]float64
	sleeping      func(i int) bool // takes no local steps in this round
	lateH, lateG  [][]*late        // by link, where messages come late
	random        *rand.Rand
	careless      bool // of late copies, compares what has come with its own copy of now
}

// late is the messages of one vector over a link, and the difference of the copies after the last that has come.
type late struct {
	queue      [][2][]float64 // what both ends changed
	difference []float64
	theirs     []float64 // the copy of the other end
}

func newPeers(p quadratics, w [][]float64, rule Tracking, c compressor, steps int, rate float64) *peers {
	n, d := len(p.b), len(p.b[0])
	return &peers{problem: p, w: w, rule: rule, c: c, steps: steps, rate: rate, x: zeros(n, d), m: zeros(n, d), v: zeros(n, d),
		h: zeros(n, d), g: zeros(n, d), sumH: zeros(n, d), sumG: zeros(n, d), sleeping: func(int) bool { return false }}
}

func (s *peers) round() (qx, qv [][]float64) {
	for i := range s.x {
		y, work := s.x[i], 0.0
		if !s.sleeping(i) {
			f := Correction()
			y = s.problem.local(i, s.x[i], sum([]float64{f.M, f.V}, s.m[i], s.v[i]), s.steps, s.rate)
			work = float64(s.steps) * s.rate
		}
		h, g, sumH, sumG := s.h[i], s.g[i], s.sumH[i], s.sumG[i]
		if s.random != nil {
			h, g = make([]float64, len(y)), make([]float64, len(y))
			sumH, sumG = s.arrived(s.lateH[i], s.w[i], s.h[i]), s.arrived(s.lateG[i], s.w[i], s.g[i])
		}
		u := s.rule.Round(work)
		eval := func(f Form) []float64 {
			return sum([]float64{f.X, f.Y, f.M, f.V, f.H, f.G, f.SumH, f.SumG}, s.x[i], y, s.m[i], s.v[i], h, g, sumH, sumG)
		}
		s.x[i], s.m[i], s.v[i] = eval(u.X), eval(u.M), eval(u.V)
	}
	qx, qv = publish(s.x, s.h, s.sumH, s.w, s.c), publish(s.v, s.g, s.sumG, s.w, s.c)
	if s.random != nil {
		send(s.lateH, qx)
		send(s.lateG, qv)
	}
	return qx, qv
}

// delayed makes messages come late at random, in order.
func (s *peers) delayed(r *rand.Rand) {
	s.random = r
	n, d := len(s.x), len(s.x[0])
	links := func() [][]*late {
		out := make([][]*late, n)
		for i := range out {
			for range n {
				out[i] = append(out[i], &late{difference: make([]float64, d), theirs: make([]float64, d)})
			}
		}
		return out
	}
	s.lateH, s.lateG = links(), links()
}

func send(links [][]*late, q [][]float64) {
	for i := range links {
		for j, l := range links[i] {
			l.queue = append(l.queue, [2][]float64{q[j], q[i]})
		}
	}
}

// arrived takes in some of what has been sent, and returns the sum of the differences, once for every message.
func (s *peers) arrived(links []*late, w, own []float64) []float64 {
	out := make([]float64, len(own))
	for j, l := range links {
		for n := s.random.IntN(3); len(l.queue) > 0 && (n > 0 || len(l.queue) > 4); n-- {
			l.difference = sum([]float64{1, 1, -1}, l.difference, l.queue[0][0], l.queue[0][1])
			l.theirs = sum([]float64{1, 1}, l.theirs, l.queue[0][0])
			l.queue = l.queue[1:]
			if !s.careless {
				out = sum([]float64{1, w[j]}, out, l.difference)
			}
		}
		if s.careless {
			out = sum([]float64{1, w[j], -w[j]}, out, l.theirs, own)
		}
	}
	return out
}

func (s *peers) distance(from []float64) float64 { return distance(s.x, from) }
