package gossip

import "fmt"

// A Fence names one life of a token. A token begins with generation 1; who revives one that seems lost begins the next generation.
// Nobody makes the same fence twice, so of each fence there is one copy at a time that goes on.
type Fence struct {
	Generation uint32 // from 1
	Maker      uint64 // tag of the node that began it, see [Tag]
	Base       uint64 // hop number of the copy that it went on from
}

// Less reports whether the fence g makes a copy behind f void: of the same token the later generation counts, and of one generation the
// fence of the lesser maker.
func (f Fence) Less(g Fence) bool {
	if f.Generation != g.Generation {
		return f.Generation < g.Generation
	}
	return f.Maker > g.Maker
}

// A Token is news of a walking model, from the node that holds it. It is a broadcast like an [Update].
type Token struct {
	Token   uint32 // number
	Fence   Fence
	Hop     uint64  // visits that the token has made, as the author has them durable
	Moves   uint64  // how often it was handed over; the other visits were made on end
	Age     uint64  // local steps in the model
	Samples uint64  // training examples of this visit
	Loss    float32 // mean training loss of this visit; finite

	Codec string // how the model was encoded
	Len   uint32 // of the model in floats
	Model Piece  // of Size 0 if it is not to be had
}

// An Offer is what the holder of a token says to the node that it would hand it to. It is signed, and never published: it travels in a
// [Repair] to one node, behind the offer by which its author got the token, from which the receiver can tell that nothing
// was made up.
type Offer struct {
	To      PeerID
	Token   uint32
	Fence   Fence
	Hop     uint64   // visits that the token has made
	Moves   uint64   // how often it was handed over before
	Age     uint64   // local steps in the model
	Remnant bool     // the token goes on elsewhere: only the model is offered, to be merged
	History [32]byte // digest of the history of those visits; see [HistoryDigest]
	Norm    float64  // Euclidean, of the model as it came to the author; finite, not negative; 0 is not known

	Codec string // how the model was encoded
	Len   uint32 // of the model in floats
	Model Piece

	StateLen uint32 // of the optimizer's state, in floats, which travels in fp32; 0 if it does not
	State    Piece  // of Size 0 then
}

// A Hand is a step of handing a token over, after the [Offer]. The messages of both sides are answered until the other one has
// what it needs to know, and can come any number of times.
type Hand struct {
	Step    HandStep
	Offer   uint64 // its sequence number
	Token   uint32
	History []byte // StepHistory: the history as it came to the giver, and what it has changed
}

// HandStep says what a [Hand] means.
type HandStep uint8

// The steps. The numbers are part of the wire format and are never reused.
const (
	StepAccept  HandStep = 1 // the receiver pulls the payload, and wants the history if it has not come
	StepBusy    HandStep = 2 // the receiver does not take the token now
	StepBehind  HandStep = 3 // the receiver knows of a fence that makes the token void
	StepReady   HandStep = 4 // the receiver has everything, and has it durable
	StepTaken   HandStep = 5 // the receiver goes on with the token
	StepHistory HandStep = 6 // the giver tells the history of the token as it came to it
	StepGiven   HandStep = 7 // the giver will not go on with the token: the receiver shall
	StepVoid    HandStep = 8 // the giver has withdrawn the offer
	StepPulling HandStep = 9 // the receiver has the history, and still pulls
)

// String returns the step in a word.
func (s HandStep) String() string {
	if int(s) < len(handSteps) {
		return handSteps[s]
	}
	return fmt.Sprintf("step %d", uint8(s))
}

var handSteps = [...]string{"none", "accept", "busy", "behind", "ready", "taken", "history", "given", "void", "pulling"}

// FromGiver reports whether it is the author of the offer that says so.
func (s HandStep) FromGiver() bool { return s >= StepHistory && s <= StepVoid }

// A Beat tells a peer that the sender counts it among its neighbours, and what a walk needs to know of the sender.
type Beat struct {
	Degree uint32  // neighbours of the sender
	Weight float32 // its share of the visits, in a unit of the run; finite, above 0
	Reply  bool    // it answers a beat
}

func (*Token) kind() Kind { return KindToken }
func (*Offer) kind() Kind { return KindOffer }
func (*Hand) kind() Kind  { return KindHand }
func (*Beat) kind() Kind  { return KindBeat }
