package main

import (
	"strings"
	"testing"

	"starling/node/daemon"
)

func TestStatusSaysWhatIsKnownOfEachNodesRecords(t *testing.T) {
	var out strings.Builder
	printStatus(&out, daemon.Report{Method: "scalar, structured", Records: &daemon.RecordReport{
		Known: 700, Missing: 12, Own: 300, Logs: 3, Kept: 9, Digest: "aa", Model: "bb",
		Nodes: []daemon.LogReport{
			{Peer: "12D3KooWself", Known: 300}, {Peer: "12D3KooWabcdefgh", Known: 250, Missing: 12, Right: 3},
			{Peer: "12D3KooWliarliar", Known: 150, Banned: true, Wrong: 2}, {Known: 7},
		},
		Checks: &daemon.CheckReport{Share: 0.1, Right: 3, Wrong: 2, Unanswered: 1},
	}})
	for _, want := range []string{
		"records    700 known, 12 missing that the peer heard of last has; 9 batches kept to pass on\n",
		"by node    300 of this node, 250 of abcdefgh (12 missing), 150 of liarliar (banned), 7 of somebody never heard of but in sums\n",
		"checks     3 of others' records measured again are right, and wrong are 2 of liarliar; 1 times the author gave no answer\n",
		"sums       aa; nodes with equal sums have equal models\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the status lacks %q:\n%s", want, out.String())
		}
	}
	many := &daemon.RecordReport{Known: 20, Nodes: make([]daemon.LogReport, 20)}
	out.Reset()
	printStatus(&out, daemon.Report{Records: many})
	if !strings.Contains(out.String(), "and of 12 others: see starling status --json") || !strings.Contains(out.String(), "none missing") {
		t.Errorf("with twenty nodes: %s", out.String())
	}
}
