package node

import (
	"flag"
	"maps"
	"slices"
	"testing"
)

var (
	walkSeed  = flag.Uint64("walk.seed", 0, "run TestTokensSurvive with this seed alone")
	walkLog   = flag.Int("walk.log", 60, "lines of the log that a failure shows")
	walkSeeds = flag.Uint64("walk.seeds", 40, "run it with so many seeds")
)

// TestTokensSurvive lets nodes die at any step of a hand-over, loses and repeats messages, and parts the nodes. Afterwards there must be one
// live copy of each token, of its latest life; and at no time two of the same life, or a hop that two nodes have made.
func TestTokensSurvive(t *testing.T) {
	seeds := *walkSeeds
	if testing.Short() {
		seeds = min(seeds, 8)
	}
	first, end := uint64(1), 1+seeds
	if *walkSeed != 0 {
		first, end = *walkSeed, *walkSeed+1
	}
	notes := make(map[StatKind]int)
	for seed := first; seed < end; seed++ {
		w := newWalkWorld(t, seed, 8)
		w.trouble()
		for kind, n := range w.notes {
			notes[kind] += n
		}
	}
	t.Logf("%v", notes)
	if *walkSeed == 0 && (notes[StatRevived] == 0 || notes[StatFenced] == 0 || notes[StatMerged] == 0) {
		t.Errorf("%d worlds had too little trouble: %v", seeds, notes)
	}
}

func (w *walkWorld) trouble() {
	w.crash = 0.03
	w.walk.Tokens = uint32(1 + w.seed%3)
	w.walk.Apart = w.seed%5 == 0
	w.walk.Carry = w.seed%4 == 0
	for i, n := range w.nodes {
		if i < 6 {
			w.after(w.delay(Second), func() { w.boot(n) })
		} else {
			w.after(10*Second+w.delay(30*Second), func() { w.boot(n) }) // it joins later
		}
	}
	for range 2 {
		from := 10*Second + w.delay(60*Second)
		at := 1 + w.rand.IntN(len(w.nodes)-1)
		w.after(from, func() { w.split(at) })
		w.after(from+5*Second+w.delay(55*Second), func() { w.split(0) })
	}
	if w.seed%2 == 0 {
		n := w.nodes[w.rand.IntN(len(w.nodes))]
		w.after(20*Second+w.delay(30*Second), func() {
			if n.core != nil && w.mayDie(n) {
				w.step(n, Command{Leave})
			}
		})
	}
	w.until(130 * Second)
	w.crash, w.loss = 0, 0
	w.split(0)
	w.until(180 * Second)
	for w.now < 900*Second && w.lost() {
		w.until(w.now + 20*Second)
	}
	for _, n := range w.nodes {
		if n.core != nil {
			w.step(n, Command{Pause})
		}
	}
	w.until(w.now + 20*Second)
	w.settled()
}

// lost reports whether a token is nowhere, on its way at best, and may have to be revived yet: who was giving it away may be dead.
func (w *walkWorld) lost() bool {
	for token := range w.walk.Tokens {
		if !slices.ContainsFunc(w.nodes, func(n *walkNode) bool {
			if n.core == nil {
				return false
			}
			v := n.method().find(token)
			return v != nil && v.own != nil && v.own.life == live
		}) {
			return true
		}
	}
	return false
}

// settled checks that all is well when nothing has gone wrong for long.
func (w *walkWorld) settled() {
	for token := range w.walk.Tokens {
		var holders []int
		var at spot
		for _, n := range w.nodes {
			if n.core == nil {
				continue
			}
			if v := n.method().find(token); v != nil && v.own != nil && v.own.life == live {
				holders = append(holders, n.number)
				at = v.own.spot
			}
		}
		if len(holders) != 1 {
			w.fatal("token %d: nodes %v hold it when all is quiet", token, holders)
		}
		for _, n := range w.nodes {
			if n.core == nil {
				continue
			}
			v := n.method().find(token)
			if v == nil || v.fence != at.fence {
				w.fatal("token %d: node %d does not know of the life %+v", token, n.number, at.fence)
			}
		}
		for hop := at.fence.Base + 1; hop <= at.hop; hop++ {
			if _, ok := w.visited[token][spot{at.fence, hop}]; !ok {
				w.fatal("token %d: nobody has made hop %d of %+v", token, hop, at)
			}
		}
	}
	for _, n := range w.nodes {
		if n.core == nil {
			continue
		}
		m := n.method()
		if m.best.age == 0 {
			w.fatal("node %d has no model", n.number)
		}
		if most := 8 + 8*int(w.walk.Tokens); len(n.vectors) > most {
			w.fatal("node %d has %d vectors", n.number, len(n.vectors))
		}
		if len(m.vecs) != len(n.vectors) {
			w.fatal("node %d has %d vectors, and knows of %d", n.number, len(n.vectors), len(m.vecs))
		}
	}
}

// check looks at the tokens that a node holds after a step: no other node may have the same life of one, no hop may be made by two nodes, and
// a history knows of every hop.
func (w *walkWorld) check(n *walkNode) {
	for _, v := range n.method().views {
		cp := v.own
		if cp == nil || cp.life != live || cp.stage == stageSave {
			continue
		}
		for _, o := range w.nodes {
			if o == n || o.core == nil {
				continue
			}
			if u := o.method().find(v.number); u != nil && u.own != nil && u.own.life == live && u.own.fence == cp.fence {
				w.fatal("token %d: nodes %d and %d both hold the life %+v, at hops %d and %d", v.number, n.number, o.number, cp.fence, cp.hop, u.own.hop)
			}
		}
		if w.visited[v.number] == nil {
			w.visited[v.number] = make(map[spot]int)
		}
		if who, ok := w.visited[v.number][cp.spot]; ok && who != n.number {
			w.fatal("token %d: nodes %d and %d both make hop %d of %+v", v.number, who, n.number, cp.hop, cp.fence)
		}
		w.visited[v.number][cp.spot] = n.number
		if got := cp.memory.history.Visits(); got != cp.hop {
			w.fatal("token %d: its history knows of %d visits after %d hops", v.number, got, cp.hop)
		}
		if cp.fence == w.highest[v.number] || w.highest[v.number].Less(cp.fence) {
			w.highest[v.number] = cp.fence
			h := slices.DeleteFunc(w.holders[v.number], func(x int) bool { return x == n.number })
			w.holders[v.number] = append(h, n.number)
		}
	}
}

// mayDie reports whether every token still has a majority of its last three holders without that node.
func (w *walkWorld) mayDie(n *walkNode) bool {
	for _, token := range slices.Sorted(maps.Keys(w.holders)) {
		last := w.holders[token]
		last = last[max(0, len(last)-shadows):]
		dead := 0
		for _, h := range last {
			if w.nodes[h].dead || h == n.number {
				dead++
			}
		}
		if 2*dead >= len(last) && slices.Contains(last, n.number) {
			return false
		}
	}
	return true
}
