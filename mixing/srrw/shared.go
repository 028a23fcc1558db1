package srrw

import (
	"math"
	"slices"
)

// MaxTokens is the most tokens whose visits a [Shared] holds.
const MaxTokens = 256

// Shared holds the visits that tokens tell each other when they meet, so that they repel each other too: for each token and peer how
// often the one was at the other. Its counters only grow, and merging takes the larger of two, so it may be repeated and done in any
// order, and nothing is counted twice (spec 02, section 2.10). It is made by [NewShared] or [DecodeShared].
type Shared struct {
	own    uint64
	limit  int
	tokens []uint64   // ascending
	peers  []uint64   // ascending
	counts [][]uint64 // by token and peer
}

// A Learned is a number of visits of other tokens to a peer.
type Learned struct {
	Peer uint64
	N    uint64
}

// NewShared makes the counters of a token. They hold at most limit peers, from 1 to [MaxLimit]; what does not fit is not shared.
func NewShared(token uint64, limit int) *Shared {
	return &Shared{own: token, limit: min(max(limit, 1), MaxLimit)}
}

// Token is the token whose own visits these are.
func (s *Shared) Token() uint64 { return s.own }

// Clone is a copy that goes its own way: what a token hands another before it learns from it.
func (s *Shared) Clone() *Shared {
	c := *s
	c.tokens, c.peers = slices.Clone(s.tokens), slices.Clone(s.peers)
	c.counts = make([][]uint64, len(s.counts))
	for t := range s.counts {
		c.counts[t] = slices.Clone(s.counts[t])
	}
	return &c
}

// Visit counts a visit of the token itself.
func (s *Shared) Visit(peer uint64) {
	t, fits := s.token(s.own)
	p, also := s.peer(peer)
	if fits && also && s.counts[t][p] < math.MaxUint64 {
		s.counts[t][p]++
	}
}

// Own is how often the token itself was at a peer.
func (s *Shared) Own(peer uint64) uint64 {
	p, known := slices.BinarySearch(s.peers, peer)
	t, is := slices.BinarySearch(s.tokens, s.own)
	if !known || !is {
		return 0
	}
	return s.counts[t][p]
}

// Total is how often all tokens were at a peer, as far as this one has heard.
func (s *Shared) Total(peer uint64) (n uint64) {
	if p, known := slices.BinarySearch(s.peers, peer); known {
		for t := range s.counts {
			n = add(n, s.counts[t][p])
		}
	}
	return n
}

func add(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

// Merge takes over what another token has counted or heard of, and lists what of it is new, ascending by peer, for [History.Learn].
// The other stays as it is.
func (s *Shared) Merge(other *Shared) []Learned {
	news := make([]uint64, len(other.peers))
	for ot, token := range other.tokens {
		t, fits := s.token(token)
		if !fits {
			continue
		}
		for op, n := range other.counts[ot] {
			if n == 0 {
				continue
			}
			if p, fits := s.peer(other.peers[op]); fits && n > s.counts[t][p] {
				news[op] = add(news[op], n-s.counts[t][p])
				s.counts[t][p] = n
			}
		}
	}
	var out []Learned
	for op, n := range news {
		if n > 0 {
			out = append(out, Learned{other.peers[op], n})
		}
	}
	return out
}

// Drop forgets a peer that left for good. Another token that has not heard of that may bring it back, as something learned: do not
// let the history learn of peers that are gone.
func (s *Shared) Drop(peer uint64) {
	p, known := slices.BinarySearch(s.peers, peer)
	if !known {
		return
	}
	s.peers = slices.Delete(s.peers, p, p+1)
	for t := range s.counts {
		s.counts[t] = slices.Delete(s.counts[t], p, p+1)
	}
}

// token is the place of a token, which it makes if there is room.
func (s *Shared) token(tag uint64) (int, bool) {
	t, known := slices.BinarySearch(s.tokens, tag)
	if !known {
		if len(s.tokens) >= MaxTokens {
			return 0, false
		}
		s.tokens = slices.Insert(s.tokens, t, tag)
		s.counts = slices.Insert(s.counts, t, make([]uint64, len(s.peers)))
	}
	return t, true
}

// peer is the place of a peer, which it makes if there is room.
func (s *Shared) peer(tag uint64) (int, bool) {
	p, known := slices.BinarySearch(s.peers, tag)
	if !known {
		if len(s.peers) >= s.limit {
			return 0, false
		}
		s.peers = slices.Insert(s.peers, p, tag)
		for t := range s.counts {
			s.counts[t] = slices.Insert(s.counts[t], p, 0)
		}
	}
	return p, true
}

// Learn adds visits of others to the history, as if they had happened now at the history's present step: each peer gets its share of them.
// They count up to three times of what the history held before, so that a token that was alone for long is not run over.
// Visits and the order of forgetting are the walk's own and stay.
func (h *History) Learn(visits []Learned, gamma func(n uint64, peers int) float64) {
	var n uint64
	for _, v := range visits {
		n = add(n, v.N)
	}
	if n == 0 {
		return
	}
	by := h.increment(gamma(h.visits, max(1, len(h.entries))), n)
	for _, v := range visits {
		h.add(h.entry(v.Peer), float64(by*(float64(v.N)/float64(n))))
	}
	h.rescale()
}
