package churn

import (
	"fmt"
	"math/rand/v2"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// An Ending is what happens to a node at the end of a session.
type Ending uint8

// The endings.
const (
	Sleep Ending = iota // it keeps its memory and goes on later: its core sees a gap in time
	Crash               // it loses its memory and starts again from what it has stored
)

// Sessions is when nodes are online.
type Sessions struct {
	law   law // nil: everybody is always online
	start string
	crash float64 // share of endings
	nodes []streams
}

// streams are a node's. Those of endings are apart, so that the share of crashes does not change when sessions end.
type streams struct {
	times, endings rand.PCG
	asked          bool // whether the end of the first state was asked for
}

// A law is a distribution of sessions.
type law interface {
	// online draws whether a node is online at the beginning, as if it had come and gone forever.
	online(n int, source rand.Source) bool
	// next draws when the state ends that a node has since now; first means that it has had it before the beginning, too.
	next(n int, now node.Instant, online, first bool, source rand.Source) (at node.Instant, ok bool)
}

const (
	maxNodes = 1 << 24
	maxTime  = 10 * 365 * 24 * 3600 * node.Second // what can be written: ten years
)

// ParseSessions makes the sessions of n nodes:
//
//	none                                         everybody is always online
//	exponential:online=1h,offline=10m            means of durations
//	weibull:shape=0.5,online=1h,offline=10m      the same; with a shape below 1, who has stayed long stays longer (both
//	                                             durations have this shape)
//	diurnal:low=0.3,high=0.9,session=2h,peak=20h,period=24h,spread=6h
//	                                             the share of nodes online goes up and down daily between low and high, with
//	                                             its peak so long after the beginning; the day of each node is shifted
//	                                             within spread, evenly; session is the mean time online at the mean share
//	arrive:from=1s,until=3s                      node 0 is there from the beginning, each other one comes at a time between
//	                                             these, evenly, and all stay
//	trace:FILE                                   lines node,start,end in seconds: who is online when. A run with more nodes
//	                                             than the file uses them again, in turn
//
// All but none take crash=0.5, the share of endings that are crashes and not sleep (0), and all but none, arrive and trace take
// start=stationary, online or offline: whether nodes begin as if they had come and gone forever, or all alike.
func ParseSessions(text string, n int, seed uint64) (*Sessions, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("sessions: %d nodes; there must be from 1 to %d", n, maxNodes)
	}
	sp := spec.Parse("sessions", text)
	s := &Sessions{}
	trace := ""
	switch sp.Name {
	case "none":
		return s, sp.Done()
	case "exponential":
		online, offline := means(sp)
		s.law = renewal{up: online, down: offline, shape: 1}
	case "weibull":
		shape := sp.Number("shape", 0.5, 0.1, 100)
		online, offline := means(sp)
		scale := chance.Gamma(1 + 1/shape)
		s.law = renewal{up: online / scale, down: offline / scale, shape: shape}
	case "diurnal":
		s.law = newDiurnal(sp, n, seed)
	case "arrive":
		a := arrivals{from: float64(sp.Duration("from", 0, 0, maxTime)), until: float64(sp.Duration("until", spec.Required, 0, maxTime))}
		if a.from > a.until {
			sp.Fail("from is after until")
		}
		s.law = a
	case "trace":
		trace = sp.Text("file", "")
	default:
		return nil, sp.Unknown("none", "exponential:online=A,offline=A", "weibull:shape=K,online=A,offline=A", "diurnal:low=S,high=S", "arrive:from=A,until=A", "trace:FILE")
	}
	s.crash = sp.Number("crash", 0, 0, 1)
	if sp.Name != "trace" && sp.Name != "arrive" {
		s.start = sp.Word("start", "stationary", "online", "offline")
	}
	if err := sp.Done(); err != nil {
		return nil, err
	}
	if trace != "" {
		t, err := readTrace(trace)
		if err != nil {
			return nil, fmt.Errorf("sessions: %w", err)
		}
		s.law = t
	}
	s.nodes = make([]streams, n)
	for i := range s.nodes {
		s.nodes[i] = streams{times: *chance.Stream(seed, chance.Session, i), endings: *chance.Stream(seed, chance.Ending, i)}
	}
	return s, nil
}

func means(sp *spec.Spec) (online, offline float64) {
	return float64(sp.Duration("online", spec.Required, node.Second/1000, maxTime)),
		float64(sp.Duration("offline", spec.Required, node.Second/1000, maxTime))
}

// Online reports whether a node is online at the beginning, time 0. It is asked once for each node, before [Sessions.Next].
func (s *Sessions) Online(n int) bool {
	switch {
	case s.law == nil || s.start == "online":
		return true
	case s.start == "offline":
		return false
	}
	return s.law.online(n, &s.nodes[n].times)
}

// Next returns when the state that a node has since now, online or offline, ends; ok is false if it never does. It is asked
// once when a state begins, and for the first one at time 0. Times are after now.
func (s *Sessions) Next(n int, now node.Instant, online bool) (at node.Instant, ok bool) {
	if s.law == nil {
		return 0, false
	}
	own := &s.nodes[n]
	first := !own.asked && s.start == "stationary"
	own.asked = true
	at, ok = s.law.next(n, now, online, first, &own.times)
	return max(at, now+1), ok
}

// Ending draws what happens at the end of a session of a node.
func (s *Sessions) Ending(n int) Ending {
	if s.crash > 0 && chance.Unit(s.nodes[n].endings.Uint64()) < s.crash {
		return Crash
	}
	return Sleep
}
