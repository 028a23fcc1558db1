package sim

import (
	"fmt"
	"math"

	"starling/mixing"
	"starling/node"
	"starling/node/compute"
)

// quadratic is a task whose optimum is known: node i pulls towards its own point, and the best model for all is the mean
// of the points.
type quadratic struct {
	points [][]float32
	rate   float32
}

func newQuadratic(nodes, dim int) *quadratic {
	q := &quadratic{rate: 0.05}
	for i := range nodes {
		p := make([]float32, dim)
		for j := range p {
			p[j] = float32(math.Sin(float64(i*dim+j+1)) * 3)
		}
		q.points = append(q.points, p)
	}
	return q
}

func (q *quadratic) Len() int     { return len(q.points[0]) }
func (q *quadratic) OptLen() int  { return 1 }
func (q *quadratic) Tensors() int { return 1 }

func (q *quadratic) Init(int) (params, opt []float32) {
	return make([]float32, q.Len()), make([]float32, 1)
}

func (q *quadratic) Train(n int, params, opt, out, outOpt []float32, _, steps uint64) (uint64, float64) {
	copy(out, params)
	copy(outOpt, opt)
	for range steps {
		for j := range out {
			out[j] += float32(q.rate * (q.points[n%len(q.points)][j] - out[j]))
		}
	}
	loss := 0.0
	for j := range out {
		d := float64(out[j] - q.points[n%len(q.points)][j])
		loss += float64(d * d)
	}
	return steps, loss
}

func (q *quadratic) Mix(job node.MixJob, vecs compute.Vectors, out []float32) node.Mixed {
	m := node.Mixed{Job: job.Job}
	if job.Rule == "" {
		for j := range out {
			sum := 0.0
			for _, t := range job.Terms {
				sum += float64(t.Coef * float64(vecs.Vec(t.Vec)[j]))
			}
			out[j] = float32(sum)
		}
		return m
	}
	rule, err := mixing.ParseRule(job.Rule)
	if err != nil {
		panic(err)
	}
	layout, err := mixing.NewLayout(mixing.Tensor{Name: "x", Shape: []int{q.Len()}})
	if err != nil {
		panic(err)
	}
	input := func(in node.MixInput) mixing.Input {
		return mixing.Input{Vec: vecs.Vec(in.Vec), Meta: mixing.Meta{Peer: fmt.Sprintf("%x", in.Peer[:4]), Age: in.Age, Degree: int(in.Degree)}}
	}
	var others []mixing.Input
	for _, in := range job.In {
		others = append(others, input(in))
	}
	m.Report, err = rule.Mix(out, input(job.Own), others, &mixing.Env{Layout: layout})
	if err != nil {
		panic(err)
	}
	return m
}

func (q *quadratic) Evaluate(params []float32) (float64, float64) {
	return 1 / (1 + q.distance(params)), q.distance(params)
}

// distance is how far a model is from the mean of all points.
func (q *quadratic) distance(params []float32) float64 {
	sum := 0.0
	for j, x := range params {
		mean := 0.0
		for _, p := range q.points {
			mean += float64(p[j]) / float64(len(q.points))
		}
		d := float64(x) - mean
		sum += float64(d * d)
	}
	return math.Sqrt(sum)
}
