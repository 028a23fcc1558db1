package outer

// A Form is a linear form: the coefficients of the anchor (theta, the parameters last agreed on), of the momentum, of the window
// (the sum of the pushes since a window of [Delayed] began) and of the pseudo-gradients that a step was given weights for.
type Form struct {
	Anchor, Momentum, Window float64
	G                        []float64 // one for each weight
}

// A Step is the new state as forms over the old one.
type Step struct{ Anchor, Momentum, Window Form }

// Coefficients appends those of anchor, momentum, window and pseudo-gradients to dst, in this order.
func (f Form) Coefficients(dst []float64) []float64 {
	return append(append(dst, f.Anchor, f.Momentum, f.Window), f.G...)
}

// Blend mixes the new anchor into a local copy that went on training meanwhile (spec 03, 3.4): the copy becomes what the returned
// form gives plus local times itself. A mix of 0 replaces the copy, one of 1 leaves it alone.
func (f Form) Blend(mix float64) (anchor Form, local float64) {
	out := zero(len(f.G))
	out.add(1-mix, f)
	return out, mix
}

// zero is the form of k pseudo-gradients that is always zero.
func zero(k int) Form { return Form{G: make([]float64, k)} }

// start is the step that changes nothing.
func start(k int) Step {
	s := Step{zero(k), zero(k), zero(k)}
	s.Anchor.Anchor, s.Momentum.Momentum, s.Window.Window = 1, 1, 1
	return s
}

// add adds x times g.
func (f *Form) add(x float64, g Form) {
	f.Anchor += float64(x * g.Anchor)
	f.Momentum += float64(x * g.Momentum)
	f.Window += float64(x * g.Window)
	for i, y := range g.G {
		f.G[i] += float64(x * y)
	}
}

// scale multiplies by x.
func (f *Form) scale(x float64) {
	f.Anchor *= x
	f.Momentum *= x
	f.Window *= x
	for i := range f.G {
		f.G[i] *= x
	}
}
