package node

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"

	"starling/gossip"
)

// TestNodesEndWithEqualSums has nodes train with loss, delay, repetition, crashes, a late joiner and, half the time, one that shows
// different records to different nodes. When they have rested, all have the same records and sums.
func TestNodesEndWithEqualSums(t *testing.T) {
	seeds := []uint64{*scalarSeed}
	if *scalarSeed == 0 {
		seeds = seeds[:0]
		for s := range *scalarSeeds {
			seeds = append(seeds, s+1)
		}
	}
	seen := make(map[StatKind]int) // in how many runs
	for _, seed := range seeds {
		if t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for kind := range endsEqual(t, seed) {
				seen[kind]++
			}
		}); t.Failed() {
			t.Fatalf("repeat with: go test ./node -run TestNodesEndWithEqualSums -scalar.seed %d", seed)
		}
	}
	for kind, part := range map[StatKind]int{StatBanned: 4, StatCaughtUp: 4, StatDiverged: 4, StatRepaired: 4, "known as sums": 12} {
		if *scalarSeed == 0 && seen[kind] < len(seeds)/part {
			t.Errorf("%q was seen in %d of %d runs: this does not test what it should", kind, seen[kind], len(seeds))
		}
	}
}

// endsEqual returns what the nodes have observed.
func endsEqual(t *testing.T, seed uint64) map[StatKind]int {
	const nodes = 5
	w := newScalarWorld(t, seed, nodes)
	late := w.nodes[nodes-1]
	for _, n := range w.nodes[:nodes-1] {
		w.boot(n)
	}
	liar := seed%2 == 0
	if seed%3 == 0 && !liar { // or nobody could prove anything after the partition
		w.keep = 4
	}
	for i := range 20 {
		w.until(w.now + w.delay(3*Second))
		n := w.nodes[w.rand.IntN(nodes-1)]
		w.cut = i >= 4 && i < 8 || i >= 14 && i < 17
		if liar && i == 8 {
			w.lie()
		}
		switch {
		case i == 12:
			w.boot(late)
		case n.core == nil:
			w.boot(n)
		case w.rand.IntN(3) == 0:
			w.crash(n)
		}
	}
	w.rest(100 * Second)
	first := w.nodes[0].method()
	count, sum := first.replica.Set().Fingerprint()
	for i, n := range w.nodes {
		s := n.method()
		c, f := s.replica.Set().Fingerprint()
		if c != count || f != sum || s.replica.Sums().Digest() != first.replica.Sums().Digest() {
			t.Errorf("node %d has %d records of sum %x, node 0 has %d of sum %x\n%v\n%v\nbans %v, %v", i, c, f, count, sum,
				s.replica.Set().Vector(), first.replica.Set().Vector(), s.replica.Set().Bans(), first.replica.Set().Bans())
		}
		n.told(t)
		if bans := s.replica.Set().Bans(); bans.Digest() != first.replica.Set().Bans().Digest() || len(bans) > 0 && !liar {
			t.Errorf("node %d has banned %v, node 0 %v", i, bans, first.replica.Set().Bans())
		}
	}
	if w.keep > 0 && first.replica.Set().Kept() < count/2 {
		w.notes["known as sums"]++
	}
	if count < 500 {
		t.Errorf("%d records: the nodes did not train", count)
	}
	t.Logf("%d records, %d bytes carried: %v", count, w.bytes, w.notes)
	return w.notes
}

