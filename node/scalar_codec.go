package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// encodeSealed appends the batches of others that are kept and the proofs. Without them a node that was restarted could not show what
// somebody has signed, and equivocation that comes to light later could not be proven.
func (s *scalarMethod) encodeSealed(to []byte) []byte {
	to = binary.AppendUvarint(to, uint64(s.kept.total)) // own ones are persisted one by one
	for _, tag := range s.kept.order {
		if tag != s.tag {
			for _, m := range s.kept.of(tag) {
				to = s.appendBatch(to, m)
			}
		}
	}
	to = binary.AppendUvarint(to, uint64(len(s.proofs)))
	for _, tag := range slices.Sorted(maps.Keys(s.proofs)) {
		to = s.appendShown(s.appendShown(to, s.proofs[tag].A), s.proofs[tag].B)
	}
	if s.checks.on {
		to = s.checks.trail.encode(to)
	}
	return to
}

// decodeSealed reads them back. The signatures were verified when the messages came; a verifier that is not [trusting] looks again.
func (s *scalarMethod) decodeSealed(d *decoder) {
	for n := d.number(); n > 0 && !d.bad; n-- {
		if m := d.batch(s.run.Run); m != nil {
			s.kept.add(gossip.Tag(s.run.Run, m.Author), m)
		}
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		a, b := d.shown(s.run.Run), d.shown(s.run.Run)
		if a != nil && b != nil {
			s.proofs[gossip.Tag(s.run.Run, a.Author)] = &gossip.Proof{A: a, B: b}
		}
	}
	if s.checks.on && !d.bad {
		s.checks.trail.decode(d)
	}
}

// appendBatch appends the sealed form of a batch; or, of one that was never sealed as in a simulation, 0 and what it says.
func (s *scalarMethod) appendBatch(to []byte, m *gossip.Message) []byte {
	to = binary.AppendUvarint(to, uint64(len(m.Raw)))
	if len(m.Raw) > 0 {
		return append(to, m.Raw...)
	}
	b := recordsOf(m)
	to = appendNumbers(append(to, m.Author[:]...), m.Seq, uint64(b.Epoch), b.First, b.Base)
	to = append(to, b.Previous[:]...)
	if s.checks.on {
		to = append(to, b.Sets[:]...)
	}
	to = binary.AppendUvarint(to, uint64(len(b.Bytes)))
	return append(to, b.Bytes...)
}

// unsealedBallot stands where the length of a sealed message does, which is never so short.
const unsealedBallot = 1

// appendShown appends a message of a proof.
func (s *scalarMethod) appendShown(to []byte, m *gossip.Message) []byte {
	b, ok := m.Body.(*gossip.Ballot)
	if !ok || len(m.Raw) > 0 {
		return s.appendBatch(to, m)
	}
	to = append(binary.AppendUvarint(to, unsealedBallot), m.Author[:]...)
	to = appendNumbers(to, m.Seq, uint64(b.Step), uint64(b.Epoch), uint64(b.Round), b.Own, uint64(b.Lock))
	return append(to, b.Value[:]...)
}

// shown takes off a message of a proof. What an unsealed proposal proposes is not kept: its digest proves as much.
func (d *decoder) shown(run gossip.RunID) *gossip.Message {
	at := *d
	if at.number() != unsealedBallot {
		return d.message(run, func(b gossip.Body) bool {
			switch b.(type) {
			case *gossip.Records, *gossip.Ballot:
				return true
			}
			return false
		})
	}
	*d = at
	m := &gossip.Message{Run: run}
	copy(m.Author[:], d.bytes(uint64(len(m.Author))))
	m.Seq = d.number()
	b := &gossip.Ballot{Step: gossip.BallotStep(d.number()), Epoch: uint32(d.number()), Round: uint32(d.number()), Own: d.number(), Lock: uint32(d.number())}
	copy(b.Value[:], d.bytes(32))
	m.Body = b
	return m
}

// trusting takes the signatures of messages that were verified when they came.
type trusting struct{}

func (trusting) Verify(PeerID, []byte, []byte) bool { return true }

func (d *decoder) batch(run gossip.RunID) *gossip.Message {
	return d.message(run, func(b gossip.Body) bool {
		_, ok := b.(*gossip.Records)
		return ok
	})
}

func (d *decoder) message(run gossip.RunID, welcome func(gossip.Body) bool) *gossip.Message {
	if n := d.number(); n > 0 {
		raw := slices.Clone(d.bytes(n))
		if d.bad {
			return nil
		}
		m, verdict := gossip.Open(raw, gossip.DefaultLimits(), d.verifier)
		if verdict.Decision != gossip.Accept {
			d.bad, d.why = true, fmt.Errorf("a sealed batch of records that is kept does not open: %s", verdict.Reason)
			return nil
		}
		if !welcome(m.Body) {
			d.bad = true
			return nil
		}
		return m
	}
	m := &gossip.Message{Run: run}
	copy(m.Author[:], d.bytes(uint64(len(m.Author))))
	m.Seq = d.number()
	b := &gossip.Records{Epoch: uint32(d.number()), First: d.number(), Base: d.number()}
	copy(b.Previous[:], d.bytes(uint64(len(b.Previous))))
	if d.checked {
		copy(b.Sets[:], d.bytes(uint64(len(b.Sets))))
	}
	b.Bytes = slices.Clone(d.bytes(d.number()))
	m.Body = b
	if d.bad {
		return nil
	}
	return m
}

// A decoder takes numbers off bytes until they are bad; then it gives zeros.
type decoder struct {
	rest []byte
	bad  bool
	why  error // if more is known than that

	verifier gossip.Verifier // of sealed messages
	checked  bool            // batches commit to the sets that their records were measured on
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
	s := &scalar.Snapshot{Closed: uint32(d.number()), Clip: d.bytes(1)[0]}
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
	to = append(binary.AppendUvarint(to, uint64(s.Closed)), s.Clip)
	to = binary.AppendUvarint(to, uint64(len(s.Tails)))
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
