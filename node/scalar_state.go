package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"starling/gossip"
	"starling/mixing/scalar"
)

// ScalarStatus is what a node of the method scalar knows of the set of records.
type ScalarStatus struct {
	Records uint64   // known
	Single  uint64   // of these, known one by one; the others as a part of a sum alone
	Missing uint64   // that the peer heard of last has and this node does not
	Next    uint64   // number of the node's next record
	Logs    int      // of all nodes that have any records
	Banned  int      // of these, cut off
	Kept    int      // sealed batches that can be passed on
	Digest  [32]byte // of the sums: equal digests are equal models
	Checks  CheckStatus

	// In closed mode.
	Closed uint32 // epochs
	Clip   byte   // largest code that counts in the open one
	Voters int    // who have a vote about it: in the first epoch, all peers that there may be
	Voted  int    // of these, who have voted in the step that its closing is in, as far as is known here; 0 before it began
	Round  uint32 // of the closing
}

func (s *scalarMethod) phaseName() string { return scalarPhases[s.phase] }

func (s *scalarMethod) status() MethodStatus {
	set := s.replica.Set()
	v := set.Vector()
	st := MethodStatus{
		Phase: s.phaseName(), Round: s.round, Announced: s.round, Age: v.Count(), Step: s.step, Loss: s.loss,
		Scalar: &ScalarStatus{
			Records: v.Count(), Single: set.Kept(), Missing: s.exchange.missing, Next: set.Next(s.tag), Logs: len(v), Banned: len(set.Bans()),
			Kept: s.kept.total + len(s.kept.of(s.tag)), Digest: s.replica.Sums().Digest(),
			Checks: s.checks.counts,
		},
	}
	if k := s.closer; k != nil {
		st.Scalar.Closed, st.Scalar.Clip, st.Scalar.Voters = s.replica.Closed(), s.replica.Clip(), len(k.voters)
		if st.Scalar.Closed == 0 {
			st.Scalar.Voters = int(s.cfg.Peers)
		}
		if k.machine.Begun() {
			st.Scalar.Voted, st.Scalar.Round = k.machine.Votes(), k.machine.Round
		}
	}
	s.report(&st)
	return st
}

func (s *scalarMethod) state() State {
	st := s.base
	st.Round, st.Step, st.Weight = s.round, s.step, 1
	st.Age = s.replica.Set().Vector().Count()
	st.Opaque, st.Sums = s.encode(), s.replica.Sums().Copy()
	return st
}

// stateVersion is the first byte of the method's part of a checkpoint: what the replica was restored from, if from anything; the records
// after it; the bans; the sealed batches of others that are kept, and what proves the bans. Numbers are uvarints. In closed mode it is
// closedVersion, and how epochs were closed follows.
const (
	stateVersion  = 1
	closedVersion = 2
)

func (s *scalarMethod) encode() []byte {
	out := []byte{stateVersion, 0}
	if s.closer != nil {
		out[0] = closedVersion
	}
	if s.origin != nil {
		out[1] = 1
		out = appendSnapshot(out, s.origin)
	}
	set := s.replica.Set()
	var runs []scalar.Run
	for _, e := range set.Vector() {
		runs = append(runs, set.Runs(scalar.Range{Peer: e.Peer, End: e.Next})...)
	}
	out = binary.AppendUvarint(out, uint64(len(runs)))
	for _, r := range runs {
		out = binary.LittleEndian.AppendUint64(out, r.Peer)
		out = appendNumbers(out, r.First, uint64(r.Epoch), uint64(len(r.Bytes)))
		out = append(out, r.Bytes...)
	}
	out = appendVector(out, set.Bans())
	out = s.encodeSealed(out)
	if s.closer != nil {
		out = s.encodeClosed(out)
	}
	return out
}

// restore goes on from the method's part of a checkpoint; a fresh node has none.
func (s *scalarMethod) restore(opaque []byte, v gossip.Verifier) error {
	s.replica = scalar.NewReplica(s.cfg.Config, s.cfg.RunSeed)
	if len(opaque) == 0 {
		return nil
	}
	d := decoder{rest: opaque, verifier: v, checked: s.checks.on}
	want := byte(stateVersion)
	if s.closer != nil {
		want = closedVersion
	}
	if have := d.bytes(1)[0]; have != want {
		return fmt.Errorf("version %d is not known to this build", have)
	}
	if d.bytes(1)[0] == 1 {
		s.origin = d.snapshot(int(s.cfg.K))
		if d.bad {
			return errCutOff
		}
		var err error
		if s.replica, err = scalar.Restore(s.cfg.Config, s.cfg.RunSeed, s.origin); err != nil {
			return err
		}
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		r := scalar.Run{Peer: d.word(), First: d.number(), Epoch: uint32(d.number())}
		r.Bytes = d.bytes(d.number())
		if d.bad {
			break
		}
		if res, err := s.replica.Insert(r); err != nil || res.Verdict != scalar.Added {
			return fmt.Errorf("records of log %016x from %d on: %s", r.Peer, r.First, res.Verdict)
		}
	}
	for _, b := range d.vector() {
		if err := s.replica.Ban(b.Peer, b.Next); err != nil {
			return err
		}
	}
	s.decodeSealed(&d)
	if d.why != nil {
		return d.why
	}
	if s.closer != nil && !d.bad {
		if err := s.decodeClosed(&d); err != nil {
			return err
		}
	}
	if d.bad || len(d.rest) > 0 {
		return errCutOff
	}
	return nil
}

var errCutOff = errors.New("the records are cut off or damaged: restore the checkpoint, or begin with an empty home")
