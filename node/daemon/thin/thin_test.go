package thin

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestPacketsComeOutWhenTheyAreDueAndInOrder(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var q queue
	began := time.Unix(0, 0)
	const packets = 500
	due := make(map[string]time.Time)
	for i := range packets {
		at, name := began.Add(time.Duration(r.IntN(50))*time.Millisecond), fmt.Sprintf("%03d", i)
		due[name] = at
		if !q.put(at, []byte(name)) {
			t.Fatalf("seed %d: there is no room for packet %d", seed, i)
		}
	}
	last, lastName := began, ""
	for i := range packets {
		at, ok := q.next()
		name := string(q.take())
		if !ok || !at.Equal(due[name]) || at.Before(last) || at.Equal(last) && name < lastName {
			t.Fatalf("seed %d: packet %s is number %d at %s, after %s at %s", seed, name, i, at, lastName, last)
		}
		last, lastName = at, name
	}
	if _, ok := q.next(); ok || q.bytes != 0 {
		t.Errorf("seed %d: %d bytes are left", seed, q.bytes)
	}
	if q.put(began, make([]byte, maxQueued+1)) {
		t.Error("more is taken than there is room for")
	}
}

func TestOnlyPacketsBetweenNodesAreDelayed(t *testing.T) {
	good := make([]byte, 20)
	good[0] = 4<<4 | 5
	a, b := nodeAddr(3).As4(), nodeAddr(5).As4()
	copy(good[12:], a[:])
	copy(good[16:], b[:])
	if from, to, ok := pair(good, 6); !ok || from != 3 || to != 5 {
		t.Errorf("got %d, %d, %v, want 3, 5, true", from, to, ok)
	}
	change := func(at int, to byte) []byte {
		p := append([]byte(nil), good...)
		p[at] = to
		return p
	}
	for name, p := range map[string][]byte{
		"short": good[:19], "empty": nil, "IPv6": change(0, 6<<4), "from the hub": change(15, 1), "to elsewhere": change(16, 11), "to a node that is not": change(18, 6),
	} {
		if _, _, ok := pair(p, 6); ok {
			t.Errorf("a packet that is %s is delayed", name)
		}
	}
}

func TestNetworksThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no node":        {},
		"many nodes":     {Links: make([]Link, MaxNodes+1)},
		"no packet fits": {Links: []Link{{Up: 7999}}},
		"thick":          {Links: []Link{{Down: maxRate + 1}}},
		"backwards":      {Links: make([]Link, 2), Delay: func(int, int) time.Duration { return -1 }},
		"far away":       {Links: make([]Link, 2), Delay: func(int, int) time.Duration { return time.Hour }},
	} {
		if n, err := Open(c); err == nil {
			n.Close()
			t.Errorf("%s: is taken", name)
		}
	}
}
