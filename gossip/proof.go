package gossip

import (
	"bytes"
	"slices"
)

// A Proof shows that somebody equivocates: two signed [Records] that cannot both be of one log, or two [Ballot]s for different things in one
// step of a round. The author of the proof is who found them. What it proves does not depend on who says it.
type Proof struct {
	A, B *Message // sealed
}

func (*Proof) kind() Kind { return KindProof }

// Against says whose log the proof is about, and which of its records is the first that is void. It is not ok if the messages prove
// nothing. Signatures are not looked at: Open did.
func (p *Proof) Against() (author PeerID, first uint64, ok bool) {
	first, ok = Equivocation(p.A, p.B)
	return p.A.Author, first, ok
}

// A pair travels in ascending order of its bytes, so that it has one encoding.
type wireProof struct {
	_    struct{} `cbor:",toarray"`
	A, B []byte
}

// sealed reports whether both messages can be put into another one.
func (p *Proof) sealed() bool {
	return p.A != nil && p.B != nil && len(p.A.Raw) > 0 && len(p.B.Raw) > 0
}

func proofToWire(p *Proof) *wireProof {
	a, b := p.A.Raw, p.B.Raw
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	return &wireProof{A: a, B: b}
}

// proofFromWire verifies signatures only if there is a verifier, as Open does.
func proofFromWire(e *envelope, lim Limits, v Verifier) (Body, Verdict) {
	var w wireProof
	if !decodeBody(e.Body, &w) || bytes.Compare(w.A, w.B) >= 0 {
		return nil, Verdict{Reject, ReasonMalformed}
	}
	a, verdict := openShown(w.A, e.Run, lim, v, KindRecords, KindBallot)
	if verdict.Decision != Accept {
		return nil, verdict
	}
	b, verdict := openShown(w.B, e.Run, lim, v, KindRecords, KindBallot)
	if verdict.Decision != Accept {
		return nil, verdict
	}
	p := &Proof{A: a, B: b}
	if _, _, ok := p.Against(); !ok {
		return nil, Verdict{Reject, ReasonProof}
	}
	return p, Verdict{}
}

// openShown opens a message that another one shows, if it is of one of these kinds: a proof inside a proof is not looked into.
func openShown(raw []byte, run RunID, lim Limits, v Verifier, kinds ...Kind) (*Message, Verdict) {
	m, verdict := openSigned(raw, lim, v, func(k Kind) bool { return slices.Contains(kinds, k) })
	switch {
	case verdict.Decision == Ignore: // of another version, and inside a message of this one
		return nil, Verdict{Reject, ReasonMalformed}
	case verdict.Decision == Reject:
		return nil, verdict
	case m.Run != run:
		return nil, Verdict{Reject, ReasonWrongRun}
	}
	return m, Verdict{}
}

func proofSize(p *Proof) int { return 1 + shownSize(p.A) + shownSize(p.B) }

// shownSize is the length of a message in a proof, which a simulation does not seal.
func shownSize(m *Message) int {
	n := len(m.Raw)
	if n == 0 {
		n = SealedSize(m, false)
	}
	return head(n) + n
}
