package walk

import (
	"fmt"
	"math"
	"slices"

	"starling/mixing/kernel"
	"starling/node/manifest/strictyaml"
	"starling/sim/chance"
)

// A problem is to make the mean of the peers' functions as small as can be. All of them are strongly convex, and scaled so that the least
// curvature of their mean at the optimum is 1: a step of 1/n then gets there.
type problem interface {
	dimension() int
	// gradient sets to to that of a peer's function.
	gradient(to, theta []float64, peer int)
	// curve adds the second derivative of a peer's function to a matrix, row by row.
	curve(to, theta []float64, peer int)
}

const quadraticName, logisticName = "quadratic", "logistic"

func checkProblem(name string) error {
	return strictyaml.CheckWord(name, []string{quadraticName, logisticName})
}

// The keys of what problems draw.
const (
	centreKey = iota + 1
	featureKey
	labelKey
	startKey
	walkKey
)

// draw is a word for a purpose of this package under a seed.
func draw(seed uint64, purpose, i, j int) uint64 {
	return chance.Of(chance.Of(chance.Of(seed, purpose), i), j)
}

// A task is a problem with its optimum.
type task struct {
	problem
	optimum []float64
	scale   float64     // of gradients
	errors  [][]float64 // the scaled gradient at the optimum, by peer
	bends   []float64   // the eigenvalues of the scaled curvature there, ascending
	axes    [][]float64 // and its eigenvectors
}

func newTask(name string, peers int, seed uint64) (*task, error) {
	var t *task
	switch name {
	case quadraticName:
		t = &task{problem: newQuadratic(peers, seed)}
	case logisticName:
		t = &task{problem: newLogistic(peers, seed)}
	}
	d := t.dimension()
	t.optimum = make([]float64, d)
	curve, slope := make([]float64, d*d), make([]float64, d)
	for range 100 {
		t.mean(curve, slope, peers)
		if norm2(slope) < 1e-28 {
			break
		}
		step := solve(slices.Clone(curve), slices.Clone(slope))
		for k := range step {
			t.optimum[k] -= step[k]
		}
	}
	if t.mean(curve, slope, peers); !(norm2(slope) < 1e-20) {
		return nil, fmt.Errorf("%s: no optimum was found", name)
	}
	t.bends, t.axes = eigen(curve, d)
	t.scale = 1 / t.bends[0]
	for k := range t.bends {
		t.bends[k] *= t.scale
	}
	for i := range peers {
		e := make([]float64, d)
		t.gradient(e, t.optimum, i)
		for k := range e {
			e[k] *= t.scale
		}
		t.errors = append(t.errors, e)
	}
	return t, nil
}

// mean sets the curvature and slope of the mean of all peers at the optimum as it is known.
func (t *task) mean(curve, slope []float64, peers int) {
	clear(curve)
	clear(slope)
	g := make([]float64, len(slope))
	for i := range peers {
		t.gradient(g, t.optimum, i)
		for k := range g {
			slope[k] += g[k] / float64(peers)
		}
		t.curve(curve, t.optimum, i)
	}
	for k := range curve {
		curve[k] /= float64(peers)
	}
}

func norm2(v []float64) (sum float64) {
	for _, x := range v {
		sum += float64(x * x)
	}
	return sum
}

// solve is the x with Ax = b, by elimination; it uses up both.
func solve(a, b []float64) []float64 {
	n := len(b)
	for k := range n {
		p := k
		for i := k + 1; i < n; i++ {
			if math.Abs(a[i*n+k]) > math.Abs(a[p*n+k]) {
				p = i
			}
		}
		for j := range n {
			a[k*n+j], a[p*n+j] = a[p*n+j], a[k*n+j]
		}
		b[k], b[p] = b[p], b[k]
		for i := k + 1; i < n; i++ {
			f := a[i*n+k] / a[k*n+k]
			for j := k; j < n; j++ {
				a[i*n+j] -= float64(f * a[k*n+j])
			}
			b[i] -= float64(f * b[k])
		}
	}
	for k := n - 1; k >= 0; k-- {
		for j := k + 1; j < n; j++ {
			b[k] -= float64(a[k*n+j] * b[j])
		}
		b[k] /= a[k*n+k]
	}
	return b
}

// quadratic: each peer wants the model at a point of its own, |theta - b_i|²/2, drawn from a normal distribution in two dimensions.
type quadratic struct{ centres [][2]float64 }

func newQuadratic(peers int, seed uint64) *quadratic {
	q := &quadratic{}
	for i := range peers {
		q.centres = append(q.centres, [2]float64{chance.Normal(draw(seed, centreKey, i, 0)), chance.Normal(draw(seed, centreKey, i, 1))})
	}
	return q
}

func (q *quadratic) dimension() int { return 2 }

func (q *quadratic) gradient(to, theta []float64, peer int) {
	c := &q.centres[peer]
	to[0], to[1] = theta[0]-c[0], theta[1]-c[1]
}

func (q *quadratic) curve(to, _ []float64, _ int) {
	to[0]++
	to[3]++
}

// logistic: regression of labels on two features and a constant, with a few rows for each peer, whose features are around a point of
// its own, so that the peers disagree: mean log(1 + e^(-y x·theta)) + 0.1 |theta|²/2.
type logistic struct{ rows [][logisticRows]logisticRow }

type logisticRow struct{ x [logisticSize]float64 } // times the label, 1 or -1

const (
	logisticRows = 4
	logisticSize = 3
	ridge        = 0.1
)

func newLogistic(peers int, seed uint64) *logistic {
	l := &logistic{rows: make([][logisticRows]logisticRow, peers)}
	for i := range l.rows {
		for r := range l.rows[i] {
			x := &l.rows[i][r].x
			for k := range logisticSize - 1 {
				x[k] = chance.Normal(draw(seed, featureKey, i, k)) + float64(chance.Normal(draw(seed, featureKey, i, 2+r*logisticSize+k))/2)
			}
			x[logisticSize-1] = 1
			y := -1.0
			if chance.Unit(draw(seed, labelKey, i, r)) < 1/(1+kernel.Exp(-(float64(1.5*x[0])-x[1]))) {
				y = 1
			}
			for k := range x {
				x[k] *= y
			}
		}
	}
	return l
}

func (l *logistic) dimension() int { return logisticSize }

func (l *logistic) gradient(to, theta []float64, peer int) {
	for k := range logisticSize {
		to[k] = float64(ridge * theta[k])
	}
	for r := range l.rows[peer] {
		x := &l.rows[peer][r].x
		w := wrong(x, theta) / logisticRows
		for k := range x {
			to[k] -= float64(w * x[k])
		}
	}
}

// wrong is the probability that the model gives the other label.
func wrong(x *[logisticSize]float64, theta []float64) float64 {
	return 1 / (1 + kernel.Exp(float64(x[0]*theta[0])+float64(x[1]*theta[1])+float64(x[2]*theta[2])))
}

func (l *logistic) curve(to, theta []float64, peer int) {
	for k := range logisticSize {
		to[k*logisticSize+k] += ridge
	}
	for r := range l.rows[peer] {
		x := &l.rows[peer][r].x
		w := wrong(x, theta)
		for k := range x {
			for j := range x {
				to[k*logisticSize+j] += float64(w * (1 - w) / logisticRows * x[k] * x[j])
			}
		}
	}
}
