package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"starling/mixing/scalar"
)

// ScalarStatus is what a node of the method scalar knows of the set of records.
type ScalarStatus struct {
	Records uint64   // known
	Missing uint64   // that the peer heard of last has and this node does not
	Next    uint64   // number of the node's next record
	Logs    int      // of all nodes that have any records
	Banned  int      // of these, cut off
	Kept    int      // sealed batches that can be passed on
	Digest  [32]byte // of the sums: equal digests are equal models
}

func (s *scalarMethod) phaseName() string { return scalarPhases[s.phase] }

func (s *scalarMethod) status() MethodStatus {
	set := s.replica.Set()
	v := set.Vector()
	st := MethodStatus{
		Phase: s.phaseName(), Round: s.round, Announced: s.round, Age: v.Count(), Step: s.step, Loss: s.loss,
		Scalar: &ScalarStatus{
			Records: v.Count(), Missing: s.exchange.missing, Next: set.Next(s.tag), Logs: len(v), Banned: len(set.Bans()),
			Kept: s.kept.total + len(s.kept.of(s.tag)), Digest: s.replica.Sums().Digest(),
		},
	}
	s.report(&st)
	return st
}

func (s *scalarMethod) state() State {
	st := s.base
	st.Round, st.Step, st.Weight = s.round, s.step, 1
	st.Age = s.replica.Set().Vector().Count()
	st.Opaque = s.encode()
	return st
}

// stateVersion is the first byte of the method's part of a checkpoint: what the replica was restored from, if from anything; the records
// after it; the bans; the sealed batches of others that are kept, and what proves the bans. Numbers are uvarints.
const stateVersion = 1

func (s *scalarMethod) encode() []byte {
	out := []byte{stateVersion, 0}
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
	return s.encodeSealed(out)
}

// restore goes on from the method's part of a checkpoint; a fresh node has none.
func (s *scalarMethod) restore(opaque []byte) error {
	s.replica = scalar.NewReplica(s.cfg.Config, s.cfg.RunSeed)
	if len(opaque) == 0 {
		return nil
	}
	d := decoder{rest: opaque}
	if v := d.bytes(1)[0]; v != stateVersion {
		return fmt.Errorf("version %d is not known to this build", v)
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
	if d.bad || len(d.rest) > 0 {
		return errCutOff
	}
	return nil
}

var errCutOff = errors.New("the records are cut off or damaged: restore the checkpoint, or begin with an empty home")
