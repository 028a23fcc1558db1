package swarm

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// Gossip reaches only subscribers of one's topic, and of these only those that are connected. In a run with fewer nodes than
// MaxPeers everybody is connected to everybody, and whatever topic a node moves to, its members are there. In a larger run
// with several topics a random set of connections would hold only a few of them: half of MaxPeers connections in a run of n
// nodes hold so many n-ths of a topic. Who belongs to which topic can be computed from the peers' IDs, though, so a node
// prefers its mates, the peers that belong to its own topic: it dials those that it knows of even when it has peers enough,
// sends them away last when it has too many, forgets them last when its book is full, and is told first of its own mates by
// those that it exchanges peers with. It finds mates among as many peers as the book has room for: up to some thousands of
// nodes that are most of a topic; in a run that is much larger still, the mates that are found are a random part of a topic,
// which is enough for a mesh as long as topics are not small.

// wantedMates is how many mates a node dials even though it has peers enough: a quarter of MaxPeers, so that with those that
// dial it they are fewer than those that it keeps.
func (s *Swarm) wantedMates() int { return s.cfg.MaxPeers / 4 }

// setTogether says who belongs to one topic, from now on.
func (s *Swarm) setTogether(together func(a, b gossip.PeerID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.together = together
	for _, t := range s.book {
		t.mate = s.mateLocked(t.id)
		if t.mate && t.state == StateWaiting {
			t.losses, t.next = 0, time.Time{} // it was left alone because it was not needed
		}
	}
	wake(s.dialNow)
}

// mateLocked reports whether a peer belongs to this node's topic; false if all do, since then nobody is to be preferred.
func (s *Swarm) mateLocked(p peer.ID) bool { return s.togetherLocked(s.host.ID(), p) }

func (s *Swarm) togetherLocked(p, q peer.ID) bool {
	if s.together == nil {
		return false
	}
	a, okA := fromPeer(p)
	b, okB := fromPeer(q)
	return okA && okB && s.together(a, b)
}

// matesLocked counts the mates that are up or being dialled.
func (s *Swarm) matesLocked() int {
	if s.together == nil {
		return 0
	}
	n := 0
	for p, m := range s.peers {
		if m.up && s.mateLocked(p) {
			n++
		}
	}
	for _, t := range s.book {
		if t.mate && t.state == StateDialling && !s.peers[t.id].live() {
			n++
		}
	}
	return n
}

// matesFirst moves the mates of a peer to the front and leaves the order otherwise as it is.
func (s *Swarm) matesFirst(of peer.ID, peers []peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.together == nil {
		return
	}
	mate := make(map[peer.ID]bool, len(peers))
	for _, p := range peers {
		mate[p] = s.togetherLocked(of, p)
	}
	slices.SortStableFunc(peers, func(p, q peer.ID) int {
		switch {
		case mate[p] == mate[q]:
			return 0
		case mate[p]:
			return -1
		}
		return 1
	})
}
