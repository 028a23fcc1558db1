package churn

import (
	"math"
	"math/rand/v2"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// renewal is durations that are independent of each other and have Weibull distributions of one shape; shape 1 is the
// exponential distribution.
type renewal struct {
	up, down float64 // scales, in nanoseconds
	shape    float64
}

func (r renewal) online(_ int, source rand.Source) bool {
	return chance.Unit(source.Uint64()) < r.up/(r.up+r.down)
}

func (r renewal) next(_ int, now node.Instant, online, first bool, source rand.Source) (node.Instant, bool) {
	scale := r.down
	if online {
		scale = r.up
	}
	var d float64
	switch {
	case r.shape == 1: // without memory: what is left is like a whole one
		d = chance.Exponential(source.Uint64())
	case first:
		// The duration that a time falls into is the longer the likelier: (duration/scale)^shape has a gamma distribution
		// with shape 1 + 1/shape. The time falls into it anywhere (Feller, volume 2, XI.4).
		d = chance.Power(chance.GammaVariate(source, 1+1/r.shape), 1/r.shape) * chance.Unit(source.Uint64())
	default:
		d = chance.Weibull(source.Uint64(), r.shape)
	}
	return later(now, d*scale)
}

// later adds a duration to a time. What takes longer than a hundred years never happens.
func later(now node.Instant, d float64) (node.Instant, bool) {
	const most = 100 * 365 * 24 * 3600 * float64(node.Second)
	if !(d < most) {
		return 0, false
	}
	return now + node.Instant(chance.Nanoseconds(d)), true
}

// diurnal is two-state Markov chains whose rates follow the time of day so that a node is online with probability
//
//	p(t) = low + (high-low) (1 + cos 2π(t-peak-shift)/period) / 2
//
// exactly, at all times: a node comes with rate k p + max(p', 0)/(1-p) and goes with rate k (1-p) + max(-p', 0)/p. Here k
// says how often nodes come and go beyond what the day asks for.
type diurnal struct {
	low, high    float64
	k            float64 // of each nanosecond
	peak, period float64
	shift        []float64
	most         float64 // no rate is above, of each nanosecond
}

func newDiurnal(sp *spec.Spec, n int, seed uint64) *diurnal {
	hour := 3600 * node.Second
	d := &diurnal{
		low: sp.Number("low", 0.3, 0.01, 0.99), high: sp.Number("high", 0.9, 0.01, 0.99),
	}
	session := float64(sp.Duration("session", 2*hour, node.Second/1000, maxTime))
	d.peak = float64(sp.Duration("peak", 20*hour, 0, maxTime))
	d.period = float64(sp.Duration("period", 24*hour, node.Second, maxTime))
	spread := float64(sp.Duration("spread", 6*hour, 0, maxTime))
	if d.low > d.high {
		sp.Fail("low is above high")
	}
	mean := (d.low + d.high) / 2
	d.k = 1 / (session * (1 - mean))
	key := chance.Key(seed, chance.Phase)
	d.shift = make([]float64, n)
	for i := range d.shift {
		d.shift[i] = (chance.Unit(chance.Of(key, i)) - 0.5) * spread
	}
	steepest := math.Pi * (d.high - d.low) / d.period
	d.most = d.k + steepest/min(d.low, 1-d.high)
	return d
}

// share returns p(t) of a node and its slope.
func (d *diurnal) share(n int, t float64) (p, slope float64) {
	x := (t - d.peak - d.shift[n]) / d.period
	x -= math.Floor(x)
	half := (d.high - d.low) / 2
	return d.low + float64(half*(1+turn(x))), half * turn(wrap(x+0.25)) * (2 * math.Pi / d.period)
}

// turn returns cos 2πx for x from 0 to 1. With a quarter added to x, it is the derivative's -sin 2πx.
func turn(x float64) float64 {
	if x > 0.5 {
		x = 1 - x
	}
	return kernel.CosPi(2 * x)
}

func wrap(x float64) float64 {
	if x >= 1 {
		return x - 1
	}
	return x
}

func (d *diurnal) online(n int, source rand.Source) bool {
	p, _ := d.share(n, 0)
	return chance.Unit(source.Uint64()) < p
}

// next draws by thinning (Lewis and Shedler 1979): candidates at the largest rate, of which each counts with the share that
// the rate then is of the largest.
func (d *diurnal) next(n int, now node.Instant, online, _ bool, source rand.Source) (node.Instant, bool) {
	after := 0.0
	for {
		after += chance.Exponential(source.Uint64()) / d.most
		p, slope := d.share(n, float64(now)+after)
		rate := float64(d.k*p) + max(slope, 0)/(1-p)
		if online {
			rate = float64(d.k*(1-p)) + max(-slope, 0)/p
		}
		if chance.Unit(source.Uint64())*d.most < rate {
			return later(now, after)
		}
	}
}
