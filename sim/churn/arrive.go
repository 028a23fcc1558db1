package churn

import (
	"math/rand/v2"

	"starling/node"
	"starling/sim/chance"
)

// arrivals is a swarm that comes together: the first node is there from the beginning, the others come once each, evenly
// spread over a time, and all stay.
type arrivals struct{ from, until float64 } // in nanoseconds

func (a arrivals) online(n int, _ rand.Source) bool { return n == 0 }

func (a arrivals) next(_ int, now node.Instant, online, _ bool, source rand.Source) (node.Instant, bool) {
	if online {
		return 0, false
	}
	return now + node.Instant(chance.Nanoseconds(a.from+float64((a.until-a.from)*chance.Unit(source.Uint64())))), true
}
