package gossip

import "testing"

func TestTopicsOfOtherRunsAndOtherSpellingsAreNoTopics(t *testing.T) {
	run := RunID{1, 2, 3}
	for _, cell := range []uint32{0, 1, 9, 10, MaxCells - 1} {
		if topic := Topic(run, cell); !IsTopic(run, topic) || IsTopic(RunID{1, 2, 4}, topic) {
			t.Error(topic)
		}
	}
	base := Topic(run, 0)
	base = base[:len(base)-1]
	for _, number := range []string{"", "00", "01", "+1", "-1", " 1", "1 ", "1/", "0x1", "65536", "4294967296", "99999999999999999999", "x"} {
		if IsTopic(run, base+number) {
			t.Errorf("%q is a topic", base+number)
		}
	}
	if IsTopic(run, "") || IsTopic(run, "x"+base+"1") {
		t.Error("a topic without its beginning")
	}
}
