package gossip

import "crypto/sha256"

// A Ballot is a vote on how an epoch of records is closed, of which there is one step after the other in rounds (see node/agree): a
// proposal, a vote for a proposal, a vote to close by it. Like [Records] a ballot is not made void by the author's next message. Two
// different ballots of one author for one step of a round are proof against it, see [Equivocation].
type Ballot struct {
	Step  BallotStep
	Epoch uint32
	Round uint32
	Own   uint64   // records of the author that count in epochs before: if it votes twice, those after are void
	Value [32]byte // Digest of the Closing that is voted for; zeros vote for none, which a proposal cannot

	// Proposals only.
	Lock    uint32   // one more than the round in which more than two thirds have voted for it before; 0 is none
	Closing *Closing // what Value is the digest of
}

// A BallotStep is what a ballot is for.
type BallotStep uint8

// The steps. The numbers are part of the wire format and are never reused.
const (
	StepPropose   BallotStep = 1
	StepPrevote   BallotStep = 2
	StepPrecommit BallotStep = 3
	StepLeave     BallotStep = 4 // the author will vote no more, once an epoch is closed that says so; Round and Value are zero
)

// A Closing is what closes an epoch of records.
type Closing struct {
	Epoch   uint32
	Members []Member // ascending by tag: all that have records
	Bans    []Place  // ascending by tag: records from Seq on are void
	Clip    uint8    // largest code that counts in the next epoch
	Sums    [32]byte // digest of all sums afterwards, as mixing/scalar makes it
}

// A Member is a log in a [Closing].
type Member struct {
	Tag   uint64
	Next  uint64 // records below count if they are of the epoch; later ones of the epoch never will
	Until uint32 // the first epoch in which its author has no vote any more, unless more of its records count until then; 0: none now
	Votes bool   // whether it has a vote about this epoch
}

// MaxMembers is how many logs there may be in a run that closes epochs, bans counted as well.
const MaxMembers = 1024

func (*Ballot) kind() Kind { return KindBallot }

// Digest names a closing: the SHA-256 of the text "starling closing 1", a zero byte and its encoding.
func (c *Closing) Digest() [32]byte {
	return sha256.Sum256(append([]byte("starling closing 1\x00"), c.Form()...))
}

// Ends lists where each log ends that counts.
func (c *Closing) Ends() []Place {
	out := make([]Place, len(c.Members))
	for i, m := range c.Members {
		out[i] = Place{Tag: m.Tag, Seq: m.Next}
	}
	return out
}

// votedTwice reports whether two ballots of one author cannot both be of somebody who keeps to the rules, and which of the author's records
// is the first that is void.
func votedTwice(a, b *Ballot) (first uint64, ok bool) {
	if a.Step != b.Step || a.Epoch != b.Epoch || a.Round != b.Round || a.Step == StepLeave || a.Value == b.Value && a.Lock == b.Lock {
		return 0, false
	}
	return min(a.Own, b.Own), true
}

type (
	wireBallot struct {
		_       struct{} `cbor:",toarray"`
		Step    uint8
		Epoch   uint32
		Round   uint32
		Own     uint64
		Value   []byte // empty votes for none
		Lock    uint32
		Closing []byte // an encoded closing; empty but in proposals
	}
	wireClosing struct {
		_       struct{} `cbor:",toarray"`
		Epoch   uint32
		Members []wireMember
		Bans    []wirePlace
		Clip    uint8
		Sums    [32]byte
	}
	wireMember struct {
		_     struct{} `cbor:",toarray"`
		Tag   uint64
		Next  uint64
		Until uint32
		Votes bool
	}
)

func closingToWire(c *Closing) *wireClosing {
	w := &wireClosing{Epoch: c.Epoch, Members: []wireMember{}, Bans: toPlaces(c.Bans), Clip: c.Clip, Sums: c.Sums}
	for _, m := range c.Members {
		w.Members = append(w.Members, wireMember{Tag: m.Tag, Next: m.Next, Until: m.Until, Votes: m.Votes})
	}
	return w
}

// Form is the encoding of a closing, as it is inside other messages.
func (c *Closing) Form() []byte {
	form, err := encMode.Marshal(closingToWire(c))
	if err != nil {
		panic("gossip: internal error: " + err.Error()) // of numbers and bytes
	}
	return form
}

// ParseClosing reads what [Closing.Form] writes, and nothing else.
func ParseClosing(form []byte) (*Closing, bool) { return closingFromWire(form) }

// closingFromWire decodes a closing that is inside another message.
func closingFromWire(raw []byte) (*Closing, bool) {
	var w wireClosing
	if !decodeBody(raw, &w) || len(w.Members) == 0 || len(w.Members)+len(w.Bans) > MaxMembers || w.Clip > maxCode || !ascendingPlaces(w.Bans, 0) {
		return nil, false
	}
	c := &Closing{Epoch: w.Epoch, Bans: fromPlaces(w.Bans), Clip: w.Clip, Sums: w.Sums}
	for i, m := range w.Members {
		if m.Next == 0 || i > 0 && w.Members[i-1].Tag >= m.Tag {
			return nil, false
		}
		c.Members = append(c.Members, Member{Tag: m.Tag, Next: m.Next, Until: m.Until, Votes: m.Votes})
	}
	return c, true
}

// maxCode is the largest code of a record.
const maxCode = 127

func ballotToWire(b *Ballot) *wireBallot {
	w := &wireBallot{Step: uint8(b.Step), Epoch: b.Epoch, Round: b.Round, Own: b.Own, Value: []byte{}, Lock: b.Lock, Closing: []byte{}}
	if b.Value != [32]byte{} {
		w.Value = b.Value[:]
	}
	if b.Closing != nil {
		w.Closing = b.Closing.Form()
	}
	return w
}

func ballotFromWire(raw []byte) (Body, Verdict) {
	malformed := Verdict{Reject, ReasonMalformed}
	var w wireBallot
	if !decodeBody(raw, &w) {
		return nil, malformed
	}
	b := &Ballot{Step: BallotStep(w.Step), Epoch: w.Epoch, Round: w.Round, Own: w.Own, Lock: w.Lock}
	if len(w.Value) > 0 && (!digest(&b.Value, w.Value) || b.Value == [32]byte{}) {
		return nil, malformed
	}
	switch b.Step {
	case StepPropose:
		c, ok := closingFromWire(w.Closing)
		if !ok || c.Epoch != b.Epoch || c.Digest() != b.Value || b.Lock > b.Round {
			return nil, malformed
		}
		b.Closing = c
	case StepPrevote, StepPrecommit:
		if len(w.Closing) > 0 || b.Lock > 0 {
			return nil, malformed
		}
	case StepLeave:
		if len(w.Closing)+len(w.Value) > 0 || b.Lock > 0 || b.Round > 0 {
			return nil, malformed
		}
	default:
		return nil, malformed
	}
	return b, Verdict{}
}

func ballotSize(b *Ballot) int {
	n := 1 + 1 + number(uint64(b.Epoch)) + number(uint64(b.Round)) + number(b.Own) + 1 + number(uint64(b.Lock)) + 1
	if b.Value != [32]byte{} {
		n += bytes32 - 1
	}
	if b.Closing != nil {
		form := closingSize(b.Closing)
		n += head(form) + form - 1
	}
	return n
}

func closingSize(c *Closing) int {
	n := 1 + number(uint64(c.Epoch)) + head(len(c.Members)) + placesSize(c.Bans) + number(uint64(c.Clip)) + bytes32
	for _, m := range c.Members {
		n += 1 + number(m.Tag) + number(m.Next) + number(uint64(m.Until)) + 1
	}
	return n
}
