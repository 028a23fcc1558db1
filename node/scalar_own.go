package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"starling/gossip"
	"starling/mixing/scalar"
)

// An ownLog is what a node knows of its own records beside the set: the batch that is still open, and the chain of those that are not.
type ownLog struct {
	open      *gossip.Records // nil if there is none
	sealAt    Instant         // when it is sent at the latest; 0 is never
	previous  [32]byte        // digest of the newest closed batch
	logged    []*gossip.Message
	elsewhere uint64  // own records that another node says it has
	believed  Instant // until then; 0: nobody has said so yet
	broken    bool    // another node has other records of the same places
}

// behind reports whether others have more of the own log than this node, or only its sum is known here: its home is an old copy. It must
// not add to the log before it knows what is there, for that would be equivocation. But who says so and has nothing to show is
// believed for a while only.
func (s *scalarMethod) behind(c *Core) bool {
	o, next := &s.own, s.replica.Set().Next(s.tag)
	if o.elsewhere > next && c.now < o.believed {
		return true
	}
	return o.broken || next > 0 && o.open == nil && o.previous == [32]byte{}
}

// claimed takes note that a peer says to have so many own records.
func (s *scalarMethod) claimed(c *Core, records uint64) {
	if records <= max(s.own.elsewhere, s.replica.Set().Next(s.tag)) || records > s.cfg.Records {
		return
	}
	s.own.elsewhere = records
	if s.own.believed == 0 {
		s.own.believed = c.now + believeFor*s.cfg.ExchangeEvery
	}
}

// believeFor is how many intervals between exchanges a node looks for records that it is said to have written, once in its life.
const believeFor = 4

// closed takes note of an own batch that is closed.
func (s *scalarMethod) closed(msg *gossip.Message) {
	o := &s.own
	b := recordsOf(msg)
	at, there := slices.BinarySearchFunc(o.logged, b.First, func(m *gossip.Message, first uint64) int {
		return cmp.Compare(recordsOf(m).First, first)
	})
	if there {
		return
	}
	o.logged = slices.Insert(o.logged, at, msg)
	s.kept.add(s.tag, msg)
	for _, m := range o.logged[at:] {
		if recordsOf(m).End() == s.replica.Set().Next(s.tag) {
			o.open, o.previous = nil, recordsOf(m).Digest(m.Author)
		}
	}
}

// ownElsewhere takes a batch of the own log that came from others: nothing new, or what an older copy of the node's home did not have.
func (s *scalarMethod) ownElsewhere(c *Core, msg *gossip.Message, b *gossip.Records) {
	if slices.ContainsFunc(s.own.logged, func(m *gossip.Message) bool {
		return recordsOf(m).First == b.First && bytes.Equal(recordsOf(m).Bytes, b.Bytes)
	}) {
		return
	}
	res, err := s.replica.Insert(s.runOf(s.tag, b))
	switch {
	case err != nil:
		return
	case res.Conflict || res.Verdict == scalar.Banned:
		s.own.broken = true
		s.disown(c)
		s.kept.add(s.tag, msg)
		_, _ = s.replica.Insert(s.runOf(s.tag, b))
		c.observe(Stat{Kind: StatForgotten, Value: float64(b.First), Text: "another node with this key has other records: stop one of them"})
		return
	case s.own.open != nil && b.End() > s.own.open.First:
		return // the same records, to be cut by this node alone
	}
	s.dirty = true
	s.persist(c, msg)
	s.closed(msg)
	s.goOn(c)
}

// disown takes back the records that were not sent yet. Others have different ones at their places, and must never see these.
func (s *scalarMethod) disown(c *Core) {
	o := &s.own
	if o.open == nil {
		return
	}
	first := o.open.First
	c.out.Persist = append(c.out.Persist, Record{Key: loggedKey(first)})
	o.open, o.sealAt = nil, 0
	r := scalar.NewReplica(s.cfg.Config, s.cfg.RunSeed)
	if s.origin != nil {
		var err error
		if r, err = scalar.Restore(s.cfg.Config, s.cfg.RunSeed, s.origin); err != nil {
			return
		}
	}
	set := s.replica.Set()
	for _, e := range set.Vector() {
		if e.Peer == s.tag {
			e.Next = first
		}
		for _, run := range set.Runs(scalar.Range{Peer: e.Peer, End: e.Next}) {
			if _, err := r.Insert(run); err != nil {
				return
			}
		}
	}
	for _, b := range set.Bans() {
		if r.Ban(b.Peer, b.Next) != nil {
			return
		}
	}
	if s.closer != nil && s.closer.again(r) != nil {
		return
	}
	s.replace(r)
}

