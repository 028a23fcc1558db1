package node

import (
	"fmt"
	"slices"

	"starling/gossip"
	"starling/mixing/scalar"
)

// based takes what a record was measured on: as an answer from its author, or from somebody who accuses it.
func (s *scalarMethod) based(c *Core, from PeerID, b *gossip.Basis) {
	if b.Accuses {
		s.charged(c, from, b)
		return
	}
	k := &s.checks
	i := slices.IndexFunc(k.asked, func(q question) bool { return q.author == from && q.tag == b.Tag && q.seq == b.Seq })
	if i < 0 {
		return // too late, or not asked for
	}
	q := k.asked[i]
	k.asked = slices.Delete(k.asked, i, i+1)
	if q.tries == 1 { // else nobody knows which question it answers
		smooth(&k.answer, max(1, c.now-q.sent))
	}
	batch, v, why := s.committed(b)
	if why != "" || len(b.Sets) == 0 {
		s.unanswered(c, q)
		return
	}
	if batch == nil {
		s.unable(c, from, b.Seq, "its batch is not kept")
		return
	}
	s.suspect(c, batch, v, b, PeerID{})
}

// charged takes an accusation. One against an author whose records this node has found wrong itself is no news.
func (s *scalarMethod) charged(c *Core, from PeerID, b *gossip.Basis) {
	k := &s.checks
	batch, v, why := s.committed(b)
	accuser := c.roster.find(from)
	if accuser == nil || batch == nil || batch.Author == from || c.mode != running || k.of(b.Tag).wrong > 0 {
		return
	}
	if why != "" {
		c.mark(accuser, scoreFalse, "accuses with what the accused has not committed to")
		return
	}
	own := 0
	for _, w := range append(slices.Clip(k.waiting), k.suspectsUnderWay()...) {
		if w.accuser == from {
			own++
		}
		if w.accuser != (PeerID{}) && w.basis.Tag == b.Tag {
			return // somebody has said so already
		}
	}
	if own < maxPerPeer && len(k.waiting) < maxAsked {
		s.suspect(c, batch, v, b, from)
	}
}

func (k *checks) suspectsUnderWay() []suspect {
	if k.job == 0 {
		return nil
	}
	return []suspect{k.suspect}
}

// committed compares a basis with the batch that it is about, which is nil if it is not kept. why says what does not fit.
func (s *scalarMethod) committed(b *gossip.Basis) (batch *gossip.Message, v scalar.Vector, why string) {
	for _, m := range s.kept.of(b.Tag) {
		if r := recordsOf(m); r.First == b.First && len(r.Bytes) == len(b.Sets) {
			batch = m
		}
	}
	if batch == nil {
		return nil, nil, ""
	}
	v = vectorOf(b.Places)
	var sum [16]byte
	for _, set := range b.Sets {
		sum = gossip.Commit(sum, set)
	}
	switch {
	case sum != recordsOf(batch).Sets:
		why = "the batch commits to other sets"
	case b.Sets[b.Seq-b.First] != setName(v):
		why = "the vector is of another set"
	case v.Next(b.Tag) != b.Seq:
		why = "the record is not the next one of its log"
	}
	return batch, v, why
}

// suspect has a record measured again as soon as that can be.
func (s *scalarMethod) suspect(c *Core, batch *gossip.Message, v scalar.Vector, b *gossip.Basis, accuser PeerID) {
	r := recordsOf(batch)
	s.checks.waiting = append(s.checks.waiting, suspect{
		author: batch.Author, accuser: accuser, basis: b, on: v, epoch: r.Epoch, byte: r.Bytes[b.Seq-r.First], until: c.now + 4*s.cfg.ExchangeEvery,
	})
}

func (s *scalarMethod) unable(c *Core, author PeerID, seq uint64, why string) {
	s.checks.counts.Unable++
	c.observe(Stat{Kind: StatUnable, Peer: author, Value: float64(seq), Text: why})
}

