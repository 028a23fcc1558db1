package scalar

// At is the accumulators as they were, or would be, of the records below a vector. It is not ok unless the set has all of these, and
// what is beyond them record by record; nor in closed mode, where not all records are in the sums. It is a copy.
func (r *Replica) At(v Vector) (*Accumulators, bool) {
	own := r.set.Vector()
	if r.cfg.Closed || len(own.Missing(v)) > 0 {
		return nil, false
	}
	at := &Replica{cfg: r.cfg, pool: r.pool, sums: NewAccumulators(r.cfg.K)}
	for _, row := range r.sums.Generations() {
		copy(at.sums.sums.row(row.Generation), row.A)
	}
	at.sums.folded = r.sums.folded
	for _, beyond := range v.Missing(own) {
		missing := beyond.Len()
		for _, run := range r.set.Runs(beyond) {
			missing -= uint64(len(run.Bytes))
			if at.count(run, -1) != nil {
				return nil, false
			}
		}
		if missing > 0 {
			return nil, false
		}
	}
	at.sums.changes.rows = nil
	return at.sums, true
}

// Compact has the replica forget the records below a vector one by one: what they add up to stays. It returns the snapshot of what was
// forgotten, now or before: [Restore] makes the replica again of that, and of the records that are left. A ban from a forgotten record on
// fails as after a snapshot, and so does to join the sums with those of who lacks a forgotten record and has others: only what all have
// may be forgotten. It is not ok, and nothing was changed, if the set does not have all of the vector; in closed mode, where records of
// closed epochs are needed to combine them anew; or if sums are folded.
func (r *Replica) Compact(cut Vector) (*Snapshot, bool) {
	if own := r.set.Vector(); len(own.Missing(cut)) > 0 {
		return nil, false
	}
	var v Vector
	for _, l := range r.set.logs {
		if below := max(l.from, cut.Next(l.peer)); below > 0 {
			v = append(v, Entry{l.peer, below})
		}
	}
	sums, ok := r.At(v)
	if !ok || len(r.sums.folded) > 0 {
		return nil, false
	}
	out := &Snapshot{Bans: r.set.Bans(), Sums: sums.Copy()}
	for _, e := range v {
		l := r.set.log(e.Peer)
		t := l.tail(e.Next)
		out.Tails = append(out.Tails, t)
		l.forget(t)
	}
	return out, true
}

// tail is where a log goes on after its first next records, of which there is one at least.
func (l *log) tail(next uint64) Tail {
	t := Tail{Peer: l.peer, Next: next, Hashes: l.prefix(next)}
	for _, e := range l.epochs {
		if e.first < next || e.before > 0 {
			t.Epoch, t.InEpoch = e.epoch, uint32(next-e.first)+e.before
		}
	}
	return t
}

// forget leaves the records from a tail on.
func (l *log) forget(t Tail) {
	if t.Next == l.from {
		return
	}
	epochs := []epochStart{{first: t.Next, epoch: t.Epoch, before: t.InEpoch}}
	for _, e := range l.epochs {
		if e.first >= t.Next {
			epochs = append(epochs, e)
		}
	}
	l.bytes = append([]byte(nil), l.bytes[t.Next-l.from:]...)
	l.from, l.start, l.epochs, l.blocks = t.Next, t.Hashes, epochs, nil
}

// Kept is how many records the set has one by one, and not only as a part of a sum.
func (s *Set) Kept() uint64 {
	n := uint64(0)
	for _, l := range s.logs {
		n += uint64(len(l.bytes))
	}
	return n
}