// republish sends the newest batch again at the start: the node may have died after it was closed and before it was sent.
func (s *scalarMethod) republish(c *Core) {
	if n := len(s.own.logged); n > 0 {
		c.out.Publish = append(c.out.Publish, s.own.logged[n-1])
	}
	if s.own.open != nil {
		s.own.sealAt = c.now + s.cfg.BatchEvery
	}
}

// The form of a persisted batch: the number of its message (8 bytes, big-endian; 0 if it is open), epoch (4), first (8), base (8), previous
// (32), in a run in which records are checked the commitment to their sets (16), and the records.
const loggedHead = 8 + 4 + 8 + 8 + 32

func (s *scalarMethod) persist(c *Core, msg *gossip.Message) {
	b := msg.Body.(*gossip.Records)
	from := len(c.out.values)
	v := binary.BigEndian.AppendUint64(c.out.values, msg.Seq)
	v = binary.BigEndian.AppendUint32(v, b.Epoch)
	v = binary.BigEndian.AppendUint64(v, b.First)
	v = binary.BigEndian.AppendUint64(v, b.Base)
	v = append(v, b.Previous[:]...)
	if s.cfg.CheckShare > 0 {
		v = append(v, b.Sets[:]...)
	}
	v = append(v, b.Bytes...)
	c.out.values = v
	c.out.Persist = append(c.out.Persist, Record{Key: loggedKey(b.First), Value: v[from:]})
}

func loggedKey(first uint64) string { return fmt.Sprintf("%s%016x", ScalarKey, first) }

// replay goes on with the own log as it was persisted.
func (s *scalarMethod) replay(log []Record) error {
	for i, r := range log {
		head := loggedHead
		if s.cfg.CheckShare > 0 {
			head += len(gossip.Records{}.Sets)
		}
		if !strings.HasPrefix(r.Key, ScalarKey) || len(r.Value) <= head {
			return fmt.Errorf("record %s: not a batch of records", r.Key)
		}
		v := r.Value
		b := &gossip.Records{
			Epoch: binary.BigEndian.Uint32(v[8:]), First: binary.BigEndian.Uint64(v[12:]), Base: binary.BigEndian.Uint64(v[20:]),
			Previous: [32]byte(v[28:]), Bytes: slices.Clone(v[head:]),
		}
		copy(b.Sets[:], v[loggedHead:head])
		switch res, err := s.replica.Insert(s.runOf(s.tag, b)); {
		case err != nil:
			return err
		case res.Err != nil:
			return fmt.Errorf("record %s: %w", r.Key, res.Err)
		case res.Verdict == scalar.Added:
			s.dirty = true
		}
		seq := binary.BigEndian.Uint64(v)
		if seq == 0 {
			if i < len(log)-1 {
				return fmt.Errorf("record %s: a batch before the last one is open", r.Key)
			}
			if b.End() != s.replica.Set().Next(s.tag) {
				return fmt.Errorf("record %s: what was before it is missing", r.Key)
			}
			s.own.open = b
			return nil
		}
		s.closed(&gossip.Message{Run: s.run.Run, Author: s.run.Self, Seq: seq, Body: b})
		s.round = max(s.round, uint64(len(s.own.logged)))
	}
	return nil
}

// forgetLogged takes away persisted batches that are in a checkpoint, and that nobody will be given any more.
func (s *scalarMethod) forgetLogged(c *Core) {
	oldest := s.kept.first(s.tag)
	for len(s.own.logged) > 1 {
		b := s.own.logged[0].Body.(*gossip.Records)
		if b.First >= oldest || b.End() > s.saving {
			return
		}
		c.out.Persist = append(c.out.Persist, Record{Key: loggedKey(b.First)})
		s.own.logged = slices.Delete(s.own.logged, 0, 1)
	}
}

func (s *scalarMethod) runOf(tag uint64, b *gossip.Records) scalar.Run {
	return scalar.Run{Peer: tag, First: b.First, Epoch: b.Epoch, Bytes: b.Bytes}
}