// consider begins the next check, if there is one whose set this node can make, and gives up those that wait for too long. It is not
// called for every message that comes: to look what is missing takes as long as there are nodes.
func (s *scalarMethod) consider(c *Core) {
	k := &s.checks
	if len(k.waiting) == 0 || s.phase == scalarClosing {
		return
	}
	busy := k.job != 0 || c.mode != running || !k.rested && s.phase == scalarProbing
	k.waiting = slices.DeleteFunc(k.waiting, func(w suspect) bool {
		if !busy {
			if sums, ok := s.replica.At(w.on); ok {
				busy = true
				s.recheck(c, w, sums)
				return true
			}
		}
		if c.now < w.until {
			return false
		}
		if c.mode == running {
			s.impossible(c, w)
		}
		return true
	})
}

// impossible gives up a check. An author who says that it has measured on records that come to nobody is like one who does not answer: it
// could say so of every record. But it is this node's fault if records are missing here, void, or known by their sum alone.
func (s *scalarMethod) impossible(c *Core, w suspect) {
	set := s.replica.Set()
	bans, own := set.Bans(), set.Vector()
	unheard := slices.ContainsFunc(own.Missing(w.on), func(r scalar.Range) bool { return r.First < voidFrom(bans, r.Peer) })
	switch {
	case unheard && s.exchange.missing == 0 && w.accuser == (PeerID{}):
		s.unanswered(c, question{author: w.author, tag: w.basis.Tag, seq: w.basis.Seq})
	case unheard:
		s.unable(c, w.author, w.basis.Seq, "records of its set are not known here")
	default:
		s.unable(c, w.author, w.basis.Seq, "records are void, or known by their sum alone")
	}
}

// recheck asks the driver to measure a record again on the sums of its set.
func (s *scalarMethod) recheck(c *Core, w suspect, sums *scalar.Accumulators) {
	k := &s.checks
	k.job, k.suspect, k.rested = c.newJob(), w, false
	p := scalar.Place{Seq: w.basis.Seq, Epoch: w.epoch, Generation: s.cfg.Generation(w.epoch)}
	p.K = s.cfg.Direction(s.replica.Pool(), w.basis.Tag, p.Seq, p.Epoch)
	c.out.Check = append(c.out.Check, CheckJob{
		Job: k.job, Sums: sums.Copy(), Probe: ProbeJob{Place: p, Eps: s.cfg.Eps, Drawn: true, Tag: w.basis.Tag},
	})
}

// checked takes the slope that a record should say.
func (s *scalarMethod) checked(c *Core, ev Checked) {
	k := &s.checks
	if k.job == 0 || ev.Job != k.job {
		return
	}
	w := k.suspect
	k.job, k.suspect = 0, suspect{}
	if ev.Cut {
		return
	}
	seq, of := w.basis.Seq, k.of(w.basis.Tag)
	want := s.cfg.Byte(ev.Slope, w.basis.Tag, seq, w.epoch)
	author := c.roster.find(w.author)
	if scalar.Apart(want, w.byte) <= checkTolerance {
		k.counts.Right++
		of.right++
		c.observe(Stat{Kind: StatChecked, Peer: w.author, Value: float64(seq)})
		if author != nil {
			c.mark(author, scoreGood, "a record is right")
		}
		if m := c.roster.find(w.accuser); m != nil {
			c.mark(m, scoreFalse, "accuses a peer of a record that is right")
		}
		return
	}
	k.counts.Wrong++
	of.wrong++
	text := fmt.Sprintf("it is %+d, and measured again on the same %+d", scalar.Value(w.byte), scalar.Value(want))
	c.observe(Stat{Kind: StatWrong, Peer: w.author, Value: float64(seq), Text: text})
	if author != nil {
		c.mark(author, scoreWrong, "a record is wrong")
	}
	if of.told < maxWarnings {
		of.told++
		b := *w.basis
		b.Accuses = true
		for _, id := range connected(c, toldTo, w.author, w.accuser) {
			c.send(id, &b, nil)
		}
	}
}
