package sim

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"

	"starling/gossip"
	"starling/gossip/codec"
	"starling/mixing"
	"starling/mixing/scalar"
	"starling/node"
	"starling/node/compute"
)

// quadratic is a task whose optimum is known: node i pulls towards its own point, and the best model for all is the mean
// of the points.
type quadratic struct {
	points   [][]float32
	rate     float32
	codec    codec.Codec // nil is fp32
	feedback bool        // residuals are kept, though fp32 loses nothing
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

func (q *quadratic) Layout() *mixing.Layout {
	return must(mixing.NewLayout(mixing.Tensor{Name: "x", Shape: []int{q.Len()}}))
}

func (q *quadratic) Probe(n int, job node.ProbeJob, plus, minus []float32) node.Probed {
	loss := func(x []float32) (sum float64) {
		for j, x := range x {
			d := float64(x) - float64(q.points[n][j])
			sum += float64(d*d) / 2
		}
		return sum
	}
	above, below := loss(plus), loss(minus)
	return node.Probed{Job: job.Job, Slope: scalar.Slope(above, below, job.Eps), Loss: (above + below) / 2, Samples: 1}
}

func (q *quadratic) Codec() string {
	if q.codec != nil {
		return q.codec.Name()
	}
	return "fp32"
}

func (q *quadratic) MaxPayload() uint64    { return 4 * uint64(q.Len()) }
func (q *quadratic) Plain() (uint64, bool) { return q.MaxPayload(), q.codec == nil }
func (q *quadratic) Common() bool          { return true }
func (q *quadratic) Pass(int) uint64       { return 5 }
func (q *quadratic) Worker() Worker        { return q }

func (q *quadratic) Samples(_ int, job node.TrainJob) uint64 { return cmp.Or(job.Steps, 5) }

func (q *quadratic) Init(_ int, params, opt []float32) {
	clear(params)
	clear(opt)
}

func (q *quadratic) Gradient(n int, _ uint64, params, grad []float32) (loss float64, samples uint64) {
	for j, x := range params {
		grad[j] = x - q.points[n][j]
	}
	return 0, 1
}

func (q *quadratic) Encode(_ int, v []float32) (b []byte, _ []gossip.TensorStat, err error) {
	for _, x := range v {
		if x-x != 0 {
			return nil, nil, errors.New("not finite")
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b, nil, nil
}

func (q *quadratic) EncodePieces(n int, job node.EncodeJob, e compute.Encoding) ([][]byte, float64, error) {
	c, err := codec.Parse("fp32")
	if err != nil {
		return nil, 0, err
	}
	if q.codec != nil && !job.Plain {
		c = q.codec
	}
	seed := uint64(job.Job) << 16
	return compute.EncodePieces(c, job, e, func() uint64 {
		seed++
		return seed
	})
}

func (q *quadratic) Feedback() bool { return q.feedback }

func (q *quadratic) Decode(dst []float32, name string, b []byte) error {
	if q.codec != nil && name == q.codec.Name() {
		return q.codec.Decode(dst, b)
	}
	for j := range dst {
		dst[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
	}
	return nil
}

func (q *quadratic) Train(n int, job node.TrainJob, params, opt, shift, out, outOpt []float32) node.Trained {
	copy(out, params)
	copy(outOpt, opt)
	p := q.points[n%len(q.points)]
	t := node.Trained{Steps: cmp.Or(job.Steps, 5)}
	for range t.Steps {
		for j := range out {
			g := out[j] - p[j]
			if shift != nil {
				g += shift[j]
			}
			out[j] -= float32(q.rate * g)
		}
		t.Work += float64(q.rate)
	}
	for j := range out {
		d := float64(out[j] - p[j])
		t.Loss += float64(d * d)
	}
	t.Samples = t.Steps
	return t
}

func (q *quadratic) Mix(job node.MixJob, vecs compute.Vectors, out []float32) (mixing.Report, error) {
	if job.Rule == "" {
		spans := job.Spans
		if len(spans) == 0 {
			spans = []node.Span{{Len: len(out), Terms: job.Terms}}
		}
		at := 0
		for _, s := range spans {
			for j := range s.Len {
				sum := 0.0
				for _, t := range s.Terms {
					sum += float64(t.Coef * float64(vecs.Vec(t.Vec)[t.At+j]))
				}
				out[at+j] = float32(sum)
			}
			at += s.Len
		}
		return mixing.Report{}, nil
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
		return mixing.Input{Vec: vecs.Vec(in.Vec), Meta: mixing.Meta{Peer: string(in.Peer[:]), Age: in.Age, Degree: int(in.Degree)}}
	}
	var others []mixing.Input
	for _, in := range job.In {
		others = append(others, input(in))
	}
	return rule.Mix(out, input(job.Own), others, &mixing.Env{Layout: layout})
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
