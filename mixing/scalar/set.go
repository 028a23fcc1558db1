package scalar

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// A Set is a grow-only set of valid records, less those that a ban made void. It keeps the logs of peers without gaps, one byte for each
// record; what arrives ahead of its log waits in a bounded side buffer. It must not be used concurrently.
type Set struct {
	cfg  Config
	logs []*log // in order of peers

	below []position // of each log, and of the end: made when asked for
	fresh bool       // below is up to date
}

// A Verdict says what became of a run.
type Verdict uint8

// The verdicts of [Set.Insert].
const (
	Added       Verdict = iota // at least one record is new and part of the set
	Duplicate                  // all records were known
	Parked                     // it waits for the records before it
	Full                       // it would wait, but there is no room: ask for it again
	Banned                     // its records are void
	Conflicting                // a record with the same place is known, and different: proof that the peer equivocates
	Invalid                    // it breaks a rule of the configuration
)

// String is the verdict in words.
func (v Verdict) String() string {
	return [...]string{"added", "duplicate", "parked", "full", "banned", "conflicting", "invalid"}[v]
}

// A Result is what [Set.Insert] did.
type Result struct {
	Verdict Verdict
	// Added are the records that became part of the set, those that had waited included. They are the caller's until the next call.
	Added []Run
	// Err says what was wrong with a run, the given one or one that had waited. If Conflict is set, the set has a different record
	// Seq of the peer; two signed batches that show it are proof for [Set.Ban].
	Err      error
	Conflict bool
	Seq      uint64
}

// NewSet makes an empty set.
func NewSet(cfg Config) *Set { return &Set{cfg: cfg} }

func (s *Set) find(peer uint64) (int, bool) {
	return slices.BinarySearchFunc(s.logs, peer, func(l *log, peer uint64) int { return cmp.Compare(l.peer, peer) })
}

func (s *Set) log(peer uint64) *log {
	i, ok := s.find(peer)
	if !ok {
		s.logs = slices.Insert(s.logs, i, &log{peer: peer, ban: noBan})
		s.fresh = false
	}
	return s.logs[i]
}

// Insert adds a run whose signature and membership were checked. It keeps nothing of the run.
func (s *Set) Insert(r Run) Result {
	if err := s.cfg.Check(r); err != nil {
		return Result{Verdict: Invalid, Err: err}
	}
	l := s.log(r.Peer)
	res := s.take(l, r)
	if res.Verdict != Added {
		return res
	}
	for {
		parked, ok := l.unpark()
		if !ok {
			return res
		}
		later := s.take(l, parked)
		res.Added = append(res.Added, later.Added...)
		if later.Err != nil && res.Err == nil {
			res.Err, res.Conflict, res.Seq = later.Err, later.Conflict, later.Seq
		}
	}
}

// parked lists what waits in the side buffer of a peer.
func (s *Set) parked(peer uint64) []Run {
	if i, ok := s.find(peer); ok {
		return slices.Clip(s.logs[i].parked)
	}
	return nil
}

// take adds a run to a log, or parks it.
func (s *Set) take(l *log, r Run) Result {
	if r.First >= l.ban {
		return Result{Verdict: Banned}
	}
	if r.End() > l.ban {
		r.Bytes = r.Bytes[:l.ban-r.First]
	}
	if seq, conflict := l.differs(r); conflict {
		return Result{Verdict: Conflicting, Err: fmt.Errorf("record %d is known and different", seq), Conflict: true, Seq: seq}
	}
	r = r.after(l.next())
	switch {
	case len(r.Bytes) == 0:
		return Result{Verdict: Duplicate}
	case r.First > l.next():
		return Result{Verdict: l.park(r)}
	}
	if err := l.extends(r, s.cfg.PerEpoch); err != nil {
		return Result{Verdict: Invalid, Err: err}
	}
	l.append(r)
	s.fresh = false
	return Result{Verdict: Added, Added: []Run{r}}
}

// ErrForgotten says that records are needed of which only sums are known, from a snapshot. A snapshot of somebody who has
// them helps.
var ErrForgotten = errors.New("records below the start of a log are known by their sum alone")

