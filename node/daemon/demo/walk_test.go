package demo

import (
	"flag"
	"testing"
	"time"
)

// The long form, in which others revive the token: go test ./node/daemon/demo -run Holder -down 20s.
var down = flag.Duration("down", 0, "how long the killed holder of TestTokensOutliveAKilledHolder stays down; tokens are revived after 8 to 24 s")

func TestTokensOutliveAKilledHolder(t *testing.T) {
	m := small(3)
	m.Method.Name, m.Method.Tokens, m.Method.Steps.Count = "walk", 2, 5
	s, err := Start(Config{Nodes: 3, Manifest: m, Home: t.TempDir(), Program: program})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	// gone reports whether every node that runs knows of both tokens, and that each has gone so many hops.
	gone := func(hops uint64) bool {
		if err := s.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, n := range s.nodes {
			if n.cmd == nil {
				continue
			}
			w := n.Report.Walk
			if !n.Seen || w == nil || len(w.Tokens) != 2 || w.Tokens[0].Hops < hops || w.Tokens[1].Hops < hops {
				return false
			}
		}
		return true
	}
	wait(t, "tokens to walk", func() bool { return gone(10) })
	victim := 0
	wait(t, "somebody to hold a token", func() bool {
		gone(0)
		for i, n := range s.nodes {
			if n.Report.Walk.Held > 0 {
				victim = i
				return true
			}
		}
		return false
	})
	if err := s.Kill(victim); err != nil {
		t.Fatal(err)
	}
	var before uint64
	for _, k := range tokens(s) {
		before = max(before, k.Hops)
	}
	if err := sleep(t.Context(), *down); err != nil {
		t.Fatal(err)
	}
	if *down > 0 && !gone(before+10) {
		t.Errorf("without the killed node tokens have not gone on: %+v", tokens(s))
	}
	began := time.Now()
	if err := s.Launch(victim); err != nil {
		t.Fatal(err)
	}
	wait(t, "both tokens to go on everywhere", func() bool { return gone(before+10) && s.nodes[victim].Report.Counted > 0 })
	t.Logf("the killed node had %d tokens; %.1f s after its restart: %+v", s.nodes[victim].Report.Walk.Resumed, time.Since(began).Seconds(), tokens(s))
}
