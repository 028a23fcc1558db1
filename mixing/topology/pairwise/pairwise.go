// Package pairwise lets two peers take the mean of their vectors so that both move or, when nothing is lost, neither
// (spec 06, section 6.6): an offer, an accept, a commit. It needs no common view and no clock of its own.
//
// Start with [New] and [Peer.Offer]; give every message that arrives to [Peer.Receive] and send what it answers; call
// [Peer.Tick] when [Peer.Deadline] has passed. A peer is a plain state machine: no I/O, no goroutine, not safe for
// concurrent use.
//
// It does not resend. When a commit is lost, the peer that sent it has moved and the other has not: the sum of the two
// is off by half their difference, once, and [Stats].Doubtful counts it. Where the sum must be exact use push-sum. It
// does not authenticate either: the caller makes sure that From is who the transport says.
//
// Any package may import it; it imports only std.
package pairwise

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrBusy means that an exchange is under way; retry after [Peer.Deadline].
var ErrBusy = errors.New("an exchange is under way")

// A Kind is what a message says.
type Kind uint8

// The kinds of messages. An exchange is Offer, Accept, Commit; the others end it early.
const (
	Offer  Kind = iota + 1 // initiator: shall we mix?
	Accept                 // responder: yes, this is my vector, I wait for you
	Reject                 // responder: no
	Commit                 // initiator: I have moved by minus X, add X to yours
	Abort                  // initiator: I have given up, do not wait
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Offer:
		return "offer"
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	case Commit:
		return "commit"
	case Abort:
		return "abort"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Message belongs to the exchange that its initiator numbered Seq. Peers are any distinct numbers, such as tags.
type Message struct {
	Kind     Kind
	From, To uint64
	Seq      uint64
	// X is the responder's vector in an Accept and what it has to add in a Commit; otherwise empty.
	X []float32
}

// An Outcome says what a message led to.
type Outcome struct {
	// Reply is to be sent if Send is set.
	Reply Message
	Send  bool
	// Applied tells that the vector was changed.
	Applied bool
	// Bad is the reason why the message cannot come from an honest peer, or empty.
	Bad string
}

// Stats counts since New.
type Stats struct {
	Offered   uint64 // offers made
	Committed uint64 // vectors moved as initiator
	Applied   uint64 // vectors moved as responder
	Rejected  uint64 // offers turned down by the other side
	Expired   uint64 // offers given up without an answer
	Doubtful  uint64 // accepts that saw neither commit nor abort: the initiator may have moved alone
}

type state uint8

const (
	idle state = iota
	offering
	waiting // accepted, for a commit
)

// A Peer is one side of all exchanges of a process.
type Peer struct {
	self     uint64
	last     uint64 // number of the last offer made
	patience int64

	state    state
	partner  uint64
	seq      uint64
	deadline int64

	// seen is, per initiator, the highest exchange heard of: older offers are copies. committed is, per responder, the
	// last exchange in which this peer moved: an accept of it is a copy too, and must not be answered with an abort that
	// could overtake the commit.
	seen, committed map[uint64]uint64
	stats           Stats
}

// New makes a peer. Its offers are numbered from after seq, which must be larger than any number it used before, also
// before a restart. patience is how long it waits for an answer, in the unit of the now that the other methods are given.
func New(self, seq uint64, patience int64) *Peer {
	return &Peer{self: self, last: seq, patience: patience, seen: map[uint64]uint64{}, committed: map[uint64]uint64{}}
}

// Busy tells whether an exchange is under way.
func (p *Peer) Busy() bool { return p.state != idle }

// Deadline is when the exchange under way is given up; ok is false when there is none.
func (p *Peer) Deadline() (at int64, ok bool) { return p.deadline, p.state != idle }

// Stats returns the counts so far.
func (p *Peer) Stats() Stats { return p.stats }

// Forget drops what is remembered of a peer that has left. Copies of its messages must not arrive any more.
func (p *Peer) Forget(peer uint64) {
	delete(p.seen, peer)
	delete(p.committed, peer)
}

// Offer begins an exchange and returns the message to send. It returns ErrBusy while another is under way, and an error
// for an offer to itself.
func (p *Peer) Offer(to uint64, now int64) (Message, error) {
	if to == p.self {
		return Message{}, fmt.Errorf("offer to peer %d: that is this peer itself", to)
	}
	if p.state != idle {
		return Message{}, ErrBusy
	}
	p.last++
	p.stats.Offered++
	p.enter(offering, to, p.last, now)
	return Message{Kind: Offer, From: p.self, To: to, Seq: p.seq}, nil
}

func (p *Peer) enter(s state, partner, seq uint64, now int64) {
	p.state, p.partner, p.seq, p.deadline = s, partner, seq, now+p.patience
}

// Tick gives up an exchange whose deadline has passed. If ok, the message, an abort, is to be sent.
func (p *Peer) Tick(now int64) (m Message, ok bool) {
	if p.state == idle || now < p.deadline {
		return Message{}, false
	}
	was := p.state
	p.state = idle
	if was == waiting {
		p.stats.Doubtful++
		return Message{}, false
	}
	p.stats.Expired++
	return Message{Kind: Abort, From: p.self, To: p.partner, Seq: p.seq}, true
}

// Receive takes a message from the wire. x is the peer's vector, which may have changed since earlier calls, even
// between an accept and its commit; it is moved in place when the outcome says so. The message is not kept.
func (p *Peer) Receive(m Message, x []float32, now int64) Outcome {
	switch {
	case m.To != p.self || m.From == p.self:
		return Outcome{Bad: "not addressed to this peer by another"}
	case m.Kind != Accept && m.Kind != Commit && len(m.X) != 0:
		return Outcome{Bad: "a vector in a message that has none"}
	}
	switch m.Kind {
	case Offer:
		return p.offered(m, x, now)
	case Accept:
		return p.accepted(m, x)
	case Reject:
		if p.in(offering, m) {
			p.state = idle
			p.stats.Rejected++
		}
		return Outcome{}
	case Commit:
		return p.commit(m, x)
	case Abort:
		// The offer may still be on its way: it must not be accepted any more.
		p.seen[m.From] = max(p.seen[m.From], m.Seq)
		if p.in(waiting, m) {
			p.state = idle
		}
		return Outcome{}
	}
	return Outcome{Bad: "unknown kind of message"}
}

// in tells whether the peer is in a state of the exchange that the message belongs to.
func (p *Peer) in(s state, m Message) bool {
	return p.state == s && p.partner == m.From && p.seq == m.Seq
}

func (p *Peer) reply(m Message, kind Kind, x []float32) Outcome {
	return Outcome{Reply: Message{Kind: kind, From: p.self, To: m.From, Seq: m.Seq, X: x}, Send: true}
}

func (p *Peer) offered(m Message, x []float32, now int64) Outcome {
	if m.Seq <= p.seen[m.From] {
		return Outcome{}
	}
	p.seen[m.From] = m.Seq
	// Of two offers that cross, that of the lower number stands; the other is withdrawn, or both would be turned down
	// for ever.
	crossed := p.state == offering && p.partner == m.From && m.From < p.self
	if p.state != idle && !crossed {
		return p.reply(m, Reject, nil)
	}
	p.enter(waiting, m.From, m.Seq, now)
	return p.reply(m, Accept, slices.Clone(x))
}

func (p *Peer) accepted(m Message, x []float32) Outcome {
	if !p.in(offering, m) {
		if p.committed[m.From] == m.Seq {
			return Outcome{}
		}
		return p.reply(m, Abort, nil)
	}
	p.state = idle
	if why := unfit(m.X, x); why != "" {
		out := p.reply(m, Abort, nil)
		out.Bad = why
		return out
	}
	// Both move by half the difference. Sent as a difference it keeps the sum even if either vector has been trained
	// since it was read.
	add := make([]float32, len(x))
	for i := range x {
		d := float32(m.X[i]*0.5) - float32(x[i]*0.5)
		x[i] += d
		add[i] = -d
	}
	p.committed[m.From] = m.Seq
	p.stats.Committed++
	out := p.reply(m, Commit, add)
	out.Applied = true
	return out
}

func (p *Peer) commit(m Message, x []float32) Outcome {
	if !p.in(waiting, m) {
		return Outcome{}
	}
	p.state = idle
	if why := unfit(m.X, x); why != "" {
		p.stats.Doubtful++
		return Outcome{Bad: why}
	}
	for i := range x {
		x[i] += m.X[i]
	}
	p.stats.Applied++
	return Outcome{Applied: true}
}

// unfit says why a vector cannot be mixed with x, or nothing.
func unfit(v, x []float32) string {
	if len(v) != len(x) {
		return fmt.Sprintf("a vector of %d numbers, expected %d", len(v), len(x))
	}
	for _, f := range v {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return "a vector with numbers that are not finite"
		}
	}
	return ""
}
