package llama

import (
	"fmt"
	"slices"

	"starling/mixing"
	"starling/mixing/kernel"
	"starling/node/model/safetensors"
	"starling/node/model/weights"
)

// Merged is a model's weights with what was trained: W + s·B·A for adapters, and full tensors as they are in the vector. It is a
// [Source], by the names and shapes of the files that the model came from.
type Merged struct {
	model   *Model
	params  []float32
	tensors []tensor
}

// Merged returns the weights under params, which must stay as they are.
func (m *Model) Merged(params []float32) *Merged {
	m.check(params)
	g := &Merged{model: m, params: params}
	m.base.tensors(func(t tensor) { g.tensors = append(g.tensors, t) })
	return g
}

// Tensor returns one of the tensors, in float32.
func (g *Merged) Tensor(name string) (weights.Tensor, error) {
	i := slices.IndexFunc(g.tensors, func(t tensor) bool { return t.name == name })
	if i < 0 {
		var names []string
		for _, t := range g.tensors {
			names = append(names, t.name)
		}
		slices.Sort(names)
		return weights.Tensor{}, weights.Missing(name, names)
	}
	t := g.tensors[i]
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	v := make([]float32, n)
	g.rows(v, t, 0)
	if t.lies {
		v = across(v, t.shape[0])
	}
	return weights.FromFloats(name, t.lying(), v)
}

// lying returns the shape that a tensor has in files.
func (t tensor) lying() []int {
	if t.lies {
		return []int{t.shape[1], t.shape[0]}
	}
	return t.shape
}

// across returns a matrix of so many rows with rows and columns exchanged.
func across(v []float32, rows int) []float32 {
	out, cols := make([]float32, len(v)), len(v)/rows
	for i, x := range v {
		out[i%cols*rows+i/cols] = x
	}
	return out
}

// rows sets dst to rows of outputs, as many as fit. A tensor without a matrix is taken whole.
func (g *Merged) rows(dst []float32, t tensor, first int) {
	layout := g.model.plan.layout
	at := slices.IndexFunc(layout.Tensors, func(l mixing.Tensor) bool { return l.Name == t.name })
	switch {
	case at >= 0:
		copy(dst, layout.Tensors[at].Of(g.params)[first*t.shape[len(t.shape)-1]:])
	case t.matrix == nil:
		copy(dst, t.vector)
	default:
		in := t.shape[1]
		for i := range len(dst) / in {
			t.matrix.Column(dst[i*in:][:in], first+i)
		}
	}
	if t.matrix != nil {
		g.adapt(dst, t, first)
	}
}

// adapt adds the adapter of a matrix, if it has one.
func (g *Merged) adapt(dst []float32, t tensor, first int) {
	module, layout := t.name[:len(t.name)-len(".weight")], g.model.plan.layout
	find := func(name string) []float32 {
		at := slices.IndexFunc(layout.Tensors, func(l mixing.Tensor) bool { return l.Name == name })
		return g.model.tensor(nil, at, g.params)
	}
	a, b := find(module+".lora_A.weight"), find(module+".lora_B.weight")
	if a == nil {
		return
	}
	rank, in := g.model.training.Rank, t.shape[1]
	rows := len(dst) / in
	change := make([]float32, len(dst))
	kernel.MulNN(false, rows, in, rank, b[first*rank:], rank, a, in, change, in)
	kernel.Axpy(g.model.scale, change, dst)
}

// Save writes the weights to a directory that exists as [safetensors.Save] does, in F32, F16 or BF16, in files of at most limit bytes.
func (g *Merged) Save(dir string, t weights.Type, limit int64) error {
	var specs []safetensors.Spec
	for _, v := range g.tensors {
		specs = append(specs, safetensors.Spec{Name: v.name, Type: t, Shape: v.lying()})
	}
	next := 0
	return safetensors.Save(dir, specs, limit, map[string]string{"format": "pt"}, func(s safetensors.Spec, w *safetensors.Writer) error {
		v := g.tensors[next]
		if next++; v.name != s.Name {
			return fmt.Errorf("tensor %s is written before %s", s.Name, v.name)
		}
		return g.write(v, w)
	})
}

// write writes a tensor, a few rows at a time.
func (g *Merged) write(t tensor, w *safetensors.Writer) error {
	if t.matrix == nil || t.lies {
		v := make([]float32, safetensors.Spec{Shape: t.shape}.Len())
		g.rows(v, t, 0)
		if t.lies {
			v = across(v, t.shape[0])
		}
		return w.Floats(v)
	}
	out, in := t.shape[0], t.shape[1]
	room := make([]float32, min(rowsAtOnce, out)*in)
	for first := 0; first < out; first += rowsAtOnce {
		piece := room[:min(rowsAtOnce, out-first)*in]
		g.rows(piece, t, first)
		if err := w.Floats(piece); err != nil {
			return err
		}
	}
	return nil
}
