package node

import (
	"testing"
)

// closedWorld is a quiet world of nodes in closed mode, all of whom the first epoch needs.
func closedWorld(t *testing.T, nodes int) *scalarWorld {
	w := newScalarWorld(t, 9, nodes)
	w.loss, w.lag, w.pace = 0, Second/20, Second/50
	w.spec, w.batch = "structured:pool=64,epoch=16,records=65536,mode=closed,combine=median,peers=4", 8
	for _, n := range w.nodes {
		w.boot(n)
	}
	return w
}

// closes runs a world on, and returns how many epochs a node closes in it.
func (w *scalarWorld) closes(n *worldNode, d Instant) uint32 {
	before := n.method().replica.Closed()
	w.until(w.now + d)
	return n.method().replica.Closed() - before
}

func TestMoreThanAThirdWhoAreGoneStopTheClosing(t *testing.T) {
	w := closedWorld(t, 4)
	if n := w.closes(w.nodes[0], 20*Second); n < 10 {
		t.Fatalf("%d epochs are closed in 20 s", n)
	}
	w.crash(w.nodes[3])
	if n := w.closes(w.nodes[0], 20*Second); n < 5 {
		t.Errorf("%d epochs are closed in 20 s by three of four", n)
	}
	w.boot(w.nodes[3])
	w.until(w.now + 20*Second)
	w.crash(w.nodes[2])
	w.crash(w.nodes[3])
	w.until(w.now + 5*Second)
	if n := w.closes(w.nodes[0], 60*Second); n > 0 {
		t.Errorf("%d epochs are closed by two of four", n)
	}
	if st := w.nodes[0].core.Status(); st.Phase != "waiting for the epoch to close" || st.Scalar.Voters != 4 || st.Scalar.Voted != 2 {
		t.Errorf("it does not say what it waits for: %s, %+v", st.Phase, *st.Scalar)
	}
	w.boot(w.nodes[3])
	w.boot(w.nodes[2])
	if n := w.closes(w.nodes[0], 30*Second); n < 5 {
		t.Errorf("%d epochs are closed when all are back", n)
	}
	for _, n := range w.nodes {
		if n.method().replica.Closed()+1 < w.nodes[0].method().replica.Closed() {
			t.Errorf("a node has closed %d epochs, another %d", n.method().replica.Closed(), w.nodes[0].method().replica.Closed())
		}
	}
}

func TestWhoLeavesGivesItsVoteBack(t *testing.T) {
	w := closedWorld(t, 4)
	w.until(10 * Second)
	for gone := 1; gone < 4; gone++ {
		n := w.nodes[4-gone]
		w.step(n, Command{Leave})
		w.until(w.now + 8*Second)
		if n.core.mode != left {
			t.Fatalf("node %d has not left: %s, %+v, save %d", 4-gone, scalarPhases[n.method().phase], n.method().closer.leaveBy, n.method().saveJob)
		}
		w.crash(n)
		if got := w.nodes[0].core.Status().Scalar.Voters; got != 4-gone {
			t.Errorf("%d have a vote after %d of 4 have left", got, gone)
		}
		if n := w.closes(w.nodes[0], 10*Second); n < 3 {
			t.Errorf("%d epochs are closed after %d of 4 have left", n, gone)
		}
	}
	w.boot(w.nodes[1])
	w.until(w.now + 10*Second)
	if got := w.nodes[0].core.Status().Scalar.Voters; got != 2 {
		t.Errorf("%d have a vote when one is back", got)
	}
}

func TestANodeThatStartsWithAnOldHomeDoesNotVoteTwice(t *testing.T) {
	w := closedWorld(t, 4)
	w.until(8 * Second)
	old := w.nodes[3]
	store := make(map[string][]byte)
	for k, v := range old.store {
		store[k] = v
	}
	saved := old.saved
	w.until(w.now + Second/2)
	w.crash(old)
	old.store, old.saved = store, saved // as it was half a second ago
	w.boot(old)
	w.until(w.now + 30*Second)
	for _, n := range w.nodes[:3] {
		if bans := n.method().replica.Set().Bans(); len(bans) > 0 {
			t.Errorf("it is banned: %v", bans)
		}
	}
	if a, b := old.method().replica.Closed(), w.nodes[0].method().replica.Closed(); a+1 < b {
		t.Errorf("it has closed %d epochs, others %d", a, b)
	}
}

func TestAllMayDieAtOnce(t *testing.T) {
	w := closedWorld(t, 4)
	for range 6 {
		w.until(w.now + w.delay(5*Second))
		for _, n := range w.nodes {
			w.crash(n)
		}
		for _, n := range w.nodes {
			w.boot(n)
		}
	}
	if n := w.closes(w.nodes[0], 30*Second); n < 5 {
		t.Errorf("%d epochs are closed afterwards: %+v", n, w.nodes[0].core.Status().Scalar)
	}
	for _, n := range w.nodes {
		if bans := n.method().replica.Set().Bans(); len(bans) > 0 {
			t.Errorf("banned are %v", bans)
		}
	}
}
