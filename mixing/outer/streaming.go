package outer

import "fmt"

// Streaming is the schedule of a model that is sent in fragments while training goes on (spec 03, 3.4). Every H local steps each
// fragment is sent once, fragment q for the first time after (q+1) H/P steps, and applied Delay steps later. Never are two
// under way. With one fragment, no delay and no mix it is DiLoCo.
type Streaming struct {
	H     int     // local steps between two sends of a fragment
	P     int     // fragments
	Delay int     // local steps from sending to applying, less than H/P
	Mix   float64 // part of a node's own fragment that stays when the common one comes, 0 to 1; see [Form.Blend]
}

// Stable refuses a schedule that does not come out even, or has two fragments under way.
func (s Streaming) Stable() error {
	switch {
	case s.H < 1:
		return fmt.Errorf("%d local steps between exchanges: want at least 1", s.H)
	case s.P < 1 || s.P > s.H:
		return fmt.Errorf("%d fragments: want from 1 to the %d local steps between exchanges", s.P, s.H)
	case s.H%s.P != 0:
		return fmt.Errorf("%d local steps do not divide into %d fragments, so they would not come at even distances: take %d or %d steps", s.H, s.P, s.H-s.H%s.P, s.H-s.H%s.P+s.P)
	case s.Delay < 0 || s.Delay >= s.H/s.P:
		return fmt.Errorf("a delay of %d local steps: a fragment is sent every %d, and two must not be under way, so want 0 to %d", s.Delay, s.H/s.P, s.H/s.P-1)
	case !(s.Mix >= 0 && s.Mix <= 1):
		return fmt.Errorf("mix %g: want from 0, the common fragment alone, to 1, the own one", s.Mix)
	}
	return nil
}

// At is what happens after t local steps: the fragments to send and then to apply, -1 for none.
func (s Streaming) At(t uint64) (send, apply int) {
	send = s.sent(t)
	if t < uint64(s.Delay) {
		return send, -1
	}
	return send, s.sent(t - uint64(s.Delay))
}

// sent is the fragment that is sent after t local steps, -1 if none.
func (s Streaming) sent(t uint64) int {
	every, p := uint64(s.H/s.P), uint64(s.P)
	if t == 0 || t%every != 0 {
		return -1
	}
	return int((t/every - 1) % p)
}

// Next is the first number of local steps above t after which something happens.
func (s Streaming) Next(t uint64) uint64 {
	every, delay := uint64(s.H/s.P), uint64(s.Delay)
	at := t - t%every
	if at > 0 && t < at+delay {
		return at + delay
	}
	return at + every
}
