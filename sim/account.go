package sim

import (
	"fmt"

	"starling/sim/mesh"
)

// Traffic is the kind of a message, for accounts.
type Traffic uint8

// The kinds of messages.
const (
	UpdateTraffic  Traffic = iota // announcements and leaves, sent, forwarded or answered
	PushTraffic                   // models pushed to one peer
	ControlTraffic                // what a mesh tells besides messages
	DigestTraffic
	RepairTraffic
	RequestTraffic // for blobs
	BlobTraffic
	RecordTraffic   // records, and proofs against their authors, sent and forwarded
	SnapshotTraffic // sums of records
	TokenTraffic    // news, offers, steps of hand-overs and beats of the method walk; the models are blobs
	traffics
)

// String returns the name of the kind.
func (t Traffic) String() string {
	return [...]string{"update", "push", "control", "digest", "repair", "request", "blob", "record", "snapshot", "token"}[t]
}

// losable reports whether a message of the kind can get lost on the way. The others are repeated by the streams that carry them.
func (t Traffic) losable(p *parcel) bool {
	return t != RequestTraffic && t != BlobTraffic && (p.topic == nil || p.rpc.Kind.Droppable())
}

// A Tally is where messages or bytes went.
type Tally struct {
	Sent, Delivered, Lost, Dropped, InFlight uint64
}

// Conserved reports whether nothing came from nowhere or went there: Sent = Delivered + Lost + Dropped + InFlight.
func (t Tally) Conserved() bool { return t.Sent == t.Delivered+t.Lost+t.Dropped+t.InFlight }

func (t Tally) plus(o Tally) Tally {
	return Tally{t.Sent + o.Sent, t.Delivered + o.Delivered, t.Lost + o.Lost, t.Dropped + o.Dropped, t.InFlight + o.InFlight}
}

// Flow is the messages of one kind, and their bytes.
type Flow struct {
	Messages, Bytes Tally
}

// Stats is what has happened so far.
type Stats struct {
	Events  uint64
	Steps   uint64 // of cores
	Refused uint64 // messages that were delivered and not taken by Check

	// Flows is by kind. Lost is what the network lost; Dropped is what found its receiver offline or cut off, or was given up
	// by the sender's end.
	Flows [traffics]Flow
	// Copies and First count the copies of broadcasts that have arrived over a mesh, and those that were new to the receiver.
	Copies, First uint64

	Joins   uint64 // sessions that began after the start
	Leaves  uint64 // sessions that ended by sleep or a goodbye
	Crashes uint64
}

// Total returns the sums over the kinds.
func (s *Stats) Total() Flow {
	var sum Flow
	for _, f := range s.Flows {
		sum.Messages = sum.Messages.plus(f.Messages)
		sum.Bytes = sum.Bytes.plus(f.Bytes)
	}
	return sum
}

// counts keeps the accounts while the world goes on.
type counts struct {
	events, steps, refused uint64
	received               uint64 // bytes of all kinds that were delivered
	flows                  [traffics]Flow
	joins, leaves, crashes uint64
}

func (c *counts) sent(p *parcel) {
	f := &c.flows[p.traffic]
	f.Messages.Sent++
	f.Messages.InFlight++
	f.Bytes.Sent += uint64(p.bytes)
	f.Bytes.InFlight += uint64(p.bytes)
}

func (c *counts) delivered(p *parcel) {
	f := c.landed(p)
	f.Messages.Delivered++
	f.Bytes.Delivered += uint64(p.bytes)
	c.received += uint64(p.bytes)
}

func (c *counts) lost(p *parcel) {
	f := c.landed(p)
	f.Messages.Lost++
	f.Bytes.Lost += uint64(p.bytes)
}

func (c *counts) dropped(p *parcel) {
	f := c.landed(p)
	f.Messages.Dropped++
	f.Bytes.Dropped += uint64(p.bytes)
}

func (c *counts) landed(p *parcel) *Flow {
	f := &c.flows[p.traffic]
	f.Messages.InFlight--
	f.Bytes.InFlight -= uint64(p.bytes)
	return f
}

// meshSums are the counts of topics that are no more.
type meshSums struct{ copies, first uint64 }

func (m *meshSums) add(s mesh.Stats) {
	m.copies += s.Delivered + s.Duplicates
	m.first += s.Delivered
}

// Stats returns the counts so far.
func (w *World) Stats() Stats {
	sums := w.meshSums
	for _, t := range w.topics {
		sums.add(t.mesh.Stats())
	}
	c := &w.counts
	return Stats{
		Events: c.events, Steps: c.steps, Refused: c.refused, Flows: c.flows, Copies: sums.copies, First: sums.first,
		Joins: c.joins, Leaves: c.leaves, Crashes: c.crashes,
	}
}

// Received returns the bytes that all nodes together have received: the Delivered of [Stats.Total].
func (w *World) Received() uint64 { return w.counts.received }

// Audit compares the accounts with what is in the queue and on the links, and says what does not add up.
func (w *World) Audit() error {
	var flying, bytes uint64
	for i := range w.queue.events {
		if p := w.queue.events[i].parcel; p != nil {
			flying++
			bytes += uint64(p.bytes)
		}
	}
	for _, p := range w.pulls {
		if p != nil {
			flying++
			bytes += uint64(p.parcel.bytes)
		}
	}
	s := w.Stats()
	for k, f := range s.Flows {
		if !f.Messages.Conserved() || !f.Bytes.Conserved() {
			return fmt.Errorf("%s: %+v is not conserved", Traffic(k), f)
		}
	}
	total := s.Total()
	if total.Messages.InFlight != flying || total.Bytes.InFlight != bytes {
		return fmt.Errorf("%d messages of %d bytes are said to be in flight, and %d of %d bytes are",
			total.Messages.InFlight, total.Bytes.InFlight, flying, bytes)
	}
	return nil
}
