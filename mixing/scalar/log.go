package scalar

import (
	"fmt"
	"slices"
	"sort"
)

// A log is the records of one peer from a sequence number on, without gaps: a byte for each, and an entry for each epoch.
type log struct {
	peer   uint64
	from   uint64 // the records below were summed up by others
	start  Sum    // of the hashes of those
	bytes  []byte
	epochs []epochStart
	blocks []Sum // blocks[i] is the sum of hashes of the first (i+1)·block records; made when asked for

	parked      []Run // ahead of the log, in order of First
	parkedBytes int

	ban uint64 // records from here on are void; noBan if none is
}

const (
	block = 64
	noBan = 1<<64 - 1
)

// An epochStart begins the records of an epoch. before is how many of its records are below the log's first; counts is how many were in
// time, from the first one on, when the epoch was closed.
type epochStart struct {
	first                 uint64
	epoch, before, counts uint32
}

func (l *log) next() uint64 { return l.from + uint64(len(l.bytes)) }

// epochAt is the place in epochs of a record's epoch.
func (l *log) epochAt(seq uint64) int {
	return sort.Search(len(l.epochs), func(i int) bool { return l.epochs[i].first > seq }) - 1
}

// findEpoch is the place in epochs of an epoch; -1 if it has no records.
func (l *log) findEpoch(epoch uint32) int {
	i := sort.Search(len(l.epochs), func(i int) bool { return l.epochs[i].epoch >= epoch })
	if i == len(l.epochs) || l.epochs[i].epoch != epoch {
		return -1
	}
	return i
}

// counted lists the records of a closed epoch that were in time.
func (l *log) counted(epoch uint32) []Run {
	i := l.findEpoch(epoch)
	if i < 0 {
		return nil
	}
	first := l.epochs[i].first
	return l.runs(first, first+uint64(l.epochs[i].counts))
}

func (l *log) at(seq uint64) Record {
	return Record{l.peer, seq, l.epochs[l.epochAt(seq)].epoch, l.bytes[seq-l.from]}
}

// runs lists the records from first to end-1, a run for each epoch. They alias the log.
func (l *log) runs(first, end uint64) []Run {
	first, end = max(first, l.from), min(end, l.next())
	var out []Run
	if first >= end {
		return nil
	}
	for i := l.epochAt(first); first < end; i++ {
		stop := end
		if i+1 < len(l.epochs) {
			stop = min(stop, l.epochs[i+1].first)
		}
		if first < stop {
			out = append(out, Run{l.peer, first, l.epochs[i].epoch, slices.Clip(l.bytes[first-l.from : stop-l.from])})
		}
		first = stop
	}
	return out
}

// differs finds the first record of a run that is known to be different.
func (l *log) differs(r Run) (uint64, bool) {
	for _, known := range l.runs(r.First, r.End()) {
		for i, b := range known.Bytes {
			if seq := known.First + uint64(i); known.Epoch != r.Epoch || b != r.Bytes[seq-r.First] {
				return seq, true
			}
		}
	}
	return 0, false
}

// extends refuses a run that does not go on from the end of the log: epochs may not go down, and have perEpoch records at most.
func (l *log) extends(r Run, perEpoch uint32) error {
	if len(l.epochs) == 0 {
		return nil
	}
	last := l.epochs[len(l.epochs)-1]
	if r.Epoch < last.epoch {
		return fmt.Errorf("record %d is of epoch %d after one of epoch %d", r.First, r.Epoch, last.epoch)
	}
	if n := l.next() - last.first + uint64(last.before); r.Epoch == last.epoch && n+uint64(len(r.Bytes)) > uint64(perEpoch) {
		return fmt.Errorf("records %d to %d make more than %d of epoch %d", r.First, r.End()-1, perEpoch, r.Epoch)
	}
	return nil
}

func (l *log) append(r Run) {
	if n := len(l.epochs); n == 0 || l.epochs[n-1].epoch != r.Epoch {
		l.epochs = append(l.epochs, epochStart{first: r.First, epoch: r.Epoch})
	}
	l.bytes = append(l.bytes, r.Bytes...)
}

// cut takes away the records from a sequence number on, which is not below the log's first.
func (l *log) cut(seq uint64) {
	if seq >= l.next() {
		return
	}
	l.bytes = slices.Clone(l.bytes[:seq-l.from])
	for n := len(l.epochs); n > 0 && l.epochs[n-1].first >= seq && l.epochs[n-1].before == 0; n-- {
		l.epochs = l.epochs[:n-1]
	}
	l.blocks = l.blocks[:min(len(l.blocks), len(l.bytes)/block)]
}

// prefix is the sum of the hashes of the records below seq, which is 0 or in what the log keeps.
func (l *log) prefix(seq uint64) Sum {
	if seq == 0 {
		return Sum{}
	}
	for have := len(l.blocks); have < len(l.bytes)/block; have++ {
		sum := Sum{}
		if have > 0 {
			sum = l.blocks[have-1]
		}
		first := l.from + uint64(have*block)
		l.blocks = append(l.blocks, sum.Add(l.hashes(first, first+block)))
	}
	whole, sum := (min(seq, l.next())-l.from)/block, l.start
	if whole > 0 {
		sum = sum.Add(l.blocks[whole-1])
	}
	return sum.Add(l.hashes(l.from+whole*block, seq))
}

func (l *log) hashes(first, end uint64) (sum Sum) {
	for _, r := range l.runs(first, end) {
		for i := range r.Bytes {
			sum = sum.Add(r.At(i).Hash())
		}
	}
	return sum
}

// The side buffer of a log is bounded, so that a peer that leaves gaps on purpose costs little.
const (
	maxParkedRuns  = 64
	maxParkedBytes = 16 << 10
)

// park keeps a run until the gap before it is filled. If there is no room, the runs farthest ahead give way.
func (l *log) park(r Run) Verdict {
	i := sort.Search(len(l.parked), func(i int) bool { return l.parked[i].First >= r.First })
	for j := i; j < len(l.parked) && l.parked[j].First == r.First; j++ {
		if l.parked[j].Epoch == r.Epoch && slices.Equal(l.parked[j].Bytes, r.Bytes) {
			return Duplicate
		}
	}
	if len(r.Bytes) > maxParkedBytes {
		return Full
	}
	for len(l.parked) == maxParkedRuns || l.parkedBytes+len(r.Bytes) > maxParkedBytes {
		last := len(l.parked) - 1
		if i > last {
			return Full
		}
		l.parkedBytes -= len(l.parked[last].Bytes)
		l.parked = l.parked[:last]
	}
	r.Bytes = slices.Clone(r.Bytes)
	l.parked = slices.Insert(l.parked, i, r)
	l.parkedBytes += len(r.Bytes)
	return Parked
}

// unpark takes the first parked run that the log has come up to.
func (l *log) unpark() (Run, bool) {
	if len(l.parked) == 0 || l.parked[0].First > l.next() {
		return Run{}, false
	}
	r := l.parked[0]
	l.parked = slices.Delete(l.parked, 0, 1)
	l.parkedBytes -= len(r.Bytes)
	return r, true
}
