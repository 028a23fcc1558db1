package node

import "starling/gossip"

// combine computes vectors, each given by its spans, and calls then with them when all are there.
func (o *outerMethod) combine(c *Core, then func(c *Core, out []VecRef), vectors ...[]Span) {
	out := make([]VecRef, len(vectors))
	left := len(vectors)
	for i, spans := range vectors {
		job := MixJob{Job: c.newJob(), Spans: spans, Out: c.newRef()}
		out[i] = job.Out
		o.calls[job.Job] = func(c *Core, _ Event) {
			if left--; left == 0 {
				then(c, out)
			}
		}
		c.out.Mix = append(c.out.Mix, job)
	}
}

// encode encodes a vector and calls then with the event, whose Pieces are none if that failed.
func (o *outerMethod) encode(c *Core, job EncodeJob, then func(c *Core, ev Encoded)) {
	job.Job = c.newJob()
	o.calls[job.Job] = func(c *Core, ev Event) { then(c, ev.(Encoded)) }
	c.out.Encode = append(c.out.Encode, job)
}

// encodeGradient encodes the pseudo-gradient of the local steps from an anchor to the local copy, and calls then once it may be
// announced, with what others decode of it: 0 if it could not be encoded, or leads nowhere any more.
func (o *outerMethod) encodeGradient(c *Core, from VecRef, apart bool, then func(c *Core, sent VecRef, ev Encoded)) {
	n, life := o.run.Len, o.life
	o.combine(c, func(c *Core, in []VecRef) {
		job := EncodeJob{Vec: in[0], Lens: []int{n}, Apart: apart, Sent: c.newRef()}
		o.encode(c, job, func(c *Core, ev Encoded) {
			c.release(in[0])
			o.announce(c, func(c *Core) {
				sent := job.Sent
				if len(ev.Pieces) == 0 || life != o.life {
					c.release(sent)
					sent = 0
				}
				then(c, sent, ev)
			})
		})
	}, []Span{take(0, n, Term{Vec: from, Coef: 1}, Term{Vec: o.model(), Coef: -1})})
}

// fetch pulls a piece that a member has announced, and calls then with its vector, 0 if it cannot be had.
func (o *outerMethod) fetch(c *Core, m *member, seq uint64, d *gossip.Delta, piece, length int, then func(c *Core, vec VecRef, norm float64)) {
	began := c.now
	job := FetchJob{Job: c.newJob(), Author: m.id, Codec: d.Codec, Len: length, Piece: d.Pieces[piece], Norm: true, Out: c.newRef()}
	o.calls[job.Job] = func(c *Core, ev Event) {
		f := ev.(Fetched)
		for _, id := range f.Bad {
			if bad := c.roster.find(id); bad != nil {
				c.mark(bad, scoreCorrupt, "served wrong bytes")
			}
		}
		if f.Err == FetchOK {
			d := c.now - began
			if length > o.run.Len { // a state
				d = d / Instant(length) * Instant(o.run.Len)
			}
			o.pulled(d)
			then(c, job.Out, f.Norm)
			return
		}
		c.release(job.Out)
		switch f.Err {
		case FetchCorrupt:
			o.refuse(c, m, seq, gossip.RefusedCorrupt, "its payload does not decode to a finite vector")
			c.mark(m, scoreCorrupt, "corrupt payload")
		case FetchUnavailable:
			o.refuse(c, m, seq, gossip.RefusedUnavailable, "no holder served its payload")
		}
		then(c, 0, 0)
	}
	c.out.Fetch = append(c.out.Fetch, job)
}

// take makes a span of so many floats of vectors, from the same place in each.
func take(at, length int, terms ...Term) Span {
	var s Span
	s.Len = length
	for _, t := range terms {
		if t.Coef != 0 && t.Vec != 0 {
			t.At += at
			s.Terms = append(s.Terms, t)
		}
	}
	return s
}

// named lists the vectors that are there.
func named(length int, namesAndVectors ...any) []NamedVector {
	var out []NamedVector
	for i := 0; i < len(namesAndVectors); i += 2 {
		if ref := namesAndVectors[i+1].(VecRef); ref != 0 {
			out = append(out, NamedVector{Name: namesAndVectors[i].(string), Vec: ref, Len: length})
		}
	}
	return out
}
