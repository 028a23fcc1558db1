package network

import (
	"strconv"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// Loss decides which messages get lost on the way.
type Loss struct {
	share float64 // outside of bursts
	burst float64 // inside of bursts
	bad   float64 // share of time in bursts
	calm  float64 // how fast a link forgets its state, per nanosecond; 0: there are no bursts
	links map[uint64]linkState
}

// linkState is what a link was in when it carried its last message.
type linkState struct {
	at  node.Instant
	bad bool
}

// ParseLoss makes the loss of messages:
//
//	none
//	0.01                                             this share of all messages, each for itself; also share:0.01
//	burst:good=1m,bad=2s,loss_bad=0.5,loss_good=0    each direction of a pair alternates between good and bad times with these
//	                                                 means, exponentially distributed (Gilbert 1960, Elliott 1963, in
//	                                                 continuous time), and loses these shares in them
//
// With bursts, links that carried a message take memory.
func ParseLoss(text string) (*Loss, error) {
	s := spec.Parse("loss", text)
	l := &Loss{}
	if _, err := strconv.ParseFloat(s.Name, 64); err == nil {
		s = spec.Parse("loss", "share:"+text)
	}
	switch s.Name {
	case "none":
	case "share":
		l.share = s.Number("share", 0, 0, 1)
	case "burst":
		good := s.Duration("good", 60*node.Second, millisecond, Forever/4)
		bad := s.Duration("bad", 2*node.Second, millisecond, Forever/4)
		l.burst = s.Number("loss_bad", 1, 0, 1)
		l.share = s.Number("loss_good", 0, 0, 1)
		l.bad = float64(bad) / (float64(bad) + float64(good))
		l.calm = 1/float64(bad) + 1/float64(good)
		l.links = make(map[uint64]linkState)
	default:
		return nil, s.Unknown("none", "a share such as 0.01", "burst:good=A,bad=A,loss_bad=S,loss_good=S")
	}
	return l, s.Done()
}

// Zero reports whether nothing gets lost.
func (l *Loss) Zero() bool { return l.share == 0 && (l.calm == 0 || l.burst == 0) }

// Mean returns the share of messages that get lost in the long run.
func (l *Loss) Mean() float64 { return float64(l.share*(1-l.bad)) + float64(l.burst*l.bad) }

// Lost reports whether a message from one node to another gets lost, by the given source of random words.
func (l *Loss) Lost(now node.Instant, from, to int, source interface{ Uint64() uint64 }) bool {
	if l.Zero() {
		return false
	}
	share := l.share
	if l.calm > 0 && l.isBad(now, uint64(from)<<32|uint64(to), source.Uint64()) {
		share = l.burst
	}
	return chance.Unit(source.Uint64()) < share
}

// isBad draws the state that a link is in now, given the one at its last message: the longer ago, the nearer to the share of
// bad times.
func (l *Loss) isBad(now node.Instant, link, word uint64) bool {
	bad := l.bad
	if was, ok := l.links[link]; ok {
		keep := kernel.Exp(-l.calm * float64(max(now-was.at, 0)))
		if was.bad {
			bad += float64((1 - bad) * keep)
		} else {
			bad -= float64(bad * keep)
		}
	}
	is := chance.Unit(word) < bad
	l.links[link] = linkState{now, is}
	return is
}