// Ban makes the records of a peer void from a sequence number on: the first of which two versions are signed. It returns those that the
// set had. Bans join by the smaller number, so that their order does not matter.
func (s *Set) Ban(peer, first uint64) ([]Run, error) {
	l := s.log(peer)
	if first >= l.ban {
		return nil, nil
	}
	if first < l.from {
		return nil, fmt.Errorf("ban from record %d: %w", first, ErrForgotten)
	}
	void := l.runs(first, noBan)
	for i := range void {
		void[i].Bytes = slices.Clone(void[i].Bytes)
	}
	l.ban = first
	l.cut(first)
	l.parked = slices.DeleteFunc(l.parked, func(r Run) bool { return r.First >= first })
	l.parkedBytes = 0
	for _, r := range l.parked {
		l.parkedBytes += len(r.Bytes)
	}
	s.fresh = false
	return void, nil
}

// Bans lists the peers whose records are void from Next on.
func (s *Set) Bans() Vector {
	var out Vector
	for _, l := range s.logs {
		if l.ban != noBan {
			out = append(out, Entry{l.peer, l.ban})
		}
	}
	return out
}

// Vector is the version vector of the set.
func (s *Set) Vector() Vector {
	out := make(Vector, 0, len(s.logs))
	for _, l := range s.logs {
		if n := l.next(); n > 0 {
			out = append(out, Entry{l.peer, n})
		}
	}
	return out
}

// Next is the number of a peer's records that are known without gaps.
func (s *Set) Next(peer uint64) uint64 {
	if i, ok := s.find(peer); ok {
		return s.logs[i].next()
	}
	return 0
}

// epoch is that of a peer's last record.
func (s *Set) epoch(peer uint64) uint32 {
	if i, ok := s.find(peer); ok && len(s.logs[i].epochs) > 0 {
		return s.logs[i].epochs[len(s.logs[i].epochs)-1].epoch
	}
	return 0
}

// close has the records of an epoch count that are below the end in an entry.
func (s *Set) close(e Entry, epoch uint32) {
	if i, ok := s.find(e.Peer); ok {
		if at := s.logs[i].findEpoch(epoch); at >= 0 && e.Next > s.logs[i].epochs[at].first {
			s.logs[i].epochs[at].counts = uint32(min(e.Next-s.logs[i].epochs[at].first, uint64(s.cfg.PerEpoch)))
		}
	}
}

// open reports whether a run may go on where the log of its peer ends.
func (s *Set) open(r Run) bool {
	i, ok := s.find(r.Peer)
	return !ok || r.First < s.logs[i].ban && s.logs[i].extends(r, s.cfg.PerEpoch) == nil
}

// Runs lists the records of a range, as far as they are kept, a run for each epoch. They are valid until the set changes.
func (s *Set) Runs(r Range) []Run {
	if i, ok := s.find(r.Peer); ok {
		return s.logs[i].runs(r.First, r.End)
	}
	return nil
}

// At is a record, if it is kept.
func (s *Set) At(peer, seq uint64) (Record, bool) {
	if i, ok := s.find(peer); ok && seq >= s.logs[i].from && seq < s.logs[i].next() {
		return s.logs[i].at(seq), true
	}
	return Record{}, false
}

// A Key is the place of a record in the order of all: by peer, then by sequence number.
type Key struct{ Peer, Seq uint64 }

// A position is what is below a place: how many records, and the sum of their hashes.
type position struct {
	count uint64
	sum   Sum
}

// Fingerprint is number and sum of hashes of all records, those of a snapshot included.
func (s *Set) Fingerprint() (uint64, Sum) {
	s.index()
	all := s.below[len(s.logs)]
	return all.count, all.sum
}

func (s *Set) index() {
	if s.fresh {
		return
	}
	s.below = append(s.below[:0], position{})
	for i, l := range s.logs {
		p := s.below[i]
		s.below = append(s.below, position{p.count + l.next(), p.sum.Add(l.prefix(l.next()))})
	}
	s.fresh = true
}

// cuts reports whether a key is among records that are known by their sum alone.
func (s *Set) cuts(k Key) bool {
	i, ok := s.find(k.Peer)
	return ok && k.Seq > 0 && k.Seq < s.logs[i].from
}

// under is what is below a key that does not cut.
func (s *Set) under(k Key) position {
	s.index()
	i, ok := s.find(k.Peer)
	p := s.below[i]
	if ok {
		l := s.logs[i]
		p.count += min(k.Seq, l.next())
		p.sum = p.sum.Add(l.prefix(min(k.Seq, l.next())))
	}
	return p
}

// place is the key of record number n in the order of all.
func (s *Set) place(n uint64) Key {
	s.index()
	i := sort.Search(len(s.logs), func(i int) bool { return s.below[i+1].count > n })
	return Key{s.logs[i].peer, n - s.below[i].count}
}
