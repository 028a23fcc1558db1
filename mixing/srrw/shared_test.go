package srrw

import (
	"math/rand/v2"
	"testing"
)

// tokens are some that walked by themselves for a while.
func tokens(r *rand.Rand, n int) []*Shared {
	var out []*Shared
	for i := range n {
		s := NewShared(uint64(100+i), MaxLimit)
		for range r.IntN(200) {
			s.Visit(uint64(r.IntN(30)))
		}
		out = append(out, s)
	}
	return out
}

// known is all that a token knows, whoever it is.
func (s *Shared) known() string {
	c := *s
	c.own = 0
	return string(c.Append(nil))
}

func TestMergingInAnyOrderAndAgainCountsOnce(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand) {
		all := tokens(r, 2+r.IntN(4))
		one, other := all[0].Clone(), all[0].Clone()
		learned := map[uint64]uint64{}
		for _, k := range r.Perm(len(all)) {
			for _, l := range one.Merge(all[k]) {
				learned[l.Peer] += l.N
			}
		}
		for range 3 {
			for _, k := range r.Perm(len(all)) {
				other.Merge(all[k])
			}
		}
		if one.known() != other.known() {
			t.Error("another order of merging, or merging again, ends elsewhere")
		}
		for _, k := range r.Perm(len(all)) {
			if again := one.Merge(all[k]); len(again) != 0 {
				t.Errorf("merging again brought %v", again)
			}
		}
		for peer := range uint64(30) {
			want := uint64(0)
			for _, s := range all {
				want += s.Own(peer)
			}
			if got := one.Total(peer); got != want || learned[peer] != want-all[0].Own(peer) {
				t.Errorf("peer %d: %d visits of which %d are learned, want %d of which %d are its own", peer, got, learned[peer], want, all[0].Own(peer))
			}
		}
	})
}

func TestTokensThatMeetSeeTheSameVisits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := tokens(r, 2)
	histories := []*History{NewHistory(50), NewHistory(50)}
	for i, s := range all {
		for peer := range uint64(30) {
			for range s.Own(peer) {
				histories[i].Visit(peer, counts)
			}
		}
	}
	before := all[0].Clone()
	own := before.known()
	for i, other := range []*Shared{all[1], before} {
		histories[i].Learn(all[i].Merge(other), counts)
	}
	if before.known() != own {
		t.Error("a clone learned what the token learned")
	}
	for peer := range uint64(30) {
		want := float64(1 + before.Own(peer) + all[1].Own(peer))
		if a, b := histories[0].Count(peer), histories[1].Count(peer); a != want || b != want {
			t.Errorf("peer %d has counts %v and %v, want %v", peer, a, b, want)
		}
	}
}

func TestWhatIsLearnedDoesNotRunOverAToken(t *testing.T) {
	h := NewHistory(10, 1, 2)
	step := func(uint64, int) float64 { return 0.5 }
	own := h.Value(1)
	h.Learn([]Learned{{2, 1 << 40}}, step)
	if share := own / h.Sum(); share < 0.1 {
		t.Errorf("of what was there a share of %v is left", share)
	}
	h.Learn(nil, step)
	if h.Visits() != 0 {
		t.Errorf("visits of others count as %d own ones", h.Visits())
	}
}

func TestSharedVisitsHaveLimits(t *testing.T) {
	s := NewShared(1, 2)
	for _, peer := range []uint64{1, 2, 3, 3} {
		s.Visit(peer)
	}
	if s.Own(1) != 1 || s.Own(3) != 0 || s.Total(3) != 0 {
		t.Errorf("counts %d, %d, %d of at most two peers", s.Own(1), s.Own(2), s.Own(3))
	}
	for token := range uint64(2 * MaxTokens) {
		other := NewShared(token+2, 2)
		other.Visit(1)
		s.Merge(other)
	}
	if got := s.Total(1); got != MaxTokens {
		t.Errorf("the visits of %d tokens are known, want %d", got, MaxTokens)
	}
	s.Drop(1)
	s.Drop(9)
	if s.Total(1) != 0 || s.Total(2) != 1 || s.Token() != 1 {
		t.Errorf("after a peer left: %d, %d", s.Total(1), s.Total(2))
	}
	got, err := DecodeShared(s.Append(nil), 2)
	if err != nil || got.known() != s.known() || got.Token() != 1 {
		t.Errorf("sent and read it is %+v, %v", got, err)
	}
}
