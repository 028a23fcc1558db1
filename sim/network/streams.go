package network

import (
	"math"
	"math/bits"

	"starling/node"
)

// A StreamID names a stream. Its numbers are used again after the stream's end, but never the same ID.
type StreamID uint64

// Slot returns a small number that no other stream has at the same time, to index what the caller keeps for a stream.
func (id StreamID) Slot() int { return int(uint32(id)) }

// Streams are long transfers that share the links of nodes like a fluid: at any time a stream runs at
//
//	min(up of the sender / streams it sends, down of the receiver / streams it receives)
//
// in whole bits per second. Starting or ending one changes the rates of those that share a link with it, and nothing else.
// Times and bytes are whole numbers, so that the same calls give the same times on every machine.
//
// The caller asks [Streams.Next] for the time of the next end after each change, and takes it with [Streams.Finish] when
// that time has come. Latency, such as that of the request, is the caller's to add.
type Streams struct {
	of   []Bandwidth
	ends []ends
	all  []stream // by slot
	free []int32  // slots
	heap []int32  // slots of running streams, the next to finish on top
	made uint64
	sum  Transfers
}

// Transfers counts bytes: Offered = Received + Lost + InFlight, always.
type Transfers struct {
	Offered  int64 // sizes of all streams that were started
	Received int64
	Lost     int64 // not transferred when a stream was cancelled
	InFlight int64 // not transferred yet
}

// ends are the streams at a node.
type ends struct{ up, down []int32 }

type stream struct {
	id       StreamID // 0: the slot is free
	seq      uint64   // order of starting, which decides among equal times
	from, to int32
	atUp     int32 // place in ends.up of the sender
	atDown   int32
	place    int32 // in the heap
	bytes    int64
	rate     Rate
	since    node.Instant // when left was counted
	finish   node.Instant
	hi, lo   uint64 // work left then, in bits x nanoseconds per second
}

// NewStreams makes the streams among nodes with the given bandwidths, from [ParseBandwidth].
func NewStreams(of []Bandwidth) *Streams { return &Streams{of: of, ends: make([]ends, len(of))} }

// Start begins a transfer of so many bytes. If it takes no time, as without limits, it is over at once: there is no ID, and
// ok is false.
func (s *Streams) Start(now node.Instant, from, to int, bytes int64) (id StreamID, ok bool) {
	s.sum.Offered += max(bytes, 0)
	if bytes <= 0 || s.of == nil || s.of[from].Up == Unlimited && s.of[to].Down == Unlimited {
		s.sum.Received += max(bytes, 0)
		return 0, false
	}
	slot := int32(len(s.all))
	if last := len(s.free) - 1; last >= 0 {
		slot, s.free = s.free[last], s.free[:last]
	} else {
		s.all = append(s.all, stream{})
	}
	s.made++
	id = StreamID(s.made<<32 | uint64(slot)) // four billion streams later an ID comes back
	f := &s.all[slot]
	*f = stream{
		id: id, seq: s.made, from: int32(from), to: int32(to), bytes: bytes, since: now, finish: Forever,
		atUp: int32(len(s.ends[from].up)), atDown: int32(len(s.ends[to].down)), place: int32(len(s.heap)),
	}
	f.hi, f.lo = bits.Mul64(uint64(bytes), bitNanos)
	s.heap = append(s.heap, slot)
	s.ends[from].up = append(s.ends[from].up, slot)
	s.ends[to].down = append(s.ends[to].down, slot)
	s.sum.InFlight += bytes
	s.share(now, from, to)
	return id, true
}

// Next returns when the next stream will have been transferred, if none is started or cancelled before.
func (s *Streams) Next() (at node.Instant, ok bool) {
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.all[s.heap[0]].finish, true
}

// Finish takes out a stream that has been transferred by now, the first of several; ok is false if there is none.
func (s *Streams) Finish(now node.Instant) (id StreamID, ok bool) {
	if len(s.heap) == 0 || s.all[s.heap[0]].finish > now {
		return 0, false
	}
	slot := s.heap[0]
	f := &s.all[slot]
	id = f.id
	s.sum.Received += f.bytes
	s.sum.InFlight -= f.bytes
	s.remove(now, slot)
	return id, true
}

// Cancel ends a stream and returns how many bytes were received; ok is false if it is over already. A stream that has been
// transferred by now, but was not taken by [Streams.Finish], counts as received in full.
func (s *Streams) Cancel(now node.Instant, id StreamID) (received int64, ok bool) {
	received, ok = s.Received(now, id)
	if !ok {
		return 0, false
	}
	f := &s.all[id.Slot()]
	s.sum.InFlight -= f.bytes
	s.sum.Received += received
	s.sum.Lost += f.bytes - received
	s.remove(now, int32(id.Slot()))
	return received, true
}

