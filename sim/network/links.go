package network

import "starling/node"

// Links queues messages on the up- and downlinks of nodes, first in, first out. A message costs two calls:
//
//	left := links.Send(now, from, bytes)         // when its last bit has left the sender
//	reached := left + latency.Between(from, to)  // an event of the caller's, at which it calls
//	taken := links.Receive(reached, from, to, bytes)
//
// A message is delivered at taken. That is the time of the event itself, so that one event is enough, unless the receiver's
// downlink is slower than the sender's uplink or has other messages to take first. Downlinks work while messages still
// arrive: with nothing else on the way, a message takes its size over the slower of both links, and the latency.
//
// Links without limits take no time and no memory. The zero Links has none.
type Links struct {
	of       []Bandwidth // nil if all are unlimited
	up, down []node.Instant
}

// NewLinks makes the links of nodes with the given bandwidths, from [ParseBandwidth].
func NewLinks(of []Bandwidth) *Links {
	l := &Links{of: of}
	if of != nil {
		l.up, l.down = make([]node.Instant, len(of)), make([]node.Instant, len(of))
	}
	return l
}

// Bandwidth returns what the link of a node carries.
func (l *Links) Bandwidth(n int) Bandwidth {
	if l.of == nil {
		return Bandwidth{}
	}
	return l.of[n]
}

// Send puts a message on the uplink of a node and returns when its last bit has left. Messages that were sent before leave
// before.
func (l *Links) Send(now node.Instant, from int, bytes int64) node.Instant {
	if l.of == nil || l.of[from].Up == Unlimited {
		return now
	}
	left := max(now, l.up[from]) + l.of[from].Up.Time(bytes)
	l.up[from] = left
	return left
}

// Receive puts a message, whose last bit reaches the receiver now, on its downlink and returns when it has taken all of it.
// Messages that have reached it before are taken before.
func (l *Links) Receive(now node.Instant, from, to int, bytes int64) node.Instant {
	if l.of == nil || l.of[to].Down == Unlimited {
		return now
	}
	// Its first bit was there as much earlier as the uplink took for the rest.
	first := now - l.of[from].Up.Time(bytes)
	taken := max(now, max(first, l.down[to])+l.of[to].Down.Time(bytes))
	l.down[to] = taken
	return taken
}

// Waits returns how long a message without bytes would wait now on the uplink of a node, and on its downlink.
func (l *Links) Waits(now node.Instant, n int) (up, down node.Instant) {
	if l.of == nil {
		return 0, 0
	}
	return max(0, l.up[n]-now), max(0, l.down[n]-now)
}

// Clear forgets what waits on both links of a node that went offline. The caller drops the messages: those that have not
// left by now, and all that are on the way to the node.
func (l *Links) Clear(n int) {
	if l.of != nil {
		l.up[n], l.down[n] = 0, 0
	}
}
