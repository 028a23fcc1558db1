package adversary

import "math"

// stale announces what it would have honestly announced some rounds ago, as if it were new.
type stale struct {
	*member
	delay uint64
	round uint64
	kept  [][]float32 // a ring of at most delay+1 vectors
	next  int         // where the next one goes; the oldest once the ring is full
}

func (a *stale) Announce(c *Context, out []float32) bool {
	if c.Round > a.round {
		a.round = c.Round
		a.keep(c.Own)
	}
	oldest := 0
	if uint64(len(a.kept)) > a.delay {
		oldest = a.next
	}
	copy(out, a.kept[oldest])
	return true
}

func (a *stale) keep(own []float32) {
	if uint64(len(a.kept)) <= a.delay {
		a.kept = append(a.kept, append([]float32(nil), own...))
		a.next = len(a.kept) % int(a.delay+1)
		return
	}
	copy(a.kept[a.next], own)
	a.next = (a.next + 1) % len(a.kept)
}

// freeRider does not train: it announces what it mixed, and claims what the others claim. With a multiplier it hides that by
// noise that fades like the updates of training do, measured on the models it was handed (Lin et al. 2019): a standard
// deviation of multiplier·std0·t^-power in round t, with std0 the mean absolute difference of the first two.
type freeRider struct {
	*member
	multiplier, power float64
	first             []float32 // the first model; nil when std0 is known or not wanted
	began             uint64    // its round
	std0              float64
}

func (a *freeRider) Idle(v *View, samples uint64) (uint64, float64, bool) {
	if v == nil {
		return samples, 0, true
	}
	if median, ok := v.Samples(); ok {
		samples = median
	}
	loss, _ := v.Loss()
	return samples, loss, true
}

func (a *freeRider) Announce(c *Context, out []float32) bool {
	if a.multiplier == 0 {
		return false
	}
	if a.std0 == 0 {
		a.measure(c)
		if a.std0 == 0 {
			return false
		}
	}
	n, std := newNoise(a.seed, forNoise, a.node, c.Round, 0), a.std(c.Round-a.began)
	for j, x := range c.Own {
		out[j] = narrow(float64(x) + float64(std*n.normal()))
	}
	return true
}

// std is the noise t rounds after the first model was seen.
func (a *freeRider) std(t uint64) float64 {
	return float64(a.multiplier * a.std0 * power(float64(t), -a.power))
}

// measure remembers the first model, and compares the next that differs.
func (a *freeRider) measure(c *Context) {
	if a.began == 0 {
		a.began, a.first = c.Round, append([]float32(nil), c.Own...)
		return
	}
	sum := 0.0
	for j, x := range c.Own {
		sum += math.Abs(float64(x) - float64(a.first[j]))
	}
	if a.std0 = sum / float64(len(c.Own)); a.std0 > 0 {
		a.first = nil
	}
}