// Received returns how many bytes of a running stream have arrived; ok is false if it is over.
func (s *Streams) Received(now node.Instant, id StreamID) (bytes int64, ok bool) {
	if id.Slot() >= len(s.all) || s.all[id.Slot()].id != id || id == 0 {
		return 0, false
	}
	f := &s.all[id.Slot()]
	hi, lo := f.left(now)
	left, part := bits.Div64(hi, lo, bitNanos)
	if part > 0 {
		left++
	}
	return f.bytes - int64(left), true
}

// Of returns the streams that a node sends and receives, those it sends first, in no order that means anything. They are
// what the caller cancels when the node goes offline.
func (s *Streams) Of(n int) []StreamID {
	if s.of == nil {
		return nil
	}
	e := &s.ends[n]
	ids := make([]StreamID, 0, len(e.up)+len(e.down))
	for _, slot := range e.up {
		ids = append(ids, s.all[slot].id)
	}
	for _, slot := range e.down {
		if f := &s.all[slot]; int(f.from) != n {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// Running returns the number of streams.
func (s *Streams) Running() int { return len(s.heap) }

// Transfers returns the counts of bytes by now.
func (s *Streams) Transfers(now node.Instant) Transfers {
	t := s.sum
	for _, slot := range s.heap {
		received, _ := s.Received(now, s.all[slot].id)
		t.Received += received
		t.InFlight -= received
	}
	return t
}

// left returns the work that is left of a stream.
func (f *stream) left(now node.Instant) (hi, lo uint64) {
	doneHi, doneLo := bits.Mul64(uint64(f.rate), uint64(max(now-f.since, 0)))
	lo, borrow := bits.Sub64(f.lo, doneLo, 0)
	hi, borrow = bits.Sub64(f.hi, doneHi, borrow)
	if borrow != 0 {
		return 0, 0 // the last nanosecond is rarely needed in full
	}
	return hi, lo
}

// remove takes a stream off its links.
func (s *Streams) remove(now node.Instant, slot int32) {
	f := &s.all[slot]
	from, to := int(f.from), int(f.to)
	up, down := &s.ends[from].up, &s.ends[to].down
	last := (*up)[len(*up)-1]
	(*up)[f.atUp], *up = last, (*up)[:len(*up)-1]
	s.all[last].atUp = f.atUp
	last = (*down)[len(*down)-1]
	(*down)[f.atDown], *down = last, (*down)[:len(*down)-1]
	s.all[last].atDown = f.atDown

	at, end := f.place, int32(len(s.heap)-1)
	moved := s.heap[end]
	s.heap = s.heap[:end]
	if at != end {
		s.heap[at], s.all[moved].place = moved, at
		s.fix(at)
	}
	f.id = 0
	s.free = append(s.free, slot)
	s.share(now, from, to)
}

// share gives the streams on the uplink of one node and on the downlink of another their new rates.
func (s *Streams) share(now node.Instant, from, to int) {
	if s.of[from].Up != Unlimited {
		part := s.part(s.of[from].Up, len(s.ends[from].up))
		for _, slot := range s.ends[from].up {
			f := &s.all[slot]
			s.pace(now, f, min(part, s.part(s.of[f.to].Down, len(s.ends[f.to].down))))
		}
	}
	if s.of[to].Down != Unlimited {
		part := s.part(s.of[to].Down, len(s.ends[to].down))
		for _, slot := range s.ends[to].down {
			f := &s.all[slot]
			s.pace(now, f, min(part, s.part(s.of[f.from].Up, len(s.ends[f.from].up))))
		}
	}
}

func (s *Streams) part(r Rate, among int) Rate {
	if r == Unlimited {
		return math.MaxInt64
	}
	return max(1, r/Rate(max(among, 1)))
}

// pace changes the rate of a stream, and so the time of its end.
func (s *Streams) pace(now node.Instant, f *stream, rate Rate) {
	if rate == f.rate {
		return
	}
	f.hi, f.lo = f.left(now)
	f.since, f.rate = now, rate
	after := ceil(f.hi, f.lo, uint64(rate))
	f.finish = now + after
	if f.finish < now {
		f.finish = Forever
	}
	s.fix(f.place)
}

func (s *Streams) before(a, b int32) bool {
	x, y := &s.all[a], &s.all[b]
	return x.finish < y.finish || x.finish == y.finish && x.seq < y.seq
}

// fix moves the stream at a place of the heap to where it belongs.
func (s *Streams) fix(at int32) {
	h, slot := s.heap, s.heap[at]
	for at > 0 {
		parent := (at - 1) / 2
		if !s.before(slot, h[parent]) {
			break
		}
		h[at], s.all[h[parent]].place = h[parent], at
		at = parent
	}
	for {
		child := 2*at + 1
		if child >= int32(len(h)) {
			break
		}
		if r := child + 1; r < int32(len(h)) && s.before(h[r], h[child]) {
			child = r
		}
		if !s.before(h[child], slot) {
			break
		}
		h[at], s.all[h[child]].place = h[child], at
		at = child
	}
	h[at], s.all[slot].place = slot, at
}
