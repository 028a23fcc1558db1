package scalar

import (
	"fmt"
	"slices"
)

// A Closing is what the close of an epoch makes, for peers to agree on before they do it.
type Closing struct {
	Digest [32]byte // of all sums afterwards
	Clip   byte     // largest code that is to count in the next epoch
}

// clipMargin is how many codes above the slopes of an epoch those of the next may go: half as much again, so that slopes that grow are
// followed, and who sends the largest number that counts has the power of a few honest peers.
const clipMargin = 4

// leastClip keeps the clip of an epoch in which slopes were next to nothing from choking what comes after it.
const leastClip = 16

// leastCodes is how many records a peer must have in an epoch to be asked what a usual slope is.
const leastCodes = 8

// Closed is the number of epochs that are closed; the next one to close has this number.
func (r *Replica) Closed() uint32 { return r.closed }

// Ends is the version vector with which the last epoch was closed, without what is banned; nil if none was.
func (r *Replica) Ends() Vector { return r.ends }

// Clip is the largest code that counts in the epoch that is open, in closed mode: larger ones count as that much. It is that of the
// configuration unless [Replica.SetClip] said less.
func (r *Replica) Clip() byte { return min(byte(r.cfg.Clips.At(r.closed)), r.clip) }

// SetClip says what is the largest code that counts in the epoch that is open: what [Replica.Closing] gave for it, as the peers have
// agreed. It is not reckoned here, for peers may learn later that records were void, each at its time, and must not come to different
// numbers.
func (r *Replica) SetClip(code byte) { r.clip = code }

// closable refuses vectors that can close no epoch.
func (r *Replica) closable(v Vector) error {
	switch {
	case !r.cfg.Closed:
		return fmt.Errorf("close epoch %d: the run is in open mode", r.closed)
	case !v.Valid():
		return fmt.Errorf("close epoch %d: the entries of the vector are not in order", r.closed)
	}
	return r.ready(r.closed)
}

// Close closes the next epoch: of its records those below the vector count, combined over peers, and no others ever will. The set must
// have the records; what is missing is returned, and then nothing was changed. Records that are banned are not missing.
func (r *Replica) Close(v Vector) ([]Range, error) {
	if err := r.closable(v); err != nil {
		return nil, err
	}
	if missing := r.set.lacks(v); len(missing) > 0 {
		return missing, nil
	}
	for _, e := range v {
		r.set.close(e, r.closed)
	}
	changes := r.combined(r.closed)
	r.clips = append(r.clips, r.Clip())
	r.closed++
	r.ends = slices.Clone(v)
	return nil, r.add(changes)
}

// Closing says what [Replica.Close] would make, and changes nothing.
func (r *Replica) Closing(v Vector) (Closing, []Range, error) {
	if err := r.closable(v); err != nil {
		return Closing{}, nil, err
	}
	if missing := r.set.lacks(v); len(missing) > 0 {
		return Closing{}, missing, nil
	}
	for _, e := range v {
		r.set.close(e, r.closed)
	}
	out := Closing{Digest: r.sums.digestWith(r.combined(r.closed)), Clip: r.nextClip()}
	r.set.reopen(r.closed)
	return out, nil, nil
}

// nextClip is the clip after the epoch that is being closed: of each peer's codes the one that 999 in 1,000 do not exceed, of these the
// one in the middle, which liars in the minority cannot move beyond honest ones, and the margin.
func (r *Replica) nextClip() byte {
	var usual []byte
	for _, l := range r.set.logs {
		var codes []byte
		for _, run := range l.counted(r.closed) {
			for _, b := range run.Bytes {
				codes = append(codes, min(Code(b), r.Clip()))
			}
		}
		if len(codes) >= leastCodes {
			slices.Sort(codes)
			usual = append(usual, codes[(len(codes)*999+999)/1000-1])
		}
	}
	next := r.Clip()
	if len(usual) > 0 {
		slices.Sort(usual)
		next = max(leastClip, usual[(len(usual)-1)/2]+clipMargin)
	}
	return min(next, MaxCode, byte(r.cfg.Clips.At(r.closed+1)))
}

// clipOf is the clip of an epoch, closed or open.
func (r *Replica) clipOf(epoch uint32) byte {
	if back := r.closed - epoch; back > 0 && int(back) <= len(r.clips) {
		return r.clips[len(r.clips)-int(back)]
	}
	return r.Clip()
}

// InEpoch says which records of an epoch a peer has in the set: from first to end-1.
func (s *Set) InEpoch(peer uint64, epoch uint32) (first, end uint64) {
	if i, ok := s.find(peer); ok {
		l := s.logs[i]
		if at := l.findEpoch(epoch); at >= 0 {
			first, end = l.epochs[at].first, l.next()
			if at+1 < len(l.epochs) {
				end = l.epochs[at+1].first
			}
			return first - uint64(l.epochs[at].before), end
		}
	}
	return 0, 0
}

// reopen has no record of an epoch count.
func (s *Set) reopen(epoch uint32) {
	for _, l := range s.logs {
		if at := l.findEpoch(epoch); at >= 0 {
			l.epochs[at].counts = 0
		}
	}
}

// digestWith is the digest that there would be after some changes.
func (a *Accumulators) digestWith(changes []Change) [32]byte {
	next := NewAccumulators(a.sums.k)
	next.folded = a.folded
	for _, row := range a.sums.rows {
		copy(next.sums.row(row.Generation), row.A)
	}
	for _, c := range changes {
		next.sums.row(c.Generation)[c.K] += c.By
	}
	return next.Digest()
}

// Until is the number of a peer's records in the set, without gaps, that are of epochs up to one.
func (s *Set) Until(peer uint64, epoch uint32) uint64 {
	i, ok := s.find(peer)
	if !ok {
		return 0
	}
	l := s.logs[i]
	for _, e := range l.epochs {
		if e.epoch > epoch {
			return e.first
		}
	}
	return l.next()
}
