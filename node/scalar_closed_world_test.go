package node

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"starling/gossip"
	"starling/mixing/scalar"
)

// noteClosed checks that no two nodes have closed an epoch in different ways.
func (w *scalarWorld) noteClosed(n *worldNode) {
	m := n.method()
	if m.closer == nil || m.replica.Closed() <= n.open {
		return
	}
	n.open = m.replica.Closed()
	if w.closedAs == nil {
		w.closedAs = make(map[uint32][32]byte)
	}
	for _, cert := range m.closer.certs {
		e, digest := cert.Closing.Epoch, cert.Closing.Digest()
		if was, there := w.closedAs[e]; there && was != digest {
			w.t.Fatalf("epoch %d is closed in two ways", e)
		}
		w.closedAs[e] = digest
	}
}

// TestNodesCloseEpochsAlike has nodes train in closed mode with loss, delay, repetition, crashes, partitions, a late joiner and, half the time,
// one that votes twice and shows different records to different nodes. No epoch is ever closed in two ways, and when they have rested, all
// have closed the same epochs and have the same sums.
func TestNodesCloseEpochsAlike(t *testing.T) {
	seeds := []uint64{*scalarSeed}
	if *scalarSeed == 0 {
		seeds = seeds[:0]
		n := *scalarSeeds
		if n == everyday {
			n /= 2 // these take twice as long
		}
		for s := range n {
			seeds = append(seeds, s+1)
		}
	}
	seen, epochs := make(map[StatKind]int), 0
	for _, seed := range seeds {
		if t.Run(fmt.Sprint(seed), func(t *testing.T) {
			notes, closed := closesAlike(t, seed)
			for kind := range notes {
				seen[kind]++
			}
			epochs += closed
		}); t.Failed() {
			t.Fatalf("repeat with: go test ./node -run TestNodesCloseEpochsAlike -scalar.seed %d", seed)
		}
	}
	for _, kind := range []StatKind{StatBanned, StatClosed, StatRepaired} {
		if *scalarSeed == 0 && seen[kind] < len(seeds)/4 {
			t.Errorf("%q was seen in %d of %d runs: this does not test what it should", kind, seen[kind], len(seeds))
		}
	}
	t.Logf("%d epochs in %d runs; %v", epochs, len(seeds), seen)
}

func closesAlike(t *testing.T, seed uint64) (map[StatKind]int, int) {
	const nodes = 7
	w := newScalarWorld(t, seed, nodes)
	w.spec, w.batch = "structured:pool=64,epoch=16,rotate=4,records=4096,mode=closed,combine=median,peers=8", 8
	if seed%4 > 1 {
		w.lag = Second / 4
	}
	late := w.nodes[nodes-1]
	for _, n := range w.nodes[:nodes-1] {
		w.boot(n)
	}
	l := &liar{worldNode: &worldNode{key: ed25519.NewKeyFromSeed(make([]byte, 32))}}
	l.id = gossip.Ed25519Signer(l.key).ID()
	lies, down := seed%2 == 0, 0
	for i := range 40 {
		for range 4 {
			w.until(w.now + w.delay(w.lag/2+Second/4))
			if lies {
				w.lieAbout(l, i)
			}
		}
		n := w.nodes[w.rand.IntN(nodes-1)]
		w.cut = i >= 8 && i < 14 || i >= 24 && i < 28
		switch {
		case i == 20:
			w.boot(late)
		case n.core == nil:
			w.boot(n)
			down--
		case w.rand.IntN(3) == 0 && down < 1+i%2:
			w.crash(n)
			down++
		}
	}
	w.rest(150 * Second)
	first := w.nodes[0].method()
	for i, n := range w.nodes {
		s := n.method()
		if s.replica.Closed() != first.replica.Closed() || s.replica.Sums().Digest() != first.replica.Sums().Digest() || s.replica.Clip() != first.replica.Clip() {
			t.Errorf("node %d has closed %d epochs, with sums %.4x, clip %d and records %v, node 0 %d, %.4x, %d and %v", i,
				s.replica.Closed(), s.replica.Sums().Digest(), s.replica.Clip(), s.replica.Set().Vector(),
				first.replica.Closed(), first.replica.Sums().Digest(), first.replica.Clip(), first.replica.Set().Vector())
			t.Logf("phase %s, %+v, last closing %+v", scalarPhases[s.phase], s.closer.machine.State, s.closer.last())
		}
		if a, b := s.replica.Ends().Digest(), first.replica.Ends().Digest(); a != b {
			t.Errorf("node %d has the ends %v, node 0 %v", i, s.replica.Ends(), first.replica.Ends())
		}
		n.told(t)
		if bans := s.replica.Set().Bans(); bans.Digest() != first.replica.Set().Bans().Digest() || len(bans) > 0 && !lies || len(bans) > 1 {
			t.Errorf("node %d has banned %v, node 0 %v", i, bans, first.replica.Set().Bans())
		}
	}
	for _, n := range w.nodes {
		if s := n.method(); s.origin == nil {
			undone(t, s)
		}
	}
	closed := int(first.replica.Closed())
	if closed == 0 {
		t.Errorf("no epoch is closed: %+v", first.closer.machine.State)
	}
	t.Logf("%d epochs closed, %d bytes carried: %v", closed, w.bytes, w.notes)
	return w.notes, closed
}

