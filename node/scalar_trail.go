package node

import (
	"encoding/binary"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// A trail is what a node has measured its newest records on: the version vector of each, as what has changed since the one before.
type trail struct {
	base    scalar.Vector // of the first entry, before its changes
	last    scalar.Vector // of the newest one
	entries []trailEntry  // of consecutive records
	changes int           // in all entries
}

type trailEntry struct {
	seq     uint64
	set     [8]byte // the name of its set
	changes []scalar.Entry
}

// The bounds of a trail: 8,192 records are 64 batches of the default size; in a run in which much is heard between two of them they are
// fewer, and 16 bytes a change make a mebibyte.
const (
	maxTrailRecords = 1 << 13
	maxTrailChanges = 1 << 16
)

// setName names a set, see [gossip.Commit].
func setName(v scalar.Vector) [8]byte {
	d := v.Digest()
	return [8]byte(d[:8])
}

// add goes on with the next record, which was measured on v, and returns the name of that set.
func (t *trail) add(seq uint64, v scalar.Vector) [8]byte {
	if n := len(t.entries); n > 0 && t.entries[n-1].seq+1 != seq {
		*t = trail{}
	}
	if len(t.entries) == 0 {
		t.base, t.last = v, v
	}
	e := trailEntry{seq: seq, set: setName(v), changes: changesOf(t.last, v)}
	t.entries, t.changes, t.last = append(t.entries, e), t.changes+len(e.changes), v
	for len(t.entries) > maxTrailRecords || t.changes > maxTrailChanges {
		t.drop((len(t.entries) + 3) / 4)
	}
	return e.set
}

// drop forgets the oldest entries.
func (t *trail) drop(n int) {
	for _, e := range t.entries[:n] {
		t.base = changed(t.base, e.changes)
		t.changes -= len(e.changes)
	}
	t.entries = slices.Delete(t.entries, 0, n)
}

// find is the place of a record in the entries.
func (t *trail) find(seq uint64) (int, bool) {
	if len(t.entries) == 0 || seq < t.entries[0].seq || seq-t.entries[0].seq >= uint64(len(t.entries)) {
		return 0, false
	}
	return int(seq - t.entries[0].seq), true
}

// at is what a record was measured on.
func (t *trail) at(seq uint64) (scalar.Vector, bool) {
	i, ok := t.find(seq)
	if !ok {
		return nil, false
	}
	v := t.base
	for _, e := range t.entries[:i+1] {
		v = changed(v, e.changes)
	}
	return v, true
}

// sets names the sets of consecutive records.
func (t *trail) sets(first uint64, n int) ([][8]byte, bool) {
	i, ok := t.find(first)
	if !ok || n > len(t.entries)-i {
		return nil, false
	}
	out := make([][8]byte, n)
	for j, e := range t.entries[i : i+n] {
		out[j] = e.set
	}
	return out, true
}

// changesOf lists what makes w of v: the entries of w that v has not, and with Next 0 those that are no more, since their records are banned.
func changesOf(v, w scalar.Vector) (out []scalar.Entry) {
	for len(v) > 0 || len(w) > 0 {
		switch {
		case len(w) == 0 || len(v) > 0 && v[0].Peer < w[0].Peer:
			out = append(out, scalar.Entry{Peer: v[0].Peer})
			v = v[1:]
		case len(v) == 0 || w[0].Peer < v[0].Peer:
			out = append(out, w[0])
			w = w[1:]
		default:
			if v[0].Next != w[0].Next {
				out = append(out, w[0])
			}
			v, w = v[1:], w[1:]
		}
	}
	return out
}

// changed is a vector after changes. It does not write to v.
func changed(v scalar.Vector, changes []scalar.Entry) scalar.Vector {
	if len(changes) == 0 {
		return v
	}
	out := make(scalar.Vector, 0, len(v)+len(changes))
	for _, e := range changes {
		at, there := v.Find(e.Peer)
		out = append(out, v[:at]...)
		if v = v[at:]; there {
			v = v[1:]
		}
		if e.Next > 0 {
			out = append(out, e)
		}
	}
	return append(out, v...)
}

// encode appends the trail to a checkpoint: whoever asks after a restart gets an answer about what was before it.
func (t *trail) encode(to []byte) []byte {
	to = binary.AppendUvarint(to, uint64(len(t.entries)))
	if len(t.entries) == 0 {
		return to
	}
	to = appendVector(binary.AppendUvarint(to, t.entries[0].seq), t.base)
	for _, e := range t.entries {
		to = appendVector(to, e.changes)
	}
	return to
}

func (t *trail) decode(d *decoder) {
	n := d.number()
	if n == 0 {
		return
	}
	seq, v := d.number(), d.vector()
	first := v
	for range n {
		changes := d.vector()
		if d.bad || !v.Valid() {
			d.bad = true
			return
		}
		v = changed(v, changes)
		if len(t.entries) == 0 {
			*t = trail{base: first}
		}
		t.entries = append(t.entries, trailEntry{seq: seq, set: setName(v), changes: changes})
		t.changes, t.last = t.changes+len(changes), v
		seq++
	}
}

// declare has the probe that begins measure what everybody can measure again, and notes what it is measured on.
func (s *scalarMethod) declare() {
	if s.checks.on {
		s.probe.Drawn, s.probe.Tag = true, s.tag
		s.checks.basis = s.replica.Set().Vector()
	}
}

// declared commits to what the record was measured on that was just added to the open batch.
func (s *scalarMethod) declared(b *gossip.Records, seq uint64) {
	if s.checks.on {
		b.Sets = gossip.Commit(b.Sets, s.checks.trail.add(seq, s.checks.basis))
	}
}

// challenged answers who asks what an own record was measured on.
func (s *scalarMethod) challenged(c *Core, from PeerID, q *gossip.Challenge) {
	k := &s.checks
	if q.Tag != s.tag || !k.admit(c.now, s.cfg.ExchangeEvery, from) {
		return
	}
	answer := &gossip.Basis{Tag: q.Tag, Seq: q.Seq}
	batches, _ := s.kept.overlapping(scalar.Range{Peer: s.tag, First: q.Seq, End: q.Seq + 1})
	if len(batches) > 0 {
		b := recordsOf(batches[0])
		sets, has := k.trail.sets(b.First, len(b.Bytes))
		if v, ok := k.trail.at(q.Seq); ok && has {
			answer.First, answer.Sets = b.First, sets
			for _, e := range v {
				answer.Places = append(answer.Places, gossip.Place{Tag: e.Peer, Seq: e.Next})
			}
		}
	}
	if len(answer.Places) > gossip.DefaultLimits().MaxKnown {
		return
	}
	c.send(from, answer, nil)
}
