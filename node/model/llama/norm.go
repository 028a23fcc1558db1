package llama

import (
	"math"

	"starling/mixing"
	"starling/mixing/kernel"
)

// boundNorm is a norm with its parameters, which may be trained.
type boundNorm struct {
	gain, bias []float32
	eps        float64
	ones       []float32
}

func (m *Model) norm(b *bench, n *norm, at [2]int, params []float32) boundNorm {
	return boundNorm{m.tensor(n.gain, at[0], params), m.tensor(n.bias, at[1], params), m.base.config.NormEps, b.one(len(n.gain))}
}

// tensor returns the trainable tensor of that number if there is one, and what was published otherwise.
func (m *Model) tensor(published []float32, number int, params []float32) []float32 {
	if number < 0 {
		return published
	}
	return m.plan.layout.Tensors[number].Of(params)
}

// gradient returns the place of a tensor in a gradient, nil if it is not trained or there is no gradient.
func gradient(l *mixing.Layout, number int, grad []float32) []float32 {
	if number < 0 || grad == nil {
		return nil
	}
	return l.Tensors[number].Of(grad)
}

// one returns so many ones.
func (b *bench) one(n int) []float32 {
	for len(b.ones) < n {
		b.ones = append(b.ones, 1)
	}
	return b.ones[:n]
}

// shape sets to to a row before gain and bias, and returns what the row was multiplied by: 1/√(mean square + ε), of the row less
// its mean if there is a bias.
func (n boundNorm) shape(to, x []float32) float32 {
	width := float64(len(n.gain))
	copy(to, x)
	if n.bias != nil {
		kernel.Axpy(float32(-kernel.Dot(x, n.ones)/width), n.ones, to)
	}
	scale := float32(1 / math.Sqrt(kernel.Dot(to, to)/width+n.eps))
	kernel.Scale(scale, to)
	return scale
}

// forward writes the norm of the rows of x.
func (n boundNorm) forward(to, x []float32) {
	w := len(n.gain)
	for i := 0; i < len(x); i += w {
		row := to[i:][:w]
		n.shape(row, x[i:][:w])
		kernel.Mul(n.gain, row)
		if n.bias != nil {
			kernel.Add(n.bias, row)
		}
	}
}

// backward sets dx to d plus the gradient of the rows of x, from dy, that of the outputs. With g = gain·dy, that of a row is
// scale·(g − shape·mean(shape·g)), and with a bias g is first made g − mean(g). dx may be d.
func (n boundNorm) backward(dx, d, dy, x, row, shape []float32) {
	w := len(n.gain)
	for i := 0; i < len(x); i += w {
		scale := n.shape(shape, x[i:][:w])
		copy(row, dy[i:][:w])
		kernel.Mul(n.gain, row)
		mean := kernel.Dot(row, shape) / float64(w)
		if n.bias != nil {
			kernel.Axpy(float32(-kernel.Dot(row, n.ones)/float64(w)), n.ones, row)
		}
		kernel.Axpy(float32(-mean), shape, row)
		out := dx[i:][:w]
		copy(out, d[i:][:w])
		kernel.Axpy(scale, row, out)
	}
}

// learn adds to the gradients of gain and bias, either of which may be nil, from dy and x.
func (n boundNorm) learn(dgain, dbias, dy, x, row []float32) {
	w := len(n.gain)
	for i := 0; i < len(x); i += w {
		if dgain != nil {
			n.shape(row, x[i:][:w])
			kernel.Mul(dy[i:][:w], row)
			kernel.Add(row, dgain)
		}
		if dbias != nil {
			kernel.Add(dy[i:][:w], dbias)
		}
	}
}
