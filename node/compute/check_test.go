package compute

import (
	"encoding/hex"
	"strings"
	"testing"

	"starling/mixing/scalar"
	"starling/node"
	"starling/node/manifest"
)

// checkedRun is a run whose nodes measure each other's records again, with a model that uses most kernels.
func checkedRun(model string) manifest.Manifest {
	m := byScalars()
	m.Model, m.Method.Check = model, 0.5
	return m
}

// sumsOf are some.
func sumsOf(cfg node.ScalarConfig) []scalar.Sums {
	r := scalar.NewReplica(cfg.Config, cfg.RunSeed)
	for peer := range uint64(3) {
		b := make([]byte, 100)
		for i := range b {
			b[i] = byte(40 + 7*i%60 + i%2<<7)
		}
		if _, err := r.Insert(scalar.Run{Peer: peer, Bytes: b}); err != nil {
			panic(err)
		}
	}
	return r.Sums().Copy()
}

// TestARecordMeasuredAgainIsTheSame has another node, with other rows of its own, measure records on sums that it was given, while its own
// model is another one.
func TestARecordMeasuredAgainIsTheSame(t *testing.T) {
	author := build(t, checkedRun("softmax"), Options{Parts: []int{3}}, 7, 3)
	checker := build(t, checkedRun("softmax"), Options{Parts: []int{4}}, 8, 4)
	r, cfg, _ := replica(t, author)
	other, _, _ := replica(t, checker)
	sums := sumsOf(cfg)
	for _, row := range sums {
		for k, a := range row.A {
			r.Tell([]scalar.Change{{Generation: row.Generation, K: uint32(k), By: a}})
		}
	}
	other.Tell([]scalar.Change{{K: 1, By: 99999}})
	before := other.Digest()
	for seq := range uint64(20) {
		job := node.ProbeJob{Place: scalar.Place{Seq: seq, K: uint32(seq)}, Eps: cfg.Eps, Drawn: true, Tag: 77}
		want := author.ProbeReplica(t.Context(), author.node, job, r)
		got := checker.CheckReplica(t.Context(), checker.node, node.CheckJob{Job: 5, Sums: sums, Probe: job}, other)
		if got.Slope != want.Slope || got.Job != 5 || got.Cut || want.Samples != 32 {
			t.Errorf("record %d: measured again it is %+v, and was %+v", seq, got, want)
		}
		job.Tag++
		if again := author.ProbeReplica(t.Context(), author.node, job, r); again.Slope == want.Slope {
			t.Errorf("record %d: another log has the same examples", seq)
		}
	}
	if other.Digest() != before {
		t.Error("measuring somebody's record changes the model")
	}
}

// TestCheckedRecordsAreTheSameEverywhere has recorded what a machine makes of 24 places; nodes whose kernels are others must not take
// each other for liars.
func TestCheckedRecordsAreTheSameEverywhere(t *testing.T) {
	for model, want := range map[string]string{
		"softmax": "4c52a24ec04bce5846c9b697c3393fc14a49cdbebd534947",
		"mlp:64":  "4655ced9d7584dd25ad135bebfd7d35358c95a40c8585257",
	} {
		s := build(t, checkedRun(model), Options{}, 7, 0)
		r, cfg, _ := replica(t, s)
		sums, pool := sumsOf(cfg), cfg.Pool(cfg.RunSeed)
		var bytes []byte
		for seq := range uint64(24) {
			job := node.ProbeJob{Place: scalar.Place{Seq: seq, K: pool.Assign(9, seq, 0)}, Eps: cfg.Eps, Drawn: true, Tag: 9}
			c := s.CheckReplica(t.Context(), s.node, node.CheckJob{Sums: sums, Probe: job}, r)
			bytes = append(bytes, cfg.Byte(c.Slope, 9, seq, 0))
		}
		if got := hex.EncodeToString(bytes); got != want {
			t.Errorf("%s: records are %s, want %s", model, got, want)
		}
	}
}

func TestChecksWantDataThatAllHave(t *testing.T) {
	if _, err := New(checkedRun("softmax"), Options{Source: "idx:/nowhere"}); err == nil || !strings.Contains(err.Error(), "leave out --data") {
		t.Error(err)
	}
}
