package scalar

import (
	"fmt"
)

// A Snapshot is what a late joiner needs instead of all records: sums, and where each log goes on. It is to be compared with the digests
// that others tell for the same vector, see [Snapshot.Vector] and [Accumulators.Digest].
type Snapshot struct {
	Closed uint32 // epochs, in closed mode
	Clip   byte   // of the one that is open, in closed mode, see [Replica.Clip]
	Tails  []Tail // in order of peers
	Bans   Vector // records from Next on are void
	Sums   []Sums // in order of generations
}

// A Tail is where the log of a peer goes on: after Next records, the last InEpoch of them of epoch Epoch. Hashes is the sum of their
// hashes, for [Set.Reconcile].
type Tail struct {
	Peer, Next     uint64
	Epoch, InEpoch uint32
	Hashes         Sum
}

// Vector is the version vector of the records that the sums are of.
func (s *Snapshot) Vector() Vector {
	out := make(Vector, len(s.Tails))
	for i, t := range s.Tails {
		out[i] = Entry{t.Peer, t.Next}
	}
	return out
}

// Snapshot makes one of the state now. In closed mode it is the state at the last closing, so that all peers make the same one: records
// that came too late for that, or are of open epochs, are to be asked for.
// The error is [ErrFolded] if sums are not in memory: unfold them first. The sums are copies.
func (r *Replica) Snapshot() (*Snapshot, error) {
	if n := len(r.sums.folded); n > 0 {
		return nil, fmt.Errorf("snapshot: pool generation %d: %w", r.sums.folded[0].generation, ErrFolded)
	}
	out := &Snapshot{Closed: r.Closed(), Bans: r.set.Bans()}
	if r.cfg.Closed {
		out.Clip = r.Clip()
	}
	for _, l := range r.set.logs {
		next := l.next()
		if r.cfg.Closed {
			next = min(next, r.ends.Next(l.peer))
		}
		if next == 0 {
			continue
		}
		out.Tails = append(out.Tails, l.tail(next))
	}
	out.Sums = r.sums.Copy()
	return out, nil
}

// Restore makes the state of a snapshot, which may have come from anybody: it is checked to make sense, not to be true.
func Restore(cfg Config, seed uint64, s *Snapshot) (*Replica, error) {
	r := NewReplica(cfg, seed)
	if !s.Vector().Valid() || !s.Bans.ordered() {
		return nil, fmt.Errorf("snapshot: peers are not in order")
	}
	if s.Closed > 0 && !cfg.Closed {
		return nil, fmt.Errorf("snapshot: %d closed epochs are not possible", s.Closed)
	}
	if cfg.Closed {
		if s.Clip > MaxCode {
			return nil, fmt.Errorf("snapshot: code %d is none", s.Clip)
		}
		r.closed, r.clip, r.ends = s.Closed, s.Clip, s.Vector()
	}
	for _, t := range s.Tails {
		if err := cfg.plausible(t); err != nil {
			return nil, fmt.Errorf("snapshot: peer %016x: %w", t.Peer, err)
		}
		l := r.set.log(t.Peer)
		l.from, l.start = t.Next, t.Hashes
		l.epochs = []epochStart{{first: t.Next, epoch: t.Epoch, before: t.InEpoch}}
	}
	for _, b := range s.Bans {
		l := r.set.log(b.Peer)
		if l.ban = b.Next; l.from > l.ban {
			return nil, fmt.Errorf("snapshot: peer %016x has records that are banned", b.Peer)
		}
	}
	for i, row := range s.Sums {
		if len(row.A) != int(cfg.K) || i > 0 && s.Sums[i-1].Generation >= row.Generation {
			return nil, fmt.Errorf("snapshot: sums of generation %d are of %d directions or out of order, want %d directions", row.Generation, len(row.A), cfg.K)
		}
		for k, a := range row.A {
			if err := r.sums.Add(row.Generation, uint32(k), a); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// plausible refuses ends of logs that no valid records have.
func (c Config) plausible(t Tail) error {
	own := (t.Next - 1) / uint64(c.PerEpoch)
	switch {
	case t.Next == 0 || t.Next > c.Records:
		return fmt.Errorf("%d records: want 1 to %d", t.Next, c.Records)
	case uint64(t.Epoch) < own || !c.RunClock && uint64(t.Epoch) != own:
		return fmt.Errorf("record %d is not of epoch %d", t.Next-1, t.Epoch)
	case t.InEpoch == 0 || t.InEpoch > c.PerEpoch || uint64(t.InEpoch) > t.Next:
		return fmt.Errorf("%d of %d records are of the last epoch", t.InEpoch, t.Next)
	}
	return nil
}

// ordered is like Valid, but entries may be 0: bans may begin with the first record.
func (v Vector) ordered() bool {
	for i := range v {
		if i > 0 && v[i-1].Peer >= v[i].Peer {
			return false
		}
	}
	return true
}
