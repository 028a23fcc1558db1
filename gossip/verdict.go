package gossip

import "fmt"

// A Decision is what becomes of a message that arrived.
type Decision uint8

const (
	Accept Decision = 0 // take it and pass it on
	Ignore Decision = 1 // drop it; nobody is to blame
	Reject Decision = 2 // drop it and blame the peer that sent it
)

// A Verdict is a decision and the reason for it. The zero Verdict accepts.
//
// Reject only what is a property of the bytes. What may be this node's own fault, such as being behind, full or unsure, is
// ignored: who rejects it cuts itself off from everybody.
type Verdict struct {
	Decision Decision
	Reason   Reason
}

// String says the decision and the reason.
func (v Verdict) String() string {
	switch v.Decision {
	case Accept:
		return "accept"
	case Ignore:
		return "ignore: " + v.Reason.String()
	}
	return "reject: " + v.Reason.String()
}

// A Reason says why a message was not accepted. Its text is also the label of metrics.
type Reason uint8

// The reasons.
const (
	ReasonNone        Reason = iota
	ReasonOversized          // more bytes than the limit
	ReasonMalformed          // not an encoding of a message, or a field out of its range
	ReasonVersion            // an envelope of another version of the wire format
	ReasonSignature          // not signed by its author
	ReasonWrongRun           // of another run
	ReasonUnknownKind        // a kind that this build does not know, or that does not belong here
	ReasonNonFinite          // a number that is not finite
	ReasonCodec              // a codec that is not the run's
	ReasonLength             // a vector or payload of a length that is not the run's
	ReasonReplayed           // not newer than what is known of its author
	ReasonBanned             // its author has lost all trust
	ReasonAuthor             // a direct message whose author is not the peer it came from
	ReasonCell               // its author belongs to another cell of the run
	ReasonProof              // a proof that proves nothing
	reasons
)

var reasonNames = [reasons]string{
	"none", "oversized", "malformed", "other version", "bad signature", "wrong run", "unknown kind", "not finite", "wrong codec",
	"wrong length", "replayed", "banned author", "wrong author", "other cell", "no proof",
}

// String returns the reason's text.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// String returns the reason's text.
func (r RefusalReason) String() string {
	switch r {
	case RefusedStale:
		return "stale"
	case RefusedUnavailable:
		return "unavailable"
	case RefusedCorrupt:
		return "corrupt"
	case RefusedByRule:
		return "left out by the mixing rule"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}
