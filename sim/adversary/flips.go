package adversary

import "math"

// signFlip announces the opposite of the own update, or of the mean of the honest ones: base - (x - base).
type signFlip struct {
	*member
	mean, literal bool
}

func (a *signFlip) Announce(c *Context, out []float32) bool {
	base := originOf(c, a.literal)
	if !a.mean {
		for j, x := range c.Own {
			b := base.at(j)
			out[j] = narrow(b - (float64(x) - b))
		}
		return true
	}
	return opposeMean(c, out, base, 1)
}

// opposeMean writes base - factor·(mean of the honest - base), and reports false if nothing honest was heard.
func opposeMean(c *Context, out []float32, base origin, factor float64) bool {
	if !c.View.ready(c.Own) {
		return false
	}
	for j := range out {
		b := base.at(j)
		out[j] = narrow(b - float64(factor*(c.View.mean(j)-b)))
	}
	return true
}

// scaling announces its own update many times over: base + factor·(own - base).
type scaling struct {
	*member
	factor  float64
	literal bool
}

func (a *scaling) Announce(c *Context, out []float32) bool {
	base := originOf(c, a.literal)
	for j, x := range c.Own {
		b := base.at(j)
		out[j] = narrow(b + float64(a.factor*(float64(x)-b)))
	}
	return true
}

// gaussian announces noise N(0, sigma²) around a centre.
type gaussian struct {
	*member
	sigma   float64
	around  int
	literal bool
}

// The centres of gaussian, in the order of the setting's words.
const (
	aroundBase = iota
	aroundOwn
	aroundMean
)

func (a *gaussian) Announce(c *Context, out []float32) bool {
	if a.around == aroundMean && !c.View.ready(c.Own) {
		return false
	}
	base := originOf(c, a.literal)
	n := newNoise(a.seed, forNoise, a.node, c.Round, 0)
	for j := range out {
		var centre float64
		switch a.around {
		case aroundBase:
			centre = base.at(j)
		case aroundOwn:
			centre = float64(c.Own[j])
		case aroundMean:
			centre = c.View.mean(j)
		}
		out[j] = narrow(centre + float64(a.sigma*n.normal()))
	}
	return true
}

// labelFlip trains honestly on wrong labels: classes-1-y.
type labelFlip struct{ *member }

func (a *labelFlip) Labels(y []int32, classes int) {
	for i, label := range y {
		y[i] = int32(classes - 1 - int(label))
	}
}

// constant announces the same number everywhere: NaN or infinity.
type constant struct {
	*member
	value float32
}

func (a *constant) Announce(_ *Context, out []float32) bool {
	for j := range out {
		out[j] = a.value
	}
	return true
}

func nan() float32      { return float32(math.NaN()) }
func infinity() float32 { return float32(math.Inf(1)) }
