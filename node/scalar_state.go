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

func (s *scalarMethod) status() MethodStatus {
	set := s.replica.Set()
	v := set.Vector()
	st := MethodStatus{
		Phase: scalarPhases[s.phase], Round: s.round, Announced: s.round, Age: v.Count(), Step: s.step, Loss: s.loss,
		Scalar: &ScalarStatus{
			Records: v.Count(), Missing: s.exchange.missing, Next: set.Next(s.tag), Logs: len(v), Banned: len(set.Bans()),
			Kept: s.kept.total, Digest: s.replica.Sums().Digest(),
		},
	}
	s.report(&st)
	return st
}

func (s *scalarMethod) state() State {
	st := s.base
	st.Round, st.Step, st.Weight = s.round, s.step, 1
	st.Age, _ = s.replica.Set().Fingerprint()
	st.Opaque = s.encode()
	return st
}

// stateVersion is the first byte of the method's part of a checkpoint: what the replica was restored from, if from anything; the records
// after it; the bans. Numbers are uvarints.
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
	return appendVector(out, set.Bans())
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
	if d.bad || len(d.rest) > 0 {
		return errCutOff
	}
	return nil
}

var errCutOff = errors.New("the records are cut off or damaged: restore the checkpoint, or begin with an empty home")

func appendNumbers(to []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		to = binary.AppendUvarint(to, n)
	}
	return to
}

func appendVector(to []byte, v scalar.Vector) []byte {
	to = binary.AppendUvarint(to, uint64(len(v)))
	for _, e := range v {
		to = binary.AppendUvarint(binary.LittleEndian.AppendUint64(to, e.Peer), e.Next)
	}
	return to
}

func appendSnapshot(to []byte, s *scalar.Snapshot) []byte {
	to = appendNumbers(to, uint64(s.Closed), uint64(len(s.Tails)))
	for _, t := range s.Tails {
		to = binary.LittleEndian.AppendUint64(to, t.Peer)
		to = appendNumbers(to, t.Next, uint64(t.Epoch), uint64(t.InEpoch))
		to = binary.LittleEndian.AppendUint64(to, t.Hashes[0])
		to = binary.LittleEndian.AppendUint64(to, t.Hashes[1])
	}
	to = appendVector(to, s.Bans)
	to = binary.AppendUvarint(to, uint64(len(s.Sums)))
	for _, row := range s.Sums {
		to = binary.AppendUvarint(to, uint64(row.Generation))
		for _, a := range row.A {
			to = binary.AppendVarint(to, a)
		}
	}
	return to
}

// A decoder takes numbers off bytes until they are bad; then it gives zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.rest, d.bad = nil, true
		return make([]byte, min(n, 8))
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) word() uint64 { return binary.LittleEndian.Uint64(d.bytes(8)) }

func (d *decoder) number() uint64 {
	x, n := binary.Uvarint(d.rest)
	d.skip(n)
	return x
}

func (d *decoder) signed() int64 {
	x, n := binary.Varint(d.rest)
	d.skip(n)
	return x
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.rest, d.bad = nil, true
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) vector() (v scalar.Vector) {
	for n := d.number(); n > 0 && !d.bad; n-- {
		v = append(v, scalar.Entry{Peer: d.word(), Next: d.number()})
	}
	return v
}

func (d *decoder) snapshot(k int) *scalar.Snapshot {
	s := &scalar.Snapshot{Closed: uint32(d.number())}
	for n := d.number(); n > 0 && !d.bad; n-- {
		t := scalar.Tail{Peer: d.word(), Next: d.number(), Epoch: uint32(d.number()), InEpoch: uint32(d.number())}
		t.Hashes = scalar.Sum{d.word(), d.word()}
		s.Tails = append(s.Tails, t)
	}
	s.Bans = d.vector()
	for n := d.number(); n > 0 && !d.bad; n-- {
		row := scalar.Sums{Generation: uint32(d.number()), A: make([]int64, k)}
		for i := range row.A {
			row.A[i] = d.signed()
		}
		s.Sums = append(s.Sums, row)
	}
	return s
}
