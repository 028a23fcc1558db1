package kernel

import "math"

// Adam are the settings of one step of Adam with decoupled decay, for all elements the same.
type Adam struct {
	Scale                      float32 // of the gradient
	Beta1, New1                float32 // share that the first moment keeps, and that of the gradient
	Beta2, New2                float32 // the same of the second moment
	Decay, Rate, Root, Epsilon float32 // see [Adam.Step]
}

// Step changes weights and moments along a gradient g, each operation rounded:
//
//	m ← Beta1·m + New1·g',  v ← Beta2·v + New2·g'²,  w ← (w − Decay·w) − Rate·m / (√v·Root + Epsilon),  g' = Scale·g
func (a Adam) Step(w, g, first, second []float32) { best.adamAll(a, w, g, first, second) }

func (t tier) adamAll(a Adam, w, g, first, second []float32) {
	same(len(w), len(g))
	same(len(w), len(first))
	same(len(w), len(second))
	for i := t.adam(&a, w, g, first, second); i < len(w); i++ {
		x := float32(a.Scale * g[i])
		m := float32(a.Beta1*first[i]) + float32(a.New1*x)
		v := float32(a.Beta2*second[i]) + float32(a.New2*float32(x*x))
		first[i], second[i] = m, v
		// A root of a float32, taken in float64 and rounded again, is as if it were rounded once.
		size := float32(float32(math.Sqrt(float64(v)))*a.Root) + a.Epsilon
		w[i] = (w[i] - float32(a.Decay*w[i])) - float32(a.Rate*m)/size
	}
}
