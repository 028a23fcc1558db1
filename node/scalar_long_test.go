package node

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"starling/gossip"
	"starling/mixing/scalar"
)

// told has B say that it has all that the node has.
func told(s *script, v scalar.Vector) {
	k := &gossip.Known{Form: gossip.FormVector, Reply: true}
	for _, e := range v {
		k.Places = append(k.Places, gossip.Place{Tag: e.Peer, Seq: e.Next})
	}
	s.step(Received{From: peer("B"), Msg: &gossip.Message{Run: gossip.RunID{1}, Author: peer("B"), Body: k}})
}

// TestALongRunTakesBoundedSpace has two nodes add many times as many records as are kept, and looks at what one of them has on disk and in
// memory, and whether it comes back from there.
func TestALongRunTakesBoundedSpace(t *testing.T) {
	const records, batch, kept = 30_000, 16, 8
	s := newScript(t)
	s.command(fmt.Sprintf("node scalar=structured:pool=8,epoch=256,records=100000,peers=8 batch=%d save=4", batch))
	m := s.core.method.(*scalarMethod)
	m.kept.ofOwn, m.kept.ofAuthor = kept, kept
	s.step(Tick{})
	s.now += 10 * Second // nobody is there
	s.step(Tick{})
	r := rand.New(rand.NewPCG(1, 4))
	most, largest := 0, 0
	for i := range uint64(records) {
		s.now += Second / 1000
		s.step(Probed{Job: s.jobs["probe"], Slope: r.NormFloat64(), Samples: 8})
		if i%batch == 0 {
			s.command(fmt.Sprintf("records B first=%d epoch=%d count=%d seq=%d", i, i/256, batch, i/batch+1))
		}
		if silent := i >= records/2 && i < records/2+4000; i%64 == 63 && !silent {
			told(s, m.replica.Set().Vector())
		}
		if i == records/2+3999 { // somebody may still need these
			if n := m.replica.Set().Kept(); n < 7000 {
				t.Errorf("%d records are known one by one after B has not said for 4000 records what it has", n)
			}
		}
		if m.saveJob != 0 {
			s.command("durable")
		}
		n := 0
		for key := range s.scalar.store {
			if strings.HasPrefix(key, ScalarKey) {
				n++
			}
		}
		most = max(most, n)
		if i > records/2+5000 || i < records/2 {
			largest = max(largest, len(s.scalar.saved.Opaque))
		}
	}
	set := m.replica.Set()
	if set.Next(m.tag) < records-10 || set.Next(gossip.Tag(m.run.Run, peer("B"))) < records-batch {
		t.Fatalf("the sets have %v", set.Vector())
	}
	// What was told last is a batch of B and some own records old. What is closed after a checkpoint was asked for is in the next one.
	if want := kept + 2*4 + 2; most > want {
		t.Errorf("up to %d batches of the own log are on disk, want %d", most, want)
	}
	if want := 2 * 2 * kept * batch; set.Kept() > 2*uint64(want) {
		t.Errorf("%d records are in memory one by one, want about %d", set.Kept(), want)
	}
	if largest > 20<<10 {
		t.Errorf("the largest checkpoint has %d bytes beside the model", largest)
	}
	before := m.replica.Sums().Digest()
	s.command("restart")
	again := s.core.method.(*scalarMethod)
	if n := again.replica.Set().Next(again.tag); n != set.Next(m.tag) {
		t.Errorf("%d own records after a restart, %d before", n, set.Next(m.tag))
	}
	theirs := again.replica.Set().Next(gossip.Tag(m.run.Run, peer("B")))
	v := again.replica.Set().Vector()
	if digest, ok := m.replica.DigestAt(v); !ok || digest != again.replica.Sums().Digest() || theirs == 0 {
		t.Errorf("the sums of %v have another digest after a restart (%x before)", v, before)
	}
}
