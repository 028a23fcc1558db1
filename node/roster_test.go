package node

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func numbered(n uint64) (id PeerID) {
	binary.BigEndian.PutUint64(id[:], n/3) // some begin alike
	id[31] = byte(n % 3)
	return id
}

func TestRosterFindsWhatWasAddedAndForgetsWhatWasRemoved(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &roster{seed: rng.Uint64()}
	r.rebuild(0, nil)
	known := make(map[uint64]*member)
	for range 5000 {
		n := rng.Uint64N(600)
		switch m := known[n]; {
		case m == nil:
			known[n] = &member{id: numbered(n)}
			r.add(known[n])
		case rng.IntN(3) == 0:
			r.remove(m)
			delete(known, n)
		}
		probe := rng.Uint64N(600)
		if got, want := r.find(numbered(probe)), known[probe]; got != want {
			t.Fatalf("seed %d: found %p for %d, want %p", seed, got, probe, want)
		}
	}
	if len(r.all) != len(known) || !slices.IsSortedFunc(r.sorted(), func(a, b *member) int { return comparePeers(a.id, b.id) }) {
		t.Errorf("a list of %d members for %d, or not in order", len(r.all), len(known))
	}
}

func TestRosterIsReadWhileItGrows(t *testing.T) {
	r := &roster{seed: 1}
	r.rebuild(0, nil)
	r.add(&member{id: numbered(0)})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if r.find(numbered(0)) == nil {
					t.Error("the first member got lost while others came")
					return
				}
			}
		})
	}
	for n := uint64(1); n < 3000; n++ {
		r.add(&member{id: numbered(n)})
		if n%5 == 0 {
			r.remove(r.find(numbered(n)))
		}
	}
	close(done)
	wg.Wait()
}

// BenchmarkMeetingPeers is what the first message of an unknown author costs.
func BenchmarkMeetingPeers(b *testing.B) {
	var r *roster
	for i := range b.N {
		if i%100 == 0 {
			r = &roster{seed: 1}
			r.rebuild(0, nil)
		}
		r.add(&member{id: numbered(uint64(i) * 0x9e3779b97f4a7c15)})
	}
}
