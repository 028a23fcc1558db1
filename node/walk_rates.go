package node

// rates are what a node has observed of how long things take, from which its patience follows.
type rates struct {
	answer  Instant // of a peer, to an offer, smoothed; 0 before the first
	perByte float64 // nanoseconds of a hand-over, smoothed; 0 before the first
	hop     Instant // of a token: about the median; 0 before the first
}

const (
	firstAnswer   = Second     // before anything was observed
	firstPerByte  = 8e9 / 1e6  // 1 Mbit/s, likewise
	leastDeadline = Second / 4 // no deadline is shorter
	patience      = 4          // times what was observed
	keepAlive     = Second     // how often who pulls says so
)

func (r *rates) answered(d Instant) { smooth(&r.answer, max(1, d)) }

func (r *rates) pulled(bytes uint64, d Instant) {
	per := float64(max(1, d)) / float64(max(1, bytes))
	if r.perByte == 0 {
		r.perByte = per
	} else {
		r.perByte += (per - r.perByte) / 4
	}
}

// hops takes note that a token has gone so many hops since it was heard of before. It follows the median, which a token that was lost for
// a while does not move far.
func (r *rates) hops(n uint64, d Instant) {
	switch each := d / Instant(max(1, n)); {
	case r.hop == 0:
		r.hop = max(1, each)
	case each > r.hop:
		r.hop += r.hop/8 + 1
	default:
		r.hop -= r.hop / 8
	}
}

// answerWithin is how long the n-th try waits for an answer.
func (r *rates) answerWithin(n int) Instant {
	expected := r.answer
	if expected == 0 {
		expected = firstAnswer / patience
	}
	return min(max(leastDeadline, patience*expected)*Instant(min(n, 8)), 16*Second)
}

// handOver is how long a hand-over of so many bytes usually takes.
func (r *rates) handOver(bytes uint64) Instant {
	per := r.perByte
	if per == 0 {
		per = firstPerByte
	}
	return max(leastDeadline, Instant(float64(bytes)*per))
}

// silence is how long who pulls may be silent: some of what it says gets lost.
func (r *rates) silence() Instant { return max(r.answerWithin(1), patience*keepAlive) }

// pullWithin is how long who pulls so many bytes may take.
func (r *rates) pullWithin(bytes uint64) Instant { return 2*r.silence() + patience*r.handOver(bytes) }

// rest is how long a token waits when nobody takes it.
func (r *rates) rest() Instant { return 2 * r.answerWithin(1) }
