package node

import (
	"bytes"
	"fmt"

	"starling/gossip"
	"starling/mixing/scalar"
)

// A ScalarAudit is what a node's checkpoint and its own log say, when all that can be recomputed of them is.
type ScalarAudit struct {
	Records uint64        // in the checkpoint
	Summed  uint64        // of these, known by the sums of a snapshot alone
	Logs    int           // of so many nodes
	Digest  [32]byte      // of the sums of these records
	Sums    []scalar.Sums // of which the model in the checkpoint is made
	Sealed  int           // batches of others in it: all signed, and of the same records

	Batches  int    // in the node's own log, which is a chain
	Own      uint64 // records that the node has made in all, in the log, in the checkpoint, or both
	Beyond   uint64 // of these, not in the checkpoint yet
	Newest   uint64 // number of the newest message in the log; 0 if there is none
	Unsealed uint64 // records in the batch that is still open, and that nobody has been sent
}

// AuditScalar recomputes what a node of the method scalar has on disk, from a checkpoint, the log in [ScalarConfig.Log] and the counter in
// [Config.Seq], and stops at the first thing that is not as it should be. v looks at signatures.
func AuditScalar(cfg Config, from State, v gossip.Verifier) (*ScalarAudit, error) {
	cfg.setDefaults()
	saved := cfg
	saved.Scalar.Log = nil
	s, err := openScalar(&saved, from, v)
	if err != nil {
		return nil, err
	}
	set := s.replica.Set()
	a := &ScalarAudit{
		Records: set.Vector().Count(), Logs: len(set.Vector()), Digest: s.replica.Sums().Digest(), Sums: s.replica.Sums().Copy(),
	}
	if s.origin != nil {
		a.Summed = s.origin.Vector().Count()
	}
	if a.Sealed, err = s.auditSealed(); err != nil {
		return nil, err
	}
	own := set.Next(s.tag)
	if s, err = openScalar(&cfg, from, trusting{}); err != nil {
		return nil, err
	}
	a.Own = s.replica.Set().Next(s.tag)
	a.Batches, a.Beyond = len(s.own.logged), a.Own-own
	if s.own.open != nil {
		a.Batches++
		a.Unsealed = uint64(len(s.own.open.Bytes))
	}
	a.Newest, err = s.auditOwn(cfg.Seq)
	return a, err
}

// auditSealed compares the batches of others with the records that the set has of them.
func (s *scalarMethod) auditSealed() (n int, err error) {
	set := s.replica.Set()
	for _, tag := range s.kept.order {
		if tag == s.tag {
			continue
		}
		for _, m := range s.kept.of(tag) {
			b := recordsOf(m)
			for _, run := range set.Runs(scalar.Range{Peer: tag, First: b.First, End: b.End()}) {
				at := run.First - b.First
				if run.Epoch != b.Epoch || !bytes.Equal(run.Bytes, b.Bytes[at:at+uint64(len(run.Bytes))]) {
					return n, fmt.Errorf("records %d to %d of peer %s are not those that it has signed", run.First, run.End()-1, m.Author.Short())
				}
			}
			n++
		}
	}
	return n, nil
}

// auditOwn follows the chain of the own log, and wants the counter to cover every message in it.
func (s *scalarMethod) auditOwn(seq uint64) (newest uint64, err error) {
	batches := s.own.logged
	if s.own.open != nil {
		batches = append(batches[:len(batches):len(batches)], &gossip.Message{Author: s.run.Self, Body: s.own.open})
	}
	for i, m := range batches {
		b := recordsOf(m)
		if b.First == 0 && b.Previous != [32]byte{} {
			return newest, fmt.Errorf("the first own record follows from a batch before: the chain is broken")
		}
		if i > 0 {
			before := recordsOf(batches[i-1])
			switch {
			case b.First > before.End():
				return newest, fmt.Errorf("own records %d to %d are missing from the log", before.End(), b.First-1)
			case b.First < before.End():
				return newest, fmt.Errorf("own record %d is in two batches of the log", b.First)
			case b.Previous != before.Digest(m.Author):
				return newest, fmt.Errorf("own records %d to %d do not follow from the batch before: the chain is broken", b.First, b.End()-1)
			case m.Seq != 0 && m.Seq <= newest:
				return newest, fmt.Errorf("own records %d to %d are message %d, after message %d", b.First, b.End()-1, m.Seq, newest)
			}
		}
		newest = max(newest, m.Seq)
		if m.Seq > seq {
			return newest, fmt.Errorf("own records %d to %d are message %d, and the durable counter is %d: the next message would repeat a number", b.First, b.End()-1, m.Seq, seq)
		}
	}
	return newest, nil
}
