package node

import (
	"testing"

	"starling/gossip"
)

// TestNoMethodTakesRecords: their messages are well-formed, and no honest node of a run of these methods sends them.
func TestNoMethodTakesRecords(t *testing.T) {
	records := &gossip.Message{Run: gossip.RunID{1}, Author: peer("C"), Seq: 1, Body: &gossip.Records{Bytes: []byte{1}}}
	core, err := New(testConfig(peer("A")), State{Params: 1, Opt: 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]gossip.Body{
		"records": records.Body, "proof": &gossip.Proof{A: records, B: records}, "known": &gossip.Known{Form: gossip.FormVector},
		"fetch": &gossip.Fetch{Want: gossip.WantSnapshot}, "snapshot": &gossip.Snapshot{Whole: true},
	} {
		for _, seq := range []uint64{0, 1} {
			m := &gossip.Message{Run: gossip.RunID{1}, Author: peer("B"), Seq: seq, Body: body}
			if got, want := core.Check(m), reject(gossip.ReasonUnknownKind); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	}
}