// undone checks that the sums are those of a run in which what is banned never existed.
func undone(t *testing.T, s *scalarMethod) {
	never := scalar.NewReplica(s.cfg.Config, s.cfg.RunSeed)
	set := s.replica.Set()
	for _, b := range set.Bans() {
		if err := never.Ban(b.Peer, b.Next); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range set.Vector() {
		for _, run := range set.Runs(scalar.Range{Peer: e.Peer, End: e.Next}) {
			if res, err := never.Insert(run); err != nil || res.Verdict != scalar.Added {
				t.Fatal(err, res)
			}
		}
	}
	if err := s.closer.again(never); err != nil {
		t.Fatal(err)
	}
	if never.Sums().Digest() != s.replica.Sums().Digest() {
		t.Error("the sums are not those of a run without what is banned")
	}
}

// A liar has records, shows two versions of some, and votes for whatever there is, differently to different nodes.
type liar struct {
	*worldNode
	seq      uint64
	previous [2][32]byte
	records  uint64
	forked   bool
}

func (w *scalarWorld) lieAbout(l *liar, turn int) {
	epoch, tag := uint32(0), gossip.Tag(gossip.RunID{1}, l.id)
	for _, n := range w.nodes {
		if n.core != nil {
			epoch = max(epoch, n.method().replica.Closed())
		}
	}
	if turn%3 == 0 && l.records < 4096 && l.records <= 4*uint64(epoch) { // some records, of which versions part late in half of all runs
		l.forked = l.forked || turn >= 18
		for version := range l.previous {
			b := &gossip.Records{Epoch: epoch, First: l.records, Previous: l.previous[version], Bytes: []byte{1, 2, 3, 4}}
			if l.forked {
				b.Bytes[1] = byte(10 + version)
			}
			l.previous[version] = b.Digest(l.id)
			l.seq++
			raw := w.seal(l.worldNode, &gossip.Message{Run: gossip.RunID{1}, Author: l.id, Seq: l.seq, Body: b})
			for i, n := range w.nodes {
				if i%2 == version {
					w.carry(l.worldNode, n, raw, false)
				}
			}
		}
		l.records += 4
	}
	if turn < 6 {
		return
	}
	for _, n := range w.nodes {
		if n.core == nil || w.rand.IntN(2) == 0 {
			continue
		}
		s := n.method()
		k := s.closer
		b := &gossip.Ballot{Step: gossip.BallotStep(2 + w.rand.IntN(2)), Epoch: s.replica.Closed(), Round: k.machine.Round, Own: k.own(tag)}
		if p := k.machine.Proposals(k.machine.Round); len(p) > 0 && w.rand.IntN(3) > 0 {
			b.Value = p[0].Value
		}
		if k.machine.Proposes() || w.rand.IntN(6) == 0 { // most of the time it is not the liar's turn
			closing, _, ok := s.closingOf(s.here(), func(uint64) bool { return false })
			if !ok || len(closing.Members) == 0 {
				continue
			}
			if w.rand.IntN(2) == 0 {
				closing.Members = closing.Members[:1]
			}
			b.Step, b.Value, b.Closing = gossip.StepPropose, closing.Digest(), closing
		}
		l.seq++
		raw := w.seal(l.worldNode, &gossip.Message{Run: gossip.RunID{1}, Author: l.id, Seq: l.seq, Body: b})
		w.carry(l.worldNode, n, raw, false)
	}
}
