package mixing

import "math"

// PushSum is one node's mass: a numerator and a weight, whose ratio estimates the mean over all nodes (Kempe et al. 2003;
// spec 06, 6.7). Sums of numerators and weights over all nodes and links are conserved.
type PushSum struct {
	X []float32
	W float64
}

// Guards of the ratio (spec 06, 6.7).
const (
	// StarvedWeight is where the estimate becomes too noisy to train on.
	StarvedWeight = 1e-3
	// LeastWeight is the smallest weight that is divided by.
	LeastWeight = 1e-12
)

// Starved reports whether the node holds too little mass to train on.
func (p *PushSum) Starved() bool { return p.W < StarvedWeight }

// Estimate writes X/W to dst. It returns false, and leaves dst, if there is no mass to divide by.
func (p *PushSum) Estimate(dst []float32) bool {
	if p.W < LeastWeight {
		return false
	}
	inv := 1 / p.W
	for i, x := range p.X {
		dst[i] = float32(float64(x) * inv)
	}
	return true
}

// Take adds mass that has arrived.
func (p *PushSum) Take(x []float32, w float64) {
	for i, v := range x {
		p.X[i] += v
	}
	p.W += w
}

// Leave gives all mass away, to be taken by another node.
func (p *PushSum) Leave() (x []float32, w float64) {
	x, w = p.X, p.W
	p.X, p.W = make([]float32, len(x)), 0
	return x, w
}

// An Outlink is the sender's end of its links: running sums of all that was ever sent over each of them, which is the same
// for all. A message carries the sums, not the increments, so a lost one is made up for by the next, and a doubled or
// late one changes nothing.
type Outlink struct {
	Epoch uint64 // grows when the set of receivers changes; the sums then start at zero
	Sum   []float32
	W     float64
}

// Share moves an equal share of the mass to each of n receivers and one to the node itself. What counts as sent is the
// difference of the rounded sums, so that nothing is lost to rounding: mass leaves the node exactly as it arrives.
func (o *Outlink) Share(p *PushSum, n int) {
	s := 1 / float64(n+1)
	for i, x := range p.X {
		next := float32(float64(o.Sum[i]) + float64(s*float64(x)))
		sent := float64(next) - float64(o.Sum[i])
		p.X[i] = float32(float64(x) - float64(float64(n)*sent))
		o.Sum[i] = next
	}
	share := float64(s * p.W)
	next := o.W + share
	p.W -= float64(float64(n) * (next - o.W))
	o.W = next
}

// Restart begins new links. What was not received over the old ones is lost, from numerator and weight alike.
func (o *Outlink) Restart() {
	o.Epoch++
	clear(o.Sum)
	o.W = 0
}

// An Inlink is the receiver's end: the sums that it has seen.
type Inlink struct {
	Epoch uint64
	Seen  []float32
	W     float64
}

// Receive takes what the sums have grown by since the last message. Messages of an older epoch are ignored; it returns
// false for them, and for sums whose weight is not a number or has gone down, which no honest sender's does.
func (l *Inlink) Receive(p *PushSum, epoch uint64, sum []float32, w float64) bool {
	if epoch < l.Epoch || math.IsNaN(w) || math.IsInf(w, 0) {
		return false
	}
	if epoch > l.Epoch {
		l.Epoch, l.W = epoch, 0
		clear(l.Seen)
	}
	if w < l.W {
		return false
	}
	for i, v := range sum {
		p.X[i] += float32(float64(v) - float64(l.Seen[i]))
	}
	copy(l.Seen, sum)
	p.W += w - l.W
	l.W = w
	return true
}