// TestRecordsCostLittleOnTheWire measures what 1,000 records take, with all that keeps nodes together, and what a node gets that comes when
// there are 10,000.
func TestRecordsCostLittleOnTheWire(t *testing.T) {
	w := newScalarWorld(t, 3, 3)
	w.loss = 0
	w.spec, w.batch, w.pace, w.every, w.lag = "structured", gossip.DefaultBatch, Second/100, 10*Second, Second/5
	w.boot(w.nodes[0])
	w.boot(w.nodes[1])
	w.step(w.nodes[1], Command{Pause})
	w.until(65 * Second)
	count := w.nodes[0].method().replica.Set().Next(w.nodes[0].method().tag)
	if per := float64(w.bytes) * 1000 / float64(count); count < 10000 || per > 4<<10 {
		t.Errorf("%d records, %.0f bytes for 1000 of them, want at most 4096", count, per)
	} else {
		t.Logf("%.0f bytes for 1000 records", per)
	}
	w.step(w.nodes[0], Command{Pause})
	w.until(68 * Second)
	w.bytes = 0
	late := w.nodes[2]
	w.boot(late)
	w.step(late, Command{Pause})
	w.until(78 * Second)
	if a, b := w.nodes[0].method(), late.method(); a.replica.Sums().Digest() != b.replica.Sums().Digest() || w.bytes > 64<<10 || w.notes[StatCaughtUp] != 1 {
		t.Errorf("%d bytes, want at most 65536; %v", w.bytes, w.notes)
	}
	t.Logf("%d bytes to catch up with %d records", w.bytes, count)
}

// TestManyLogsAreReconciledByRanges gives two nodes different parts of 200 logs: they find out what is missing without listing all.
func TestManyLogsAreReconciledByRanges(t *testing.T) {
	w := newScalarWorld(t, 1, 2)
	w.loss = 0
	for _, n := range w.nodes {
		w.boot(n)
		w.step(n, Command{Pause})
	}
	w.until(w.now + Second/2)
	w.loss = 1
	for i := range 200 {
		author := &worldNode{key: ed25519.NewKeyFromSeed(binary.LittleEndian.AppendUint64(make([]byte, 24), uint64(i+1)))}
		author.id = gossip.Ed25519Signer(author.key).ID()
		previous := [32]byte{}
		for batch := range uint64(3) {
			b := &gossip.Records{First: 4 * batch, Previous: previous, Bytes: []byte{1, 2, 3, byte(i % 100)}}
			previous = b.Digest(author.id)
			raw := w.seal(author, &gossip.Message{Run: gossip.RunID{1}, Author: author.id, Seq: batch + 1, Body: b})
			for j, n := range w.nodes {
				if (i+j)%2 == 0 || batch == 0 || i%10 == 0 { // one of them ends earlier
					w.arrive(author, n, raw, false)
				}
			}
		}
	}
	w.loss = 0
	w.until(w.now + 15*Second)
	a, b := w.nodes[0].method().replica, w.nodes[1].method().replica
	if n, _ := a.Set().Fingerprint(); n != 200*12 || a.Sums().Digest() != b.Sums().Digest() {
		t.Errorf("%d records, and sums %x and %x", n, a.Sums().Digest(), b.Sums().Digest())
	}
	if w.notes[StatCaughtUp] > 0 || w.lists > 0 {
		t.Errorf("%d snapshots, %d lists", w.notes[StatCaughtUp], w.lists)
	}
}

// lie has somebody who is no node of ours send two versions of a log, each to some.
func (w *scalarWorld) lie() {
	var s [ed25519.SeedSize]byte
	liar := &worldNode{key: ed25519.NewKeyFromSeed(s[:])}
	liar.id = gossip.Ed25519Signer(liar.key).ID()
	loss := w.loss
	w.loss = 0
	var previous [2][32]byte
	for batch := range uint64(4) {
		for version := range previous {
			b := &gossip.Records{First: 4 * batch, Previous: previous[version], Bytes: []byte{1, 2, 3, 4}}
			if batch == 2 {
				b.Bytes[1] = byte(10 + version)
			}
			m := &gossip.Message{Run: gossip.RunID{1}, Author: liar.id, Seq: batch + 1, Body: b}
			previous[version] = b.Digest(liar.id)
			raw := w.seal(liar, m)
			for i, n := range w.nodes {
				if i%2 == version {
					w.carry(liar, n, raw, false)
				}
			}
		}
	}
	w.loss = loss
}
