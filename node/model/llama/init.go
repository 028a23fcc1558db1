package llama

import (
	"math"
	"strings"

	"starling/mixing"
	"starling/mixing/philox"
)

// Init fills params with where training starts: full tensors as they were published, A uniform within ±1/√inputs, a function
// of the seed, and B zero, so that the model begins as it was.
func (m *Model) Init(params []float32, seed uint64) {
	m.check(params)
	for i, t := range m.plan.layout.Tensors {
		v := t.Of(params)
		switch {
		case t.Kind != mixing.LowRank:
			m.base.published(v, t.Name)
		case strings.HasSuffix(t.Name, ".lora_B.weight"):
			clear(v)
		default:
			bound := 1 / math.Sqrt(float64(t.Shape[1]))
			var words [4]uint32
			for j := range v {
				if j%4 == 0 {
					words = philox.Block(seed, [4]uint32{uint32(j / 4), 0, uint32(i), philox.Init})
				}
				v[j] = float32((float64(float64(words[j%4])/(1<<31)) - 1) * bound)
			}
		}
	}
}

// published sets v to a tensor of the base, in rows of outputs.
func (b *Base) published(v []float32, name string) {
	b.tensors(func(t tensor) {
		if t.name != name {
			return
		}
		if t.matrix == nil {
			copy(v, t.vector)
			return
		}
		n, k := t.matrix.Dims()
		for j := range n {
			t.matrix.Column(v[j*k:][:k], j)
		}
	})
}
